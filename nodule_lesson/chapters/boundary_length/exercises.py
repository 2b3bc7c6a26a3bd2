"""Checkers of the chapter *Why it measures boundary length*."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.verdict import verdict

_SIGMA = 1.7


def _field():
    return np.random.default_rng(1922).random((9, 14))


def _blur(field):
    return std.gaussian_blur(torch.as_tensor(np.ascontiguousarray(field)), _SIGMA).numpy()


def _periodic_blur(field):
    """The same Gaussian on a field that repeats itself: 3 x 3 copies, cut within their reach."""
    height, width = field.shape
    tiles = torch.as_tensor(np.tile(field, (3, 3)))
    blurred = std.gaussian_blur(tiles, _SIGMA, radius=height).numpy()
    return blurred[height : 2 * height, width : 2 * width]


def estimated_length(length):
    """length(x, blur, sigma) -> the boundary length in pixels that <x, K(1 - x)> stands for."""
    x = _field()
    answer = length(x.copy(), _blur, _SIGMA)
    field = x * _blur(1 - x)
    term, root = field.sum(), np.sqrt(2 * np.pi)
    right = term * root / _SIGMA
    wrong = [
        ("this is the term itself; it has to be turned into pixels of length.", term),
        ("sigma is missing: a wider Gaussian sees more of the same outline.", term * root),
        ("the root of 2 pi is missing.", term / _SIGMA),
        ("the factor is upside down: the term is length times sigma / sqrt(2 pi).",
         term * _SIGMA / root),
        ("2 pi stands there without its root.", term * 2 * np.pi / _SIGMA),
        ("this is twice too much: only the pixels inside pay, those outside have x = 0.",
         2 * right),
        ("this is half of it: nothing is counted twice.", right / 2),
        ("this is the mean over the pixels; <a, b> is the sum.", right / x.size),
        ("this is <x, Kx>; one side has to be 1 - x.", (x * _blur(x)).sum() * root / _SIGMA),
        ("blur 1 - x, do not subtract from 1: the border of the image is free.",
         (x * (1 - _blur(x))).sum() * root / _SIGMA),
        ("that is what each pixel pays: sum it, one number is wanted.", field * root / _SIGMA),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def two_parts(parts):
    """parts(x, blur) -> (softness, roughness), whose sum is <x, K(1 - x)>; blur is periodic."""
    x = _field()
    answer = parts(x.copy(), _periodic_blur)
    softness = (x * (1 - x)).sum()
    roughness = (x * x - x * _periodic_blur(x)).sum()
    wrong = [
        ("the one half of the roughness is missing: each pair stands there twice.",
         (softness, 2 * roughness)),
        ("the sign of the roughness is off: it is a sum of squares.", (softness, -roughness)),
        ("the two parts have changed places.", (roughness, softness)),
        ("these are means over the pixels; wanted are sums.",
         (softness / x.size, roughness / x.size)),
        ("the roughness is <x, x - Kx>: this is the whole term <x, K(1 - x)>.",
         (softness, softness + roughness)),
        ("this is <x, Kx>: take it from the sum of the squares.",
         (softness, (x * _periodic_blur(x)).sum())),
        ("sum each part over the pixels: two numbers are wanted.",
         (x * (1 - x), x * x - x * _periodic_blur(x))),
    ]  # fmt: skip
    return verdict(answer, (softness, roughness), wrong)


def weight_for_price(weight):
    """weight(price, sigma) -> the lambda1 at which a pixel of outline costs `price`."""
    price, sigma = np.array([0.4, 1.0, 2.5]), np.array([1.0, 2.0, 3.5])
    answers = [weight(float(p), float(s)) for p, s in zip(price, sigma, strict=True)]
    answer = None if any(value is None for value in answers) else answers
    root = np.sqrt(2 * np.pi)
    wrong = [
        ("that is the price of a weight; the weight of a price is asked.", price * sigma / root),
        ("sigma is missing.", price * root),
        ("the root of 2 pi is missing.", price / sigma),
        ("sigma stands upside down: a wider Gaussian needs a smaller weight.",
         price * root * sigma),
        ("2 pi stands there without its root.", price * 2 * np.pi / sigma),
        ("the factor 2 belongs to the iteration, not to the energy.", price * root / (2 * sigma)),
        ("twice too much: only the pixels inside pay.", 2 * price * root / sigma),
    ]  # fmt: skip
    return verdict(answer, price * root / sigma, wrong)
