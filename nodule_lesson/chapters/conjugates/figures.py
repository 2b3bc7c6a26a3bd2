"""The figure of the page on conjugates, drawn with pyplot."""

import math

import matplotlib.pyplot as plt
import torch

SQUASHERS = {
    "sigmoid": torch.sigmoid,
    "normal distribution": lambda u: torch.special.ndtr(math.sqrt(2 * math.pi) / 4 * u),
    "clipped line": lambda u: torch.clamp(0.5 + u / 4, 0, 1),
    "arctangent": lambda u: 0.5 + torch.atan(math.pi / 4 * u) / math.pi,
}


def penalties_and_minimisers():
    """Draw the penalties of four squashing functions, and the functions with searched minima."""
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
        right.plot(logits, SQUASHERS[name](logits), linewidth=1.2, **style)
        minimisers = [float(x[(-u * x + penalty).argmin()]) for u in searched]
        right.plot(searched, minimisers, "o", color=line.get_color(), markersize=4)
    left.set(xlabel="x", title="penalty φ(x)", ylim=(-0.05, 1.45))
    left.legend(loc="upper center", fontsize=9)
    right.set(xlabel="u", title="its minimiser")
