"""Answers to the exercises of book/combination_block.md, for test_exercises.py."""

import numpy as np
import torch

from nodule_lesson.networks.blocks import CombinationBlock


def block_parameters(n_S, n_C):
    """Counted in the block."""
    return sum(p.numel() for p in CombinationBlock(n_S, n_C).parameters())


def hears(pairs, attached):
    """By the gradients of a network of numbers: each stage is a weight of its own."""
    weights = torch.ones(6, requires_grad=True)  # C1 to C5 and FC
    features = list(torch.cumprod(weights, 0))
    mask = torch.zeros(())
    for _, stage in pairs:
        mask = mask + features["C1 C2 C3 C4 C5".split().index(stage)]
    mask = mask + (features[5] if attached else features[5].detach())
    if not mask.requires_grad:
        return [0] * 6
    mask.backward()
    return (weights.grad != 0).int().tolist()


def hiding_change(M, n_S, d):
    """Least squares."""
    step, *_ = np.linalg.lstsq(M[:, :n_S], M @ np.concatenate([np.zeros(n_S), -d]), rcond=None)
    return step
