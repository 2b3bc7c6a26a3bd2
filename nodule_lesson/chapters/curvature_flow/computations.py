"""How far a blur moves the half-way line of a disc, without pixels."""

import torch


def half_way_line(r, sigma, points=4001):
    """The radius at which a blurred disc of the radius r has the value one half.

    A step z1 along the outline, by quadrature, and the normal distribution across it.
    """
    z1 = torch.linspace(-8 * sigma, 8 * sigma, points, dtype=torch.float64)
    weights = torch.exp(-0.5 * (z1 / sigma) ** 2)
    weights = weights / weights.sum()
    half_chord = (r**2 - z1**2).clamp(min=0).sqrt()

    def blurred(radius):
        """The probability that a step from a point at this radius ends in the disc."""
        far, near = (torch.special.ndtr((end - radius) / sigma) for end in
                     (half_chord, -half_chord))  # fmt: skip
        return float((weights * (far - near)).sum())

    low, high = 0.0, float(r)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if blurred(middle) > 0.5 else (low, middle)
    return low
