"""Exercises of the chapter *The detection prior*."""

import numpy as np
from scipy.special import expit, logit

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

# break_even(a, height, mu, lambda2) -> the c at which a square of side a is worth nothing: the
# energies of the square and of the empty field are equal, with hard masks and a price mu for each
# pixel of outline.
break_even_c = Exercise(
    ask=(7.0, 1.6, 0.55, 2.3),
    right=lambda a, h, m, b: 1 - (h - 4 * m / a) / b,
    mistakes={
        "that is dE/da = 0, or the disc of radius a; for the square E = 0 is asked.":
            lambda a, h, m, b: 1 - (h - 2 * m / a) / b,
        "that is 1 - c.": lambda a, h, m, b: (h - 4 * m / a) / b,
        "that is the disc of the same area; the square has a longer outline.":
            lambda a, h, m, b: 1 - (h - 2 * np.sqrt(np.pi) * m / a) / b,
        "the boundary is missing: without it the size does not matter.":
            lambda a, h, m, b: 1 - h / b,
        "the sign of the boundary's price is off: a boundary costs.":
            lambda a, h, m, b: 1 - (h + 4 * m / a) / b,
        "the outline of a square of side a has 4 a pixels, and this charges for fewer.":
            lambda a, h, m, b: 1 - (h - m / a) / b,
        "the price is that of the whole outline; per pixel of the square it is 4 mu / a.":
            lambda a, h, m, b: 1 - (h - 4 * m * a) / b,
        "mu is missing: 4 a is the outline, mu its price per pixel.":
            lambda a, h, m, b: 1 - (h - 4 / a) / b,
        "lambda2 is missing: the shift is lambda2 (1 - c).":
            lambda a, h, m, b: 1 - (h - 4 * m / a),
        "this is the shift s; the question is about c, and s = lambda2 (1 - c).":
            lambda a, h, m, b: h - 4 * m / a,
        "multiplied by lambda2 where it should be divided.":
            lambda a, h, m, b: 1 - (h - 4 * m / a) * b,
    },
    tolerance=1e-5,
)  # fmt: skip


def _evidence(c, prevalence):
    return logit(c) - logit(prevalence)


# shift(n, c, prevalence) -> what each of n pixels adds, so that their blob gets the evidence of
# Bayes' rule once.
blob_shift = Exercise(
    ask=(12, 0.3, 0.4),
    right=lambda n, c, p: _evidence(c, p) / n,
    mistakes={
        "that counts the evidence once per pixel, n times for the blob.":
            lambda n, c, p: _evidence(c, p),
        "the prevalence is missing: it has been counted by the U-Net already.":
            lambda n, c, p: logit(c) / n,
        "the sign is off: a c above the prevalence raises the logits.":
            lambda n, c, p: -_evidence(c, p) / n,
        "the prevalence is counted twice: take its logit off, do not add it.":
            lambda n, c, p: (logit(c) + logit(p)) / n,
        "odds multiply; it is their logarithms that add up.":
            lambda n, c, p: c / (1 - c) / (p / (1 - p)) / n,
        "that is the difference of probabilities; Bayes' rule adds log odds.":
            lambda n, c, p: (c - p) / n,
        "multiplied by n where it should be divided.":
            lambda n, c, p: _evidence(c, p) * n,
        "that is the logarithm of c; the log odds are ln(c / (1 - c)).":
            lambda n, c, p: np.log(c / p) / n,
    },
)  # fmt: skip
