"""The live figure of the chapter on the sigmoid, and the numbers of its text."""

import math

import numpy as np
import pytest
import torch
from live_figures import page_states
from scipy import stats
from scipy.special import expit

from nodule_lesson import std
from nodule_lesson.chapters.sigmoid import facts
from nodule_lesson.chapters.sigmoid.live import compute, sigmoid_energy


def h(x):
    """x ln x + (1 - x) ln(1 - x), one number at a time."""
    return np.vectorize(lambda p: sum(q * math.log(q) for q in (p, 1 - p) if q > 0))(x)


SETTINGS = [(1.5, 1.0), (0.0, 0.05), (-6.0, 3.0), (6.0, 0.05), (-2.3, 0.45)]


@pytest.mark.parametrize("u, epsilon", SETTINGS)
def test_the_live_figure_shows_the_energy_of_equation_1(u, epsilon):
    result = compute({"u": u, "epsilon": epsilon})
    assert result["input"].shape == result["field"].shape == (201,)
    assert np.allclose(result["input"], np.arange(201) / 200, atol=1e-15)
    assert np.allclose(result["field"], -u * result["input"] + epsilon * h(result["input"]))
    assert np.allclose(result["vote"] + result["entropy"], result["field"])
    logit = torch.tensor([[u]], dtype=torch.float64)
    for x, energy in zip(result["input"][::20], result["field"][::20], strict=True):
        pixel = torch.tensor([[x]], dtype=torch.float64)
        value = std.std_energy(pixel, logit, sigma=2.0, lambda1=0.0, epsilon=epsilon)
        assert float(value) == pytest.approx(energy, abs=1e-12)


@pytest.mark.parametrize("u, epsilon", SETTINGS)
def test_the_live_figure_marks_the_lowest_point(u, epsilon):
    result = compute({"u": u, "epsilon": epsilon})
    assert result["minimum"] == pytest.approx(result["closed_form"], abs=1e-12)
    assert result["minimum"] <= result["field"].min() + 1e-12
    # On a fine grid without any sigmoid, x is found to half a step and E to its square.
    x = np.linspace(0, 1, 20001)
    energies = -u * x + epsilon * h(x)
    assert result["minimiser"] == pytest.approx(x[energies.argmin()], abs=2.6e-5)
    assert result["minimum"] == pytest.approx(energies.min(), abs=1e-4)


def test_the_live_figure_starts_where_it_is_told():
    figure = sigmoid_energy(u=-2.0, epsilon=0.5)
    assert figure.parameters == {"u": -2.0, "epsilon": 0.5}
    assert [control.label for control in figure.controls] == ["u", "ε"]
    assert figure.still()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ValueError, match="sigma"):
        sigmoid_energy(sigma=1.0)


def test_the_page_computes_the_same_energy(node):
    settings = [{"u": u, "epsilon": epsilon} for u, epsilon in SETTINGS]
    for p, state in zip(settings, page_states(node, "sigmoid_energy", settings), strict=True):
        result = compute(p)
        assert (state["height"], state["width"]) == (1, 201)
        assert np.abs(np.array(state["input"]) - result["input"]).max() < 1e-6
        assert np.abs(np.array(state["field"]) - result["field"]).max() < 1e-6
        share, *energies = (text.replace("−", "-") for text in state["texts"])
        wanted = [result["minimum"], result["closed_form"]]
        assert np.allclose([float(text) for text in energies], wanted, atol=5.1e-6)
        odds = math.exp(-p["u"] / p["epsilon"])
        if share.startswith("1 - "):  # what is missing to 1, where no more digits would show it
            assert float(share[4:]) == pytest.approx(odds, rel=0.06)
        else:
            assert float(share) == pytest.approx(1 / (1 + odds), rel=0.06, abs=0)
            assert float(share) == pytest.approx(1 / (1 + odds), abs=5.1e-6)
        curves = {
            curve["label"]: curve for curve in state["plots"]["Where it is lowest"]["curves"]
        }
        for label, scale in (("Sig(u)", 1), ("Sig(u/ε)", p["epsilon"])):
            z = np.array(curves[label]["x"]) / scale
            np.testing.assert_allclose(curves[label]["y"], expit(z), atol=1e-12)


# --- the numbers of the text --------------------------------------------------------------------


def test_wrong_pixels_are_counted_away_from_the_edge():
    """Logits on the right side with mean 1 and standard deviation 1, and a band of wrong ones."""
    row, column = np.mgrid[:128, :128] + 0.5
    squared = (row - 64) ** 2 + (column - 64) ** 2
    side = np.where(squared < 30**2, 1.0, -1.0)
    noise = np.random.default_rng(0).standard_normal(side.shape)
    near = (squared >= 25**2) & (squared <= 35**2)
    field = np.where(near, -100 * side, side * (1 + noise))  # near the edge, all are wrong
    texts = facts.wrong_pixels(torch.as_tensor(field))
    assert texts["wrong-measured"] == f"{np.mean(noise[~near] < -1):.1%}"
    # The sampled mean and standard deviation are those of the distribution up to a per cent.
    assert float(texts["wrong-theory"].rstrip("%")) == pytest.approx(
        100 * stats.norm.cdf(-1), abs=0.5
    )


def test_beyond_the_saturation_the_sigmoid_is_one_in_32_bits():
    logit = float(facts.saturation()["saturation"])
    below, above = (1 / (1 + np.exp(np.float32(-logit - step))) for step in (-0.1, 0.1))
    assert below < 1 and above == 1


def test_the_answers_below_the_live_figure_are_the_sigmoid_and_the_softplus():
    texts = {name: float(text.replace("−", "-")) for name, text in facts.live_answers().items()}
    assert texts["live-low"] == pytest.approx(expit(-6), abs=6e-5)
    assert texts["live-high"] == pytest.approx(expit(6), abs=6e-5)
    assert texts["live-cold"] == pytest.approx(expit(-10), rel=0.02)
    assert texts["live-same"] == pytest.approx(expit(2), abs=6e-5)
    assert texts["live-half"] == pytest.approx(-np.logaddexp(0, 2) / 2, abs=6e-5)
    assert texts["live-whole"] == pytest.approx(-np.logaddexp(0, 2), abs=6e-5)
