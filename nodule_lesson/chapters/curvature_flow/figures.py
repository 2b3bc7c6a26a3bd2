"""The figures of the page on outlines in motion. Each function draws one with pyplot."""

import math

import matplotlib.pyplot as plt
import torch

from nodule_lesson import plots, std


def boundary_term_against_total_variation(u, by_std, by_tv):
    """Draw what the two regularised sigmoids make of a noisy disc.

    u: (H, W), logits. by_std, by_tv: all iterates, each (H, W), with the boundary term and with
    total variation.
    """
    figure, axes = plt.subplots(1, 3, figsize=(5.6, 2.3))
    plots.show_field(axes[0], torch.sigmoid(u), "Sig(u)", outline=None)
    plots.show_field(axes[1], by_std[10], "boundary term")
    plots.show_field(axes[2], by_tv[-1], "total variation")


def chan_vese(image, u, x):
    """Draw an image (H, W), what the sign of its logits u says, and the settled field x."""
    figure, axes = plt.subplots(1, 3, figsize=(5.6, 2.3))
    axes[0].imshow(image, cmap="gray", vmin=-0.3, vmax=1.3)
    axes[0].set_title("image I")
    axes[0].set_axis_off()
    plots.show_field(axes[1], (u > 0).double(), "u > 0", outline=None)
    plots.show_field(axes[2], x, "x after six turns")


def areas_of_shrinking_discs(start):
    """Draw the area of a disc without evidence over the steps, soft and hard, with its law.

    start: (H, W), float64, 1 in the disc and 0 elsewhere.
    """
    figure, axes = plt.subplots(figsize=(5.4, 3.6))
    none = torch.zeros_like(start)
    for sigma, colour in ((2.0, plots.BLUE), (4.0, plots.ORANGE)):
        weights = {"sigma": sigma, "lambda1": 1, "epsilon": 1 / 8}
        soft = std.iterates(none, start=start, iterations=40, **weights)
        hard = [start]
        for _ in range(40):
            hard.append((std.gaussian_blur(1 - 2 * hard[-1], sigma) < 0).double())
        for fields, style, label in ((soft, "-", "soft"), (hard, "--", "hard")):
            areas = [float(x.sum()) for x in fields]
            axes.plot(areas, style, color=colour, label=f"{label}, σ = {sigma:g}")
        law = [float(start.sum()) - math.pi * sigma**2 * t for t in range(41)]
        axes.plot(law, ":", color=plots.INK, linewidth=1.3)
    axes.set(xlabel="step t", ylabel="area (pixels)", ylim=(0, 3700))
    axes.legend(loc="upper right", ncols=2)
