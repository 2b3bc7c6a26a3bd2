"""Answers to the exercises of book/regimes.md, for test_exercises.py."""

import math

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar


def weight_for_gain(gain, wavelength, sigma, epsilon):
    """The blur of a wave at its crest by quadrature, and a root of the gap."""

    def blurred(s):
        density = math.exp(-(s**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
        return density * math.cos(2 * math.pi * s / wavelength)

    k = quad(blurred, -12 * sigma, 12 * sigma, epsabs=1e-13, limit=200)[0]
    return brentq(
        lambda weight: (1 - weight * k / (2 * epsilon)) * gain - 1, 0, 1e3 * epsilon, xtol=1e-14
    )


def jumps(u, lambda1, lambda2, epsilon):
    """The bump of the map x -> logit - lambda1 (2x - 1) over the upper and the lower half."""

    def evidence(x):
        return epsilon * np.log(x / (1 - x)) - lambda1 * (2 * x - 1)

    options = {"method": "bounded", "options": {"xatol": 1e-12}}
    least = minimize_scalar(evidence, bounds=(0.5, 1 - 1e-9), **options).fun
    most = -minimize_scalar(lambda x: -evidence(x), bounds=(1e-9, 0.5), **options).fun
    return [1 - (u - end) / lambda2 for end in (least, most)]
