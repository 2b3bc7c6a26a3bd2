"""The gradient to sigma: a loss over sigma, its slope, and where the slope is gone."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.live.drawing import LINES, new_figure, show_field
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import pixel_centres, scene

SMALLEST, LARGEST = 0.15, 8  # sigma, pixels
CONTROLS = (
    Slider("sigma", "σ", SMALLEST, LARGEST, 0.05, 3.0, "width of the Gaussian, pixels"),
    Slider("lambda1", "λ₁", 0, 3, 0.05, 1.8, "weight of the boundary"),
    Slider("iterations", "iterations", 1, 30, 1, 10, "steps T"),
    Choice("radius", "radius", ("none cut", "3", "5"), "none cut", "taps further away are cut"),
)
SIZE = 32
# Even steps of ln(sigma), from one end of the slider to the other.
SIGMAS = SMALLEST * (LARGEST / SMALLEST) ** (np.arange(33) / 32)
SIGMA_TICKS = (0.2, 0.5, 1, 2, 5)
SLOPE_TICKS = (-100, -10, -1, -0.1, 0, 0.1, 1, 10)
NEARLY_ZERO = 0.01  # the scale of slopes is linear below, logarithmic above

CAPTION = (
    "<strong>Live.</strong> Left, the logits u of a disc in noise, and x after T steps with its "
    "outline on that of the clean disc (grey). Right, the loss L, 100 times the mean square "
    "of x minus the clean disc, over σ, and its slope dL/dσ. The slope's scale is logarithmic on "
    "both sides of 0, to show sign and size at once: where the curve lies on 0, σ cannot learn."
)
ALT = (
    "Two small fields, a noisy disc and its regularised form, beside two curves over sigma: a "
    "loss with one valley, and its slope, which is nearly zero at the left end, negative before "
    "the valley and positive after it."
)


def sigma_gradient(**initial):
    """The live figure of dL/dsigma through T steps; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("sigma_gradient", __name__, controls, compute, draw, CAPTION, ALT)


def clean_disc():
    """The disc under the noise, 1 inside and 0 outside."""
    x, y = pixel_centres(SIZE)
    return (np.hypot(x - 64, y - 64) < 30).astype(float)


def compute(parameters):
    """input: the grid of sigmas; field: dL/dsigma there, by autograd through the T steps."""
    u = torch.as_tensor(scene("noisy disc", SIZE)).double()
    clean = torch.as_tensor(clean_disc())
    settings = {
        "lambda1": parameters["lambda1"],
        "iterations": parameters["iterations"],
        "radius": None if parameters["radius"] == "none cut" else int(parameters["radius"]),
    }

    def at(sigma):
        sigma = torch.tensor(float(sigma), dtype=torch.float64, requires_grad=True)
        x = std.soft_threshold_dynamics(u, sigma=sigma, **settings)
        loss = 100 * ((x - clean) ** 2).mean()
        (slope,) = torch.autograd.grad(loss, sigma)
        return x.detach().numpy(), loss.item(), slope.item()

    x, loss, slope = at(parameters["sigma"])
    curve = [at(sigma)[1:] for sigma in SIGMAS]
    return {
        "input": SIGMAS,
        "field": np.array([slope for _, slope in curve]),
        "losses": np.array([loss for loss, _ in curve]),
        "u": u.numpy(),
        "x": x,
        "loss": loss,
        "slope": slope,
    }


def draw(parameters, result):
    figure = new_figure(5.4)
    (left, top), (lower_left, bottom) = figure.subplots(2, 2, width_ratios=(2, 4))
    show_field(left, result["u"], "logits u", "logits", -3, 3)
    outlines = [(clean_disc(), 0.5, "muted"), (result["x"], 0.5, "contour")]
    show_field(lower_left, result["x"], f"x, T = {parameters['iterations']}", outlines=outlines)
    for axes, curve, point in (
        (top, result["losses"], result["loss"]),
        (bottom, result["field"], result["slope"]),
    ):
        axes.plot(result["input"], curve, **LINES["first"])
        axes.plot(parameters["sigma"], point, "o", **LINES["second"])
        axes.set_xscale("log")
        axes.set_xticks(SIGMA_TICKS, [f"{sigma:g}" for sigma in SIGMA_TICKS], minor=False)
        axes.set_xticks([], minor=True)
        axes.grid(True, **LINES["grid"])
    top.set(ylabel="loss L(σ)")
    bottom.set_yscale("asinh", linear_width=NEARLY_ZERO)
    bottom.set_yticks(SLOPE_TICKS, [f"{slope:g}" for slope in SLOPE_TICKS], minor=False)
    bottom.axhline(0, **LINES["muted"])
    bottom.set(xlabel="σ, pixels", ylabel="slope dL/dσ")
    return figure
