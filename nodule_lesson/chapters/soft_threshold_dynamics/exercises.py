"""Checkers of the chapter *Soft threshold dynamics*."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.verdict import verdict

_LAMBDA1, _EPSILON, _SIGMA = 0.7, 0.8, 1.3


def _fields():
    """A wide and a tall field would hide transposed axes if they were square: these are not."""
    generator = np.random.default_rng(20154)
    return generator.normal(size=(9, 14)), generator.random((9, 14))


def _blur(field):
    return std.gaussian_blur(torch.as_tensor(np.ascontiguousarray(field)), _SIGMA).numpy()


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def std_step(step):
    """step(x, u, blur, lambda1, epsilon) -> the next x, the paper's Eq. (3), derived.

    blur(field) is K. All are numpy arrays; the checker calls `step` on a 9 x 14 field.
    """
    u, x = _fields()
    answer = step(x.copy(), u.copy(), _blur, _LAMBDA1, _EPSILON)

    def with_argument(argument):
        return _sigmoid(argument / _EPSILON)

    right = with_argument(u - _LAMBDA1 * _blur(1 - 2 * x))
    wrong = [
        (
            "the factor 2 is missing. The derivative of <x, K(1 - x)> is K(1 - 2x).",
            with_argument(u - _LAMBDA1 * _blur(1 - x)),
        ),
        (
            "the sign of lambda1 is off: this rewards boundary.",
            with_argument(u + _LAMBDA1 * _blur(1 - 2 * x)),
        ),
        (
            "this is the printed iteration, with x where the derivation has u.",
            with_argument(x - _LAMBDA1 * _blur(1 - 2 * x)),
        ),
        (
            "epsilon divides the regulariser only; it divides u as well.",
            _sigmoid(u - _LAMBDA1 * _blur(1 - 2 * x) / _EPSILON),
        ),
        (
            "epsilon is missing: it divides the whole argument.",
            _sigmoid(u - _LAMBDA1 * _blur(1 - 2 * x)),
        ),
        (
            "this is the argument; the sigmoid is missing.",
            (u - _LAMBDA1 * _blur(1 - 2 * x)) / _EPSILON,
        ),
        (
            "K is taken of x - 1/2 without a border: K1 is below 1 near the edge, so blur 1 - 2x.",
            with_argument(u - _LAMBDA1 * (1 - 2 * _blur(x))),
        ),
        ("the axes are transposed.", right.T),
    ]
    return verdict(answer, right, wrong)


def boundary_term(term):
    """term(x, blur) -> the number <x, K(1 - x)>."""
    _, x = _fields()
    answer = term(x.copy(), _blur)
    right = (x * _blur(1 - x)).sum()
    wrong = [
        ("this is the mean over the pixels; <a, b> is the sum.", (x * _blur(1 - x)).mean()),
        ("this is the sign of -<x, K(1 - x)>.", -right),
        ("this is <x, Kx>; one side has to be 1 - x.", (x * _blur(x)).sum()),
        (
            "K1 is not 1 near the edge: blur 1 - x, do not subtract from 1.",
            (x * (1 - _blur(x))).sum(),
        ),
        (
            "the factor 2 belongs to the derivative, not to the energy.",
            (x * _blur(1 - 2 * x)).sum(),
        ),
        ("sum the products over all pixels: one number is wanted.", x * _blur(1 - x)),
    ]
    return verdict(answer, right, wrong)


def printed_fixed_point(value):
    """The x that the printed iteration ends at, far from the border, for lambda1 = epsilon = 1."""
    x = 0.5
    for _ in range(200):
        x = _sigmoid(3 * x - 1)
    plain = 0.5
    for _ in range(200):
        plain = _sigmoid(plain)
    wrong = [
        ("that is the fixed point of Sig(x): the boundary term is missing.", plain),
        ("that solves x = Sig(x - 1 + x), with 1 - x in the place of 1 - 2x.", _solve(2)),
    ]
    return verdict(value, x, wrong, tolerance=1e-4)


def _solve(slope):
    x = 0.5
    for _ in range(500):
        x = _sigmoid(slope * x - 1)
    return x
