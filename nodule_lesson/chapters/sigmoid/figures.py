"""The longer figure of the chapter on the sigmoid, drawn with pyplot."""

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from nodule_lesson import plots


def energies_of_one_pixel():
    """Draw the energy of one pixel for five logits, and the places of its lowest points.

    epsilon is 1 in both panels, and dots mark the lowest points.
    """
    x = torch.linspace(0, 1, 401, dtype=torch.float64)
    price = torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.8))
    valley = torch.linspace(-4, 4, 201, dtype=torch.float64)
    right.plot(valley, torch.sigmoid(valley), color=plots.MUTED, linestyle="-")
    for u in (-3.0, -1.0, 0.0, 1.0, 3.0):
        left.plot(x, -u * x + price, color=plots.BLUE, linestyle="-", linewidth=1.2)
        left.text(1.03, -u, f"u = {u:g}".replace("-", "−"), va="center")
        lowest = torch.sigmoid(torch.tensor(u, dtype=torch.float64))
        left.plot(lowest, -F.softplus(torch.tensor(u)), "o", color=plots.ORANGE)
        right.plot(u, lowest, "o", color=plots.ORANGE)
    left.set(xlabel="x", title="energy E(x)", xlim=(-0.03, 1.32), ylim=(-3.6, 3.4))
    left.set_xticks((0, 0.2, 0.4, 0.6, 0.8, 1))
    right.set(xlabel="u", ylabel="x", title="where E is lowest")
