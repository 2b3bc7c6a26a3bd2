"""Answers to the exercises of book/detection_prior.md, for test_exercises.py."""

import math

import torch
from scipy.optimize import brentq


def prior_step(x, u, blur, lambda1, lambda2, c, epsilon):
    """The energy's own gradient, without the _entropy's, decides."""
    x = torch.as_tensor(x).requires_grad_()
    energy = ((lambda2 * (1 - c) - torch.as_tensor(u)) * x).sum()
    energy = energy + lambda1 * (x * blur(1 - x)).sum()
    (slope,) = torch.autograd.grad(energy, x)
    return torch.sigmoid(-slope / epsilon)


def break_even_c(a, height, mu, lambda2):
    """The root of the energy."""

    def energy(c):
        return 4 * a * mu - a * a * (height - lambda2 * (1 - c))

    return brentq(energy, -10, 10)


def blob_shift(n, c, prevalence):
    """The root of what is missing: n shifts have to multiply the odds by Bayes' factor."""
    factor = c * (1 - prevalence) / ((1 - c) * prevalence)
    return brentq(lambda shift: math.exp(n * shift) - factor, -20, 20)
