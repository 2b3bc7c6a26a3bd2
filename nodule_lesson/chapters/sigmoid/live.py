"""The sigmoid's energy: E(x) of one pixel, and the sigmoid that its lowest points trace."""

import numpy as np
import torch
from torch.nn import functional as F

from nodule_lesson import std
from nodule_lesson.live.drawing import LINES, new_figure
from nodule_lesson.live.figure import LiveFigure, Slider, started_at

WIDEST = 6  # logit
CONTROLS = (
    Slider("u", "u", -WIDEST, WIDEST, 0.1, 1.5, "the logit"),
    Slider("epsilon", "ε", 0.05, 3, 0.05, 1.0, "the price of certainty"),
)
POINTS, LOGIT_POINTS = 201, 241

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
    controls = started_at(CONTROLS, initial)
    return LiveFigure("sigmoid_energy", __name__, controls, compute, draw, CAPTION, ALT)


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
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2)
    x = result["input"]
    left.plot(x, result["vote"], **LINES["muted"], label="vote")
    left.plot(x, result["entropy"], **LINES["second"], label="price")
    left.plot(x, result["field"], **LINES["first"], label="E, their sum")
    left.plot(result["minimiser"], result["minimum"], "o", **LINES["first"])
    left.set(xlabel="x", ylabel="energy", title=f"E is lowest at x = {result['minimiser']:.4f}")
    left.legend(frameon=False)
    logits = np.linspace(-WIDEST, WIDEST, LOGIT_POINTS)
    for scale, kind in ((1.0, "muted"), (epsilon, "first")):
        right.plot(logits, torch.sigmoid(torch.as_tensor(logits / scale)), **LINES[kind])
    right.plot(u, result["minimiser"], "o", **LINES["first"])
    right.set(xlabel="u", ylabel="lowest point x", title=f"Sig(u/ε) for ε = {epsilon:g}")
    for axes, place in ((left, result["minimiser"]), (right, u)):
        axes.axvline(place, **LINES["cursor"])
        axes.grid(**LINES["grid"])
    return figure
