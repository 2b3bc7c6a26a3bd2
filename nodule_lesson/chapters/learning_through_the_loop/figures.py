"""The longer figures of the chapter on learning through the loop. Each function draws one.

`slope(sigma, iterations, lambda1, gradient, radius)` is the chapter's function for dL/dsigma; T is
the number of iterations.
"""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.chapters.learning_through_the_loop.computations import OCTAVES, TEACHER


def memory_and_distance(counts, megabytes, slope):
    """Draw what is kept for the way back over T, and how near dL/dsigma is to its limit.

    counts: values of T. megabytes: for each kind of gradient a list of numbers, one per T.
    """
    figure, (left, right) = plt.subplots(1, 2)
    for gradient, values in megabytes.items():
        left.plot(counts, values, marker="o", markersize=3, label=gradient)
    left.set(xlabel="iterations T", ylabel="kept, MB", ylim=(0, None))
    left.legend()
    for lambda1, colour in ((1.0, plots.BLUE), (1.8, plots.ORANGE)):
        limit = slope(2.0, 300, lambda1, "implicit")
        for gradient, line in (("unrolled", "-"), ("implicit", "--")):
            errors = [abs(slope(2.0, T, lambda1, gradient) / limit - 1) for T in counts]
            label = f"{gradient}, λ₁ = {lambda1:g}"
            right.semilogy(counts, np.maximum(errors, 1e-14), line, color=colour, label=label)
    right.set(xlabel="iterations T", ylabel="relative error of dL/dσ", title="ε = 1")
    right.legend(fontsize=8)


def sigma_trap(slope, bests):
    """Draw the size of dL/dsigma with kernels cut or not, and its sign near the best sigma.

    bests: the best sigma for each T; the window between those of 10 and 1 is shaded.
    """
    figure, (left, right) = plt.subplots(1, 2)
    sigmas = np.geomspace(0.17, 20, 56)
    sizes = {}
    for radius, line in ((None, "-"), (5, "--"), (3, "-.")):
        sizes[radius] = np.abs([slope(sigma, 10, 1.8, radius=radius) for sigma in sigmas])
        label = "none cut" if radius is None else f"radius {radius}"
        left.loglog(sigmas, sizes[radius], line, label=label)
    far = sigmas[sigmas > 5]
    law = 3 * sizes[3][-1] * (far / 20) ** -3.0
    left.loglog(far, law, ":", color=plots.MUTED, label="∝ σ⁻³")
    left.axvline(0.3, color=plots.MUTED, linewidth=1, linestyle=":")
    left.set(xlabel="σ", ylabel="size of dL/dσ", ylim=(1e-4, 200))
    left.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    left.legend(fontsize=8)

    near = np.linspace(0.95, 1.7, 16)
    for T, line in ((1, "-."), (2, "--"), (10, "-")):
        right.plot(near, [slope(sigma, T, 1.8) for sigma in near], line, label=f"T = {T}")
    right.axhline(0, color=plots.INK, linewidth=0.8)
    right.axvspan(bests[10], bests[1], color=plots.ORANGE, alpha=0.15, linewidth=0)
    right.set(xlabel="σ", ylabel="dL/dσ", ylim=(-1.6, 1.1))
    right.legend(fontsize=8)


def three_ways_and_a_slow_one(sigmas, lambda2s, landscape, ways, slow):
    """Draw the ways of sigma and lambda2 from three starts, over the loss, and sigma by the step.

    landscape: the loss, (lambda2s, sigmas). ways: with a learning rate of their own, each
    (steps + 1, 2). slow: the way from the first start with the network's rate, the same shape.
    """
    figure, (left, right) = plt.subplots(1, 2)
    levels = landscape.min() + np.array([0.001, 0.004, 0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.22])
    lines = {"colors": plots.MUTED, "linewidths": 0.7, "linestyles": "-"}
    left.contour(sigmas, lambda2s, landscape, levels, **lines)
    for number, way in enumerate(ways):
        left.plot(*way.T, linestyle="-", color=plots.BLUE)
        left.plot(*way[0], "o", color=plots.BLUE)
        label = None if number else "own rate, 0.1"
        right.plot(way[:, 0], linestyle="-", color=plots.BLUE, label=label)
    left.plot(*slow[-1], "s", color=plots.ORANGE, markersize=5)
    row, column = np.unravel_index(landscape.argmin(), landscape.shape)
    left.plot(sigmas[column], lambda2s[row], "x", color=plots.INK)
    right.plot(slow[:, 0], linestyle="--", color=plots.ORANGE, label="network's rate, 0.001")
    left.set(xlabel="σ", ylabel="λ₂", xlim=(0.3, 6.2), ylim=(0, 7))
    right.set(xlabel="step of Adam", ylabel="σ", ylim=(0, 6.3))
    right.legend()


def point_and_valley(losses, walks):
    """Draw the student's loss over epsilon and lambda1 for u fixed and u free, and three walks.

    losses: as `computations.losses_of_students` returns them. walks: each (steps, 3), with
    epsilon and lambda1 in the first two columns.
    """
    figure, axes = plt.subplots(1, 2, sharey=True)
    epsilons, lambda1s = 2**OCTAVES, TEACHER["lambda1"] * 2**OCTAVES
    levels, ticks = np.arange(-3.5, -0.9, 0.25), [0.5, 1, 2]
    for panel, (name, values) in zip(axes, losses.items(), strict=True):
        height = np.log10(np.maximum(values, 10**-3.45))
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
        axes[1].plot(way[-1, 0], way[-1, 1], "o", color=plots.ORANGE, markersize=5)
    figure.colorbar(drawn, ax=axes, label="log₁₀ of the loss")


def dice_over_scale(multiples, dices, plain):
    """Draw the overlap with the clean disc over the scale of the logits.

    dices: for each lambda1 a list of overlaps, one per multiple. plain: that of the sigmoid.
    """
    figure, axes = plt.subplots(figsize=(6, 3.2))
    for (lambda1, values), line in zip(dices.items(), ("-", "--", "-."), strict=True):
        axes.semilogx(multiples, values, line, label=f"λ₁ = {lambda1:g}")
    axes.axhline(plain, linestyle=":", color=plots.MUTED, label="sigmoid")
    axes.set_xticks([0.1, 0.3, 1, 3, 10, 30], ["0.1", "0.3", "1", "3", "10", "30"])
    axes.set(xlabel="scale of the logits", ylabel="Dice", ylim=(0.4, 1.02))
    axes.legend()
