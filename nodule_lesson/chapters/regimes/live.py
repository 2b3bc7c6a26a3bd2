"""Regimes: the energy of a flat field, the edge between its two lowest points, and its price."""

import functools
import math

import torch

from nodule_lesson import std
from nodule_lesson.live.drawing import LINES, new_figure
from nodule_lesson.live.figure import LiveFigure, Slider, started_at

CONTROLS = (
    Slider("ratio", "ε / λ₁", 0.02, 1.2, 0.01, 0.2, "entropy against boundary"),
    Slider("u", "u", -1, 1, 0.01, 0, "logit of every pixel, in units of λ₁"),
    Slider("sigma", "σ", 1, 6, 0.5, 3, "width of the Gaussian, pixels"),
)
# Pixels of the line, steps until an edge has settled, steps of the layer; points of the energy.
PIXELS, SETTLED, LAYER, POINTS = 160, 300, 10, 161
# Where the curve of prices is computed, and for which width.
RATIOS = (0.01, *(0.025 * i for i in range(1, 20)), 0.49, 0.5, 0.6, 0.8, 1.0, 1.2)
SIGMA = 3.0

CAPTION = (
    "<strong>Live.</strong> λ₁ = 1. First, the energy of a flat field with the value x; dots: "
    "where the layer ends that starts at x = 0 and at x = 1. Second, a line of pixels that starts "
    "as a hard edge, after 10 and after 300 steps; at "
    "its ends the border of the image is seen. Third, the price of that edge for u = 0, as a "
    "share of the price of a hard one."
)
ALT = (
    "Three plots for epsilon over lambda1 = 0.2. An energy with two wells, at x near 0 and 1; "
    "an edge that falls smoothly from near 1 to near 0; and a curve of prices that falls from 1 "
    "to 0, which it reaches at one half and keeps, with a dot at 0.77."
)


def regimes(**initial):
    """The live figure of the regimes of the layer; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    options = {"prices": prices()}
    return LiveFigure("regimes", __name__, controls, compute, draw, CAPTION, ALT, options)


def edge_price(ratio, sigma=SIGMA, pixels=PIXELS, steps=SETTLED):
    """The energy of an edge without evidence, as a share of a hard edge's.

    ratio: epsilon / lambda1. The layer runs on a line of pixels, once from
    a hard edge in the middle and once from x = 1; what the edge costs more
    is its price.
    """
    settings = {"sigma": sigma, "lambda1": 1.0, "epsilon": ratio}
    u = torch.zeros(2, 1, pixels, dtype=torch.float64)
    start = torch.ones_like(u)
    start[0, :, pixels // 2 :] = 0
    x = std.iterates(u, start=start, iterations=steps, **settings)[-1]
    edge, flat = std.std_energy(x, u, **settings)
    return float(edge - flat) / (sigma / math.sqrt(2 * math.pi))


@functools.cache
def prices():
    """`edge_price` at each of RATIOS."""
    return tuple(edge_price(ratio) for ratio in RATIOS)


def flat_limits(u, epsilon, lambda1=1.0, steps=SETTLED):
    """Where the layer ends from x = 0 and from x = 1 on flat fields far from their border.

    u: logits, shape (N,). An image of a single pixel is such a field: it blurs to itself.
    Returns x, shape (2, N).
    """
    logits = u.repeat(2)[:, None, None]
    start = torch.zeros_like(logits)
    start[len(u) :] = 1
    settings = {"sigma": 1.0, "lambda1": lambda1, "epsilon": epsilon}
    return std.iterates(logits, start=start, iterations=steps, **settings)[-1].reshape(2, -1)


def fold(epsilon, lambda1=1.0):
    """The largest |u| for which a flat field has two stable answers; 0 if there is no such u."""
    if 2 * epsilon >= lambda1:
        return 0.0
    m = math.sqrt(1 - 2 * epsilon / lambda1)
    return lambda1 * m - 2 * epsilon * math.atanh(m)


def compute(parameters):
    """The hard edge, what the layer makes of it, the energy of flat fields, and the price."""
    ratio, u, sigma = (float(parameters[key]) for key in ("ratio", "u", "sigma"))
    settings = {"sigma": sigma, "lambda1": 1.0, "epsilon": ratio}
    start = torch.ones(1, PIXELS, dtype=torch.float64)
    start[:, PIXELS // 2 :] = 0
    fields = std.iterates(torch.full_like(start, u), start=start, iterations=SETTLED, **settings)
    x = torch.linspace(0, 1, POINTS, dtype=torch.float64).reshape(-1, 1, 1)
    energy = std.std_energy(x, torch.full_like(x, u), **settings)
    return {
        "input": start[0].numpy(),
        "field": fields[-1][0].numpy(),
        "layer": fields[LAYER][0].numpy(),
        "x": x.flatten().numpy(),
        "energy": energy.numpy(),
        "limits": flat_limits(torch.tensor([u], dtype=torch.float64), ratio)[:, 0].numpy(),
        "price": edge_price(ratio, sigma),
        "answers": 2 if abs(u) < fold(ratio) else 1,
    }


def _energy_of(x, u, ratio):
    x = torch.as_tensor(x).reshape(-1, 1, 1)
    settings = {"sigma": 1.0, "lambda1": 1.0, "epsilon": ratio}
    return std.std_energy(x, torch.full_like(x, u), **settings).numpy()


def draw(parameters, result):
    ratio, u = parameters["ratio"], float(parameters["u"])
    figure = new_figure(3.4)
    left, middle, right = figure.subplots(1, 3)
    left.plot(result["x"], 100 * result["energy"], **LINES["first"])
    dots = {**LINES["second"], "linestyle": "none", "marker": "o"}
    left.plot(result["limits"], 100 * _energy_of(result["limits"], u, ratio), **dots)
    answers = "two answers" if result["answers"] == 2 else "one answer"
    left.set(xlabel="x", ylabel="100 × energy per pixel", title=f"flat fields: {answers}")
    middle.plot(result["input"], **LINES["muted"], label="start")
    middle.plot(result["layer"], **LINES["second"], label=f"{LAYER} steps")
    middle.plot(result["field"], **LINES["first"], label=f"{SETTLED} steps")
    middle.set(xlabel="pixel", ylabel="x", ylim=(-0.05, 1.05), title="an edge")
    middle.legend(frameon=False, fontsize=8, loc="upper right")
    right.plot(RATIOS, prices(), **LINES["first"])
    right.plot(ratio, result["price"], **dots)
    right.axvline(0.5, **LINES["muted"])
    right.set(xlabel="ε / λ₁", ylabel="share of the hard price")
    right.set_title(f"price {abs(result['price']):.3f}")
    for axes in (left, middle, right):
        axes.grid(**LINES["grid"])
    return figure
