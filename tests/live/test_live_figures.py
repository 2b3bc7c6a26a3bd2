"""The live figures in Python: both faces, one specification, and the package behind them."""

import base64
import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
import torch
from live_figures import CHAPTERS, HOMES, LABELS, NAMES, make, module, parameters_of
from matplotlib.image import imread
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from nodule_lesson import plots, std
from nodule_lesson.data.demo import open_demo
from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live import scenes
from nodule_lesson.live.drawing import COLOURS
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

VIEW = "application/vnd.jupyter.widget-view+json"
# Every call that a chapter makes: each figure as it is, and the small explorer.
CALLS = [(name, {}) for name in NAMES] + [("std_explorer", {"compact": True})]


@pytest.fixture(scope="module", params=CALLS, ids=lambda call: "-".join([call[0], *call[1]]))
def figure(request):
    name, options = request.param
    return make(name, **options)


@pytest.fixture(scope="module")
def page(figure):
    return figure.page()


@pytest.fixture
def explorer():
    return module("std_explorer")


# --- every figure -------------------------------------------------------------------------------


def test_the_model_figures_are_there():
    assert "std_explorer" in NAMES


def test_controls_carry_the_names_of_the_equations(figure):
    names = [control.name for control in figure.controls]
    assert len(set(names)) == len(names)
    for control in figure.controls:
        assert control.label == LABELS.get(control.name, control.label)
        if isinstance(control, Slider):
            assert control.minimum <= control.value <= control.maximum
            steps = (control.value - control.minimum) / control.step
            assert steps == pytest.approx(round(steps), abs=1e-6), "the browser would round it"
        else:
            assert control.value in control.options


def test_input_and_field_are_arrays_of_finite_numbers(figure):
    result = figure.compute(figure.parameters)
    for key in ("input", "field"):
        array = np.asarray(result[key])
        assert array.ndim in (1, 2) and array.dtype in (np.float32, np.float64), key
        assert np.isfinite(array).all(), key
    assert result["input"].shape == result["field"].shape


def test_compute_runs_the_package(figure):
    """It calls a public function of a wing that computes: no figure has formulas of its own."""
    computing = ("std.py", "networks", "training", "evaluation", "data/patches/normalisation.py")
    places = tuple(str(Path(std.__file__).parent / name) for name in computing)
    called = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(places):
            called.add(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        figure.compute(figure.parameters)
    finally:
        sys.setprofile(None)
    # A function within another, and a method of a class that is not offered, are no public ones.
    assert any(not re.search(r"<|\b_", name) for name in called), sorted(called)


def test_every_control_matters(figure):
    """Some setting, found by moving all others too, where this control alone changes the field."""
    ends = {c.name: _ends(c) for c in figure.controls}
    bases = [figure.parameters, {**figure.parameters, "c": 0.5}]
    # What another choice switches off.
    bases += [
        {**figure.parameters, control.name: option}
        for control in figure.controls
        if isinstance(control, Choice)
        for option in control.options
    ]
    for name, values in ends.items():
        for base in bases:
            base = {key: base[key] for key in figure.parameters}
            fields = [figure.compute({**base, name: value}) for value in values]
            changed = any(
                not np.array_equal(fields[0][key], fields[1][key]) for key in ("input", "field")
            )
            if changed:
                break
        assert changed or _only_moves_a_mark(figure, name, values), f"{name} changes nothing"


def _ends(control):
    if isinstance(control, Choice):
        return control.options[0], control.options[-1]
    return control.minimum, control.maximum


def _only_moves_a_mark(figure, name, values):
    images = [figure.still(**{name: value}) for value in values]
    return images[0] != images[1]


def test_the_still_shows_the_setting(figure):
    picture = Image.open(io.BytesIO(figure.still("webp")))
    assert picture.format == "WEBP" and min(picture.size) > 300
    assert np.asarray(picture.convert("L")).std() > 10, "a blank picture"
    assert len(figure.alt) > 60 and not figure.alt.isspace()
    assert "<strong>Live.</strong>" in figure.caption


# --- the page's face ----------------------------------------------------------------------------


def script_of(page):
    (script,) = re.findall(r"<script>\n(.*?)</script>", page, flags=re.DOTALL)
    return script


def test_the_page_needs_nothing_from_outside(page):
    text = page.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"https?:|[\"'(`]//\w", text)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|sendBeacon)\b", text)
    assert "@import" not in text and "url(http" not in text
    assert text.count("<script") == text.count("</script>") == 1
    sources = re.findall(r'src="([^"]*)"', text)
    assert [source.split(",")[0] for source in sources] == ["data:image/webp;base64"]


def test_the_bundle_is_one_valid_script(page, node, tmp_path):
    script = script_of(page)
    assert not re.search(r"^\s*(import|export)\b", script, flags=re.MULTILINE)
    # Names of all modules share one scope. In a module a clash is a syntax error, in the function
    # that the page runs the later of two functions would silently win: check both.
    head, tail = '(() => {\n"use strict";\n', "})();\n"
    assert script.startswith(head) and script.endswith(tail)
    forms = {"page.js": script, "module.mjs": script.removeprefix(head).removesuffix(tail)}
    for name, text in forms.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        check = [node, "--check", tmp_path / name]
        done = subprocess.run(check, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_page_carries_controls_still_and_caption(figure, page):
    assert f'data-live-figure="{figure.name}"' in page
    for control in figure.controls:
        assert f"&quot;label&quot;: &quot;{control.label}&quot;" in page
    assert f'<p class="lf-caption">{figure.caption}</p>' in page
    still = re.search(
        r'<img class="lf-still" alt="([^"]+)" src="data:image/webp;base64,([^"]+)"', page
    )
    assert still and still[1].replace("&#x27;", "'") == figure.alt
    assert base64.b64decode(still[2]) == figure.still("webp")


# --- the kernel's face --------------------------------------------------------------------------


def parts(box):
    (image,) = (child for child in box.children if isinstance(child, ipywidgets.Image))
    controls = {c.description: c for c in box.children if getattr(c, "description", "")}
    return image, controls


def test_moving_a_control_runs_the_readers_python(figure):
    asked = []

    def spy(parameters):
        asked.append(dict(parameters))
        return figure.compute(parameters)

    image, controls = parts(dataclasses.replace(figure, compute=spy).kernel())
    assert set(controls) == {control.label for control in figure.controls}
    assert asked == [figure.parameters]
    expected = dict(figure.parameters)
    pictures = {image.value}
    for control in figure.controls:
        widget = controls[control.label]
        other = next(value for value in _ends(control) if value != control.value)
        widget.value = other
        expected[control.name] = other
        assert asked[-1] == expected
        pictures.add(image.value)
    assert len(asked) == 1 + len(figure.controls)
    assert len(pictures) > 1, "the picture never changed"
    assert imread(io.BytesIO(image.value)).shape[0] > 300


def test_the_explorer_in_a_kernel_shows_what_the_package_computes(monkeypatch):
    image, controls = parts(make("std_explorer").kernel())
    before = image.value
    controls["σ"].value = 5.0
    moved = image.value
    assert moved != before
    # Break the package, and the picture must change: nothing else computes it.
    monkeypatch.setattr(std, "iterates", lambda u, **_: [torch.full_like(u, 0.25)])
    controls["σ"].value = 2.0
    broken = image.value
    monkeypatch.undo()
    controls["σ"].value = 2.1
    controls["σ"].value = 2.0
    assert image.value == before != broken


def test_sliders_are_integers_where_their_steps_are(figure):
    _, controls = parts(figure.kernel())
    for control in figure.controls:
        widget = controls[control.label]
        if isinstance(control, Choice):
            assert list(widget.options) == list(control.options)
            continue
        whole = float(control.step).is_integer()
        assert isinstance(widget, ipywidgets.IntSlider if whole else ipywidgets.FloatSlider)
        assert (widget.min, widget.max) == (control.minimum, control.maximum)
        assert widget.step == control.step


# --- the bundle of both faces -------------------------------------------------------------------


def test_both_faces_are_offered(figure, page, monkeypatch):
    monkeypatch.delenv("NODULE_LESSON_PAGE_ONLY", raising=False)
    shown = []
    kernel = LiveFigure.kernel
    monkeypatch.setattr(LiveFigure, "kernel", lambda self: shown.append(kernel(self)) or shown[-1])
    bundle = figure._repr_mimebundle_()
    assert bundle.pop("text/html") == page
    assert bundle.pop("text/plain") == f"<live figure {figure.name}>"
    (box,) = shown
    assert bundle == {VIEW: {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}


def test_a_book_carries_the_page_alone(figure, monkeypatch):
    monkeypatch.setenv("NODULE_LESSON_PAGE_ONLY", "1")
    monkeypatch.setattr(LiveFigure, "kernel", lambda self: pytest.fail("a widget was made"))
    assert set(figure._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_ipywidgets_is_imported_by_a_kernel_alone():
    program = (
        "import os, sys; os.environ['NODULE_LESSON_PAGE_ONLY'] = '1'\n"
        "from nodule_lesson.chapters.soft_threshold_dynamics.live import std_explorer\n"
        "std_explorer(compact=True)._repr_mimebundle_()\n"
        "print('ipywidgets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


# --- starting values ----------------------------------------------------------------------------

CONTROLS = (
    Slider("sigma", "σ", 0.5, 10, 0.1, 2.0),
    Slider("iterations", "iterations", 0, 30, 1, 10),
    Choice("scene", "input", ("disc", "ring"), "disc"),
)


def test_starting_values_replace_the_usual_ones():
    controls = started_at(CONTROLS, {"sigma": 10, "scene": "ring"})
    assert [control.value for control in controls] == [10, 10, "ring"]
    assert [control.value for control in CONTROLS] == [2.0, 10, "disc"], "the usual ones changed"
    assert [c.label for c in controls] == [c.label for c in CONTROLS]


@pytest.mark.parametrize(
    "initial, found",
    [
        ({"sgima": 2}, "the controls are sigma, iterations, scene; found sgima."),
        ({"b": 2, "a": 1}, "the controls are sigma, iterations, scene; found a, b."),
        ({"sigma": 0.1}, "sigma must lie between 0.5 and 10; found 0.1."),
        ({"sigma": 10.01}, "sigma must lie between 0.5 and 10; found 10.01."),
        ({"iterations": float("nan")}, "iterations must lie between 0 and 30; found nan."),
        ({"scene": "square"}, "scene must be one of disc, ring; found 'square'."),
    ],
)
def test_starting_values_that_no_control_can_show_are_refused(initial, found):
    with pytest.raises(ValueError, match=f"^{re.escape(found)}$"):
        started_at(CONTROLS, initial)


def test_a_figure_starts_where_it_is_told():
    figure = make("std_explorer", sigma=5.0, scene="ring")
    assert figure.parameters["sigma"] == 5.0 and figure.parameters["scene"] == "ring"
    assert "&quot;value&quot;: 5.0" in figure.page()
    assert figure.still() != make("std_explorer").still()
    _, controls = parts(figure.kernel())
    assert controls["σ"].value == 5.0 and controls["input"].value == "ring"
    with pytest.raises(ValueError, match="found sgima"):
        make("std_explorer", sgima=2)


def test_the_small_explorer_leaves_the_rest_out(explorer):
    small = make("std_explorer", compact=True)
    assert tuple(control.name for control in small.controls) == explorer.COMPACT
    # What it leaves out stands where the whole one has it.
    whole = make("std_explorer")
    np.testing.assert_array_equal(
        small.compute(small.parameters)["field"], whole.compute(whole.parameters)["field"]
    )


# --- the explorer's numbers ---------------------------------------------------------------------


def by_hand(u, p):
    """Eq. (5) with scipy's blur and the logistic function."""
    u = u.astype(np.float64)
    x = expit(u)
    for _ in range(p["iterations"]):
        blurred = gaussian_filter(
            1 - 2 * x, p["sigma"], mode="constant", truncate=127 / p["sigma"]
        )
        x = expit((u - p["lambda1"] * blurred - p["lambda2"] * (1 - p["c"])) / p["epsilon"])
    return x


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"scene": "ring", "sigma": 0.5},
        {"sigma": 10.0, "lambda1": 4.0, "iterations": 30},
        {"c": 0.2, "lambda2": 3.0, "epsilon": 0.5},
        {"epsilon": 0.1},
        {"iterations": 0},
    ],
)
def test_the_explorers_field_is_that_of_scipy(explorer, change):
    parameters = parameters_of("std_explorer", **change)
    result = explorer.compute(parameters)
    np.testing.assert_array_equal(result["input"], scenes.scene(parameters["scene"]))
    x = by_hand(result["input"], parameters)
    np.testing.assert_allclose(result["field"], x, rtol=0, atol=1e-6)
    assert result["area"] == (x > 0.5).sum()


def test_the_explorers_energies(explorer):
    parameters = parameters_of("std_explorer")
    result = explorer.compute({**parameters, "c": 0.5})
    derived, printed = np.array(result["energy"]), np.array(result["printed_energy"])
    assert len(derived) == len(printed) == parameters["iterations"] + 1
    assert (np.diff(derived) < 1e-3).all(), "the derived iteration went up"
    assert derived[0] == printed[0] and printed[-1] > derived[-1]


def test_painted_logits_replace_the_scene(explorer):
    parameters = parameters_of("std_explorer")
    u = scenes.scene("ring")[::-1].copy()
    result = explorer.compute(parameters, u)
    np.testing.assert_array_equal(result["input"], u)
    np.testing.assert_allclose(result["field"], by_hand(u, parameters), rtol=0, atol=1e-6)


def test_the_length_of_a_known_outline(explorer):
    y, x = np.indices((128, 128))
    disc = 0.5 + (30 - np.hypot(x - 60.3, y - 66.8)) / 200
    assert explorer.outline_length(disc) == pytest.approx(2 * np.pi * 30, rel=1e-3)
    # What touches the border is closed there: outside the image x is 0.
    assert explorer.outline_length(np.ones((16, 16))) == pytest.approx(60 + 4 * np.sqrt(0.5))
    assert explorer.outline_length(np.zeros((16, 16))) == 0


# --- colours ------------------------------------------------------------------------------------


def test_figures_of_the_book_and_live_figures_have_the_same_colours():
    names = {"BLUE": "first", "ORANGE": "second", "GREEN": "third"}
    names |= {"INK": "ink", "MUTED": "muted", "OUTLINE": "contour"}
    assert {name: getattr(plots, name) for name in names} == {
        name: COLOURS[of_page] for name, of_page in names.items()
    }


# --- the scenes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", scenes.SCENE_NAMES)
def test_scenes_are_logits_with_something_to_outline(name):
    u = scenes.scene(name)
    assert u.shape == (128, 128) and u.dtype == np.float32 and np.isfinite(u).all()
    smooth = gaussian_filter(u, 3)
    share = (smooth > 0).mean()
    assert 0.02 < share < 0.6, "no outline, or nothing but one"
    # The same picture at half the size.
    small = gaussian_filter(scenes.scene(name, 64), 1.5)
    assert np.corrcoef(small.ravel(), smooth[::2, ::2].ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(u, scenes.scene(name))


def test_no_scene_has_the_noise_of_another():
    noises = [scenes.white_noise(64, seed).ravel() for seed in range(8)]
    correlation = np.corrcoef(noises) - np.eye(8)
    assert abs(correlation).max() < 0.06


def test_a_scene_that_nobody_made():
    with pytest.raises(ValueError, match="^scene must be one of noisy disc, .*; found 'square'.$"):
        scenes.scene("square")


# --- the window of CT ---------------------------------------------------------------------------


@pytest.fixture
def ct():
    return module("ct_window")


def test_examples_are_slices_with_a_consensus_well_inside_the_crop(ct):
    for name in ct.TYPES:
        hu, mask, bits = ct.example(name)
        assert hu.shape == mask.shape == bits.shape == (128, 128)
        assert (hu.dtype, mask.dtype, bits.dtype) == (np.int16, bool, np.uint8)
        votes = sum((bits >> reader) & 1 for reader in range(4))
        assert votes.max() >= 3
        np.testing.assert_array_equal(mask, 2 * votes >= votes.max())
        part, outline = ct.crop(name)
        assert part.shape == outline.shape == (ct.SIZE, ct.SIZE)
        np.testing.assert_array_equal(part, hu[16:112, 16:112])
        assert outline.sum() == mask.sum() > 100, "cut, or too small to see"
        hu[:] = 0  # a reader's own copy
        assert ct.example(name)[0].any()
    with pytest.raises(ValueError, match="^nodule must be one of isolated, .*; found 'round'.$"):
        ct.crop("round")


def test_examples_teach_what_the_chapter_says_of_them(ct):
    """Ground glass lies between lung and tissue, a calcification above it, a cavity holds air."""
    inside = {name: np.sort(hu[outline]) for name in ct.TYPES for hu, outline in [ct.crop(name)]}
    middle = {name: np.median(values) for name, values in inside.items()}
    assert -800 < middle["ground glass (GGO)"] < -450
    assert -200 < middle["isolated"] < 120 and -200 < middle["juxtapleural"] < 120
    bright = inside["calcific"]
    assert bright[int(0.8 * len(bright))] > 200
    assert inside["cavitary"][int(0.03 * len(inside["cavitary"]))] < -500


@pytest.mark.parametrize("level, width", [(-600, 1500), (40, 400), (-860, 50)])
def test_a_window_is_a_clipped_straight_line(ct, level, width):
    result = ct.compute(parameters_of("ct_window", level=level, width=width))
    line = np.interp(result["input"], [level - width / 2, level + width / 2], [0, 1])
    np.testing.assert_allclose(result["field"], line, rtol=0, atol=1e-6)
    assert result["lost"] == pytest.approx((abs(result["input"] - level) > width / 2).mean())


def test_eq6_takes_its_ends_from_the_slice_or_from_the_set(ct):
    images = open_demo("luna_like").images
    for name in ct.TYPES:
        slice_ = ct.compute(parameters_of("ct_window", nodule=name, display=ct.SLICE))
        assert (slice_["field"].min(), slice_["field"].max(), slice_["lost"]) == (0, 1, 0)
        whole = ct.compute(parameters_of("ct_window", nodule=name, display=ct.SET))
        assert (whole["low"], whole["high"]) == (images.min(), images.max())
        span = float(images.max()) - images.min()
        expected = np.clip((whole["input"] - images.min()) / span, 0, 1)
        np.testing.assert_allclose(whole["field"], expected, rtol=0, atol=1e-6)
        hu, outline = ct.crop(name)
        lung = hu[(hu < -500) & ~outline].mean()
        assert whole["lung"] == pytest.approx((lung - images.min()) / span, abs=1e-6)
        contrast = (hu[outline].mean() - lung) / span
        assert whole["nodule"] - whole["lung"] == pytest.approx(contrast, abs=1e-6)


def test_the_page_of_the_window_is_small():
    """The crops travel in the page: what they add stays below a quarter of a megabyte."""
    assert len(make("ct_window").page()) < 350_000
    options = make("ct_window").options
    assert sum(len(text) for pair in options["crops"].values() for text in pair.values()) < 250_000


# --- the measures of a segmentation -------------------------------------------------------------


@pytest.fixture
def outlines():
    return module("segmentation_measures")


def test_a_shift_moves_the_prediction_by_whole_pixels(outlines):
    before, truth = outlines.masks(
        parameters_of("segmentation_measures", right=0, down=0, rough=0)
    )
    np.testing.assert_array_equal(before, truth)  # at size 1 it is the truth itself
    moved, same = outlines.masks(parameters_of("segmentation_measures", right=7, down=-4, rough=0))
    np.testing.assert_array_equal(same, truth)
    np.testing.assert_array_equal(moved, np.roll(truth, (-4, 7), (0, 1)))
    perfect = parameters_of("segmentation_measures", rough=0, right=0, down=0)
    assert outlines.compute(perfect)["measures"] == {
        **dict.fromkeys(metrics.OVERLAPS, 1.0), **dict.fromkeys(metrics.DISTANCES, 0.0)
    }  # fmt: skip


def test_a_speck_makes_hd_jump_and_leaves_dice(outlines):
    plain = outlines.compute(parameters_of("segmentation_measures"))["measures"]
    speck = outlines.compute(parameters_of("segmentation_measures", speck="1 pixel"))["measures"]
    assert abs(plain["dice"] - speck["dice"]) < 0.001
    assert speck["hausdorff_distance"] > 3 * plain["hausdorff_distance"]


def test_what_is_undefined_is_said_to_be(outlines):
    nothing = parameters_of("segmentation_measures", truth="empty slice", size=0)
    result = outlines.compute(nothing)
    assert not result["input"].any() and not result["field"].any()
    assert all(np.isnan(value) for value in result["measures"].values())
    assert outlines.draw(nothing, result).axes[2].get_legend_handles_labels()[1] == [
        "Dice undefined", "IoU undefined"
    ]  # fmt: skip


def test_the_curves_pass_through_the_present_setting(outlines):
    setting = parameters_of("segmentation_measures", right=-6, truth="small nodule")
    curves = outlines.curves(setting, [-7, -6, -5])
    for name, value in outlines.compute(setting)["measures"].items():
        np.testing.assert_equal(curves[name][1], value)


def test_every_script_of_a_chapter_has_its_module():
    assert {path.parent for path in CHAPTERS.glob("*/live.js")} == set(HOMES.values())
    for name in NAMES:
        assert make(name).name == name
