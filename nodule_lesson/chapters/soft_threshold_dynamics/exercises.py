"""Exercises of the chapter *Soft threshold dynamics*."""

import numpy as np
from scipy.special import expit

from nodule_lesson.chapters.exercise import Exercise, blur


def _fields():
    """A wide and a tall field would hide transposed axes if they were square: these are not."""
    random = np.random.default_rng(20154)
    return random.normal(size=(9, 14)), random.random((9, 14))


_U, _X = _fields()
_BLUR = blur(1.3)


def _argument(x, u, K, a, e):
    return (u - a * K(1 - 2 * x)) / e


def _step(*arguments):
    return expit(_argument(*arguments))


# step(x, u, blur, lambda1, epsilon) -> the next x, the paper's Eq. (3), derived. blur(field) is K.
std_step = Exercise(
    ask=(_X, _U, _BLUR, 0.7, 0.8),
    right=_step,
    mistakes={
        "the factor 2 is missing. The derivative of <x, K(1 - x)> is K(1 - 2x).":
            lambda x, u, K, a, e: expit((u - a * K(1 - x)) / e),
        "the sign of lambda1 is off: this rewards boundary.":
            lambda x, u, K, a, e: _step(x, u, K, -a, e),
        "this is the printed iteration, with x where the derivation has u.":
            lambda x, u, K, a, e: _step(x, x, K, a, e),
        "epsilon divides the regulariser only; it divides u as well.":
            lambda x, u, K, a, e: _step(x, u, K, a / e, 1),
        "epsilon is missing: it divides the whole argument.":
            lambda x, u, K, a, e: _step(x, u, K, a, 1),
        "this is the argument; the sigmoid is missing.": _argument,
        "K is taken of x - 1/2 without a border: K1 is below 1 near the edge, so blur 1 - 2x.":
            lambda x, u, K, a, e: expit((u - a * (1 - 2 * K(x))) / e),
        "the axes are transposed.": lambda *arguments: _step(*arguments).T,
    },
)  # fmt: skip

# term(x, blur) -> the number <x, K(1 - x)>.
boundary_term = Exercise(
    ask=(_X, _BLUR),
    right=lambda x, K: (x * K(1 - x)).sum(),
    mistakes={
        "this is the mean over the pixels; <a, b> is the sum.": lambda x, K: (x * K(1 - x)).mean(),
        "this is the sign of -<x, K(1 - x)>.": lambda x, K: -(x * K(1 - x)).sum(),
        "this is <x, Kx>; one side has to be 1 - x.": lambda x, K: (x * K(x)).sum(),
        "K1 is not 1 near the edge: blur 1 - x, do not subtract from 1.":
            lambda x, K: (x * (1 - K(x))).sum(),
        "the factor 2 belongs to the derivative, not to the energy.":
            lambda x, K: (x * K(1 - 2 * x)).sum(),
        "sum the products over all pixels: one number is wanted.": lambda x, K: x * K(1 - x),
    },
)  # fmt: skip


def _fixed_point(argument):
    """Where x = Sig(argument(x)) ends, from x = 1/2."""

    def fixed_point():
        x = 0.5
        for _ in range(500):
            x = expit(argument(x))
        return x

    return fixed_point


# The x that the printed iteration ends at, far from the border, for lambda1 = epsilon = 1.
printed_fixed_point = Exercise(
    ask=(),
    right=_fixed_point(lambda x: 3 * x - 1),
    mistakes={
        "that is the fixed point of Sig(x): the boundary term is missing.":
            _fixed_point(lambda x: x),
        "that solves x = Sig(x - 1 + x), with 1 - x in the place of 1 - 2x.":
            _fixed_point(lambda x: 2 * x - 1),
    },
    tolerance=1e-4,
)  # fmt: skip
