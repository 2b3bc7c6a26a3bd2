"""Checkers of the chapter *Learning through the loop*."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.verdict import verdict

_LAMBDA1, _EPSILON, _SIGMA = 0.7, 0.8, 1.3


def _fields():
    """Three fields that are not square: u, x, and a gradient."""
    generator = np.random.default_rng(20154)
    shape = (9, 14)
    return generator.normal(size=shape), generator.random(shape), generator.normal(size=shape)


def _blur(field):
    return std.gaussian_blur(torch.as_tensor(np.ascontiguousarray(field)), _SIGMA).numpy()


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def one_step_gradient(gradient):
    """gradient(g, x0, u, blur, lambda1, epsilon) -> the gradient of <g, x1> to u.

    x1 = Sig((u - lambda1 K(1 - 2 x0)) / epsilon) and x0 = Sig(u): u acts on both ways.
    """
    u, _, g = _fields()
    x0 = _sigmoid(u)
    answer = gradient(g.copy(), x0.copy(), u.copy(), _blur, _LAMBDA1, _EPSILON)
    x1 = _sigmoid((u - _LAMBDA1 * _blur(1 - 2 * x0)) / _EPSILON)
    first, last = x0 * (1 - x0), x1 * (1 - x1)

    def with_paths(last=last, first=first, factor=2 * _LAMBDA1 / _EPSILON, direct=1 / _EPSILON):
        return direct * last * g + factor * first * _blur(last * g)

    right = with_paths()
    wrong = [
        (
            "the factor 2 is missing: the derivative of 1 - 2x is -2.",
            with_paths(factor=_LAMBDA1 / _EPSILON),
        ),
        (
            "a sign is off: -lambda1 K(1 - 2x) grows with x.",
            with_paths(factor=-2 * _LAMBDA1 / _EPSILON),
        ),
        (
            "u also acts through x0 = Sig(u): a second path is missing.",
            last * g / _EPSILON,
        ),
        (
            "u also stands in the step itself: the direct path is missing.",
            with_paths(direct=0),
        ),
        (
            "the sigmoid's own derivative x1 (1 - x1) is missing.",
            with_paths(last=1),
        ),
        (
            "the derivative of x0 = Sig(u) is missing: x0 (1 - x0).",
            with_paths(first=1),
        ),
        (
            "the gradient passes the last sigmoid first: D1 acts before K, and D0 after it.",
            last * g / _EPSILON + 2 * _LAMBDA1 / _EPSILON * last * _blur(first * g),
        ),
        (
            "epsilon is missing: it divides the whole argument.",
            with_paths(factor=2 * _LAMBDA1, direct=1),
        ),
        (
            "epsilon divides both paths, the direct one as well.",
            with_paths(direct=1),
        ),
        (
            "epsilon divides both paths, the one through x0 as well.",
            with_paths(factor=2 * _LAMBDA1),
        ),
        ("the axes are transposed.", right.T),
        ("one number per pixel is wanted; this is their sum.", right.sum()),
    ]
    return verdict(answer, right, wrong)


def adjoint(solve):
    """solve(g, x, blur, lambda1, epsilon) -> w with w = g + D A w, by iterating."""
    _, x, g = _fields()
    answer = solve(g.copy(), x.copy(), _blur, _LAMBDA1, _EPSILON)
    slope, strength = x * (1 - x), 2 * _LAMBDA1 / _EPSILON
    # The matrix A, column by column, and a direct solution: nothing here is iterated.
    units = np.eye(x.size).reshape(x.size, *x.shape)
    blur = np.stack([_blur(unit).ravel() for unit in units], axis=1)

    def solved(matrix):
        return np.linalg.solve(np.eye(x.size) - matrix, g.ravel()).reshape(g.shape)

    def partial(terms):
        w = g
        for _ in range(terms):
            w = g + slope * strength * _blur(w)
        return w

    diagonal = np.diag(slope.ravel())
    right = solved(strength * diagonal @ blur)
    wrong = [
        (
            "the factor 2 is missing: A = 2 lambda1 K / epsilon.",
            solved(strength / 2 * diagonal @ blur),
        ),
        ("a sign is off: w = g + D A w, with a plus.", solved(-strength * diagonal @ blur)),
        (
            "this solves (1 - A D) w = g, the equation of the tangent. Its adjoint is "
            "(1 - D A) w = g: K first, then x (1 - x).",
            solved(strength * blur @ diagonal),
        ),
        ("the factors x (1 - x) are missing: D A w, not A w.", solved(strength * blur)),
        (
            "D is x (1 - x), the slope of the sigmoid, not x.",
            solved(strength * np.diag(x.ravel()) @ blur),
        ),
        ("epsilon is missing: A = 2 lambda1 K / epsilon.", solved(2 * _LAMBDA1 * diagonal @ blur)),
        ("this is g itself: nothing was iterated.", g),
        ("the g is lost: it is added in every step.", np.zeros_like(g)),
        *[("the equation is right; iterate longer.", partial(terms)) for terms in range(1, 30)],
        ("the axes are transposed.", right.T),
    ]
    return verdict(answer, right, wrong, tolerance=1e-7)


def same_fixed_point(rescale):
    """rescale(factor, u, sigma, lambda1, lambda2, epsilon) -> the five, changed, x* the same."""
    u, _, _ = _fields()
    factor, old = 2.5, (1.3, 0.7, 0.4, 0.8)
    answer = rescale(factor, u.copy(), *old)

    def flat(new_u, *parameters):
        return np.concatenate([np.ravel(new_u), np.asarray(parameters, dtype=float)])

    if answer is not None:
        try:
            answer = flat(*answer)
        except (TypeError, ValueError):
            answer = "something else than u, sigma, lambda1, lambda2, epsilon"
    sigma, *weights = old

    def scaled(u_by=factor, sigma_by=1, powers=(1, 1, 1)):
        new = [weight * factor**power for weight, power in zip(weights, powers, strict=True)]
        return flat(u * u_by, sigma * sigma_by, *new)

    right = scaled()
    wrong = [
        ("sigma is a length in pixels, not a weight: it stays.", scaled(sigma_by=factor)),
        ("epsilon weighs the entropy: it takes the factor as well.", scaled(powers=(1, 1, 0))),
        ("lambda2 weighs the prior: it takes the factor as well.", scaled(powers=(1, 0, 1))),
        ("lambda1 weighs the boundary: it takes the factor as well.", scaled(powers=(0, 1, 1))),
        ("u takes the factor as well: every term of E must.", scaled(u_by=1)),
        (
            "epsilon divides the others: it takes the factor, not its inverse.",
            scaled(powers=(1, 1, -1)),
        ),
        ("only u is scaled: that is another energy.", scaled(powers=(0, 0, 0))),
        ("this is the same fixed point, but nothing was scaled by the factor.", flat(u, *old)),
    ]
    return verdict(answer, right, wrong)
