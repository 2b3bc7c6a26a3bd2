"""Checkers of the chapter *The detection prior*."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.verdict import verdict

_LAMBDA1, _LAMBDA2, _C, _EPSILON, _SIGMA = 0.7, 1.9, 0.3, 0.8, 1.3


def _blur(field):
    return std.gaussian_blur(torch.as_tensor(np.ascontiguousarray(field)), _SIGMA).numpy()


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def prior_step(step):
    """step(x, u, blur, lambda1, lambda2, c, epsilon) -> the next x, the paper's Eq. (5), derived.

    blur(field) is K. x and u are numpy arrays of 9 x 14 pixels, not square, so that transposed
    axes show.
    """
    generator = np.random.default_rng(20154)
    u, x = generator.normal(size=(9, 14)), generator.random((9, 14))
    answer = step(x.copy(), u.copy(), _blur, _LAMBDA1, _LAMBDA2, _C, _EPSILON)
    boundary, price = _LAMBDA1 * _blur(1 - 2 * x), _LAMBDA2 * (1 - _C)

    def with_argument(argument):
        return _sigmoid(argument / _EPSILON)

    right = with_argument(u - boundary - price)
    wrong = [
        (
            "the sign of lambda2 is off: this makes a doubted nodule grow.",
            with_argument(u - boundary + price),
        ),
        (
            "this is lambda2 c: it punishes where the classifier is sure. Doubt is 1 - c.",
            with_argument(u - boundary - _LAMBDA2 * _C),
        ),
        (
            "the prior stands outside the division: epsilon divides the whole argument.",
            _sigmoid((u - boundary) / _EPSILON - price),
        ),
        (
            "the factor 2 is missing. The derivative of <x, K(1 - x)> is K(1 - 2x).",
            with_argument(u - _LAMBDA1 * _blur(1 - x) - price),
        ),
        (
            "the sign of lambda1 is off: this rewards boundary.",
            with_argument(u + boundary - price),
        ),
        (
            "this has x where the derivation has u, as the printed equation does.",
            with_argument(x - boundary - price),
        ),
        (
            "the price is multiplied by x: the derivative of <1, x> is 1, for every pixel.",
            with_argument(u - boundary - price * x),
        ),
        ("the prior is missing: this is the paper's Eq. (3).", with_argument(u - boundary)),
        ("the weight lambda2 is missing.", with_argument(u - boundary - (1 - _C))),
        ("epsilon is missing: it divides the whole argument.", _sigmoid(u - boundary - price)),
        ("this is the argument; the sigmoid is missing.", (u - boundary - price) / _EPSILON),
        ("the axes are transposed.", right.T),
    ]
    return verdict(answer, right, wrong)


def equivalent_threshold(threshold):
    """threshold(c, lambda2, epsilon) -> the level of Sig(u / epsilon) that the prior asks for.

    Without the boundary term. The checker calls it with an array of values of c.
    """
    c = np.array([0.0, 0.2, 0.7, 1.0])
    answer = threshold(c.copy(), _LAMBDA2, _EPSILON)
    price = _LAMBDA2 * (1 - c)
    wrong = [
        ("that is the threshold on u; the question is about Sig(u / epsilon).", price),
        ("that is the threshold on u / epsilon: the sigmoid is missing.", price / _EPSILON),
        ("epsilon is missing.", _sigmoid(price)),
        (
            "that is where Sig(u / epsilon) = 1/2 ends up; the threshold rises as c falls.",
            _sigmoid(-price / _EPSILON),
        ),
        ("this takes c for the doubt 1 - c.", _sigmoid(_LAMBDA2 * c / _EPSILON)),
        (
            "multiplied by epsilon where it should be divided.",
            _sigmoid(price * _EPSILON),
        ),
    ]
    return verdict(answer, _sigmoid(price / _EPSILON), wrong)


def break_even_c(function):
    """function(radius, logit, sigma, lambda1, lambda2) -> the c at which a disc is worth nothing.

    The energies of the disc and of the empty field are equal there, with hard masks and
    <1_A, K(1 - 1_A)> = perimeter sigma / sqrt(2 pi).
    """
    radius, logit, sigma, lambda1, lambda2 = 7.0, 1.6, 1.5, 0.9, 2.3
    answer = function(radius, logit, sigma, lambda1, lambda2)

    def at_price(length_price):
        return 1 - (logit - length_price) / lambda2

    price = lambda1 * sigma * np.sqrt(2 / np.pi) / radius
    wrong = [
        (
            "that is where the disc stops holding itself up (dE/dr = 0); break-even is E = 0.",
            at_price(price / 2),
        ),
        ("that is 1 - c.", (logit - price) / lambda2),
        ("the boundary is missing: without it the radius does not matter.", at_price(0)),
        ("the sign of the boundary's price is off: a boundary costs.", at_price(-price)),
        (
            "the boundary term is perimeter times sigma / sqrt(2 pi), not the perimeter.",
            at_price(2 * lambda1 / radius),
        ),
        ("sigma is missing from the boundary's price.", at_price(price / sigma)),
        ("lambda1 is missing from the boundary's price.", at_price(price / lambda1)),
        ("lambda2 is missing: the shift is lambda2 (1 - c).", 1 - (logit - price)),
        (
            "multiplied by lambda2 where it should be divided.",
            1 - (logit - price) * lambda2,
        ),
    ]
    return verdict(answer, at_price(price), wrong, tolerance=1e-5)
