"""Exercises of the chapter *Soft threshold dynamics*."""

import numpy as np
from scipy.special import expit, softmax

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
        "epsilon divides u only; it divides the boundary term as well.":
            lambda x, u, K, a, e: _step(x, u / e, K, a, 1),
        "epsilon divides here; this multiplies by it.":
            lambda x, u, K, a, e: _step(x, u, K, a, 1 / e),
        "epsilon is missing: it divides the whole argument.":
            lambda x, u, K, a, e: _step(x, u, K, a, 1),
        "this is the argument; the sigmoid is missing.": _argument,
        "1 - 2 blur(x) is not blur(1 - 2x): near the edge of the image the blur of 1 is below 1.":
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


def _class_fields():
    """x, on three classes that sum to 1 at each pixel, and their logits."""
    random = np.random.default_rng(20155)
    return softmax(random.normal(size=(3, 9, 14)), axis=0), random.normal(size=(3, 9, 14))


def _class_logits(x, u, K, a, e):
    return (u - a * K(1 - 2 * x)) / e


def _class_step(*arguments):
    return softmax(_class_logits(*arguments), axis=0)


# step(x, u, blur, lam, epsilon) -> the next x of the layer for several classes, (classes, H, W).
classes_step = Exercise(
    ask=(*_class_fields(), _BLUR, 0.7, 0.8),
    right=_class_step,
    mistakes={
        "the factor 2 is missing. The derivative of <x_k, K(1 - x_k)> is K(1 - 2 x_k).":
            lambda x, u, K, a, e: _class_step(x, u, K, a / 2, e),
        "this is a sigmoid for each class: the classes of a pixel do not sum to 1.":
            lambda *arguments: expit(_class_logits(*arguments)),
        "the sign of lam is off: this rewards boundary.":
            lambda x, u, K, a, e: _class_step(x, u, K, -a, e),
        "this has x where the derivation has u, as the printed iteration.":
            lambda x, u, K, a, e: _class_step(x, x, K, a, e),
        "the sum runs over pixels; the classes of each pixel have to sum to 1, axis 0.": (
            lambda *arguments: softmax(_class_logits(*arguments), axis=-1),
            lambda *arguments: softmax(_class_logits(*arguments), axis=1),
            lambda *arguments: softmax(_class_logits(*arguments)),
        ),
        "epsilon is missing: it divides the whole argument.":
            lambda x, u, K, a, e: _class_step(x, u, K, a, 1),
        "epsilon divides the boundary term only; it divides u as well.":
            lambda x, u, K, a, e: _class_step(x, u, K, a / e, 1),
        "epsilon divides u only; it divides the boundary term as well.":
            lambda x, u, K, a, e: _class_step(x, u / e, K, a, 1),
        "these are the logits; the softmax over the classes is missing.": _class_logits,
        "the softmax is not normalised: divide by the sum over the classes.":
            lambda *arguments: np.exp(_class_logits(*arguments)),
        "the boundary term is missing: no pixel hears its neighbours.":
            lambda x, u, K, a, e: softmax(u / e, axis=0),
        "u is missing: this step forgets its input.":
            lambda x, u, K, a, e: _class_step(x, 0 * u, K, a, e),
    },
)  # fmt: skip
