"""Answers to the exercises of book/learning_through_the_loop.md, for test_exercises.py."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.learning_through_the_loop.exercises import _SIGMA


def one_step_gradient(g, x0, u, blur, lambda1, epsilon):
    """torch's gradient."""
    u = torch.as_tensor(u).requires_grad_()
    settings = {"sigma": _SIGMA, "lambda1": lambda1, "epsilon": epsilon, "iterations": 1}
    x = std.soft_threshold_dynamics(u, **settings)
    return torch.autograd.grad((x * torch.as_tensor(g)).sum(), u)[0]


def adjoint(g, x, blur, lambda1, epsilon):
    """A hundred steps of the iteration."""
    w = g
    for _ in range(100):
        w = g + x * (1 - x) * 2 * lambda1 / epsilon * blur(w)
    return w


def same_fixed_point(factor, u, sigma, *weights):
    """Everything scaled but sigma."""
    return [factor * u, sigma, *(factor * weight for weight in weights)]


def missing_gradient(u, to_u, *others):
    """All products of a parameter and its gradient add up to 0."""
    *pairs, epsilon = others
    return -(np.vdot(u, to_u) + np.dot(pairs[::2], pairs[1::2])) / epsilon
