"""The longer figures of the chapter on the sigmoid. Each function draws one, with pyplot."""

import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from nodule_lesson import plots


def energies_of_one_pixel():
    """Draw the energy of one pixel with its two parts, and the energies for five logits.

    epsilon is 1 in both panels, and dots mark the lowest points.
    """
    x = torch.linspace(0, 1, 401, dtype=torch.float64)
    price = torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.6))
    left.plot(x, -1.5 * x + price, label="E, their sum")
    left.plot(x, price, label="price")
    left.plot(x, -1.5 * x, label="vote", color=plots.MUTED, linestyle="-", linewidth=1.2)
    left.plot(*_lowest_point(torch.tensor(1.5)), "o", color=plots.BLUE)
    left.set(xlabel="x", ylabel="energy", title="u = 1.5, ε = 1")
    left.legend()
    valley = torch.linspace(-4.5, 4.5, 181, dtype=torch.float64)
    right.plot(*_lowest_point(valley), color=plots.MUTED, linestyle=":")
    for u in (-4.0, -1.5, 0.0, 1.5, 4.0):
        right.plot(x, -u * x + price, color=plots.BLUE, linestyle="-", linewidth=1.2)
        right.plot(*_lowest_point(torch.tensor(u, dtype=torch.float64)), "o", color=plots.ORANGE)
        right.text(1.03, -u, f"u = {u:g}".replace("-", "−"), va="center", fontsize=9)
    right.set(xlabel="x", title="five logits, ε = 1", xlim=(-0.03, 1.28), ylim=(-4.7, 4.5))
    right.set_xticks((0, 0.2, 0.4, 0.6, 0.8, 1))


def _lowest_point(u):
    """The place and the height of the minimum of the energy with epsilon 1, for each logit."""
    return torch.sigmoid(u), -F.softplus(u)


def penalties_and_minimisers(squashers):
    """Draw the penalties of four squashing functions, and the functions with searched minima.

    squashers: functions of a tensor of logits, by the names of the four penalties below.
    """
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)[1:-1]
    quantile = torch.special.ndtri(x)
    penalties = {
        "sigmoid": torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x) + math.log(2),
        "normal distribution": 2 / math.pi * (1 - torch.exp(-(quantile**2) / 2)),
        "clipped line": 2 * (x - 0.5) ** 2,
        "arctangent": -4 / math.pi**2 * torch.log(torch.sin(math.pi * x)),
    }
    logits = torch.linspace(-6, 6, 241, dtype=torch.float64)
    searched = torch.linspace(-5, 5, 11, dtype=torch.float64)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.6))
    for name, penalty in penalties.items():
        line = left.plot(x, penalty, label=name)[0]
        style = {"color": line.get_color(), "linestyle": line.get_linestyle()}
        right.plot(logits, squashers[name](logits), linewidth=1.2, **style)
        minimisers = [float(x[(-u * x + penalty).argmin()]) for u in searched]
        right.plot(searched, minimisers, "o", color=line.get_color(), markersize=4)
    left.set(xlabel="x", title="penalty φ(x)", ylim=(-0.05, 1.45))
    left.legend(loc="upper center", fontsize=9)
    right.set(xlabel="u", title="its minimiser")
