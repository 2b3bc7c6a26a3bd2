"""Losses: how far a predicted mask is from the readers' one."""

import torch
from torch.nn import functional as F

DICE_OVER = ("slice", "batch", "nodule")


def dice_loss(probability, target, smooth=1.0, over="slice"):
    """1 - (2 sum(p y) + s) / (sum p + sum y + s), the sums over what `over` says.

    probability: (N, ...) in [0, 1]. target: the same shape, 0 or 1. smooth: s > 0 keeps the
    fraction defined where both are empty, which then costs nothing; with s = 0 it is nan there.
    over: "slice", one fraction per sample, then their mean; "nodule", the mean over the samples
    whose target is not empty, 0 where all are; "batch", one fraction for all samples.
    Returns a 0-d tensor, differentiable in the probability. Raises TypeError for what is no
    tensor, ValueError for different shapes, an empty batch, smooth < 0 or another `over`. The soft
    Dice of Milletari et al. (3DV 2016), here without squares in the denominator.
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
    if over not in DICE_OVER:
        raise ValueError(f"over must be one of {', '.join(DICE_OVER)}; found {over!r}.")
    p, y = probability.flatten(1), target.to(probability.dtype).flatten(1)
    overlap, marked, drawn = (p * y).sum(1), p.sum(1), y.sum(1)
    if over == "batch":
        overlap, marked, drawn = overlap.sum(), marked.sum(), drawn.sum()
    loss = 1 - (2 * overlap + smooth) / (marked + drawn + smooth)
    if over == "nodule":
        with_nodule = (drawn > 0).to(loss.dtype)
        return (with_nodule * loss).sum() / with_nodule.sum().clamp_min(1)
    return loss.mean()


def multitask_loss(output, mask, has_nodule, lambda1=1.0, lambda2=1.0, dice_over="slice"):
    """The paper's Eq. (7): L = L_Dice + lambda1 L_BCE^seg + lambda2 L_BCE^class.

    output: what a network of the lesson returns, `nodule_lesson.networks.Output`. mask:
    (N, 1, H, W), 0 or 1, of any type. has_nodule: (N,), 0 or 1. Without a classifier
    (output.nodule is None) the last term is missing. Both weights are 1 in the paper, and are not
    those of its Eqs. (4) and (5), which have the same names. dice_over: the `over` of `dice_loss`;
    the paper does not say which. Both cross entropies are computed from logits: they stay finite
    where a probability in float32 has become 0 or 1. Returns a 0-d tensor; raises ValueError for
    other shapes. Values are not checked, which would synchronise a GPU at every step: masks of 0
    and 255 must be made 0 and 1 before.
    """
    _check_shape("mask", mask, output.logits.shape)
    mask = mask.to(output.logits.dtype)
    loss = dice_loss(output.mask, mask, over=dice_over)
    loss = loss + lambda1 * F.binary_cross_entropy_with_logits(output.logits, mask)
    if output.nodule is None:
        return loss
    _check_shape("has_nodule", has_nodule, output.nodule_logits.shape)
    target = has_nodule.to(output.nodule_logits.dtype)
    return loss + lambda2 * F.binary_cross_entropy_with_logits(output.nodule_logits, target)


def _check_shape(name, value, shape):
    given = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
    if given != tuple(shape):
        raise ValueError(f"{name} must have the shape {tuple(shape)}, found {given}.")
