"""The gradient to sigma: a loss over sigma, its slope, and where the slope is gone."""

import numpy as np
import torch
from matplotlib.figure import Figure

from nodule_lesson import std
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import scene

CONTROLS = (
    Slider("sigma", "σ", 0.15, 8, 0.05, 3.0, "width of the Gaussian, pixels"),
    Slider("lambda1", "λ₁", 0, 3, 0.05, 1.8, "weight of the boundary"),
    Slider("iterations", "iterations", 1, 30, 1, 10, "steps T"),
    Choice("radius", "radius", ("none cut", "3", "5"), "none cut", "taps further away are cut"),
)
SIZE = 32
POINTS = 33
# Even steps of ln(sigma), from one end of the slider to the other.
SIGMAS = 0.15 * (8 / 0.15) ** (np.arange(POINTS) / (POINTS - 1))

CAPTION = (
    "<strong>Live.</strong> Left, the logits u of a disc in noise, and x after T steps with its "
    "outline (red) on that of the clean disc (grey). Right, the loss L, 100 times the mean square "
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
    return LiveFigure("sigma_gradient", __file__, controls, compute, draw, CAPTION, ALT)


def clean_disc():
    """The disc under the noise, 1 inside and 0 outside."""
    y, x = (np.indices((SIZE, SIZE)) + 0.5) * (128 / SIZE) - 64
    return (np.hypot(x, y) < 30).astype(float)


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
    figure = Figure(figsize=(7.4, 5.4), layout="constrained")
    axes = figure.subplots(2, 2, width_ratios=(2, 4))
    (given, top), (found, bottom) = axes
    given.imshow(result["u"], cmap="RdBu", vmin=-3, vmax=3)
    given.set_title("logits u")
    found.imshow(result["x"], cmap="Blues", vmin=0, vmax=1)
    found.contour(clean_disc(), [0.5], colors="#55606e", linewidths=1)
    if result["x"].min() < 0.5 < result["x"].max():
        found.contour(result["x"], [0.5], colors="#d6330f", linewidths=1.2)
    found.set_title(f"x, T = {parameters['iterations']}")
    for one in (given, found):
        one.set_axis_off()
    for one, curve, point in (
        (top, result["losses"], result["loss"]),
        (bottom, result["field"], result["slope"]),
    ):
        one.plot(result["input"], curve, color="#1f5fa8")
        one.plot(parameters["sigma"], point, "o", color="#b4480d")
        one.set_xscale("log")
        one.set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"], minor=False)
        one.set_xticks([], minor=True)
        one.grid(True, color="#d5dae1", linewidth=0.6)
    top.set(ylabel="loss L(σ)")
    bottom.set_yscale("asinh", linear_width=0.01)
    powers = [-100, -10, -1, -0.1, 0, 0.1, 1, 10]
    bottom.set_yticks(powers, [f"{power:g}" for power in powers], minor=False)
    bottom.axhline(0, color="#55606e", linewidth=1)
    bottom.set(xlabel="σ, pixels", ylabel="slope dL/dσ")
    return figure
