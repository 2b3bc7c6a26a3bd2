"""Exercises of the chapter *Why it measures boundary length*."""

import numpy as np
import torch

from nodule_lesson import std
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


def _periodic_blur(field):
    """The same Gaussian on a field that repeats itself: 3 x 3 copies, cut within their reach."""
    height, width = field.shape
    tiles = torch.as_tensor(np.tile(field, (3, 3)))
    blurred = std.gaussian_blur(tiles, _SIGMA, radius=height)
    blurred = blurred[height : 2 * height, width : 2 * width]
    return blurred if torch.is_tensor(field) else blurred.numpy()


def _softness(x):
    return (x * (1 - x)).sum()


def _roughness(x, K):
    return (x * (x - K(x))).sum()


# parts(x, blur) -> (softness, roughness), whose sum is <x, K(1 - x)>; blur is periodic.
two_parts = Exercise(
    ask=(_FIELD, _periodic_blur),
    right=lambda x, K: (_softness(x), _roughness(x, K)),
    mistakes={
        "the one half of the roughness is missing: each pair stands there twice.":
            lambda x, K: (_softness(x), 2 * _roughness(x, K)),
        "the sign of the roughness is off: it is a sum of squares.":
            lambda x, K: (_softness(x), -_roughness(x, K)),
        "the two parts have changed places.": lambda x, K: (_roughness(x, K), _softness(x)),
        "these are means over the pixels; wanted are sums.":
            lambda x, K: (_softness(x) / x.size, _roughness(x, K) / x.size),
        "the roughness is <x, x - Kx>: this is the whole term <x, K(1 - x)>.":
            lambda x, K: (_softness(x), _term(x, K)),
        "this is <x, Kx>: take it from the sum of the squares.":
            lambda x, K: (_softness(x), (x * K(x)).sum()),
        "sum each part over the pixels: two numbers are wanted.":
            lambda x, K: (x * (1 - x), x * (x - K(x))),
    },
)  # fmt: skip

# weight(price, sigma) -> the lambda1 at which a pixel of outline costs `price`.
weight_for_price = Exercise(
    ask=[(0.4, 1.0), (1.0, 2.0), (2.5, 3.5)],
    right=lambda p, s: p * _ROOT / s,
    mistakes={
        "that is the price of a weight; the weight of a price is asked.":
            lambda p, s: p * s / _ROOT,
        "sigma is missing.": lambda p, s: p * _ROOT,
        "the root of 2 pi is missing.": lambda p, s: p / s,
        "sigma stands upside down: a wider Gaussian needs a smaller weight.":
            lambda p, s: p * _ROOT * s,
        "2 pi stands there without its root.": lambda p, s: p * 2 * np.pi / s,
        "the factor 2 belongs to the iteration, not to the energy.":
            lambda p, s: p * _ROOT / (2 * s),
        "twice too much: only the pixels inside pay.": lambda p, s: 2 * p * _ROOT / s,
    },
)  # fmt: skip
