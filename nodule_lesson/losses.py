"""Losses: how far a predicted mask is from the readers' one."""

import torch


def dice_loss(probability, target, smooth=1.0):
    """1 - (2 sum(p y) + s) / (sum p + sum y + s) for every sample, then the mean over samples.

    probability: (N, ...) in [0, 1]. target: the same shape, 0 or 1. smooth: s > 0 keeps the
    fraction defined where both are empty, which then costs nothing; with s = 0 it is nan there.
    Returns a 0-d tensor, differentiable in the probability. Raises TypeError for what is no
    tensor, ValueError for different shapes, an empty batch or smooth < 0. The soft Dice of
    Milletari et al. (3DV 2016), here without squares in the denominator.
    """
    for name, value in (("probability", probability), ("target", target)):
        if not torch.is_tensor(value):
            raise TypeError(f"{name} must be a tensor, found {type(value).__name__}.")
    if probability.shape != target.shape or probability.ndim < 2 or probability.numel() == 0:
        raise ValueError(
            "probability and target must be batches (N, ...) of one shape, found "
            f"{tuple(probability.shape)} and {tuple(target.shape)}."
        )
    if not smooth >= 0:
        raise ValueError(f"smooth must be at least 0, found {smooth!r}.")
    p, y = probability.flatten(1), target.to(probability.dtype).flatten(1)
    overlap = (p * y).sum(1)
    return (1 - (2 * overlap + smooth) / (p.sum(1) + y.sum(1) + smooth)).mean()
