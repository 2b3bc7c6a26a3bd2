"""Exercises of the chapter *The sigmoid is the answer to a question*."""

import numpy as np
from scipy.special import expit, softmax, xlogy

from nodule_lesson.chapters.exercise import Exercise

_EPSILON = 0.7


def _coin_field():
    """Fields x and u; x holds an exact 0 and an exact 1."""
    random = np.random.default_rng(1)
    u, x = random.normal(size=(9, 14)), random.random((9, 14))
    x[0, :2] = 0, 1
    return x, u


def _density(x, u, e, other_side=1):
    return -u * x + e * (xlogy(x, x) + other_side * xlogy(1 - x, 1 - x))


# function(x, u, epsilon) -> what the paper's Eq. (1) minimises, for arrays x and u.
energy = Exercise(
    ask=(*_coin_field(), _EPSILON),
    right=lambda x, u, e: _density(x, u, e).sum(),
    faults={
        "0 ln 0 came out as NaN; it counts as 0, its limit.": lambda E: np.isnan(E).any(),
    },
    mistakes={
        "this is the mean over the pixels; <a, b> is the sum.":
            lambda x, u, e: _density(x, u, e).mean(),
        "sum over all pixels: one number is wanted.": _density,
        "the entropy's sign is off: this rewards certainty.":
            lambda x, u, e: _density(x, u, -e).sum(),
        "the sign of <u, x> is off: this wants x small where u is large.":
            lambda x, u, e: _density(x, -u, e).sum(),
        "every sign is off: this is what one would maximise.":
            lambda x, u, e: -_density(x, u, e).sum(),
        "epsilon is missing: it is the weight of the entropy.":
            lambda x, u, e: _density(x, u, 1).sum(),
        "epsilon weighs the entropy only, not <u, x>.":
            lambda x, u, e: e * _density(x, u, 1).sum(),
        "half the entropy is missing: (1 - x) ln(1 - x).":
            lambda x, u, e: _density(x, u, e, other_side=0).sum(),
        "the logarithm is the natural one, not that to the base 2.":
            lambda x, u, e: _density(x, u, e / np.log(2)).sum(),
    },
)  # fmt: skip


def _logits():
    u = np.random.default_rng(2).normal(size=(9, 14))
    u[0, :2] = 800, -800
    return u


def _softplus(z):
    return np.logaddexp(0, z)


def _minima(u, e):
    return -e * _softplus(u / e)


# function(u, epsilon) -> the lowest value of the paper's Eq. (1), for an array u.
minimum = Exercise(
    ask=(_logits(), _EPSILON),
    right=lambda u, e: _minima(u, e).sum(),
    faults={
        "e^u overflows at u = 800; softplus is max(z, 0) + ln(1 + e^-|z|), too.":
            lambda E: np.isinf(E).any(),
    },
    mistakes={
        "the sign is off: at the minimum, the energy is negative.":
            lambda u, e: -_minima(u, e).sum(),
        "this is the mean over the pixels; the energy is a sum.":
            lambda u, e: _minima(u, e).mean(),
        "sum over all pixels: one number is wanted.": _minima,
        "epsilon is missing in front of the softplus.": lambda u, e: _minima(u, e).sum() / e,
        "epsilon is missing inside the softplus: its argument is u / epsilon.":
            lambda u, e: e * _minima(u, 1).sum(),
        "epsilon is missing, both inside and in front of the softplus.":
            lambda u, e: _minima(u, 1).sum(),
        "this is the limit for epsilon to 0.": lambda u, e: np.minimum(-u, 0).sum(),
        "this is the energy at Sig(u); it is lowest at Sig(u / epsilon).":
            lambda u, e: _density(expit(u), u, e).sum(),
        "softplus(-u) is the minimum without its linear part: put x = Sig(u / epsilon) into E.":
            lambda u, e: _minima(-u, e).sum(),
    },
)  # fmt: skip


def _softmax(u, e):
    return softmax(u / e, axis=1)


# function(u, epsilon) -> the minimiser over the simplex, one for each row of u, (pixels, classes).
softmax_minimiser = Exercise(
    ask=(2 * np.random.default_rng(3).normal(size=(6, 4)), _EPSILON),
    right=_softmax,
    mistakes={
        "epsilon is missing: it divides the logits.": lambda u, e: _softmax(u, 1),
        "epsilon divides the logits; here it multiplies them.": lambda u, e: _softmax(u, 1 / e),
        "the sign of u is off.": lambda u, e: _softmax(-u, e),
        "the sum runs over the pixels; over the classes of one pixel it has to be 1.":
            lambda u, e: softmax(u / e, axis=0),
        "the sum runs over all pixels and classes; each row for itself has to sum to 1.":
            lambda u, e: softmax(u / e),
        "the multiplier is missing: the rows do not sum to 1.":
            (lambda u, e: np.exp(u / e), lambda u, e: np.exp(u / e - 1)),
        "this is a sigmoid for each class: the rows do not sum to 1.": lambda u, e: expit(u / e),
        "this is the limit for epsilon to 0.": lambda u, e: u == u.max(1, keepdims=True),
        "this is the logarithm of the minimiser.": lambda u, e: np.log(_softmax(u, e)),
        "the axes are transposed.": lambda u, e: _softmax(u, e).T,
    },
    then=Exercise(
        ask=(np.array([[800.0, 0, -800, 799]]), _EPSILON),
        right=_softmax,
        faults={
            "right, but e^800 overflows. Subtract the largest logit of the row first: "
            "the minimiser does not change.": lambda x: np.isnan(x).any(),
        },
    ),
)  # fmt: skip


def _relu(u, e):
    return np.maximum(u, 0) / e


# function(u, epsilon) -> the x >= 0 that minimises -u x + epsilon x^2 / 2, for an array u.
relu_minimiser = Exercise(
    ask=(np.random.default_rng(4).normal(size=(5, 7)), _EPSILON),
    right=_relu,
    mistakes={
        "the constraint is missing: x may not be negative.": lambda u, e: u / e,
        "epsilon is missing: it divides.": lambda u, e: _relu(u, 1),
        "epsilon divides; here it multiplies.": lambda u, e: _relu(u, 1 / e),
        "the factor 2 is too much: the derivative of x^2 / 2 is x.":
            (lambda u, e: _relu(u, 2 * e), lambda u, e: _relu(u, e / 2)),
        "the sign of u is off.": lambda u, e: _relu(-u, e),
        "where u < 0 the lowest point is the border x = 0, not its mirror image.":
            lambda u, e: np.abs(u) / e,
        "nothing asks for x <= 1 here.": lambda u, e: np.clip(u / e, 0, 1),
        "this is softplus: its penalty is another one.": lambda u, e: e * _softplus(u / e),
        "this is the lowest energy; wanted is the x at which it is reached.":
            lambda u, e: -np.maximum(u, 0) ** 2 / (2 * e),
    },
)  # fmt: skip
