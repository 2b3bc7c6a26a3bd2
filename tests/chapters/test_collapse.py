"""The live figure of the collapse: sums over pixels, finite differences, its face in node."""

import importlib
from functools import partial

import numpy as np
import pytest
from live_figures import page_states, parameters_of
from scipy.special import expit, log_expit

figure = importlib.import_module("nodule_lesson.chapters.training_the_model.live")
setting = partial(parameters_of, "collapse")
SETTINGS = [
    setting(loss=loss, **changes)
    for loss in figure.LOSSES
    for changes in (
        {},
        {"empty": 0, "contrast": 0, "area": 45},
        {"empty": 9, "area": 800, "contrast": 12, "logit": 3},
        {"empty": 5, "area": 300, "contrast": 3.25, "smooth": 100, "logit": -12},
        {"empty": 2, "area": 5, "contrast": 5, "smooth": 200, "logit": -4.7},
    )
]


def by_pixels(z_in, z_out, p):
    """The loss as it is written down, one pixel after the other: numpy alone."""
    mask = figure.nodule(p["area"]).ravel()
    truths = [np.zeros(4096)] * p["empty"] + [mask.astype(float)] * (10 - p["empty"])
    logits = [np.where(truth > 0, z_in, z_out) for truth in truths]

    def dice(logit, truth):
        chance = expit(logit)
        above = 2 * (chance * truth).sum() + p["smooth"]
        return 1 - above / (chance.sum() + truth.sum() + p["smooth"])

    whole, all_truths = np.concatenate(logits), np.concatenate(truths)
    total = 0.0
    if p["loss"].startswith("Dice by slice"):
        total += np.mean([dice(*pair) for pair in zip(logits, truths, strict=True)])
    if p["loss"].startswith("Dice of the batch"):
        total += dice(whole, all_truths)
    if p["loss"].startswith("Dice by nodule"):
        pairs = [pair for pair in zip(logits, truths, strict=True) if pair[1].any()]
        total += np.mean([dice(*pair) for pair in pairs])
    if p["loss"].endswith("cross-entropy"):
        total -= np.mean(all_truths * log_expit(whole) + (1 - all_truths) * log_expit(-whole))
    return total


@pytest.mark.parametrize("p", SETTINGS[::3], ids=lambda p: f"{p['loss']}, {p['empty']} empty")
def test_the_loss_and_both_pulls(p):
    result = figure.compute(p)
    h, d = 1e-4, p["contrast"]
    for place in (0, 37, 90, 119, 150):
        z = result["input"][place]
        assert result["field"][place] == pytest.approx(by_pixels(z + d, z, p), abs=1e-10)
        up = (by_pixels(z + d - h, z, p) - by_pixels(z + d + h, z, p)) / (2 * h)
        down = (by_pixels(z + d, z + h, p) - by_pixels(z + d, z - h, p)) / (2 * h)
        assert result["up"][place] == pytest.approx(up, rel=1e-3, abs=1e-9)
        assert result["down"][place] == pytest.approx(down, rel=1e-3, abs=1e-9)
    # Both pull in the direction that their names say, and their sum is the curve's slope.
    assert (result["up"] >= 0).all() and (result["down"] >= 0).all()
    slope = np.gradient(result["field"], result["input"])[2:-2]
    np.testing.assert_allclose((result["down"] - result["up"])[2:-2], slope, atol=2e-3)


def test_a_nodule_has_its_area_and_is_a_disc():
    for area in (5, 30, 800):
        mask = figure.nodule(area)
        assert mask.sum() == area
        y, x = np.indices(mask.shape)
        far = np.hypot(y - figure.CENTRE[0], x - figure.CENTRE[1])
        assert far[mask].max() < far[~mask].min()


@pytest.mark.parametrize("p", SETTINGS, ids=lambda p: f"{p['loss']}, {p['empty']} empty")
def test_a_walk_ends_in_the_valley_that_lies_downhill(p):
    result = figure.compute(p)
    start, end = result["places"]
    assert result["input"][start] == pytest.approx(p["logit"])
    low, high = sorted((start, end))
    along = result["field"][low : high + 1]
    steps = np.diff(along if end > start else along[::-1])
    assert (steps < 0).all()
    for neighbour in (end - 1, end + 1):
        if 0 <= neighbour < len(figure.LOGITS):
            assert result["field"][neighbour] > result["field"][end] - 1e-9


def test_what_the_chapter_says_of_it():
    def ends(**changes):
        return figure.compute(setting(**changes))["predictions"]

    (_, _, before), (_, _, after) = ends()
    assert (before, after) == (figure.NODULES, figure.NOTHING)
    assert ends(loss=figure.BATCH_BOTH)[1][2] == figure.NODULES
    assert ends(loss=figure.NODULE_BOTH)[1][2] == figure.NODULES
    assert ends(empty=0)[1][2] == figure.NODULES
    # A constant answer to slices with a nodule: up or down, at the area of the chapter.
    constant = {"loss": figure.PER_SLICE, "empty": 0, "contrast": 0}
    assert ends(area=40, **constant)[1][2] == figure.NOTHING
    assert ends(area=50, **constant)[1][2] == figure.ALL
    assert ends(area=50, **(constant | {"empty": 1}), logit=-6)[1][2] == figure.NOTHING


def test_the_page_computes_what_the_package_does(node):
    page = page_states(
        node, "collapse", SETTINGS, "{ states, masks: [5, 30, 800].map((area) => nodule(area)) }"
    )
    for area, mask in zip((5, 30, 800), page["masks"], strict=True):
        np.testing.assert_array_equal(np.reshape(mask, (64, 64)), figure.nodule(area))
    for p, state in zip(SETTINGS, page["states"], strict=True):
        result = figure.compute(p)
        assert (state["height"], state["width"]) == (1, len(figure.LOGITS))
        np.testing.assert_allclose(state["input"], result["input"], atol=1e-6)
        (values,), (up, down) = (
            [curve["y"] for curve in state["plots"][title]["curves"]]
            for title in ("Loss", "Who pulls")
        )
        np.testing.assert_allclose(values, result["field"], atol=1e-12, err_msg=str(p))
        np.testing.assert_allclose(state["field"], result["field"], atol=1e-6)
        for curve, name in ((up, "up"), (down, "down")):
            wanted = np.log10(np.maximum(result[name], 1e-12))
            np.testing.assert_allclose(curve, wanted, atol=1e-9, err_msg=f"{name} {p}")
        (start, end), (_, (inside, outside, marked)) = result["places"], result["predictions"]
        text, *numbers = ", ".join(state["texts"]).replace("−", "-").split(", ")
        assert text == marked
        wanted = [inside, outside, *result["field"][[start, end]]]
        for number, value in zip(map(float, numbers), wanted, strict=True):
            assert number == pytest.approx(value, rel=0.06, abs=5.1e-4)
