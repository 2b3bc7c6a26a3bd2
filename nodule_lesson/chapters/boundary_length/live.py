"""Boundary length: what the term <x, K(1 - x)> makes of shapes whose perimeter is known."""

import math

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.live.drawing import COLOURS, LINES, new_figure, show_field
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

SHAPES = ("disc", "square", "tilted square", "half-plane", "ring")
CONTROLS = (
    Choice("shape", "shape", SHAPES, "disc", "drawn at pixel centres"),
    Slider("size", "size", 3, 40, 1, 24, "radius, half side or depth, pixels"),
    Slider("sigma", "σ", 0.3, 12, 0.1, 3.0, "width of the Gaussian, pixels"),
)
SIZE = 128
# Where the curve over sigma is computed: evenly spaced on a logarithmic scale.
SIGMAS = tuple(0.3 * 40 ** (i / 21) for i in range(22))

CAPTION = (
    "<strong>Live.</strong> Left, what each pixel pays, x · K(1 − x) · √(2π)/σ, and the true "
    "outline: the sum over the pixels is the estimated length. Right, estimated by true length "
    "over σ; the two lines are σ = 2 and σ = size/4, and between them the estimate can be "
    "trusted. The ring's hole has half its size; the half-plane lies against the left border."
)
ALT = (
    "On the left a disc drawn as a bright band along its outline. On the right a curve of "
    "estimated by true length over sigma, which rises steeply to 1, stays there and slowly falls."
)


def boundary_length(**initial):
    """The live figure of the boundary term as a length; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("boundary_length", __name__, controls, compute, draw, CAPTION, ALT)


def shape(name, size, n=SIZE):
    """One of SHAPES on an (n, n) grid, 1.0 at the pixels whose centres lie inside, else 0.0.

    size, in pixels: radius of the disc and outer radius of the ring (the inner one is half of
    it), half the side of the squares, depth of the half-plane from the left border. All but the
    half-plane are centred. ValueError for another name.
    """
    y, x = np.indices((n, n)) + 0.5 - n / 2
    if name == "disc":
        inside = np.hypot(x, y) < size
    elif name == "square":
        inside = np.maximum(abs(x), abs(y)) < size
    elif name == "tilted square":
        inside = abs(x) + abs(y) < math.sqrt(2) * size
    elif name == "half-plane":
        inside = x < size - n / 2
    elif name == "ring":
        inside = (np.hypot(x, y) < size) & (np.hypot(x, y) >= size / 2)
    else:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}; found {name!r}.")
    return inside.astype(float)


def true_length(name, size, n=SIZE):
    """The length of the outline that `shape` draws, by geometry; the image's border is free."""
    lengths = {
        "disc": 2 * math.pi * size,
        "square": 8 * size,
        "tilted square": 8 * size,
        "half-plane": n,
        "ring": 3 * math.pi * size,
    }
    return lengths[name]


def length_density(x, sigma):
    """x K(1 - x) sqrt(2 pi) / sigma, the estimated boundary length in each pixel of an array x."""
    x = torch.as_tensor(x)
    return (x * std.gaussian_blur(1 - x, sigma)).numpy() * (math.sqrt(2 * math.pi) / sigma)


def compute(parameters):
    """The shape, its length density, the estimated and the true length."""
    name, size, sigma = (parameters[key] for key in ("shape", "size", "sigma"))
    x = shape(name, size)
    field = length_density(x, sigma)
    length = true_length(name, size)
    return {
        "input": x,
        "field": field,
        "estimate": float(field.sum()),
        "length": length,
        "ratios": [float(length_density(x, each).sum()) / length for each in SIGMAS],
    }


def draw(parameters, result):
    figure = new_figure(3.7)
    left, right = figure.subplots(1, 2)
    sigma, size = parameters["sigma"], parameters["size"]
    # A straight edge pays half a length in its first pixel: that is the darkest blue.
    top = 0.5 * math.sqrt(2 * math.pi) / sigma
    title = f"x · K(1 − x) · √(2π)/σ for σ = {sigma:g}"
    outlines = [(result["input"], 0.5, "thin-contour")]
    show_field(left, result["field"], title, high=top, outlines=outlines)
    if size / 4 > 2:
        right.axvspan(2, size / 4, color=COLOURS["rule"], alpha=0.6, label="2 ≤ σ ≤ size/4")
    right.plot(SIGMAS, result["ratios"], **LINES["first"])
    right.axhline(1, **LINES["muted"])
    now = result["estimate"] / result["length"]
    right.plot([sigma], [now], "o", **LINES["contour"], label=f"σ = {sigma:g}: {now:.3f}")
    right.set(xlabel="σ (pixels)", ylabel="estimated / true length")
    right.set(xlim=(0, 12), ylim=(0.5, 1.15))
    right.legend(frameon=False, loc="lower right")
    right.set_title(f"{result['estimate']:.1f} estimated, {result['length']:.1f} true")
    return figure
