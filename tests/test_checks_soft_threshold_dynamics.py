"""The checkers of the chapter *Soft threshold dynamics* against right and wrong answers."""

import numpy as np
import pytest

from nodule_lesson.chapters.soft_threshold_dynamics import exercises as checks


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


STEPS = {
    "Correct": lambda x, u, blur, a, e: sigmoid((u - a * blur(1 - 2 * x)) / e),
    "factor 2": lambda x, u, blur, a, e: sigmoid((u - a * blur(1 - x)) / e),
    "sign of lambda1": lambda x, u, blur, a, e: sigmoid((u + a * blur(1 - 2 * x)) / e),
    "printed iteration": lambda x, u, blur, a, e: sigmoid((x - a * blur(1 - 2 * x)) / e),
    "it divides u as well": lambda x, u, blur, a, e: sigmoid(u - a * blur(1 - 2 * x) / e),
    "epsilon is missing": lambda x, u, blur, a, e: sigmoid(u - a * blur(1 - 2 * x)),
    "sigmoid is missing": lambda x, u, blur, a, e: (u - a * blur(1 - 2 * x)) / e,
    "near the edge": lambda x, u, blur, a, e: sigmoid((u - a * (1 - 2 * blur(x))) / e),
    "transposed": lambda x, u, blur, a, e: sigmoid((u - a * blur(1 - 2 * x)) / e).T,
    "returns nothing": lambda x, u, blur, a, e: None,
    "NaN": lambda x, u, blur, a, e: np.full_like(x, np.nan),
    "off by up to": lambda x, u, blur, a, e: x,
    "wanted the shape": lambda x, u, blur, a, e: x[:3],
    "wanted numbers": lambda x, u, blur, a, e: "a half",
}

TERMS = {
    "Correct": lambda x, blur: (x * blur(1 - x)).sum(),
    "mean over the pixels": lambda x, blur: (x * blur(1 - x)).mean(),
    "sign": lambda x, blur: -(x * blur(1 - x)).sum(),
    "one side has to be": lambda x, blur: (x * blur(x)).sum(),
    "near the edge": lambda x, blur: (x * (1 - blur(x))).sum(),
    "belongs to the derivative": lambda x, blur: (x * blur(1 - 2 * x)).sum(),
    "one number is wanted": lambda x, blur: x * blur(1 - x),
    "returns nothing": lambda x, blur: None,
}


@pytest.mark.parametrize("hint", STEPS)
def test_std_step(hint, capsys):
    assert checks.std_step(STEPS[hint]) is (hint == "Correct")
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize("hint", TERMS)
def test_boundary_term(hint, capsys):
    assert checks.boundary_term(TERMS[hint]) is (hint == "Correct")
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize(
    "value, hint",
    [
        (0.80415, "Correct"),
        (0.65905, "boundary term is missing"),
        (0.5, "1 - x in the place of 1 - 2x"),
        (0.7, "off by"),
        (None, "Not yet"),
    ],
)
def test_printed_fixed_point(value, hint, capsys):
    assert checks.printed_fixed_point(value) is (hint == "Correct")
    assert hint in capsys.readouterr().out
