"""The regimes of the layer: its live figure, and the numbers of the text, against scipy."""

import math

import numpy as np
import pytest
import torch
from live_figures import page_states
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import xlogy

from nodule_lesson import std
from nodule_lesson.chapters.regimes import computations, facts
from nodule_lesson.chapters.regimes.live import (
    PIXELS,
    RATIOS,
    SIGMA,
    compute,
    edge_price,
    flat_limits,
    fold,
    prices,
    regimes,
)

SETTINGS = [(0.2, 0.0, 3.0), (0.02, 0.3, 1.0), (0.3, -0.04, 2.0), (0.5, 0.0, 6.0), (1.2, 1.0, 4.5)]


def flat_energy(x, u, epsilon):
    """Per pixel, for lambda1 = 1."""
    return -u * x + epsilon * (xlogy(x, x) + xlogy(1 - x, 1 - x)) + x * (1 - x)


def cheapest_edge(epsilon, sigma=3.0, n=240):
    """The price of an edge by a minimisation that knows nothing of the layer.

    A line of pixels that closes to a ring, with two edges, and a Gaussian by its transform.
    """
    i = np.arange(n)
    taps = np.exp(-(np.minimum(i, n - i) ** 2) / (2 * sigma**2))
    symbol = np.fft.rfft(taps / taps.sum())

    def energy(x):
        seen = np.fft.irfft(symbol * np.fft.rfft(1 - x), n)
        value = (epsilon * (xlogy(x, x) + xlogy(1 - x, 1 - x)) + x * seen).sum()
        return value, epsilon * np.log(x / (1 - x)) + 2 * seen - 1

    start = 0.5 + 0.4 * np.tanh((n / 4 - abs(i - n / 2 + 0.5)) / sigma)
    options = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-10}
    box = [(1e-9, 1 - 1e-9)] * n
    found = minimize(energy, start, jac=True, method="L-BFGS-B", bounds=box, options=options)
    well = brentq(lambda x: epsilon * math.log(x / (1 - x)) + 1 - 2 * x, 0.5 + 1e-4, 1 - 1e-9)
    edges = found.fun - n * flat_energy(well, 0, epsilon)
    return edges / 2 * math.sqrt(2 * math.pi) / sigma


@pytest.mark.parametrize("epsilon", [0.1, 0.2, 0.3, 0.4, 0.45])
def test_the_price_of_an_edge_is_the_least_that_scipy_finds(epsilon):
    assert edge_price(epsilon) == pytest.approx(cheapest_edge(epsilon), abs=2e-4)


def test_the_price_falls_from_one_to_nothing_at_one_half():
    price = np.array(prices())
    assert 0.98 < price[0] < 1
    below = np.array(RATIOS) < 0.5
    assert (np.diff(price[below]) < 0).all()
    assert np.abs(price[~below]).max() < 2e-4
    # The Gaussian's width is the only length, so it drops out, as long as it sees no pixels.
    for ratio in (0.1, 0.3):
        assert edge_price(ratio, 2.0) == pytest.approx(edge_price(ratio, 5.0), abs=3e-3)
    hard = edge_price(0.001, 2.0)  # the error of a straight edge on the grid
    assert hard == pytest.approx(1 - 1 / (12 * 2.0**2), abs=1e-3)


@pytest.mark.parametrize("lambda1, epsilon", [(1.0, 0.25), (3.0, 1.0), (1.0, 0.05), (2.2, 1.0)])
def test_the_fold_is_where_the_second_answer_is_lost(lambda1, epsilon):
    edge = fold(epsilon, lambda1)
    # The lowest u, as a function of the answer, on the upper branch.
    lowest = minimize_scalar(
        lambda m: 2 * epsilon * math.atanh(m) - lambda1 * m,
        bounds=(0, 1 - 1e-12),
        method="bounded",
    )
    assert edge == pytest.approx(-lowest.fun, abs=1e-8)
    u = torch.tensor([0.9 * edge, 1.1 * edge]).double()
    low, high = flat_limits(torch.cat([u, -u]), epsilon, lambda1, steps=3000)
    two = (high - low > 1e-3).tolist()
    assert two == [True, False, True, False]
    assert fold(epsilon, 2 * epsilon) == fold(1.0, 1.0) == 0


def test_a_single_pixel_stands_for_the_middle_of_a_flat_field():
    for u, epsilon in ((0.0, 0.3), (0.4, 0.3), (-0.3, 1.0)):
        field = torch.full((81, 81), u, dtype=torch.float64)
        for x, start in zip(flat_limits(torch.tensor([u]).double(), epsilon), (0, 1), strict=True):
            settings = {"sigma": 2.0, "epsilon": epsilon, "iterations": 60}
            middle = std.iterates(field, start=start, **settings)[-1][40, 40]
            assert float(middle) == pytest.approx(float(x), abs=1e-3)


def test_the_gain_of_waves_is_that_of_the_proposition():
    wavelengths = np.array([4.0, 9.5, 20.0, 61.0])
    for ratio in (0.6, 1.0, 2.0):
        k = np.exp(-2 * math.pi**2 * 4 / wavelengths**2)
        measured = computations.measured_gains(wavelengths, ratio, 2.0)
        np.testing.assert_allclose(measured, 1 / (1 - k / (2 * ratio)), rtol=2e-3)


# --- the live figure ----------------------------------------------------------------------------


@pytest.mark.parametrize("ratio, u, sigma", SETTINGS)
def test_the_live_figure_shows_energies_limits_and_an_edge(ratio, u, sigma):
    result = compute({"ratio": ratio, "u": u, "sigma": sigma})
    np.testing.assert_allclose(result["energy"], flat_energy(result["x"], u, ratio), atol=1e-12)
    # The edge, by numpy: a Gaussian that is surrounded by zeros.
    i = np.arange(PIXELS)
    taps = np.exp(-((i[:, None] - i) ** 2) / (2 * sigma**2))
    taps /= np.exp(-(np.arange(1 - PIXELS, PIXELS) ** 2) / (2 * sigma**2)).sum()
    x = (i < PIXELS // 2).astype(float)
    np.testing.assert_array_equal(result["input"], x)
    for step in range(1, 301):
        with np.errstate(over="ignore"):
            x = 1 / (1 + np.exp((taps @ (1 - 2 * x) - u) / ratio))
        if step == 10:
            np.testing.assert_allclose(result["layer"], x, atol=1e-9)
    np.testing.assert_allclose(result["field"], x, atol=1e-9)
    # The limits are lowest points of the energy: one, or one on each side.
    for x in result["limits"]:
        near = np.clip(x + np.linspace(-0.01, 0.01, 21), 0, 1)
        assert flat_energy(x, u, ratio) <= flat_energy(near, u, ratio).min() + 1e-5
    apart = np.ptp(result["limits"]) > 0.1
    assert result["answers"] == (2 if apart else 1)


def test_the_live_figure_starts_where_it_is_told():
    assert regimes(ratio=1.0).parameters == {"ratio": 1.0, "u": 0, "sigma": 3}
    with pytest.raises(ValueError, match="epsilon"):
        regimes(epsilon=1.0)


def test_the_page_computes_the_same(node):
    settings = [{"ratio": r, "u": u, "sigma": s} for r, u, s in SETTINGS]
    for p, state in zip(settings, page_states(node, "regimes", settings), strict=True):
        result = compute(p)
        np.testing.assert_allclose(state["input"], result["input"], atol=1e-12)
        np.testing.assert_allclose(state["field"], result["field"], atol=1e-6)
        flat, edge, share = state["plots"].values()
        energy = np.array(flat["curves"][0]["y"]) / 100
        np.testing.assert_allclose(energy, result["energy"], atol=1e-12)
        limits = [mark["x"] for mark in flat["marks"]]
        np.testing.assert_allclose(limits, result["limits"], atol=1e-9)
        np.testing.assert_allclose(edge["curves"][1]["y"], result["layer"], atol=1e-6)
        np.testing.assert_allclose(share["curves"][0]["y"], prices())
        assert share["marks"][-1]["y"] == pytest.approx(result["price"], abs=1e-5)
        answers, price, gain = state["texts"]
        assert answers == ("two" if result["answers"] == 2 else "one")
        assert float(price) == pytest.approx(abs(result["price"]), abs=6e-4)
        if p["ratio"] > 0.5:
            assert float(gain) == pytest.approx(1 / (1 - 1 / (2 * p["ratio"])), abs=6e-3)
        else:
            assert gain == "not bounded"


# --- the numbers of the text --------------------------------------------------------------------


def test_the_edge_of_the_second_task_moves_as_a_line_of_numpy_does():
    """A line is one row, so the Gaussian is that of the line."""
    i = np.arange(PIXELS)
    taps = np.exp(-((i[:, None] - i) ** 2) / (2 * SIGMA**2))
    kernel = taps / np.exp(-(np.arange(1 - PIXELS, PIXELS) ** 2) / (2 * SIGMA**2)).sum()
    x, moved = (i < PIXELS // 2).astype(float), []
    for _ in range(300):
        x = 1 / (1 + np.exp(-(0.05 - kernel @ (1 - 2 * x)) / 0.2))
        moved.append((x > 0.5).sum() - PIXELS // 2)
    assert facts.moves_of_the_edge() == {"edge-ten": f"{moved[9]}", "edge-all": f"{moved[-1]}"}


def test_facts_hold_the_text_to_its_numbers():
    texts = facts.prices(lambda ratio: max(0, 0.993 - 5.475 * ratio**2))
    assert texts == {"price-hard": "0.94", "price-grid": "1%"}
    assert facts.discs({2: -0.1, 3: 0.2, 9: 0.876}) == {"disc-wide": "0.88"}
    facts.loudness({1: (0.7, 0.2), 5: (0.2, 0.1)})
    for wrong in ({1: (0.1, 0.2)}, {1: (0.9, 0.1), 5: (0.9, 0.2)}):
        with pytest.raises(AssertionError):
            facts.loudness(wrong)
