"""The page's JavaScript in node, against the package, scipy and contourpy."""

import importlib
import itertools
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from contourpy import contour_generator
from live_figures import make
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from nodule_lesson import std
from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live import scenes

CORE = Path(std.__file__).parent / "live" / "std.js"
ATOL = 1e-5
BASE = {"sigma": 2.0, "lambda1": 1.8, "lambda2": 1.0, "c": 1.0, "epsilon": 1.0, "iterations": 10}


@pytest.fixture(scope="module")
def core(node):
    """core(calls): the values that std.js gives for [name, argument, ...], in one run of node."""

    def run(*calls):
        script = Path(__file__).with_name("node") / "core.mjs"
        done = subprocess.run(
            [node, script, CORE],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def as_field(array):
    return {"field": np.asarray(array, dtype=np.float64).ravel().tolist()}


def logits(n, seed=0, spread=2.0):
    """Noise at every scale, and a blob: nothing that the scenes know."""
    rng = np.random.default_rng(seed)
    u = spread * rng.standard_normal((n, n)) + 6 * gaussian_filter(rng.standard_normal((n, n)), 4)
    return u.astype(np.float32).astype(np.float64)


def settings():
    """Every parameter alone over the range of its slider and beyond, then some together."""
    for name, values in {
        "sigma": (0.3, 0.5, 1.0, 3.0, 5.7, 10.0),
        "lambda1": (0.0, 0.5, 4.0),
        "lambda2": (0.0, 4.0),
        "epsilon": (0.5, 2.0),
        "iterations": (0, 1, 2, 30),
        "radius": (0, 1, 2, 6, 40, 200),
    }.items():
        yield from ({**BASE, "c": 0.4, name: value} for value in values)
    yield from ({**BASE, "c": c} for c in (0.0, 0.5, 1.0))
    yield {**BASE, "sigma": 10.0, "lambda1": 4.0, "iterations": 30, "c": 0.2, "lambda2": 3.0}
    yield {**BASE, "sigma": 0.3, "epsilon": 0.1, "lambda1": 0.1, "iterations": 30}


def test_the_field_is_that_of_the_package(core):
    u = logits(128)
    cases = [(p, printed) for p in settings() for printed in (False, True)]
    answers = core(
        *(
            ["softThresholdDynamics", as_field(u), 128, p, {"printed": printed}]
            for p, printed in cases
        )
    )
    for (p, printed), answer in zip(cases, answers, strict=True):
        function = std.printed_iteration if printed else std.soft_threshold_dynamics
        x = function(torch.from_numpy(u), **p).numpy()
        found = np.reshape(answer["value"], (128, 128))
        np.testing.assert_allclose(found, x, rtol=0, atol=ATOL, err_msg=f"{p} printed={printed}")


@pytest.mark.parametrize("n", [1, 2, 3, 5, 32, 61])
def test_the_field_is_that_of_the_package_at_other_sizes(core, n):
    u = logits(n, seed=n)
    cases = [{**BASE, "sigma": sigma, "c": 0.3} for sigma in (0.4, 2.0, 9.0)]
    answers = core(*(["softThresholdDynamics", as_field(u), n, p] for p in cases))
    for p, answer in zip(cases, answers, strict=True):
        x = std.soft_threshold_dynamics(torch.from_numpy(u), **p).numpy()
        np.testing.assert_allclose(np.reshape(answer["value"], (n, n)), x, rtol=0, atol=ATOL)


def test_no_run_sees_what_another_left_in_memory(core):
    """std.js keeps its working memory: sizes and widths come in an order that would show."""
    cases = [(128, 10.0), (128, 0.4), (5, 9.0), (61, 0.4), (60, 9.0), (128, 10.0), (128, 3.0)]
    fields = [logits(n, seed=n) for n, _ in cases]
    answers = core(
        *(
            ["softThresholdDynamics", as_field(u), n, {**BASE, "sigma": sigma}]
            for u, (n, sigma) in zip(fields, cases, strict=True)
        )
    )
    for (n, sigma), u, answer in zip(cases, fields, answers, strict=True):
        x = std.soft_threshold_dynamics(torch.from_numpy(u), **{**BASE, "sigma": sigma}).numpy()
        np.testing.assert_allclose(np.reshape(answer["value"], (n, n)), x, rtol=0, atol=ATOL)


def test_extreme_logits_saturate(core):
    u = np.full((8, 8), -800.0)
    u[2:6, 2:6] = 800
    (answer,) = core(["softThresholdDynamics", as_field(u), 8, BASE])
    np.testing.assert_allclose(np.reshape(answer["value"], (8, 8)), u > 0, rtol=0, atol=1e-8)


def test_energies_are_those_of_the_package(core):
    u = logits(64)
    cases = [(p, printed) for p in settings() for printed in (False, True)]
    calls = (
        ["softThresholdDynamics", as_field(u), 64, p, {"printed": printed, "energies": []}]
        for p, printed in cases
    )
    field = torch.from_numpy(u)
    for (p, printed), answer in zip(cases, core(*calls), strict=True):
        rest = {key: value for key, value in p.items() if key != "iterations"}
        if printed:
            function = std.printed_iteration
            steps = range(p["iterations"] + 1)
            fields = [function(field, iterations=t, **rest) for t in steps]
        else:
            fields = std.iterates(field, **p)
        energies = [float(std.std_energy(x, field, **rest)) for x in fields]
        # An energy is a sum over 64 * 64 pixels, each of them off by no more than the field.
        np.testing.assert_allclose(
            answer["last"]["energies"],
            energies,
            rtol=0,
            atol=64 * 64 * ATOL,
            err_msg=f"{p} {printed}",
        )
        # Watching the energies changes nothing.
        np.testing.assert_allclose(answer["value"], fields[-1].numpy().ravel(), rtol=0, atol=ATOL)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 10.0, 50.0])
@pytest.mark.parametrize("size, radius", [(128, None), (9, None), (128, 3), (16, 60), (128, 0)])
def test_taps_are_a_row_of_the_matrix_but_for_a_tail(core, sigma, size, radius):
    (answer,) = core(["gaussianTaps", size, sigma, radius])
    taps = np.array(answer["value"])
    row = std.gaussian_matrix(size, torch.tensor(sigma, dtype=torch.float64), radius)[0].numpy()
    assert len(taps) <= size
    np.testing.assert_allclose(taps, row[: len(taps)], rtol=1e-12, atol=0)
    assert 2 * row[len(taps) :].sum() < 1e-8


def test_the_table_is_the_sigmoid(core):
    z = np.concatenate([np.linspace(-30, 30, 4001), [0, -1e9, 1e9, -20, 20]])
    values = np.array([answer["value"] for answer in core(*(["sigmoid", x] for x in z))])
    np.testing.assert_allclose(values, expit(z), rtol=0, atol=1e-9)
    assert (np.diff(values[:4001]) > -1e-9).all()
    assert values[4001] == 0.5


@pytest.mark.parametrize("level, outside", [(0.5, 0), (0.5, 1), (0.2, 0), (0, -1)])
def test_contours_are_as_long_as_contourpy_says(core, level, outside):
    # Noise has saddles in plenty, the smooth field has long outlines that leave the image.
    fields = [expit(logits(40, seed)) for seed in range(3)]
    fields += [expit(gaussian_filter(logits(40, seed), 3)) for seed in range(3)]
    fields += [np.zeros((40, 40)), np.ones((40, 40))]
    if level == 0:
        fields = [field - 0.5 for field in fields]
    answers = core(*(["contour", as_field(field), 40, level, outside] for field in fields))
    lengths = core(*(["contourLength", answer["value"]] for answer in answers))
    for field, answer, length in zip(fields, answers, lengths, strict=True):
        around = np.pad(field, 1, constant_values=outside)
        lines = contour_generator(z=around).lines(level)
        expected = math.fsum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines)
        assert length["value"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        # Every segment lies in one cell between pixel centres.
        for x0, y0, x1, y1 in answer["value"]:
            assert -1 <= min(x0, x1, y0, y1) and max(x0, x1, y0, y1) <= 40
            assert math.hypot(x1 - x0, y1 - y0) <= math.sqrt(2) + 1e-12


def test_the_contour_of_a_disc_goes_round_it(core):
    y, x = np.indices((64, 64))
    field = 0.5 + (20 - np.hypot(x - 31, y - 33)) / 100  # linear across the outline
    (answer,) = core(["contour", as_field(field), 64])
    ends = np.reshape(answer["value"], (-1, 2))
    np.testing.assert_allclose(np.hypot(*(ends - [31, 33]).T), 20, atol=0.02)


def test_scenes_are_the_same_in_both_languages(core):
    (names,) = core(["SCENE_NAMES"])
    assert tuple(names["value"]) == scenes.SCENE_NAMES
    cases = [(name, n) for name in scenes.SCENE_NAMES for n in (128, 64, 48)]
    for (name, n), answer in zip(cases, core(*(["scene", *case] for case in cases)), strict=True):
        found = np.reshape(answer["value"], (n, n))
        np.testing.assert_allclose(found, scenes.scene(name, n), rtol=0, atol=1e-6, err_msg=name)


def test_white_noise_is_white_and_the_same_in_both_languages(core):
    (answer,) = core(["whiteNoise", 128, 5])
    noise = np.array(answer["value"])
    np.testing.assert_allclose(noise, scenes.white_noise(128, 5).ravel(), rtol=0, atol=1e-12)
    # Three standard errors of 16,384 independent standard normal numbers.
    assert abs(noise.mean()) < 0.024 and abs(noise.std() - 1) < 0.017
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.024


# --- the window of CT ---------------------------------------------------------------------------

STAND_IN = """
const states = [];
const nothing = () => {};
const canvas = { dataset: {}, closest: () => ({ classList: { remove: nothing } }) };
const mount = (name, build) => build({
  options: OPTIONS,
  field: () => ({ canvas, title: nothing, draw: nothing, contours: nothing }),
  plot: () => ({
    draw: (curves) => states.push({ curves: curves.map(({ y }) => Array.from(y)) }) }),
  readouts: () => (...texts) => { states.at(-1).texts = texts; },
  run: (compute) => SETTINGS.forEach((p) => {
    const state = compute(p);
    Object.assign(states.at(-1), state, {
      input: Array.from(state.input), field: Array.from(state.field) });
  }),
});
const contour = () => [];
"""


def test_the_window_is_that_of_the_package(node, tmp_path):
    module = importlib.import_module("nodule_lesson.chapters.lung_nodules_in_ct.live")
    figure = make("ct_window")
    windows = [(-600, 1500), (40, 400), (-860, 50), (-1000, 50), (500, 2500)]
    settings = [
        {"nodule": name, "display": display, "level": level, "width": width}
        for name, display in itertools.product(module.TYPES, (module.SLICE, module.SET))
        for level, width in windows[:1]
    ]
    settings += [
        {"nodule": name, "display": module.WINDOW, "level": level, "width": width}
        for name, (level, width) in itertools.product(module.TYPES, windows)
    ]
    source = Path(module.__file__).with_name("live.js").read_text(encoding="utf-8")
    body = source.split('from "../../live/figure.js";\n', 1)[1].replace("export ", "")
    head = f"const OPTIONS = {json.dumps(figure.options)}, SETTINGS = {json.dumps(settings)};"
    script = tmp_path / "figure.mjs"
    script.write_text(
        f"{head}{STAND_IN}{body}\nconsole.log(JSON.stringify(states));", encoding="utf-8"
    )
    run = subprocess.run([node, script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    states = json.loads(run.stdout)
    for p, state in zip(settings, states, strict=True):
        result = module.compute(p)
        shape = (state["height"], state["width"])
        np.testing.assert_array_equal(np.reshape(state["input"], shape), result["input"])
        field = np.reshape(state["field"], shape)
        np.testing.assert_allclose(field, result["field"], rtol=0, atol=1e-6, err_msg=str(p))
        hu, outline = result["input"], result["outline"]
        for curve, pixels in zip(state["curves"], (outline | True, outline), strict=True):
            np.testing.assert_allclose(curve, module.histogram(hu, pixels), atol=1e-9)
        ends, lost, means, contrast = (text.replace("−", "-") for text in state["texts"])
        assert [float(end) for end in ends.split(" and ")] == [result["low"], result["high"]]
        assert float(lost.removesuffix(" %")) == pytest.approx(100 * result["lost"], abs=0.051)
        wanted = [result["lung"], result["nodule"], result["nodule"] - result["lung"]]
        shown = [float(text) for text in (*means.split(" and "), contrast)]
        np.testing.assert_allclose(shown, wanted, atol=5.1e-4)


# --- the measures of a segmentation -------------------------------------------------------------


def test_the_measures_are_those_of_the_package(node, tmp_path):
    """Masks of every kind of setting, and masks of noise that the figure cannot draw."""
    module = importlib.import_module("nodule_lesson.chapters.measuring_a_segmentation.live")
    base = {control.name: control.value for control in module.CONTROLS}
    changes = [{}, {"pixel": 0.55}, {"size": 0}, {"size": 1.5, "rough": 4}, {"size": 0.05}]
    changes += [{"right": right, "down": down} for right, down in ((-40, 40), (39, -17), (0, 0))]
    changes += [{"right": 12, "rough": rough} for rough in (0, 0.25, 2, 3.75)]
    settings = [
        {**base, "truth": truth, "speck": speck, **change}
        for truth, speck, change in itertools.product(module.RADII, module.SPECKS, changes)
    ]
    random = np.random.default_rng(0)
    noise = [random.random((2, 17, 17)) < share for share in (0.02, 0.3, 0.8, 1.0)]
    noise += [
        np.stack([mask, other]) for mask, other in itertools.pairwise(noise[0][:1] ^ noise[2])
    ]
    source = Path(module.__file__).with_name("live.js").read_text(encoding="utf-8")
    body = source.split('from "../../live/figure.js";\n', 1)[1].replace("export ", "")
    pairs = [[mask.astype(int).ravel().tolist() for mask in pair] for pair in noise]
    script = tmp_path / "figure.mjs"
    script.write_text(
        f"""const mount = () => {{}};
{body}
const nan = (key, value) => (Number.isNaN(value) ? "nan" : value);
const drawn = {json.dumps(settings)}.map((p) => {{
  const truth = trueMask(p), pred = predictedMask(p);
  return [Array.from(pred), Array.from(truth), measuresOf(pred, truth, GRID, p.pixel).values];
}});
const noise = {json.dumps(pairs)}.map(([pred, truth]) => measuresOf(pred, truth, 17, 0.6).values);
console.log(JSON.stringify({{ drawn, noise, shifts: SHIFTS }}, nan));
""",
        encoding="utf-8",
    )
    run = subprocess.run([node, script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    def check(values, wanted, what):
        assert set(values) == set(wanted) == {*metrics.OVERLAPS, *metrics.DISTANCES}
        for name, value in wanted.items():
            np.testing.assert_allclose(float(values[name]), value, rtol=1e-9, err_msg=str(what))

    for p, (pred, truth, values) in zip(settings, found["drawn"], strict=True):
        result = module.compute(p)
        np.testing.assert_array_equal(np.reshape(truth, (96, 96)), result["input"])
        np.testing.assert_array_equal(np.reshape(pred, (96, 96)), result["field"], err_msg=str(p))
        check(values, result["measures"], p)
    for (pred, truth), values in zip(noise, found["noise"], strict=True):
        check(values, module.measures(pred, truth, 0.6), "noise")
    assert sorted(found["shifts"]) == list(range(-module.REACH, module.REACH + 1))
