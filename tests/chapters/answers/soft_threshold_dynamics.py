"""Answers to the exercises of book/soft_threshold_dynamics.md, for test_exercises.py."""

import math

import torch
from answers.boundary_length import estimated_length
from answers.detection_prior import prior_step


def std_step(x, u, blur, lambda1, epsilon):
    """The step with a prior, without the prior."""
    return prior_step(x, u, blur, lambda1, 0, 0, epsilon)


def boundary_term(x, blur):
    """Pixel by pixel."""
    return estimated_length(x, blur, math.sqrt(2 * math.pi))


def classes_step(x, u, blur, lam, epsilon):
    """Without the constant: only differences of the logits of a pixel count."""
    return torch.softmax(torch.as_tensor((u + 2 * lam * blur(x)) / epsilon), 0)
