"""The checkers of the chapter *Learning through the loop* against right and wrong answers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nodule_lesson import std
from nodule_lesson.chapters.learning_through_the_loop import exercises as checks


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def slopes(x0, u, blur, a, e):
    x1 = sigmoid((u - a * blur(1 - 2 * x0)) / e)
    return x0 * (1 - x0), x1 * (1 - x1)


def by_autograd(g, x0, u, blur, a, e):
    """Nothing in common with the checker's own formula."""
    u = torch.as_tensor(u).requires_grad_()
    settings = {"sigma": checks._SIGMA, "lambda1": a, "epsilon": e, "iterations": 1}
    x = std.soft_threshold_dynamics(u, **settings)
    return torch.autograd.grad((x * torch.as_tensor(g)).sum(), u)[0].numpy()


def paths(direct, through, first=True, last=True):
    """The two paths of u with factors of their own, and with or without the slopes."""

    def gradient(g, x0, u, blur, a, e):
        d0, d1 = slopes(x0, u, blur, a, e)
        d0, d1 = (d0 if first else 1), (d1 if last else 1)
        return direct(e) * d1 * g + through(a, e) * d0 * blur(d1 * g)

    return gradient


def swapped(g, x0, u, blur, a, e):
    d0, d1 = slopes(x0, u, blur, a, e)
    return d1 * g / e + 2 * a / e * d1 * blur(d0 * g)


GRADIENTS = {
    "Correct": by_autograd,
    "factor 2": paths(lambda e: 1 / e, lambda a, e: a / e),
    "sign": paths(lambda e: 1 / e, lambda a, e: -2 * a / e),
    "a second path": paths(lambda e: 1 / e, lambda a, e: 0),
    "the direct path is missing": paths(lambda e: 0, lambda a, e: 2 * a / e),
    "x1 (1 - x1)": paths(lambda e: 1 / e, lambda a, e: 2 * a / e, last=False),
    "x0 (1 - x0)": paths(lambda e: 1 / e, lambda a, e: 2 * a / e, first=False),
    "passes the last sigmoid first": swapped,
    "epsilon is missing": paths(lambda e: 1, lambda a, e: 2 * a),
    "the direct one as well": paths(lambda e: 1, lambda a, e: 2 * a / e),
    "the one through x0 as well": paths(lambda e: 1 / e, lambda a, e: 2 * a),
    "transposed": lambda *all_of_it: by_autograd(*all_of_it).T,
    "their sum": lambda *all_of_it: by_autograd(*all_of_it).sum(),
    "returns nothing": lambda *all_of_it: None,
    "off by up to": lambda g, *rest: g,
}


def iterated(update, steps=400):
    def solve(g, x, blur, a, e):
        w = g
        for _ in range(steps):
            w = update(w, g, x, blur, a, e)
        return w

    return solve


ADJOINTS = {
    "Correct": iterated(lambda w, g, x, blur, a, e: g + x * (1 - x) * 2 * a / e * blur(w)),
    "factor 2": iterated(lambda w, g, x, blur, a, e: g + x * (1 - x) * a / e * blur(w)),
    "sign": iterated(lambda w, g, x, blur, a, e: g - x * (1 - x) * 2 * a / e * blur(w)),
    "the equation of the tangent": iterated(
        lambda w, g, x, blur, a, e: g + 2 * a / e * blur(x * (1 - x) * w)
    ),
    "epsilon is missing": iterated(lambda w, g, x, blur, a, e: g + x * (1 - x) * 2 * a * blur(w)),
    "nothing was iterated": lambda g, *rest: g,
    "iterate longer": iterated(
        lambda w, g, x, blur, a, e: g + x * (1 - x) * 2 * a / e * blur(w), steps=3
    ),
    "the g is lost": iterated(lambda w, g, x, blur, a, e: x * (1 - x) * 2 * a / e * blur(w)),
    "transposed": lambda *all_of_it: ADJOINTS["Correct"](*all_of_it).T,
    "returns nothing": lambda *all_of_it: None,
}


def dense(g, x, blur, a, e, slope):
    """Where an iteration would not converge, its equation has a solution all the same."""
    units = np.eye(x.size).reshape(x.size, *x.shape)
    matrix = np.stack([(slope * 2 * a / e * blur(unit)).ravel() for unit in units], axis=1)
    return np.linalg.solve(np.eye(x.size) - matrix, g.ravel()).reshape(g.shape)


ADJOINTS["x (1 - x) are missing"] = lambda g, x, *rest: dense(g, x, *rest, slope=1)
ADJOINTS["not x"] = lambda g, x, *rest: dense(g, x, *rest, slope=x)

SCALINGS = {
    "Correct": lambda f, u, s, a, b, e: (f * u, s, f * a, f * b, f * e),
    "sigma is a length": lambda f, u, s, a, b, e: (f * u, f * s, f * a, f * b, f * e),
    "epsilon weighs the entropy": lambda f, u, s, a, b, e: (f * u, s, f * a, f * b, e),
    "lambda2 weighs the prior": lambda f, u, s, a, b, e: (f * u, s, f * a, b, f * e),
    "lambda1 weighs the boundary": lambda f, u, s, a, b, e: (f * u, s, a, f * b, f * e),
    "u takes the factor": lambda f, u, s, a, b, e: (u, s, f * a, f * b, f * e),
    "not its inverse": lambda f, u, s, a, b, e: (f * u, s, f * a, f * b, e / f),
    "only u is scaled": lambda f, u, s, a, b, e: (f * u, s, a, b, e),
    "nothing was scaled": lambda f, u, s, a, b, e: (u, s, a, b, e),
    "returns nothing": lambda *all_of_it: None,
    "wanted numbers": lambda f, u, s, a, b, e: ("everything", s),
    "wanted the shape": lambda f, u, s, a, b, e: (f * u, s, f * a),
    "off by up to": lambda f, u, s, a, b, e: (u / f, s, a, b, e),
}


@pytest.mark.parametrize("hint", GRADIENTS)
def test_one_step_gradient(hint, capsys):
    assert checks.one_step_gradient(GRADIENTS[hint]) is (hint == "Correct")
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize("hint", ADJOINTS)
def test_adjoint(hint, capsys):
    assert checks.adjoint(ADJOINTS[hint]) is (hint == "Correct")
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize("hint", SCALINGS)
def test_same_fixed_point(hint, capsys):
    assert checks.same_fixed_point(SCALINGS[hint]) is (hint == "Correct")
    assert hint in capsys.readouterr().out


def test_the_right_rescaling_keeps_the_fixed_point():
    """What the checker calls right is right, and of its wrong answers only one keeps x*."""
    u = torch.as_tensor(np.random.default_rng(0).normal(size=(9, 14)))
    old = (1.3, 0.7, 0.4, 0.8)

    def fixed_point(u, sigma, lambda1, lambda2, epsilon):
        settings = {"sigma": sigma, "lambda1": lambda1, "lambda2": lambda2, "epsilon": epsilon}
        return std.soft_threshold_dynamics(u, c=0.3, iterations=300, **settings)

    wanted = fixed_point(u, *old)
    for hint, rescale in SCALINGS.items():
        if hint.startswith(("returns", "wanted")):
            continue
        gap = float((fixed_point(*rescale(2.5, u, *old)) - wanted).abs().max())
        assert (gap < 1e-12) is (hint in ("Correct", "nothing was scaled")), hint


def test_the_speed_table_has_its_numbers():
    """Elsewhere the chapter says that this file is missing; here it must be there."""
    path = Path(__file__).resolve().parents[1] / "book" / "results" / "std_layer.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert {"batch", "height", "width", "iterations"} <= set(result["setting"])
    assert result["provenance"]["threads"] >= 1 and result["provenance"]["versions"]["torch"]
    rows = {(row["sigma"], row["rival"], row["ours"]): row for row in result["ratios"]}
    assert len(rows) == 12  # three sigmas, two rivals, two gradients
    assert all(min(row["forward"], row["forward_backward"]) > 0 for row in rows.values())
