"""The live figure of the chapter on the sigmoid, and the numbers of its text."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from nodule_lesson import std
from nodule_lesson.chapters.sigmoid import facts
from nodule_lesson.chapters.sigmoid.live import compute, sigmoid_energy

LIVE = Path(std.__file__).parent / "chapters" / "sigmoid" / "live.js"


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


def test_the_page_computes_the_same_energy(node, tmp_path):
    """The JavaScript of the page, run by node with a stand-in for its document."""
    source = LIVE.read_text(encoding="utf-8")
    stand_in = """
const pretty = String, states = [];
const view = () => ({ draw: () => {} });
const mount = (name, build) => build({
  plot: view,
  readouts: () => (...texts) => states.push({ texts }),
  run: (compute) => SETTINGS.forEach(([u, epsilon]) => {
    const state = compute({ u, epsilon });
    Object.assign(states.at(-1), state, {
      input: Array.from(state.input), field: Array.from(state.field) });
  }),
});
"""
    script = tmp_path / "figure.mjs"
    body = source.split(";\n", 1)[1]  # after the import
    settings = f"const SETTINGS = {json.dumps(SETTINGS)};"
    script.write_text(
        f"{settings}{stand_in}{body}\nconsole.log(JSON.stringify(states));", encoding="utf-8"
    )
    run = subprocess.run([node, script], capture_output=True, text=True, check=True)
    states = json.loads(run.stdout)
    assert len(states) == len(SETTINGS)
    for (u, epsilon), state in zip(SETTINGS, states, strict=True):
        result = compute({"u": u, "epsilon": epsilon})
        assert (state["height"], state["width"]) == (1, 201)
        assert np.abs(np.array(state["input"]) - result["input"]).max() < 1e-6
        assert np.abs(np.array(state["field"]) - result["field"]).max() < 1e-6
        share, *energies = (text.replace("−", "-") for text in state["texts"])
        wanted = [result["minimum"], result["closed_form"]]
        assert np.allclose([float(text) for text in energies], wanted, atol=5.1e-6)
        sigmoid = 1 / (1 + math.exp(-u / epsilon))
        if share.startswith("1 - "):  # what is missing to 1, where no more digits would show it
            assert float(share[4:]) == pytest.approx(math.exp(-u / epsilon), rel=0.06)
        else:
            assert float(share) == pytest.approx(sigmoid, rel=0.06, abs=0)
            assert float(share) == pytest.approx(sigmoid, abs=5.1e-6)


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
