"""The longer figures of the chapter on boundary length. Each function draws one with pyplot."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from nodule_lesson import plots, std


def step_and_depth():
    """Draw what a step carries out of a set, and how far a soft edge is felt below it."""
    figure, (left, right) = plt.subplots(1, 2)
    angle = np.linspace(0, 2 * np.pi, 400)
    radius = 1 + 0.22 * np.cos(3 * angle + 0.5) + 0.1 * np.sin(2 * angle)
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)])
    z = np.array([0.22, 0.16])
    left.fill(*(outline + z[:, None]), color=plots.ORANGE, alpha=0.8, linewidth=0)
    left.fill(*outline, color="#c9dcf0", linewidth=0)
    left.plot(*outline, color=plots.BLUE, linestyle="-")
    arrow = {"arrowstyle": "->", "color": plots.INK}
    left.annotate("", xy=z * 2.5, xytext=(0, 0), arrowprops=arrow)
    left.text(0.22, 0.42, "z", color=plots.INK)
    left.text(-0.35, -0.3, "A", color=plots.INK)
    left.set_aspect("equal")
    left.set_axis_off()
    left.set_title("what a step z carries out of A")

    sigma = 2.0
    depth = torch.linspace(0, 6, 200)
    tail = torch.special.ndtr(-depth / sigma)
    right.fill_between(depth, tail, color="#c9dcf0", linewidth=0)
    right.plot(depth, tail)
    right.set(xlabel="depth s below the edge (pixels)", ylabel="K(1 − x) at that depth")
    right.set(xlim=(0, 6), ylim=(0, 0.6), title="σ = 2")
    right.text(0.7, 0.1, "area σ/√(2π)", color=plots.INK)


def errors_of_discs(disc_errors):
    """Draw the error of the length of discs over sigma: measured, and in closed form.

    disc_errors: a function of a radius and a sigma in pixels that returns relative errors, one
    per place of the centre. Dots mark sigma = r / 4.
    """
    figure, axes = plt.subplots(figsize=(7.4, 3.6))
    sigmas = np.geomspace(0.6, 16, 25)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.82, 5))
    for r, colour in zip((4, 8, 16, 32, 64), colours, strict=True):
        inside = sigmas[sigmas < r / 1.5]
        measured = [100 * disc_errors(r, sigma).mean() for sigma in inside]
        formula = [100 * _disc_error_without_pixels(r, sigma) for sigma in inside]
        axes.plot(inside, measured, linestyle="-", color=colour, label=f"r = {r}")
        axes.plot(inside, formula, ":", color=colour, linewidth=1.2)
        axes.plot(r / 4, 100 * disc_errors(r, r / 4).mean(), "o", color=colour)
    axes.axvline(2, color=plots.MUTED, linewidth=1, linestyle="--")
    axes.set(xscale="log", ylim=(-15, 2), xlabel="σ (pixels)", ylabel="error of the length (%)")
    axes.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    axes.minorticks_off()
    axes.legend(loc="lower right", ncols=3)


def _disc_error_without_pixels(r, sigma):
    """The relative error for a disc, averaged over all steps in closed form: Bessel functions."""
    s = torch.as_tensor((r / sigma) ** 2, dtype=torch.float64)
    share = torch.special.i0e(s) + torch.special.i1e(s)
    return float(math.sqrt(math.pi / 2) * r / sigma * share) - 1


def errors_of_straight_edges(edge_error):
    """Draw the error of the length of a straight edge over its angle to the grid.

    edge_error: a function of an angle in degrees and a sigma in pixels that returns the relative
    error of an endless edge. Dots: the same measured on drawn half-planes.
    """
    figure, axes = plt.subplots()
    angles = np.linspace(0, 45, 91)
    drawn = [0, 7, 14, 21, 28, 35, 40]
    for sigma in (0.7, 1.0, 1.4, 2.0):
        error = [100 * edge_error(angle, sigma) for angle in angles]
        line = axes.plot(angles, error, linestyle="-", label=f"σ = {sigma}")[0]
        measured = [100 * _error_of_half_plane(angle, sigma) for angle in drawn]
        axes.plot(drawn, measured, "o", color=line.get_color(), markersize=4)
    axes.set(xlabel="angle between edge and grid (degrees)", ylabel="error of the length (%)")
    axes.set_xticks([0, 15, 30, 45])
    axes.legend(ncols=4, loc="lower right")


def _error_of_half_plane(degrees, sigma, n=240, margin=20):
    """The relative error on a drawn half-plane, between two columns far from the border.

    degrees: the angle of the edge, up to 40. n: side of the image, margin: its border, in pixels.
    """
    slope = math.tan(math.radians(degrees))
    y, x = np.indices((n, n)) + 0.5 - n / 2
    half_plane = torch.as_tensor((y < 0.17 - slope * x).astype(float))
    paid = half_plane * std.gaussian_blur(1 - half_plane, sigma, radius=margin)
    rows = n // 2 + np.arange(-90, 91)  # where the edge passes
    paid = paid[rows, margin : n - margin].sum()
    length = (n - 2 * margin) / math.cos(math.radians(degrees))
    return float(paid) * math.sqrt(2 * math.pi) / sigma / length - 1


def prices_of_soft_edges():
    """Draw three edges of the height 1 across a line, and their price as TV and boundary term."""
    position = torch.arange(-100, 100, dtype=torch.float64) + 0.5
    profiles = {
        "jump": (position > 0).double(),
        "ramp": ((position + 10) / 20).clamp(0, 1),
        "plateau at ½": 0.5 * (position > -10).double() + 0.5 * (position > 10).double(),
    }
    sigma = 2.0
    T = std.gaussian_matrix(len(position), torch.tensor(sigma).double())
    scale = math.sqrt(2 * math.pi) / sigma
    total_variation = [float(x.diff().abs().sum()) for x in profiles.values()]
    boundary_term = [scale * float(x @ T @ (1 - x)) for x in profiles.values()]

    figure, (left, right) = plt.subplots(1, 2)
    for name, x in profiles.items():
        left.plot(position, x, label=name, drawstyle="steps-mid")
    left.set(xlim=(-18, 18), xlabel="position (pixels)", ylabel="x")
    left.legend(loc="upper left")
    place = np.arange(3)
    for shift, prices, colour, label in (
        (-0.2, total_variation, plots.MUTED, "total variation"),
        (0.2, boundary_term, plots.BLUE, "boundary term"),
    ):
        bars = right.bar(place + shift, prices, 0.4, color=colour, label=label)
        right.bar_label(bars, fmt="%.2f", color=plots.INK)
    right.set_xticks(place, list(profiles))
    right.set(ylabel="price, sharp edge = 1", ylim=(0, 1.15 * max(boundary_term)))
    right.grid(axis="x", visible=False)
    right.set_axisbelow(True)
    right.legend(loc="upper left")


def boundary_term_against_total_variation(u, by_std, by_tv):
    """Draw what the two regularised sigmoids make of a noisy disc, and how fast they settle.

    u: (H, W), logits. by_std, by_tv: all iterates, each (H, W), with the boundary term and with
    total variation; the last iterate stands for the limit.
    """
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.2), width_ratios=(1, 1, 1, 1.6))
    plots.show_field(axes[0], torch.sigmoid(u), "Sig(u)", outline=None)
    plots.show_field(axes[1], by_std[10], "boundary term")
    plots.show_field(axes[2], by_tv[-1], "total variation")
    for fields, label in ((by_std, "boundary term"), (by_tv, "total variation")):
        errors = [float((x - fields[-1]).abs().max()) for x in fields[1:301]]
        axes[3].loglog(range(1, len(errors) + 1), np.maximum(errors, 1e-7), label=label)
    axes[3].set(xlabel="steps", title="largest error", ylim=(1e-5, 1))
    axes[3].set_xticks([1, 10, 100], ["1", "10", "100"])
    axes[3].minorticks_off()
    axes[3].legend(loc="lower left", fontsize=8, handlelength=1.4, borderpad=0)


def areas_of_shrinking_discs(start):
    """Draw the area of a disc without evidence over the steps, soft and hard, with its law.

    start: (H, W), float64, 1 in the disc and 0 elsewhere.
    """
    figure, axes = plt.subplots()
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
    axes.set(xlabel="step t", ylabel="area (pixels)", ylim=(0, None))
    axes.legend(loc="lower left", ncols=2)
