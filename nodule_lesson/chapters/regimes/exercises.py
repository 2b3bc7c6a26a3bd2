"""Exercises of the chapter on regimes."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _k(wavelength, sigma, factor=2 * np.pi**2):
    return np.exp(-factor * (sigma / wavelength) ** 2)


# weight(gain, wavelength, sigma, epsilon) -> the lambda1 at which that wave has that gain.
weight_for_gain = Exercise(
    ask=[(1.5, 20.0, 2.0, 1.0), (3.0, 11.0, 1.3, 0.4), (1.9, 47.0, 5.0, 2.5)],
    right=lambda g, length, s, e: 2 * e * (1 - 1 / g) / _k(length, s),
    mistakes={
        "this is right for an endless wave, k = 1: a shorter one is blurred, and hears less.":
            lambda g, length, s, e: 2 * e * (1 - 1 / g),
        "k stands on the wrong side: a wave that is blurred more needs a larger weight.":
            lambda g, length, s, e: 2 * e * (1 - 1 / g) * _k(length, s),
        "this is q; lambda1 is asked.": lambda g, length, s, e: (1 - 1 / g) / _k(length, s),
        "q is lambda1 over 2 epsilon: a factor 2 is off.": (
            lambda g, length, s, e: e * (1 - 1 / g) / _k(length, s),
            lambda g, length, s, e: 4 * e * (1 - 1 / g) / _k(length, s),
            lambda g, length, s, e: e * (1 - 1 / g) / (2 * _k(length, s)),
        ),
        "the weight is proportional to epsilon.":
            lambda g, length, s, e: 2 * (1 - 1 / g) / _k(length, s),
        "solve 1 / (1 - qk) = gain, not 1 / (qk) or 1 + qk.": (
            lambda g, length, s, e: 2 * e / g / _k(length, s),
            lambda g, length, s, e: 2 * e * (g - 1) / _k(length, s),
        ),
        "a wave of length L is cos(2 pi i / L): its omega is 2 pi / L.": (
            lambda g, length, s, e: 2 * e * (1 - 1 / g) / _k(length, s, 0.5),
            lambda g, length, s, e: 2 * e * (1 - 1 / g) / _k(length, s, np.pi**2 / 2),
        ),
        "k is exp(-(sigma omega)^2 / 2): the one half is missing.":
            lambda g, length, s, e: 2 * e * (1 - 1 / g) / _k(length, s, 4 * np.pi**2),
    },
)  # fmt: skip


def _jumps(u, l1, l2, e, sign=1.0, m=None, inside=1.0):
    m = np.sqrt(1 - 2 * e / l1) if m is None else m
    fold = l1 * m - inside * 2 * e * np.arctanh(m)
    return 1 - (u + sign * fold) / l2, 1 - (u - sign * fold) / l2


# jumps(u, lambda1, lambda2, epsilon) -> the c at which a flat patch goes, and comes back.
jumps = Exercise(
    ask=[(1.0, 1.0, 2.5, 0.25), (2.0, 3.0, 4.0, 1.0), (0.6, 0.5, 1.3, 0.1)],
    right=_jumps,
    mistakes={
        "the two have changed places: with falling c the patch holds on for longer.":
            lambda *given: _jumps(*given, sign=-1.0),
        "this is where the two answers are worth the same; each is held up beyond that point.":
            lambda u, l1, l2, e: (1 - u / l2, 1 - u / l2),
        "these are values of the shift, lambda2 (1 - c); c is asked.":
            lambda u, l1, l2, e: tuple(l2 * (1 - c) for c in _jumps(u, l1, l2, e)),
        "these are values of 1 - c.":
            lambda *given: tuple(1 - c for c in _jumps(*given)),
        "the fold of hard masks, u = lambda1; with an entropy it comes sooner.":
            lambda u, l1, l2, e: (1 - (u + l1) / l2, 1 - (u - l1) / l2),
        "the slope of artanh(m) is 1 / (1 - m^2): look at m again.": (
            lambda u, l1, l2, e: _jumps(u, l1, l2, e, m=np.sqrt(1 - e / l1)),
            lambda u, l1, l2, e: _jumps(u, l1, l2, e, m=1 - 2 * e / l1),
        ),
        "look at the term with artanh once more: its factor is 2 epsilon, its sign a minus.": (
            lambda *given: _jumps(*given, inside=0.0),
            lambda *given: _jumps(*given, inside=0.5),
            lambda *given: _jumps(*given, inside=-1.0),
        ),
    },
)  # fmt: skip
