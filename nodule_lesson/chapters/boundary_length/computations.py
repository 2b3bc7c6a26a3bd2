"""What the chapter on boundary length computes for its figure of the smallest disc."""

import math

import torch

from nodule_lesson import std
from nodule_lesson.chapters.boundary_length.live import shape

HEIGHTS = torch.linspace(0, 1, 101, dtype=torch.float64)
OUTSIDE = -3.0  # the logit around the disc


def shares_kept(radii, *, sigma, epsilon, iterations, lambda1=1.0):
    """The share of a disc's pixels that stay above one half after some steps of the layer.

    The logit is each of HEIGHTS in turn in the disc, and OUTSIDE around it; radii are in pixels.
    Returns a tensor (radii, heights).
    """
    weights = {"sigma": sigma, "epsilon": epsilon, "lambda1": lambda1, "iterations": iterations}
    rows = []
    for radius in radii:
        inside = _disc(radius, sigma) > 0
        u = torch.where(inside, HEIGHTS[:, None, None], OUTSIDE)
        kept = std.soft_threshold_dynamics(u, **weights)[:, inside] > 0.5
        rows.append(kept.double().mean(1))
    return torch.stack(rows)


def lowest_heights(shares, least):
    """For each radius the lowest of HEIGHTS at which this share is kept, and a pixel at all."""
    enough = (shares >= least) & (shares > 0)
    assert enough.any(1).all()
    return HEIGHTS[enough.double().argmax(1)].tolist()


def heights_worth_keeping(radii, *, sigma, lambda1=1.0):
    """The height at which a hard disc earns what its outline costs: by the rule, and exactly.

    Two lists: 2 mu / r, and lambda1 R / area with the pixels of the disc.
    """
    price = lambda1 * sigma / math.sqrt(2 * math.pi)
    discs = [_disc(radius, sigma) for radius in radii]
    terms = [float((x * std.gaussian_blur(1 - x, sigma)).sum()) for x in discs]
    exact = [lambda1 * term / float(x.sum()) for term, x in zip(terms, discs, strict=True)]
    return [2 * price / radius for radius in radii], exact


def _disc(radius, sigma):
    """A disc in the middle of an image that is large enough for its blur."""
    return torch.as_tensor(shape("disc", radius, 2 * math.ceil(radius + 4 * sigma)))
