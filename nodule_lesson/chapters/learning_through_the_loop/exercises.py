"""Exercises of the chapter *Learning through the loop*."""

import numpy as np
from scipy.special import expit

from nodule_lesson.chapters.exercise import Exercise, blur, numbers

_SIGMA = 1.3


def _fields():
    """Three fields that are not square: u, x, and a gradient."""
    random = np.random.default_rng(20154)
    shape = (9, 14)
    return random.normal(size=shape), random.random(shape), random.normal(size=shape)


_U, _X, _G = _fields()


def _gradient(direct=lambda e: 1 / e, through=lambda a, e: 2 * a / e, first=True, last=True):
    """Both paths of u with factors of their own, and with or without the sigmoids' slopes."""

    def gradient(g, x0, u, K, a, e):
        x1 = expit((u - a * K(1 - 2 * x0)) / e)
        behind = x1 * (1 - x1) * g if last else g
        slope = x0 * (1 - x0) if first else 1
        return direct(e) * behind + through(a, e) * slope * K(behind)

    return gradient


def _slope_inside(g, x0, u, K, a, e):
    x1 = expit((u - a * K(1 - 2 * x0)) / e)
    behind = x1 * (1 - x1) / e * g
    return behind + 2 * a * K(x0 * (1 - x0) * behind)


def _swapped(g, x0, u, K, a, e):
    x1 = expit((u - a * K(1 - 2 * x0)) / e)
    return x1 * (1 - x1) / e * (g + 2 * a * K(x0 * (1 - x0) * g))


# gradient(g, x0, u, blur, lambda1, epsilon) -> the gradient of <g, x1> to u.
# x1 = Sig((u - lambda1 K(1 - 2 x0)) / epsilon) and x0 = Sig(u): u acts on both ways.
one_step_gradient = Exercise(
    ask=(_G, expit(_U), _U, blur(_SIGMA), 0.7, 0.8),
    right=_gradient(),
    mistakes={
        "the factor 2 is missing: the derivative of 1 - 2x is -2.":
            _gradient(through=lambda a, e: a / e),
        "a sign is off: -lambda1 K(1 - 2x) grows with x.":
            _gradient(through=lambda a, e: -2 * a / e),
        "u also acts through x0 = Sig(u): a second path is missing.":
            _gradient(through=lambda a, e: 0),
        "u also stands in the step itself: the direct path is missing.":
            _gradient(direct=lambda e: 0),
        "the sigmoid's own derivative x1 (1 - x1) is missing.": _gradient(last=False),
        "the derivative of x0 = Sig(u) is missing: x0 (1 - x0).": _gradient(first=False),
        "the gradient passes the last sigmoid first: D1 acts before K, and D0 after it.": _swapped,
        "D0 stands inside the blur: this is K D0. The gradient passes K first and then the slope "
        "x0 (1 - x0) of Sig(u): D0 K.": _slope_inside,
        "epsilon is missing: it divides the whole argument.":
            _gradient(direct=lambda e: 1, through=lambda a, e: 2 * a),
        "epsilon divides both paths, the direct one as well.": _gradient(direct=lambda e: 1),
        "epsilon divides both paths, the one through x0 as well.":
            _gradient(through=lambda a, e: 2 * a),
        "the axes are transposed.": lambda *arguments: _gradient()(*arguments).T,
        "one number per pixel is wanted; this is their sum.":
            lambda *arguments: _gradient()(*arguments).sum(),
    },
)  # fmt: skip


def _solution(matrix):
    """The w = g + matrix w, with nothing iterated. The matrix is made of x (1 - x) and of A."""

    def solve(g, x, K, a, e):
        unit = np.eye(x.size)
        A = 2 * a / e * K(unit.reshape(x.size, *x.shape)).reshape(unit.shape).T
        slopes = (x * (1 - x)).reshape(-1, 1)
        return np.linalg.solve(unit - matrix(slopes, A), g.ravel()).reshape(g.shape)

    return solve


_adjoint = _solution(lambda slopes, A: slopes * A)


def _iterated(steps):
    def solve(g, x, K, a, e):
        w = g
        for _ in range(steps):
            w = g + x * (1 - x) * 2 * a / e * K(w)
        return w

    return solve


# solve(g, x, blur, lambda1, epsilon) -> w with w = g + D A w, by iterating.
adjoint = Exercise(
    ask=(_G, _X, blur(_SIGMA), 0.7, 0.8),
    right=_adjoint,
    mistakes={
        "the factor 2 is missing: A = 2 lambda1 K / epsilon.":
            lambda g, x, K, a, e: _adjoint(g, x, K, a / 2, e),
        "a sign is off: w = g + D A w, with a plus.":
            lambda g, x, K, a, e: _adjoint(g, x, K, -a, e),
        "this solves (1 - A D) w = g, the equation of the tangent. Its adjoint is "
        "(1 - D A) w = g: K first, then x (1 - x).": _solution(lambda slopes, A: A * slopes.T),
        "the factors x (1 - x) are missing: D A w, not A w.": _solution(lambda slopes, A: A),
        "D is x (1 - x), the slope of the sigmoid, not x.":
            _solution(lambda slopes, A: _X.reshape(-1, 1) * A),
        "epsilon is missing: A = 2 lambda1 K / epsilon.":
            lambda g, x, K, a, e: _adjoint(g, x, K, a, 1),
        "this is g itself: nothing was iterated.": lambda g, x, K, a, e: g,
        "the g is lost: it is added in every step.": lambda g, x, K, a, e: 0 * g,
        "the equation is right; iterate longer.":
            tuple(_iterated(steps) for steps in range(1, 10)),
        "the axes are transposed.": lambda *arguments: _adjoint(*arguments).T,
    },
    tolerance=1e-7,
)  # fmt: skip


def _all_in_one(parts):
    """All numbers of u and of the four parameters behind one another."""
    return np.concatenate([numbers(part).ravel() for part in parts])


# rescale(factor, u, sigma, lambda1, lambda2, epsilon) -> the five, changed, x* the same.
same_fixed_point = Exercise(
    ask=(2.5, _U, 1.3, 0.7, 0.4, 0.8),
    right=lambda f, u, s, a, b, e: (f * u, s, f * a, f * b, f * e),
    mistakes={
        "sigma is a length in pixels, not a weight: it stays.":
            lambda f, u, s, a, b, e: (f * u, f * s, f * a, f * b, f * e),
        "epsilon weighs the entropy: it takes the factor as well.":
            lambda f, u, s, a, b, e: (f * u, s, f * a, f * b, e),
        "lambda2 weighs the prior: it takes the factor as well.":
            lambda f, u, s, a, b, e: (f * u, s, f * a, b, f * e),
        "lambda1 weighs the boundary: it takes the factor as well.":
            lambda f, u, s, a, b, e: (f * u, s, a, f * b, f * e),
        "u takes the factor as well: every term of E must.":
            lambda f, u, s, a, b, e: (u, s, f * a, f * b, f * e),
        "epsilon divides the others: it takes the factor, not its inverse.":
            lambda f, u, s, a, b, e: (f * u, s, f * a, f * b, e / f),
        "lambda1 sigma stays, and with it the price of an outline; but K itself changes with "
        "sigma, and so does the fixed point.": (
            lambda f, u, s, a, b, e: (u, f * s, a / f, b, e),
            lambda f, u, s, a, b, e: (u, s / f, f * a, b, e),
        ),
        "only u is scaled: that is another energy.": lambda f, u, s, a, b, e: (f * u, s, a, b, e),
        "this is the same fixed point, but nothing was scaled by the factor.":
            lambda f, u, s, a, b, e: (u, s, a, b, e),
    },
    read=_all_in_one,
)  # fmt: skip


# missing(u, to_u, lambda1, to_lambda1, lambda2, to_lambda2, epsilon) -> dL/depsilon, from Euler's
# identity for functions that are homogeneous of degree 0.
missing_gradient = Exercise(
    ask=(_U, _G, 0.7, 1.9, 0.4, -2.3, 0.8),
    right=lambda u, gu, a, ga, b, gb, e: -((u * gu).sum() + a * ga + b * gb) / e,
    mistakes={
        "a sign is off: all four products add up to 0.":
            lambda u, gu, a, ga, b, gb, e: ((u * gu).sum() + a * ga + b * gb) / e,
        "this is epsilon times the gradient: divide by epsilon.":
            lambda u, gu, a, ga, b, gb, e: -((u * gu).sum() + a * ga + b * gb),
        "u takes the factor as well: <u, dL/du> belongs to the sum.":
            lambda u, gu, a, ga, b, gb, e: -(a * ga + b * gb) / e,
        "lambda2 takes the factor as well.":
            lambda u, gu, a, ga, b, gb, e: -((u * gu).sum() + a * ga) / e,
        "the gradients have to be weighted: each with its own parameter.":
            lambda u, gu, a, ga, b, gb, e: -(gu.sum() + ga + gb),
        "one number is wanted: add up u dL/du over the pixels.":
            lambda u, gu, a, ga, b, gb, e: -(u * gu + a * ga + b * gb) / e,
        "the mean over the pixels is not their sum.":
            lambda u, gu, a, ga, b, gb, e: -((u * gu).mean() + a * ga + b * gb) / e,
    },
)  # fmt: skip
