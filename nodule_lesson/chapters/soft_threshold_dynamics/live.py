"""The STD explorer: every parameter of the paper's Eq. (5) under a slider."""

import math

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.live.drawing import LINES, new_figure, show_field, show_x
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import SCENE_NAMES, scene

CONTROLS = (
    Choice("scene", "input", SCENE_NAMES, "noisy disc", "the logits u"),
    Slider("sigma", "σ", 0.5, 10, 0.1, 2.0, "width of the Gaussian, pixels"),
    Slider("lambda1", "λ₁", 0, 4, 0.05, 1.8, "weight of the boundary"),
    Slider("lambda2", "λ₂", 0, 4, 0.05, 1.0, "weight of the detection prior"),
    Slider("c", "c", 0, 1, 0.01, 1.0, "is there a nodule?"),
    Slider("epsilon", "ε", 0.1, 2, 0.05, 1.0, "weight of the entropy"),
    Slider("iterations", "iterations", 0, 30, 1, 10, "steps T"),
)
DEFAULTS = {control.name: control.value for control in CONTROLS}
# On the first page of the book: those that matter most.
COMPACT = ("scene", "sigma", "lambda1", "iterations")
SIZE = 128

CAPTION = (
    "<strong>Live.</strong> Left, logits u as a network might give them, with the outline of the "
    "plain sigmoid, Sig(u) = 0.5. Right, x after T steps of soft threshold dynamics, with its own "
    "outline. {more}"
)
MORE = (
    "Below, the energy that each iteration is meant to lower: the derived one falls at every "
    "step; the one that the paper prints climbs. Paint on the left field with mouse, finger, or "
    "arrow keys and space."
)
ALT = (
    "Two square fields side by side. On the left noisy logits with a ragged outline in many "
    "pieces; on the right the same after soft threshold dynamics, with a smooth outline."
)


def std_explorer(*, compact=False, **initial):
    """The live figure of the layer, the paper's Eq. (5); `initial` sets starting values.

    compact=True shows the two fields and the controls in COMPACT alone.
    """
    controls = started_at(CONTROLS, initial)
    if compact:
        controls = tuple(control for control in controls if control.name in COMPACT)
    caption = CAPTION.format(more="Move a slider." if compact else MORE)
    return LiveFigure(
        "std_explorer",
        __name__,
        controls,
        compute,
        draw_compact if compact else draw,
        caption,
        ALT,
        {"compact": compact},
    )


def compute(parameters, u=None):
    """x_T, both energies over t, and the numbers shown. u replaces the scene's logits."""
    u = scene(parameters["scene"], SIZE) if u is None else u
    rest = {**DEFAULTS, **parameters}
    steps = rest.pop("iterations")
    rest.pop("scene")
    # float64: a small epsilon enlarges the last digit of a float32 to something that one can see.
    logits = torch.as_tensor(u).double()
    fields = std.iterates(logits, iterations=steps, **rest)
    printed = [std.printed_iteration(logits, iterations=t, **rest) for t in range(steps + 1)]
    return {
        "input": u,
        "field": fields[-1].numpy(),
        "energy": [float(std.std_energy(x, logits, **rest)) for x in fields],
        "printed_energy": [float(std.std_energy(x, logits, **rest)) for x in printed],
        "area": int((fields[-1] > 0.5).sum()),
        "length": outline_length(fields[-1].numpy()),
    }


def outline_length(x):
    """Length in pixels of the 0.5 contour, between pixel centres; outside the image x is 0."""
    from contourpy import contour_generator  # comes with matplotlib

    lines = contour_generator(z=np.pad(x, 1)).lines(0.5)
    return math.fsum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines)


def draw_compact(parameters, result):
    figure = new_figure(3.9)
    _draw_fields(figure.subplots(1, 2), parameters, result)
    return figure


def draw(parameters, result):
    figure = new_figure(6.4)
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 2))
    _draw_fields(upper.subplots(1, 2), parameters, result)
    axes = lower.subplots()
    axes.plot(result["energy"], **LINES["first"], label="derived")
    axes.plot(result["printed_energy"], **LINES["second"], label="printed")
    axes.set(xlabel="step t", ylabel="energy E(x_t)")
    axes.legend(
        title=f"area {result['area']} px, outline {result['length']:.0f} px", frameon=False
    )
    return figure


def _draw_fields(axes, parameters, result):
    left, right = axes
    u, x = result["input"], result["field"]
    show_field(left, u, "u, and where Sig(u) = 0.5", "logits", -3, 3, [(u, 0, "thin-contour")])
    show_x(right, x, parameters["iterations"])
