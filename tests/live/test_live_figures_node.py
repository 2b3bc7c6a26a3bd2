"""The page's JavaScript in node, against the package, scipy and contourpy."""

import importlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from contourpy import contour_generator
from live_figures import in_node, page_states, parameters_of
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from nodule_lesson import std
from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live import arrays, scenes
from nodule_lesson.live.figure import with_imports

LIVE = Path(scenes.__file__).parent
ATOL = 1e-5
BASE = {"sigma": 2.0, "lambda1": 1.8, "lambda2": 1.0, "c": 1.0, "epsilon": 1.0, "iterations": 10}


CALLS = """
const result = data.map(([name, ...values]) => {
  const given = values.map((value) =>
    value === "NaN" ? NaN : value?.field ? Float64Array.from(value.field) : value);
  const named = eval(name);
  const value = typeof named === "function" ? named(...given) : named;
  return { value, last: values.at(-1) }; // energies come back in the list that was handed in
});
"""


@pytest.fixture(scope="module")
def core(node):
    """core(calls): the values that JavaScript gives for [name, argument, ...], in one run."""
    scripts = {}
    for name in ("std", "contour", "scenes", "slow", "arrays", "format", "measures"):
        with_imports(LIVE / f"{name}.js", scripts=scripts)
    program = "".join(scripts.values()) + CALLS
    return lambda *calls: in_node(node, program, calls)


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
        field = np.reshape(answer["value"], (128, 128))
        np.testing.assert_allclose(field, x, rtol=0, atol=ATOL, err_msg=f"{p} printed={printed}")


@pytest.mark.parametrize("n", [1, 2, 3, 5, 32, 61])
def test_the_field_is_that_of_the_package_at_other_sizes(core, n):
    u = logits(n, seed=n)
    cases = [{**BASE, "sigma": sigma, "c": 0.3} for sigma in (0.4, 2.0, 9.0)]
    answers = core(*(["softThresholdDynamics", as_field(u), n, p] for p in cases))
    for p, answer in zip(cases, answers, strict=True):
        x = std.soft_threshold_dynamics(torch.from_numpy(u), **p).numpy()
        np.testing.assert_allclose(np.reshape(answer["value"], (n, n)), x, rtol=0, atol=ATOL)


def test_no_run_sees_what_another_left_in_memory(core):
    """std.js keeps its working memory: in this order of sizes and widths, an error would show."""
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
    values = np.array([answer["value"] for answer in core(*(["quickSigmoid", x] for x in z))])
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
        u = np.reshape(answer["value"], (n, n))
        np.testing.assert_allclose(u, scenes.scene(name, n), rtol=0, atol=1e-6, err_msg=name)


def test_white_noise_is_white_and_the_same_in_both_languages(core):
    (answer,) = core(["whiteNoise", 128, 5])
    noise = np.array(answer["value"])
    np.testing.assert_allclose(noise, scenes.white_noise(128, 5).ravel(), rtol=0, atol=1e-12)
    # Three standard errors of 16,384 independent standard normal numbers.
    assert abs(noise.mean()) < 0.024 and abs(noise.std() - 1) < 0.017
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.024


# --- arrays and numbers -------------------------------------------------------------------------


def test_arrays_arrive_as_they_were_packed(core):
    random = np.random.default_rng(3)
    numbers = random.integers(-(2**15), 2**15, (4, 6)).astype(np.int16)
    levels, mask = random.integers(0, 256, 11).astype(np.uint8), random.random((4, 6)) < 0.5
    sent = {"unpackNumbers": numbers, "unpackBytes": levels, "unpackBits": mask}
    received = core(*([name, arrays.packed(array)] for name, array in sent.items()))
    for array, answer in zip(sent.values(), received, strict=True):
        np.testing.assert_array_equal(answer["value"], array.ravel())


def test_numbers_are_written_with_a_true_minus(core):
    cases = {
        ("fixed", -1.2345): "−1.234",
        ("fixed", -0.0004): "0.000",
        ("fixed", 2.5, 0): "3",
        ("fixed", None): "undefined",
        ("signed", 0.1): "+0.100",
        ("signed", -12.34, 1): "−12.3",
        ("scientific", 0.00012): "1.2e−4",
        ("pretty", -12345.6): "−1.2e4",
        ("pretty", 0.30000000000000004): "0.3",
        ("xAfter", 1): "x after 1 step",
        ("xAfter", 0): "x after 0 steps",
    }
    calls = [[name, "NaN" if value is None else value, *rest] for name, value, *rest in cases]
    for case, answer in zip(cases, core(*calls), strict=True):
        assert answer["value"] == cases[case], case


def test_values_beyond_the_bins_count_to_the_outermost(core):
    values, edges = [-5, 0, 9.9, 10, 25, 99], [0, 10, 20, 30]
    (answer,) = core(["histogram", values, edges])
    counts, _ = np.histogram(np.clip(values, 0, 29), edges)
    assert answer["value"]["x"] == [5, 15, 25]
    np.testing.assert_allclose(answer["value"]["y"], 100 * counts / len(values))


# --- the window of CT ---------------------------------------------------------------------------


def test_the_window_is_that_of_the_package(node):
    module = importlib.import_module("nodule_lesson.chapters.lung_nodules_in_ct.live")
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
    for p, state in zip(settings, page_states(node, "ct_window", settings), strict=True):
        result = module.compute(p)
        shape = (state["height"], state["width"])
        np.testing.assert_array_equal(np.reshape(state["input"], shape), result["input"])
        field = np.reshape(state["field"], shape)
        np.testing.assert_allclose(field, result["field"], rtol=0, atol=1e-6, err_msg=str(p))
        hu, outline = result["input"], result["outline"]
        curves = state["plots"]["Histogram of the crop"]["curves"]
        for curve, values in zip(curves, (hu, hu[outline]), strict=True):
            wanted = module.histogram(values, module.BINS)
            np.testing.assert_allclose([curve["x"], curve["y"]], wanted, atol=1e-9)
        ends, lost, means, contrast = (text.replace("−", "-") for text in state["texts"])
        assert [float(end) for end in ends.split(" and ")] == [result["low"], result["high"]]
        assert float(lost.removesuffix(" %")) == pytest.approx(100 * result["lost"], abs=0.051)
        wanted = [result["lung"], result["nodule"], result["nodule"] - result["lung"]]
        shown = [float(text) for text in (*means.split(" and "), contrast)]
        np.testing.assert_allclose(shown, wanted, atol=5.1e-4)


# --- the measures of a segmentation -------------------------------------------------------------


def test_the_measures_are_those_of_the_package(node):
    """Masks of every kind of setting, and masks of noise that the figure cannot draw."""
    module = importlib.import_module("nodule_lesson.chapters.measuring_a_segmentation.live")
    base = parameters_of("segmentation_measures")
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
    page = page_states(
        node,
        "segmentation_measures",
        settings,
        "{ states: states.map(({ plots, fields, contours, ...state }) => state), curves: "
        "states[0].plots, noise: data.noise.map((pair) => measuresOf(...pair, 17, 0.6).values) }",
        noise=[[mask.astype(int).ravel() for mask in pair] for pair in noise],
    )

    def check(values, wanted, message):
        assert set(values) == set(wanted) == {*metrics.OVERLAPS, *metrics.DISTANCES}
        for name, value in wanted.items():
            np.testing.assert_allclose(float(values[name]), value, rtol=1e-9, err_msg=str(message))

    for p, state in zip(settings, page["states"], strict=True):
        result = module.compute(p)
        np.testing.assert_array_equal(np.reshape(state["input"], (96, 96)), result["input"])
        field = np.reshape(state["field"], (96, 96))
        np.testing.assert_array_equal(field, result["field"], err_msg=str(p))
        check(state["measures"], result["measures"], p)
    for (pred, truth), values in zip(noise, page["noise"], strict=True):
        check(values, module.measures(pred, truth, 0.6), "noise")
    shifts = np.arange(-module.REACH, module.REACH + 1)
    wanted = module.curves(settings[0], shifts)
    for title, names in (("Overlap", ("dice", "iou")), ("Distance", metrics.DISTANCES)):
        for curve, name in zip(page["curves"][title]["curves"], names, strict=True):
            np.testing.assert_array_equal(curve["x"], shifts)
            np.testing.assert_allclose(curve["y"], wanted[name], rtol=1e-9)


# --- curves that are computed a few points per frame ---------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 33, 81])
def test_coarse_to_fine_has_every_place_once_and_both_ends_first(core, count):
    (answer,) = core(["coarseToFine", count])
    order = answer["value"]
    assert sorted(order) == list(range(count)) and order[:2] == [0, count - 1]


def test_the_gradient_to_sigma_is_that_of_autograd(node):
    module = importlib.import_module("nodule_lesson.chapters.learning_through_the_loop.live")
    changes = ({}, {"sigma": 0.15, "iterations": 1}, {"radius": "3", "lambda1": 3.0})
    settings = [
        parameters_of("sigma_gradient", **change) for change in (*changes, {"radius": "5"})
    ]
    for p, state in zip(settings, page_states(node, "sigma_gradient", settings), strict=True):
        result = module.compute(p)
        largest = abs(result["field"]).max()
        np.testing.assert_allclose(state["field"], result["field"], atol=1e-6 * largest)
        (losses,) = state["plots"]["Loss over σ"]["curves"]
        np.testing.assert_allclose(losses["x"], np.log(module.SIGMAS))
        np.testing.assert_allclose(losses["y"], result["losses"], atol=1e-8)
        x = np.reshape(state["fields"]["x"]["values"], result["x"].shape)
        np.testing.assert_allclose(x, result["x"], atol=1e-8)


def test_areas_over_c_are_those_of_the_package(node):
    module = importlib.import_module("nodule_lesson.chapters.detection_prior.live")
    settings = [parameters_of("detection_prior", crop=name) for name in module.CROP_NAMES]
    c = np.linspace(0, 1, module.CURVE_POINTS)
    for p, state in zip(settings, page_states(node, "detection_prior", settings), strict=True):
        result = module.compute(p)
        field = np.reshape(state["field"], result["field"].shape)
        np.testing.assert_allclose(field, result["field"], atol=ATOL)
        curves = state["plots"]["Area against the classifier's answer"]["curves"]
        areas = module.area_curve(p, c)[-len(curves) :]  # no nodule, no curve of its area
        for curve, area in zip(curves, areas, strict=True):
            np.testing.assert_array_equal(curve["x"], c)
            np.testing.assert_allclose(curve["y"], 100 * np.array(area) / max(area[-1], 1))
        inside, elsewhere, dice, _ = state["texts"]
        assert elsewhere == f"{result['other_area']} px"
        if result["truth"].any():
            assert inside == f"{result['nodule_area']} px"
            assert float(dice) == pytest.approx(result["dice"], abs=5.1e-4)
        else:
            assert (inside, dice) == ("no nodule", "no truth")
