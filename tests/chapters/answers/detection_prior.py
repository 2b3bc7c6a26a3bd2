"""Answers to the exercises of book/detection_prior.md, for test_exercises.py."""

import math

import numpy as np
import torch
from scipy.optimize import brentq


def prior_step(x, u, blur, lambda1, lambda2, c, epsilon):
    """The energy's own gradient, without the _entropy's, decides."""
    x = torch.as_tensor(x).requires_grad_()
    energy = ((lambda2 * (1 - c) - torch.as_tensor(u)) * x).sum()
    energy = energy + lambda1 * (x * blur(1 - x)).sum()
    (slope,) = torch.autograd.grad(energy, x)
    return torch.sigmoid(-slope / epsilon)


def equivalent_threshold(c, lambda2, epsilon):
    """The roots of the gap."""

    def gap(p, price):
        return epsilon * math.log(p / (1 - p)) - price

    return [brentq(gap, 0.01, 0.999, lambda2 * (1 - value)) for value in c]


def break_even_c(radius, logit, sigma, lambda1, lambda2):
    """The root of the energy."""

    def energy(c):
        gain = np.pi * radius**2 * (logit - lambda2 * (1 - c))
        return lambda1 * 2 * np.pi * radius * sigma / np.sqrt(2 * np.pi) - gain

    return brentq(energy, -10, 10)
