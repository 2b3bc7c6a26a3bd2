"""The sigmoid's energy: E(x) of one pixel, and the sigmoid that its lowest points trace."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from nodule_lesson import std
from nodule_lesson.live.figure import LiveFigure, Slider, started_at

CONTROLS = (
    Slider("u", "u", -6, 6, 0.1, 1.5, "the logit"),
    Slider("epsilon", "ε", 0.05, 3, 0.05, 1.0, "the price of certainty"),
)
POINTS = 201

CAPTION = (
    "<strong>Live.</strong> Left, the energy of one pixel over all its possible values x, with "
    "the two parts that it is the sum of; the dot is its lowest point. Right, the x of that "
    "lowest point for every logit u: a sigmoid. The grey curve is the plain one, Sig(u)."
)
ALT = (
    "Two plots. On the left a convex curve over x between 0 and 1 with a dot at its lowest point, "
    "and its two parts, a straight line and a symmetric bowl; on the right an S-shaped curve of "
    "that lowest point against u, with a dot at the present u."
)


def sigmoid_energy(**initial):
    """The live figure of the paper's Eq. (1) for one pixel; `initial` sets starting values."""
    return LiveFigure(
        "sigmoid_energy", __file__, started_at(CONTROLS, initial), compute, draw, CAPTION, ALT
    )


def compute(parameters):
    """E over [0, 1], its two parts, the minimiser, E there, and what E there should be."""
    u, epsilon = parameters["u"], parameters["epsilon"]
    x = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    z = torch.tensor([u / epsilon], dtype=torch.float64)
    best = torch.sigmoid(z)
    return {
        "input": x.numpy(),
        "field": _energy(x, u, epsilon),
        "vote": (-u * x).numpy(),
        "entropy": _energy(x, 0.0, epsilon),
        "minimiser": float(best),
        "minimum": float(_energy(best, u, epsilon)[0]),
        "closed_form": -epsilon * float(F.softplus(z)),
    }


def _energy(x, u, epsilon):
    """The paper's Eq. (1) for each x alone: to `std_energy` they are images of one pixel."""
    images = x.reshape(-1, 1, 1)
    logits = torch.full_like(images, u)
    return std.std_energy(images, logits, sigma=1.0, lambda1=0.0, epsilon=epsilon).numpy()


def draw(parameters, result):
    u, epsilon = parameters["u"], parameters["epsilon"]
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = result["input"]
    left.plot(x, result["vote"], color="#55606e", linewidth=1.2, label="vote")
    left.plot(x, result["entropy"], color="#b4480d", linestyle="--", label="price")
    left.plot(x, result["field"], color="#1f5fa8", linewidth=2, label="E, their sum")
    left.plot(result["minimiser"], result["minimum"], "o", color="#1f5fa8")
    left.set(xlabel="x", ylabel="energy", title=f"E is lowest at x = {result['minimiser']:.4f}")
    left.legend(frameon=False)
    logits = np.linspace(-6, 6, 241)
    for scale, colour, width in ((1.0, "#55606e", 1.2), (epsilon, "#1f5fa8", 2)):
        z = torch.as_tensor(logits / scale)
        right.plot(logits, torch.sigmoid(z), color=colour, linewidth=width)
    right.plot(u, result["minimiser"], "o", color="#1f5fa8")
    right.set(xlabel="u", ylabel="lowest point x", title=f"Sig(u/ε) for ε = {epsilon:g}")
    for axes, place in ((left, result["minimiser"]), (right, u)):
        axes.axvline(place, color="#1c2430", linewidth=0.8)
        axes.grid(color="#d5dae1", linewidth=0.6)
    return figure
