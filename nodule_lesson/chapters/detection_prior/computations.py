"""What the chapter on the detection prior computes for its figures: discs, and their fate."""

import torch

from nodule_lesson import std


def disc_logits(radius, logit):
    """A disc without a soft rim in the middle of the image, and logits of -3 around it.

    radius: in pixels. logit: that of the disc, above 0. Returns (48, 48), float64.
    """
    centre = torch.arange(48, dtype=torch.float64) - 23.5
    distance = torch.hypot(centre[:, None], centre[None, :])
    return torch.where(distance < radius, logit, -3.0).double()


def lowest_c_by_energies(radii, logit, settings):
    """For each radius the c above which the disc is worth its price, at epsilon = 0.1.

    It is worth it where a field grown from the disc has less energy than one grown from nothing.
    radii: in pixels. settings: sigma, lambda1 and lambda2 by name. Returns a list of numbers.
    """

    def worth_it(u, c):
        weights = {**settings, "c": c, "epsilon": 0.1}
        starts = ((u > 0).double(), torch.zeros_like(u))
        ends = [std.iterates(u, start=start, iterations=80, **weights)[-1] for start in starts]
        disc, nothing = (float(std.std_energy(x, u, **weights)) for x in ends)
        return disc < nothing - 1e-9

    return [_lowest_c(worth_it, disc_logits(radius, logit)) for radius in radii]


def lowest_c_in_the_layer(radii, logit, settings, *, epsilon, iterations):
    """For each radius the c above which the layer leaves something of the disc.

    radii: in pixels. settings: sigma, lambda1 and lambda2 by name. Returns a list of numbers.
    """

    def survives(u, c):
        weights = {**settings, "c": c, "epsilon": epsilon}
        x = std.soft_threshold_dynamics(u, iterations=iterations, **weights)
        return bool((x > 0.5).any())

    return [_lowest_c(survives, disc_logits(radius, logit)) for radius in radii]


def _lowest_c(alive, u):
    """The c above which alive(u, c) is true, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (low, middle) if alive(u, middle) else (middle, high)
    return high


def areas_down_and_up(u, values, lambda1):
    """Areas while c falls and while it rises again, each run starting where the last one ended.

    u: (H, W), logits. values: rising values of c. Returns two lists of areas in pixels, both in
    the order of `values`.
    """

    def sweep(order, x):
        areas = []
        for c in order:
            weights = {"sigma": 2.0, "lambda1": lambda1, "lambda2": 4.0, "c": float(c)}
            x = std.iterates(u, start=x, iterations=40, **weights)[-1]
            areas.append(int((x > 0.5).sum()))
        return areas

    down = sweep(values[::-1], torch.sigmoid(u))[::-1]
    return down, sweep(values, torch.zeros_like(u))
