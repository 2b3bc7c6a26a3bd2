"""Exercises of the chapter *The detection prior*."""

import numpy as np
from scipy.special import expit

from nodule_lesson.chapters.exercise import Exercise, blur


def _fields():
    """u and x, not square, so that transposed axes show."""
    random = np.random.default_rng(20154)
    return random.normal(size=(9, 14)), random.random((9, 14))


_U, _X = _fields()


def _step(argument):
    """A step; argument(u, boundary, price) is epsilon times that of its sigmoid."""
    return lambda x, u, K, a, b, c, e: expit(argument(u, a * K(1 - 2 * x), b * (1 - c)) / e)


_prior_step = _step(lambda u, boundary, price: u - boundary - price)

# step(x, u, blur, lambda1, lambda2, c, epsilon) -> the next x, the paper's Eq. (5), derived.
# blur(field) is K.
prior_step = Exercise(
    ask=(_X, _U, blur(1.3), 0.7, 1.9, 0.3, 0.8),
    right=_prior_step,
    mistakes={
        "the sign of lambda2 is off: this makes a doubted nodule grow.":
            _step(lambda u, boundary, price: u - boundary + price),
        "this is lambda2 c: it punishes where the classifier is sure. Doubt is 1 - c.":
            lambda x, u, K, a, b, c, e: _prior_step(x, u, K, a, b, 1 - c, e),
        "the prior stands outside the division: epsilon divides the whole argument.":
            lambda x, u, K, a, b, c, e: _prior_step(x, u, K, a, b * e, c, e),
        "the factor 2 is missing. The derivative of <x, K(1 - x)> is K(1 - 2x).":
            lambda x, u, K, a, b, c, e: _prior_step(x / 2, u, K, a, b, c, e),
        "the sign of lambda1 is off: this rewards boundary.":
            _step(lambda u, boundary, price: u + boundary - price),
        "this has x where the derivation has u, as the printed equation does.":
            lambda x, u, K, a, b, c, e: _prior_step(x, x, K, a, b, c, e),
        "the price is multiplied by x: the derivative of <1, x> is 1, for every pixel.":
            lambda x, u, K, a, b, c, e: _prior_step(x, u, K, a, b * x, c, e),
        "the prior is missing: this is the paper's Eq. (3).":
            _step(lambda u, boundary, price: u - boundary),
        "the weight lambda2 is missing.":
            lambda x, u, K, a, b, c, e: _prior_step(x, u, K, a, 1, c, e),
        "epsilon is missing: it divides the whole argument.":
            lambda x, u, K, a, b, c, e: _prior_step(x, u, K, a, b, c, 1),
        "this is the argument; the sigmoid is missing.":
            lambda x, u, K, a, b, c, e: (u - a * K(1 - 2 * x) - b * (1 - c)) / e,
        "the axes are transposed.": lambda *arguments: _prior_step(*arguments).T,
    },
)  # fmt: skip

# threshold(c, lambda2, epsilon) -> the level of Sig(u / epsilon) that the prior asks for, without
# the boundary term. c is an array.
equivalent_threshold = Exercise(
    ask=(np.array([0.0, 0.2, 0.7, 1.0]), 1.9, 0.8),
    right=lambda c, b, e: expit(b * (1 - c) / e),
    mistakes={
        "that is the threshold on u; the question is about Sig(u / epsilon).":
            lambda c, b, e: b * (1 - c),
        "that is the threshold on u / epsilon: the sigmoid is missing.":
            lambda c, b, e: b * (1 - c) / e,
        "epsilon is missing.": lambda c, b, e: expit(b * (1 - c)),
        "that is where Sig(u / epsilon) = 1/2 ends up; the threshold rises as c falls.":
            lambda c, b, e: expit(-b * (1 - c) / e),
        "this takes c for the doubt 1 - c.": lambda c, b, e: expit(b * c / e),
        "multiplied by epsilon where it should be divided.":
            lambda c, b, e: expit(b * (1 - c) * e),
    },
)  # fmt: skip


def _price(r, s, a):
    """What the boundary of a disc costs, for each pixel of the disc."""
    return a * s * np.sqrt(2 / np.pi) / r


# break_even(radius, logit, sigma, lambda1, lambda2) -> the c at which a disc is worth nothing: the
# energies of the disc and of the empty field are equal, with hard masks and
# <1_A, K(1 - 1_A)> = perimeter sigma / sqrt(2 pi).
break_even_c = Exercise(
    ask=(7.0, 1.6, 1.5, 0.9, 2.3),
    right=lambda r, u, s, a, b: 1 - (u - _price(r, s, a)) / b,
    mistakes={
        "that is where the disc stops holding itself up (dE/dr = 0); break-even is E = 0.":
            lambda r, u, s, a, b: 1 - (u - _price(r, s, a) / 2) / b,
        "that is 1 - c.": lambda r, u, s, a, b: (u - _price(r, s, a)) / b,
        "the boundary is missing: without it the radius does not matter.":
            lambda r, u, s, a, b: 1 - u / b,
        "the sign of the boundary's price is off: a boundary costs.":
            lambda r, u, s, a, b: 1 - (u + _price(r, s, a)) / b,
        "the boundary term is perimeter times sigma / sqrt(2 pi), not the perimeter.":
            lambda r, u, s, a, b: 1 - (u - 2 * a / r) / b,
        "sigma is missing from the boundary's price.":
            lambda r, u, s, a, b: 1 - (u - _price(r, 1, a)) / b,
        "lambda1 is missing from the boundary's price.":
            lambda r, u, s, a, b: 1 - (u - _price(r, s, 1)) / b,
        "lambda2 is missing: the shift is lambda2 (1 - c).":
            lambda r, u, s, a, b: 1 - (u - _price(r, s, a)),
        "multiplied by lambda2 where it should be divided.":
            lambda r, u, s, a, b: 1 - (u - _price(r, s, a)) * b,
    },
    tolerance=1e-5,
)  # fmt: skip
