"""The live figure of the prior's trade-off, and what *Taking the model apart* computes itself."""

import importlib
import re
from functools import partial
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from live_figures import HOMES, make, page_states, parameters_of
from scipy import stats
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from nodule_lesson.networks.registry import load_pretrained

trade = importlib.import_module("nodule_lesson.chapters.taking_apart.live")
slim_network = importlib.import_module("nodule_lesson.chapters.multitask_model.live")
setting = partial(parameters_of, "prior_tradeoff")
CHAPTER = Path(__file__).resolve().parents[2] / "book" / "taking_apart.md"


@pytest.fixture(scope="module")
def run():
    """Masks of the demo set, and what the shipped network says of it."""
    images, masks, _ = slim_network.demo_crops()
    with torch.no_grad():
        output = load_pretrained("slim").eval()(images)
    return images[:, 0].numpy(), masks[:, 0].numpy(), output


def std_field(u, sigma, shift, iterations=10):
    """x_T by scipy."""
    x = expit(u)
    for _ in range(iterations):
        x = expit(u - gaussian_filter(1 - 2 * x, sigma, mode="constant", radius=63) - shift)
    return x


# --- the slices ----------------------------------------------------------------------------------


def test_the_stored_slices_are_those_of_the_shipped_weights(run):
    """Where this fails after new weights: call nodule_lesson.chapters.taking_apart.live.pack()."""
    images, masks, output = run
    data = trade.stored()
    rows, shown = data["rows"], data["rows"][data["shown"]]
    np.testing.assert_array_equal(data["nodule"], masks[rows].any((1, 2)))
    np.testing.assert_allclose(data["c"], output.nodule[rows], atol=1e-3)
    np.testing.assert_allclose(data["u"] / 1000, output.u[shown, 0], rtol=1e-3, atol=6e-3)
    np.testing.assert_allclose(data["image"] / 255, images[shown], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(data["truth"], masks[shown])
    assert sorted(data["order"]) == list(range(len(rows)))
    # Only slices whose nodule is not drawn are left out.
    left = np.setdiff1d(np.arange(len(masks)), rows)
    assert len(left) < 10 and not masks[left].any()


def test_the_critical_shift_is_where_the_last_pixel_goes(run):
    """A hair below it something that counts is on, a hair above nothing is; by scipy."""
    _, masks, output = run
    data = trade.stored()
    sigma = float(data["sigma"])
    for i in range(0, len(data["rows"]), 12):
        row = data["rows"][i]
        u = output.u[row, 0].numpy().astype(np.float64)
        counts = masks[row] if data["nodule"][i] else np.ones_like(masks[row])
        shift = data["shift"][i]
        # Logits are stored in thousandths, and no two machines add up in the same order.
        if shift > 0:
            assert (std_field(u, sigma, shift - 0.02)[counts] >= 0.5).any()
        assert not (std_field(u, sigma, shift + 0.02)[counts] >= 0.5).any()


def test_no_pixel_comes_back_as_the_shift_grows(run):
    """The little theorem that the figure stands on."""
    u = run[2].u[7, 0].numpy().astype(np.float64)
    fields = [std_field(u, 1.2, shift) for shift in (0, 0.3, 1, 2, 4, 8)]
    for more, less in zip(fields[1:], fields[:-1], strict=True):
        assert (more <= less).all()


def test_a_field_whose_critical_shift_is_known():
    """One pixel, as good as alone: Sig(u - K(1 - 2x) - s) with K the middle of a Gaussian."""
    u = np.full((1, 1, 1), 2.0, np.float32)
    on = trade.critical_shift(u, np.ones((1, 1, 1), bool), sigma=1e-3)
    # K = 1 here: x = 1/2 is a fixed point of the step at s = u, the start decides for finite T.
    low, high = 0.0, 8.0
    for _ in range(60):
        shift = (low + high) / 2
        x = expit(2.0)
        for _ in range(10):
            x = expit(2.0 - (1 - 2 * x) - shift)
        low, high = (shift, high) if x >= 0.5 else (low, shift)
    assert on[0] == pytest.approx(low, abs=1e-3)
    off = trade.critical_shift(-u, np.ones((1, 1, 1), bool), sigma=1e-3)
    assert off[0] == 0
    uncounted = trade.critical_shift(u, np.zeros((1, 1, 1), bool), sigma=1e-3)
    assert uncounted[0] == 0


def test_crops_are_chosen_by_rule():
    data = trade.stored()
    doubted, said, fooled = data["shown"]
    nodule, c, on = data["nodule"], data["c"], data["shift"] > 0
    assert nodule[doubted] and c[doubted] == c[nodule & on].min()
    assert not nodule[said] and c[said] == c[~nodule & on].min()
    assert not nodule[fooled] and c[fooled] == c[~nodule & on].max()


def test_qualities_of_c():
    data = trade.stored()
    np.testing.assert_array_equal(trade.answers(0.0), data["c"])
    np.testing.assert_array_equal(trade.answers(1.0), data["nodule"].astype(float))
    np.testing.assert_allclose(trade.answers(-1.0), data["c"][data["order"]], atol=1e-15)
    half = (trade.answers(0.0) + trade.answers(1.0)) / 2
    np.testing.assert_allclose(trade.answers(0.5), half)


def test_shares_are_counted_slice_by_slice():
    data = trade.stored()
    c = trade.answers(-0.3)
    for lambda2 in (0.0, 3.0, 11.0):
        marked = [lambda2 * (1 - p) < s for p, s in zip(c, data["shift"], strict=True)]
        missed = [not on for on, one in zip(marked, data["nodule"], strict=True) if one]
        false = [on for on, one in zip(marked, data["nodule"], strict=True) if not one]
        wanted = np.mean(missed), np.mean(false)
        np.testing.assert_allclose(trade.shares(lambda2, c), wanted, atol=1e-12)
    missed, marked = trade.shares(trade.GRID, c)
    assert (np.diff(missed) >= 0).all() and (np.diff(marked) <= 0).all()
    # The truth costs no nodule.
    np.testing.assert_array_equal(np.ptp(trade.shares(trade.GRID, trade.answers(1.0))[0]), 0)


@pytest.mark.parametrize("change", [{}, {"lambda2": 9.0, "quality": -0.6}])
def test_the_field_is_that_of_scipy(change):
    p, data = setting(**change), trade.stored()
    result = trade.compute(p)
    c = trade.answers(p["quality"])[data["shown"]]
    u = result["input"].reshape(-1, 64, 64).astype(np.float64)
    wanted = [
        std_field(logits, float(data["sigma"]), p["lambda2"] * (1 - answer))
        for logits, answer in zip(u, c, strict=True)
    ]
    np.testing.assert_allclose(result["field"].reshape(-1, 64, 64), wanted, atol=1e-6)


def test_the_file_is_small_and_so_is_the_page():
    assert (HOMES["prior_tradeoff"] / "live.npz").stat().st_size < 100_000
    assert len(make("prior_tradeoff").page()) < 250_000


# --- the page's script in node -------------------------------------------------------------------


def test_the_page_computes_what_the_package_does(node):
    settings = [
        setting(lambda2=lambda2, quality=quality)
        for lambda2, quality in ((0.0, 0.0), (1.6, 0.0), (8.3, -1.0), (16.0, 0.55), (5.0, 1.0))
    ]
    nodules = int(trade.stored()["nodule"].sum())
    for p, state in zip(settings, page_states(node, "prior_tradeoff", settings), strict=True):
        result = trade.compute(p)
        shape = (state["height"], state["width"])
        np.testing.assert_allclose(np.reshape(state["input"], shape), result["input"], atol=1e-6)
        np.testing.assert_allclose(np.reshape(state["field"], shape), result["field"], atol=1e-5)
        plot = state["plots"]["What is traded"]
        (mark,) = plot["marks"]
        missed, marked = result["now"]
        assert (mark["x"], mark["y"]) == pytest.approx((100 * marked, 100 * missed))
        assert f"{round(missed * nodules)} of {nodules}, " in state["texts"][0]
        assert state["texts"][2] == ", ".join(f"{c:.2f}" for c in result["c"])
        wanted = [*(trade.shares(trade.GRID, trade.answers(q)) for q in (-1.0, 0.0, 1.0)),
                  result["curve"]]  # fmt: skip
        for curve, (missed, marked) in zip(plot["curves"], wanted, strict=True):
            np.testing.assert_allclose(curve["x"], 100 * marked)
            np.testing.assert_allclose(curve["y"], 100 * missed)


# --- what the chapter computes -------------------------------------------------------------------


def from_chapter(*names):
    """Functions of the chapter, by name, without running the rest of it."""
    cells = [cell.source for cell in jupytext.read(CHAPTER).cells if cell.cell_type == "code"]
    space = {"np": np}
    for name in names:
        (source,) = [text for text in cells if f"def {name}(" in text]
        start = source.index(f"def {name}(")
        end = re.search(r"\n\n\n|\n(?=[A-Za-z])", source[start:])
        exec(source[start : start + end.start() if end else None], space)
    return [space[name] for name in names]


def test_the_area_is_the_rank_statistic():
    roc, area_under = from_chapter("roc", "area_under")
    random = np.random.default_rng(4)
    for digits in (1, 6):  # with many ties, and with none
        inside = random.beta(3, 1, 300).round(digits)
        empty = random.beta(1, 2, 170).round(digits)
        curve = roc(inside, empty)
        statistic = stats.mannwhitneyu(inside, empty).statistic
        assert area_under(curve) == pytest.approx(statistic / (300 * 170), abs=1e-12)
        assert tuple(curve[:, 0]) == (0, 0) and tuple(curve[:, -1]) == (1, 1)
        assert (np.diff(curve) >= 0).all()


def test_calibration_of_a_classifier_that_is_calibrated():
    names = ("answers_of", "reliability", "calibration_error")
    answers_of, reliability, error_of = from_chapter(*names)
    error_of.__globals__.update(answers_of=answers_of, reliability=reliability)
    random = np.random.default_rng(1)
    c = random.uniform(0, 1, 40_000)
    has = random.uniform(0, 1, len(c)) < c  # half of all have one
    honest = {"classifier": {"with_nodule": c[has].tolist(), "without": c[~has].tolist()}}
    assert error_of(honest) < 0.02
    mean, share, weight = reliability(*answers_of(honest))
    np.testing.assert_allclose(mean, (np.arange(10) + 0.5) / 10, atol=0.01)
    assert weight.sum() == pytest.approx(1)
    # c pushed to the ends is too sure: |c - p| = 1/2 - |p - 1/2| becomes 1/4 on average.
    sure = {"with_nodule": (c[has] > 0.5) * 1.0, "without": (c[~has] > 0.5) * 1.0}
    assert error_of({"classifier": sure}) == pytest.approx(0.25, abs=0.01)


def test_how_far_adam_can_go():
    """What the chapter says of Adam, against Adam itself with a gradient that never turns."""
    (reach,) = from_chapter("reach")
    low, high = reach(2e-2, 500, floor=0.3)
    raw = torch.tensor(np.log(np.expm1(0.7)), requires_grad=True)
    adam = torch.optim.Adam([raw], 2e-2)
    schedule = torch.optim.lr_scheduler.StepLR(adam, 50, 0.75)
    for _ in range(500):
        adam.zero_grad()
        (-3.7 * raw).backward()
        adam.step()
        schedule.step()
    end = 0.3 + torch.nn.functional.softplus(raw).item()
    assert end == pytest.approx(high, rel=1e-3) and low < 1 < high
