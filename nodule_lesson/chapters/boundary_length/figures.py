"""The longer figures of the chapter on boundary length. Each function draws one with pyplot."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from nodule_lesson import plots, std

PALE = "#c9dcf0"


def strip_of_a_step():
    """Draw what one step carries out of a set."""
    figure, axes = plt.subplots(figsize=(4.4, 3.2))
    angle = np.linspace(0, 2 * np.pi, 400)
    radius = 1 + 0.22 * np.cos(3 * angle + 0.5) + 0.1 * np.sin(2 * angle)
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)])
    z = np.array([0.22, 0.16])
    axes.fill(*(outline + z[:, None]), color=plots.ORANGE, alpha=0.8, linewidth=0)
    axes.fill(*outline, color=PALE, linewidth=0)
    axes.plot(*outline, color=plots.BLUE, linestyle="-")
    arrow = {"arrowstyle": "->", "color": plots.INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=z, xytext=(0, 0), arrowprops=arrow)
    axes.text(0.02, 0.16, "z", fontsize=12)
    axes.text(-0.5, -0.3, "A", fontsize=12)
    axes.text(1.3, 0.75, "leaves A", color=plots.ORANGE, fontsize=12)
    axes.set_aspect("equal")
    axes.set_axis_off()


def errors_of_discs(disc_errors):
    """Draw the error of the length of discs over sigma: measured, and by the first-order formula.

    disc_errors: a function of a radius and a sigma in pixels that returns relative errors, one
    per place of the centre. Dots mark sigma = r / 4.
    """
    figure, axes = plt.subplots(figsize=(5.4, 3.6))
    sigmas = np.geomspace(0.6, 16, 25)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.82, 5))
    for r, colour in zip((4, 8, 16, 32, 64), colours, strict=True):
        inside = sigmas[sigmas < r / 1.5]
        measured = [100 * disc_errors(r, sigma).mean() for sigma in inside]
        axes.plot(inside, measured, linestyle="-", color=colour, label=f"r = {r}")
        axes.plot(inside, -100 * inside**2 / (8 * r**2), ":", color=colour, linewidth=1.3)
        axes.plot(r / 4, 100 * disc_errors(r, r / 4).mean(), "o", color=colour)
    axes.axvline(2, color=plots.MUTED, linewidth=1, linestyle="--")
    axes.set(xscale="log", ylim=(-15, 2), xlabel="σ (pixels)", ylabel="error of the length (%)")
    axes.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    axes.minorticks_off()
    axes.legend(loc="lower right", ncols=2)


def prices_of_soft_edges():
    """Draw three edges of the height 1 across a line, and their price as TV and boundary term."""
    position = torch.arange(-100, 100, dtype=torch.float64) + 0.5
    profiles = {
        "jump": (position > 0).double(),
        "ramp": ((position + 10) / 20).clamp(0, 1),
        "plateau": 0.5 * (position > -10).double() + 0.5 * (position > 10).double(),
    }
    sigma = 2.0
    G = std.gaussian_matrix(len(position), torch.tensor(sigma).double())
    scale = math.sqrt(2 * math.pi) / sigma
    figure, axes = plt.subplots(1, 3, figsize=(5.4, 2.7), sharey=True)
    for one, (name, x) in zip(axes, profiles.items(), strict=True):
        one.plot(position, x, drawstyle="steps-mid")
        one.set(xlim=(-18, 18), ylim=(-0.05, 1.05), title=name)
        variation, term = float(x.diff().abs().sum()), scale * float(x @ G @ (1 - x))
        one.set_xlabel(f"total variation {variation:.2f}\nboundary term {term:.2f}")
        one.set_xticks([-10, 0, 10])
    axes[0].set_ylabel("x")


def smallest_discs(radii, rule, exact, soft, sharp):
    """Draw how high a disc's logit has to be, against its radius.

    rule, exact: the height from which a hard disc is worth its outline, by the rule and exactly.
    soft, sharp: for the layer with epsilon = 1 and a small one, pairs of lists: the heights from
    which a single pixel, and nine tenths of the disc, survive.
    """
    figure, axes = plt.subplots(figsize=(5.4, 4.0))
    axes.fill_between(radii, *soft, color=PALE, linewidth=0, label="ε = 1: a part survives")
    for heights in soft:
        axes.plot(radii, heights, linestyle="-", color=plots.BLUE, linewidth=1.4)
    fine = np.linspace(min(radii), max(radii), 100)
    axes.plot(fine, rule[0] * radii[0] / fine, "--", color=plots.INK, label="hard masks: 2μ/r")
    axes.plot(radii, exact, "o", color=plots.INK, label="hard masks, computed")
    axes.plot(radii, sharp[0], "-.", color=plots.ORANGE, label="ε = 0.1: from none to all")
    axes.text(radii[-1], soft[1][-1] + 0.02, "nine tenths survive", ha="right", color=plots.BLUE)
    axes.annotate("one pixel\nsurvives", (radii[3], soft[0][3]), (2.1, 0.06), color=plots.BLUE,
                  arrowprops={"arrowstyle": "-", "color": plots.BLUE})  # fmt: skip
    axes.set(xlabel="radius r of the disc (pixels)", ylabel="height h of its logit")
    axes.set(xlim=(min(radii) - 0.2, max(radii) + 0.2), ylim=(0, 1))
    axes.legend(loc="upper right")
