"""Exercises of the chapter *Why it measures boundary length*."""

import math

import numpy as np

from nodule_lesson.chapters.exercise import Exercise, blur

_SIGMA, _ROOT = 1.7, np.sqrt(2 * np.pi)
_FIELD = np.random.default_rng(1922).random((9, 14))


def _term(x, K):
    return (x * K(1 - x)).sum()


# length(x, blur, sigma) -> the boundary length in pixels that <x, K(1 - x)> stands for.
estimated_length = Exercise(
    ask=(_FIELD, blur(_SIGMA), _SIGMA),
    right=lambda x, K, s: _term(x, K) * _ROOT / s,
    mistakes={
        "this is the term itself; it has to be turned into pixels of length.":
            lambda x, K, s: _term(x, K),
        "sigma is missing: a wider Gaussian sees more of the same outline.":
            lambda x, K, s: _term(x, K) * _ROOT,
        "the root of 2 pi is missing.": lambda x, K, s: _term(x, K) / s,
        "the factor is upside down: the term is length times sigma / sqrt(2 pi).":
            lambda x, K, s: _term(x, K) * s / _ROOT,
        "2 pi stands there without its root.": lambda x, K, s: _term(x, K) * 2 * np.pi / s,
        "this is twice too much: only the pixels inside pay, those outside have x = 0.":
            lambda x, K, s: 2 * _term(x, K) * _ROOT / s,
        "this is half of it: nothing is counted twice.":
            lambda x, K, s: _term(x, K) * _ROOT / s / 2,
        "this is the mean over the pixels; <a, b> is the sum.":
            lambda x, K, s: _term(x, K) * _ROOT / s / x.size,
        "this is <x, Kx>; one side has to be 1 - x.": lambda x, K, s: (x * K(x)).sum() * _ROOT / s,
        "blur 1 - x, do not subtract from 1: the border of the image is free.":
            lambda x, K, s: (x * (1 - K(x))).sum() * _ROOT / s,
        "that is what each pixel pays: sum it, one number is wanted.":
            lambda x, K, s: x * K(1 - x) * _ROOT / s,
    },
)  # fmt: skip


def _inner(w, s):
    """Of the mean of min(|z|, w): the steps shorter than w, in units of s / sqrt(2 pi)."""
    return 2 * (1 - np.exp(-(w**2) / (2 * s**2)))


def _tail(w, s):
    """The steps longer than w."""
    return w / s * _ROOT * math.erfc(w / (s * math.sqrt(2)))


# wall(w, sigma) -> the length that the term reports per pixel of a wall of the thickness w.
wall = Exercise(
    ask=[(1.0, 2.0), (3.0, 1.0), (2.0, 2.0), (5.0, 2.5)],
    right=lambda w, s: _inner(w, s) + _tail(w, s),
    mistakes={
        "this holds for a thick wall: a step longer than the wall carries out no more than w.":
            lambda w, s: 2.0,
        "steps longer than w are missing: each of them carries out w.": _inner,
        "steps shorter than w are missing: they carry out |z|.": _tail,
        "the tail of the normal distribution has two sides, z > w and z < -w.":
            lambda w, s: _inner(w, s) + _tail(w, s) / 2,
        "this is one side of the wall: steps to the left carry out as much as steps to the right.":
            lambda w, s: (_inner(w, s) + _tail(w, s)) / 2,
        "this is the term itself; it has to be turned into pixels of length.":
            lambda w, s: (_inner(w, s) + _tail(w, s)) * s / _ROOT,
        "here every step carries out the whole wall; a short step carries out |z|.":
            lambda w, s: w / s * _ROOT,
        "the mean of a minimum is less than the minimum of the means.":
            lambda w, s: min(2.0, w / s * _ROOT),
        "the exponent is w^2 / (2 sigma^2).":
            lambda w, s: 2 * (1 - np.exp(-(w**2) / s**2)) + _tail(w, s),
        "P(|z| > w) is math.erfc(w / (sigma sqrt(2))): the root of 2 is missing.":
            lambda w, s: _inner(w, s) + w / s * _ROOT * math.erfc(w / s),
    },
    tolerance=1e-4,
)  # fmt: skip

# layer(price, most) -> (lambda1, sigma) for a price per pixel and the most that a logit moves.
layer = Exercise(
    ask=[(0.4, 1.0), (1.0, 2.0), (2.5, 1.5)],
    right=lambda p, m: (m, p * _ROOT / m),
    mistakes={
        "the two have changed places: lambda1 comes first.": lambda p, m: (p * _ROOT / m, m),
        "sigma stands upside down: the price grows with sigma.":
            lambda p, m: (m, m / (p * _ROOT)),
        "in sigma the root of 2 pi is missing.": lambda p, m: (m, p / m),
        "in sigma lambda1 is missing: the price is the product of both.":
            lambda p, m: (m, p * _ROOT),
        "in sigma 2 pi stands there without its root.": lambda p, m: (m, p * 2 * np.pi / m),
        "sigma is divided by the root of 2 pi; solve for it once more.":
            lambda p, m: (m, p / (m * _ROOT)),
        "K(1 - 2x) reaches from -1 to 1, so a logit moves by lambda1, not by twice as much.":
            lambda p, m: (m / 2, 2 * p * _ROOT / m),
        "a logit moves by up to lambda1 in each direction; this allows twice too much.":
            lambda p, m: (2 * m, p * _ROOT / (2 * m)),
        "the price is that of lambda1 = 1; the second condition changes lambda1.":
            lambda p, m: (1.0, p * _ROOT),
    },
)  # fmt: skip
