"""The longer figures of the chapter on learning through the loop. Each function draws one.

`slope(sigma, iterations, lambda1, gradient, radius)` is the chapter's function for dL/dsigma; T is
the number of iterations.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import zoom

from nodule_lesson import plots
from nodule_lesson.chapters.learning_through_the_loop.computations import (
    LAMBDA2S,
    OCTAVES,
    SCANNED,
    SIGMAS,
    TEACHER,
)


def distance_to_the_limit(slope):
    """Draw how near dL/dsigma is to its value at the fixed point, over the number of steps."""
    figure, axes = plt.subplots(figsize=(6, 3.4))
    counts = [1, 2, 5, 10, 15, 20, 25, 30, 35, 40]
    for lambda1, colour in ((1.8, plots.ORANGE), (1.0, plots.BLUE)):
        limit = slope(2.0, 200, lambda1, "implicit")
        for gradient, line in (("unrolled", "-"), ("implicit", "--")):
            errors = [abs(slope(2.0, T, lambda1, gradient) / limit - 1) for T in counts]
            label = f"{gradient}, λ₁ = {lambda1:g}"
            axes.semilogy(counts, np.maximum(errors, 1e-14), line, color=colour, label=label)
    axes.set(xlabel="steps T", ylabel="relative error of dL/dσ")
    axes.legend()


def sigma_trap(slope):
    """Draw the size of dL/dsigma with kernels cut or not."""
    figure, axes = plt.subplots(figsize=(6, 3.4))
    sigmas = np.geomspace(0.17, 20, 56)
    for radius, line in ((None, "-"), (5, "--"), (3, "-.")):
        sizes = np.abs([slope(sigma, 10, 1.8, radius=radius) for sigma in sigmas])
        label = "none cut" if radius is None else f"cut at radius {radius}"
        axes.loglog(sigmas, sizes, line, label=label)
    far = sigmas[sigmas > 5]
    axes.loglog(far, 3 * sizes[-1] * (far / 20) ** -3.0, ":", color=plots.MUTED, label="∝ σ⁻³")
    axes.axvline(0.3, color=plots.MUTED, linewidth=1)
    axes.set(xlabel="σ, pixels", ylabel="size of dL/dσ", ylim=(1e-4, 200))
    axes.set_xticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    axes.legend(loc="lower center")


def three_ways_and_a_slow_one(landscape, ways, slow):
    """Draw the ways of sigma and lambda2 from three starts, over the loss.

    landscape: the loss, as `computations.landscape` returns it. ways: with a learning rate of
    their own, each (steps + 1, 2). slow: from the first start with the network's rate.
    """
    figure, axes = plt.subplots(figsize=(6, 4.2))
    levels = landscape.min() + np.array([0.001, 0.004, 0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22])
    sigmas, lambda2s, heights = (
        zoom(values, 4, order=3) for values in (SIGMAS, LAMBDA2S, landscape)
    )  # smooth lines
    lines = {"colors": plots.MUTED, "linewidths": 0.7, "linestyles": "-"}
    axes.contour(sigmas, lambda2s, heights, levels, **lines)
    for number, way in enumerate(ways):
        label = None if number else "a rate of their own"
        axes.plot(*way.T, linestyle="-", color=plots.BLUE, label=label)
        axes.plot(*way[0], "o", color=plots.BLUE)
    axes.plot(*slow.T, linestyle="-", color=plots.ORANGE, linewidth=4, label="a network's rate")
    row, column = np.unravel_index(heights.argmin(), heights.shape)
    axes.plot(sigmas[column], lambda2s[row], "x", color=plots.INK, markersize=9, zorder=3)
    axes.set(xlabel="σ, pixels", ylabel="λ₂", xlim=(0.3, 5), ylim=(0.5, 7))
    axes.legend()


def point_and_valley(losses, walks):
    """Draw the student's loss over epsilon and lambda1 for u fixed and u free, and three walks.

    losses: as `computations.losses_of_students` returns them. walks: each (steps, 3), with
    epsilon and lambda1 in the first two columns.
    """
    figure, axes = plt.subplots(1, 2, sharey=True)
    fine = 2 ** zoom(OCTAVES.numpy(), 4, order=1)
    epsilons, lambda1s = fine, TEACHER["lambda1"] * fine
    levels, ticks = np.arange(-3.5, -0.9, 0.25), [0.5, 1, 2]
    for panel, (name, values) in zip(axes, losses.items(), strict=True):
        # Smooth lines; those of the valley are straight anyway.
        roots = zoom(np.sqrt(values), 4, order=3 if name == "fixed" else 1)
        height = 2 * np.log10(np.maximum(roots, 10**-1.725))
        drawn = panel.contourf(epsilons, lambda1s, height, levels, cmap="Blues_r")
        cross = {"color": plots.CONTOUR, "markersize": 9, "markeredgewidth": 2}
        panel.plot(TEACHER["epsilon"], TEACHER["lambda1"], "x", **cross)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.set_yticks(ticks, [str(tick) for tick in ticks])
        panel.set(xlabel="ε", title=f"u {name}")
        panel.grid(False)
    axes[0].set_ylabel("λ₁")
    for way in walks:
        axes[1].plot(way[:, 0], way[:, 1], linestyle="-", color=plots.ORANGE, linewidth=1.4)
        axes[1].plot(*way[0, :2], "o", color=plots.ORANGE, markersize=6, fillstyle="none")
        axes[1].plot(way[-1, 0], way[-1, 1], "o", color=plots.ORANGE, markersize=5)
    figure.colorbar(drawn, ax=axes, label="log₁₀ of the loss")


def best_sigma_over_scale(scans):
    """Draw the sigma of the lowest loss over the scale of the logits, with and without noise.

    scans: as `computations.scans_of_sigma` returns them.
    """
    figure, axes = plt.subplots(figsize=(6, 3.2))
    for (name, losses), line in zip(list(scans.items())[1:], ("o-", "s--"), strict=True):
        label = "noisy logits" if name == "noisy" else name
        axes.semilogx(scans["scale"], SCANNED[losses.argmin(1)], line, label=label)
    axes.axhline(0.3, color=plots.MUTED, linewidth=1)
    axes.text(1, 0.07, "floor: 0.3", color=plots.MUTED)
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.set(xlabel="scale of the logits", ylabel="best σ, pixels", ylim=(0, None))
    axes.legend()
