"""The chapter on the sigmoid: checkers against right and wrong answers, facts, live figure."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from nodule_lesson import std
from nodule_lesson.chapters.sigmoid import exercises as checks
from nodule_lesson.chapters.sigmoid import facts
from nodule_lesson.chapters.sigmoid.live import compute, sigmoid_energy

LIVE = Path(std.__file__).parent / "chapters" / "sigmoid" / "live.js"


def h(x):
    """x ln x + (1 - x) ln(1 - x), one number at a time."""
    return np.vectorize(lambda p: sum(q * math.log(q) for q in (p, 1 - p) if q > 0))(x)


def sp(z):
    return np.logaddexp(0, z)


def sm(z, axis=1):
    return torch.softmax(torch.as_tensor(z), axis).numpy()


def raw(z):
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def half(x):
    return np.vectorize(lambda p: p * math.log(p) if p > 0 else 0.0)(x)


def naive(x):
    with np.errstate(divide="ignore", invalid="ignore"):
        return x * np.log(x) + (1 - x) * np.log(1 - x)


ENERGIES = {
    "Correct": lambda x, u, e: (-u * x + e * h(x)).sum(),
    "0 ln 0": lambda x, u, e: (-u * x + e * naive(x)).sum(),
    "mean over the pixels": lambda x, u, e: (-u * x + e * h(x)).mean(),
    "one number is wanted": lambda x, u, e: -u * x + e * h(x),
    "rewards certainty": lambda x, u, e: (-u * x - e * h(x)).sum(),
    "wants x small where u is large": lambda x, u, e: (u * x + e * h(x)).sum(),
    "every sign": lambda x, u, e: (u * x - e * h(x)).sum(),
    "epsilon is missing": lambda x, u, e: (-u * x + h(x)).sum(),
    "epsilon weighs the entropy only": lambda x, u, e: e * (-u * x + h(x)).sum(),
    "half the entropy": lambda x, u, e: (-u * x + e * half(x)).sum(),
    "base 2": lambda x, u, e: (-u * x + e * h(x) / math.log(2)).sum(),
    "returns nothing": lambda x, u, e: None,
    "off by up to": lambda x, u, e: 0.0,
    "wanted numbers": lambda x, u, e: "low",
}

MINIMA = {
    "Correct": lambda u, e: -e * sp(u / e).sum(),
    "overflows": lambda u, e: -e * np.log(1 + np.exp(u / e)).sum(),
    "the sign is off": lambda u, e: e * sp(u / e).sum(),
    "mean over the pixels": lambda u, e: -e * sp(u / e).mean(),
    "one number is wanted": lambda u, e: -e * sp(u / e),
    "in front of the softplus.": lambda u, e: -sp(u / e).sum(),
    "missing inside the softplus": lambda u, e: -e * sp(u).sum(),
    "both inside and in front": lambda u, e: -sp(u).sum(),
    "limit for epsilon to 0": lambda u, e: -np.maximum(u, 0).sum(),
    "without its linear part": lambda u, e: -e * sp(-u / e).sum(),
    "returns nothing": lambda u, e: None,
    "wanted numbers": lambda u, e: "low",
}

SOFTMAXES = {
    "Correct": lambda u, e: sm(u / e),
    "e^800 overflows": lambda u, e: raw(u / e),
    "epsilon is missing": lambda u, e: sm(u),
    "here it multiplies": lambda u, e: sm(u * e),
    "the sign of u": lambda u, e: sm(-u / e),
    "over the pixels": lambda u, e: sm(u / e, 0),
    "over all pixels and classes": lambda u, e: np.exp(u / e) / np.exp(u / e).sum(),
    "multiplier is missing": lambda u, e: np.exp(u / e),
    "multiplier is missing: the rows": lambda u, e: np.exp(u / e - 1),
    "a sigmoid for each class": lambda u, e: 1 / (1 + np.exp(-u / e)),
    "limit for epsilon to 0": lambda u, e: np.eye(4)[u.argmax(1)],
    "the logarithm": lambda u, e: np.log(sm(u / e)),
    "transposed": lambda u, e: sm(u / e).T,
    "returns nothing": lambda u, e: None,
    "NaN": lambda u, e: np.full_like(u, np.nan),
    "off by up to": lambda u, e: u,
    "wanted the shape": lambda u, e: u[0],
    "wanted numbers": lambda u, e: "soft",
}

RELUS = {
    "Correct": lambda u, e: np.where(u > 0, u / e, 0),
    "constraint is missing": lambda u, e: u / e,
    "epsilon is missing": lambda u, e: np.where(u > 0, u, 0),
    "here it multiplies": lambda u, e: np.where(u > 0, u * e, 0),
    "factor 2": lambda u, e: np.where(u > 0, u / (2 * e), 0),
    "factor 2 is too much": lambda u, e: np.where(u > 0, 2 * u / e, 0),
    "the sign of u": lambda u, e: np.where(u < 0, -u / e, 0),
    "mirror image": lambda u, e: np.abs(u) / e,
    "nothing asks for x <= 1": lambda u, e: np.clip(u / e, 0, 1),
    "softplus": lambda u, e: e * sp(u / e),
    "the lowest energy": lambda u, e: -(np.where(u > 0, u, 0) ** 2) / (2 * e),
    "returns nothing": lambda u, e: None,
    "off by up to": lambda u, e: u**3,
    "wanted the shape": lambda u, e: 0.0,
}

CASES = [
    pytest.param(checker, answers[hint], hint, id=f"{checker.__name__}: {hint}")
    for checker, answers in (
        (checks.energy, ENERGIES),
        (checks.minimum, MINIMA),
        (checks.softmax_minimiser, SOFTMAXES),
        (checks.relu_minimiser, RELUS),
    )
    for hint in answers
]


@pytest.mark.parametrize("checker, answer, hint", CASES)
def test_an_answer_gets_its_hint(checker, answer, hint, capsys):
    assert checker(answer) is (hint == "Correct")
    said = capsys.readouterr().out
    assert hint in said
    assert said.count("\n") == 1  # one verdict, not several


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


# --- the live figure ----------------------------------------------------------------------------

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
