"""Two more priors of the family of soft threshold dynamics: a given volume, a star shape.

Both are constraints on x, and both enter a step as a price on each pixel, a multiplier, in front
of the sigmoid (Liu, Wang and Tai 2022, doi 10.1007/s10851-022-01087-x). The detection prior is
the first of them with a price that a classifier sets: lambda2 (1 - c) is the multiplier.
"""

from typing import NamedTuple

import torch

from nodule_lesson.checking import checked_iterations, checked_parameter
from nodule_lesson.layers.arguments import check_logits
from nodule_lesson.layers.gaussian import SeparableGaussian, checked_widths


class WithVolume(NamedTuple):
    """What `std_with_volume` returns.

    x: the field in [0, 1], whose sum is the volume. logits: the argument of the last sigmoid, for
    losses. multiplier: the price of a pixel, one number per sample; in the detection prior it is
    lambda2 (1 - c).
    """

    x: torch.Tensor
    logits: torch.Tensor
    multiplier: torch.Tensor


def std_with_volume(
    u, volume, *, sigma, spacing=None, lambda1=1.0, epsilon=1.0, iterations=10, radius=None
):
    """The energy's minimum among all fields x with sum(x) = volume, by soft threshold dynamics.

        x, logits, multiplier = std_with_volume(u, torch.tensor([120.0]), sigma=1.0)

    u: (N, 1, H, W) or (N, 1, D, H, W). volume: a tensor of shape (N,), in pixels (mm^3 divided by
    the mm^3 of a voxel), between 0 and the number of pixels. Each step is

        x_{t+1} = Sig((u - lambda1 K(1 - 2 x_t) - mu_t) / epsilon)

    with the mu_t that makes the sum right; the energy falls from x_1 on. Differentiable in u,
    volume and the parameters, once, through the steps that were run. Other arguments and errors:
    `std_sigmoid_nd`.
    """
    check_logits(u, "one")
    pixels = u[0].numel()
    if not torch.is_tensor(volume) or volume.shape != (len(u),):
        found = tuple(volume.shape) if torch.is_tensor(volume) else type(volume).__name__
        raise ValueError(f"volume must be a tensor of shape ({len(u)},), found {found}.")
    volume = volume.to(u)
    if not ((volume > 0) & (volume < pixels)).all():
        raise ValueError(
            f"volume must lie between 0 and the number of pixels, {pixels}, found "
            f"values from {volume.min().item():.4g} to {volume.max().item():.4g}."
        )
    if checked_iterations(iterations) < 1:
        raise ValueError(f"iterations must be at least 1, found {iterations}.")
    step, _, epsilon = _checked_step(u, sigma, spacing, lambda1, epsilon, radius)
    volume = volume.reshape(-1, *[1] * (u.ndim - 1))
    x = torch.sigmoid(u)
    for _ in range(iterations):
        v = step(x)
        multiplier = _multiplier(v, volume)
        x = torch.sigmoid(v - multiplier)
    return WithVolume(x, v - multiplier, (epsilon * multiplier).flatten())


def _checked_step(u, sigma, spacing, lambda1, epsilon, radius):
    """x -> (u - lambda1 K(1 - 2x)) / epsilon, the norm of 2 lambda1 K / epsilon, and epsilon."""
    widths = checked_widths(u, sigma, spacing, radius)
    lambda1 = checked_parameter("lambda1", lambda1, u, positive=False)
    epsilon = checked_parameter("epsilon", epsilon, u, positive=True)
    blur = SeparableGaussian(u.shape[2:], widths, 2 * lambda1 / epsilon)
    rows = blur.of_ones(u)
    constant = u / epsilon - rows / 2
    return (lambda x: constant + blur(x)), rows.max(), epsilon


def _multiplier(v, volume):
    """mu with sum(Sig(v - mu)) = volume in each sample, by halving."""
    axes = tuple(range(1, v.ndim))
    with torch.no_grad():
        level = torch.logit(volume / v[0].numel())  # a constant v has mu = v - level
        low, high = v.amin(axes, keepdim=True) - level, v.amax(axes, keepdim=True) - level
        for _ in range(60 if v.dtype == torch.float64 else 30):
            middle = (low + high) / 2
            large = torch.sigmoid(v - middle).sum(axes, keepdim=True) > volume
            low, high = torch.where(large, middle, low), torch.where(large, high, middle)
        x = torch.sigmoid(v - middle)
        slope = (x * (1 - x)).sum(axes, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
    # A step of Newton, for its derivative alone: that of the equation which mu solves.
    excess = torch.sigmoid(v - middle).sum(axes, keepdim=True) - volume
    return middle + (excess - excess.detach()) / slope


def _towards(centre, sizes):
    """For each pixel of a grid, the flat index of the next one on its way to the centre.

    centre: (N, axes), indices. The way from a pixel is a discrete straight line: it goes one
    pixel at a time along the axis on which the centre is farthest. On another axis, where o of m
    such steps remain, it must go along with the share o / m of them; it does so where that share
    is above the number of a sequence that spreads evenly over [0, 1). (Rounding would be the same
    in each step, and lead all ways to the diagonals.) Straight lines do not depend on the spacing.
    Returns (N, pixels); the centre is its own next one.
    """
    grid = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    place = torch.stack(grid, -1).reshape(1, -1, len(sizes)).to(centre.device)
    offset = place - centre[:, None]
    distance = offset.abs().amax(-1, keepdim=True)
    spread = (distance * (5**0.5 - 1) / 2) % 1  # multiples of the golden ratio
    parent = place - offset.sign() * (distance * spread < offset.abs())
    index = torch.zeros_like(parent[..., 0])
    for axis, size in enumerate(sizes):
        index = index * size + parent[..., axis]
    return index


class StarShaped(NamedTuple):
    """What `std_star_shaped` returns.

    x: the field in [0, 1], which does not rise on the way out from the centre. logits: the
    argument of the last sigmoid, for losses.
    """

    x: torch.Tensor
    logits: torch.Tensor


def std_star_shaped(
    u, centre, *, sigma, spacing=None, lambda1=1.0, epsilon=1.0, iterations=300, radius=None
):
    """The energy's minimum among all fields that do not rise on the way out from a centre.

        x, logits = std_star_shaped(u, torch.tensor([[16, 16]]), sigma=1.0)

    Each mask x > t is star-shaped, then: with a pixel it holds all pixels on the straight line to
    the centre. u: (N, 1, H, W) or (N, 1, D, H, W). centre: the indices of a pixel of each sample,
    integers, (N, 2) or (N, 3), in the order of u's axes.

    Each pixel i has a price q_i >= 0 for x_i > x_p, where p is the next pixel on the way to the
    centre. A step takes the prices into the logits; then the prices of pixels that lie too high
    rise (ascent of the dual, as of a convex energy, accelerated after Nesterov). The constraint
    holds in the limit; what is left of it after `iterations` steps is taken away by the minimum
    over each way. On noisy discs of 64 pixels 300 steps come within 0.03 of the limit.
    Differentiable through the steps that were run.
    Raises ValueError where lambda1 ||K||_inf >= 2 epsilon: there may be several minima. Other
    arguments and errors: `std_sigmoid_nd`.
    """
    check_logits(u, "one")
    _check_centre(centre, u)
    if checked_iterations(iterations) < 1:
        raise ValueError(f"iterations must be at least 1, found {iterations}.")
    step, norm, epsilon = _checked_step(u, sigma, spacing, lambda1, epsilon, radius)
    if norm.item() >= 4:
        raise ValueError(
            "a star shape needs lambda1 ||K||_inf < 2 epsilon, found "
            f"{norm.item() * epsilon.item() / 2:.4g} >= {2 * epsilon.item():.4g}."
        )
    parent = _towards(centre, u.shape[2:])
    # E / epsilon bends by 4 - norm at least, and the centre has the most children, 3^axes - 1: so
    # the slope of the dual changes no faster than by the inverse of this length.
    length = (4 - norm) / (2 * 3 ** centre.shape[1])
    price = ahead = torch.zeros_like(u).flatten(1)
    x, momentum = torch.sigmoid(u), 1.0
    for _ in range(iterations):
        # Pixel i pays its own price, and is paid those of the pixels that it lies before.
        paid = ahead.new_zeros(ahead.shape).scatter_add(1, parent, ahead)
        logits = step(x) - (ahead - paid).view_as(u)
        x = torch.sigmoid(logits)
        rise = x.flatten(1) - x.flatten(1).gather(1, parent)
        before, price = price, (ahead + length * rise).clamp_min(0)
        previous, momentum = momentum, (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = price + (previous - 1) / momentum * (price - before)
    lowest = logits.flatten(1)
    for _ in range(max(u.shape[2:]).bit_length()):  # doubles what is looked at, up to the centre
        lowest = torch.minimum(lowest, lowest.gather(1, parent))
        parent = parent.gather(1, parent)
    logits = lowest.view_as(u)
    return StarShaped(torch.sigmoid(logits), logits)


def _check_centre(centre, u):
    wanted = (len(u), u.ndim - 2)
    if not torch.is_tensor(centre) or centre.is_floating_point() or centre.dtype == torch.bool:
        found = centre.dtype if torch.is_tensor(centre) else type(centre).__name__
        raise TypeError(f"centre must be a tensor of integers, found {found}.")
    if centre.shape != wanted:
        raise ValueError(f"centre must have the shape {wanted}, found {tuple(centre.shape)}.")
    sizes = torch.tensor(u.shape[2:], device=centre.device)
    if not ((centre >= 0) & (centre < sizes)).all():
        raise ValueError(
            f"centre must lie in the image of {tuple(u.shape[2:])} pixels, "
            f"found {centre.tolist()}."
        )
