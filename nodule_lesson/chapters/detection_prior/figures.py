"""The longer figures of the chapter on the detection prior. Each function draws one with pyplot.

In all of them c is the classifier's answer, between 0 and 1.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from nodule_lesson import plots, std


def threshold_of_the_prior(u, lambda2):
    """Draw the level that a logit has to reach for several c.

    u: (96, 96), float64 logits of the crop with a nodule and a vessel, shown along a line through
    both. lambda2: the weight of the prior.
    """
    figure, axes = plt.subplots()
    along = np.linspace(0, 1, 2 * u.shape[0])
    rows, columns = 28 + 53 * along, 14 + 81 * along  # from left above to right below
    profile = u.numpy()[rows.round().astype(int), columns.round().astype(int)]
    axes.plot(along * np.hypot(53, 81), profile, color=plots.INK, linewidth=1.2)
    lines = ((0.0, plots.GREEN, "-."), (0.5, plots.ORANGE, "--"), (1.0, plots.BLUE, "-"))
    for c, colour, style in lines:  # from above, as in the legend
        axes.axhline(lambda2 * (1 - c), color=colour, linestyle=style, label=f"c = {c:g}")
    axes.legend(title="counts above", loc="upper right")
    axes.annotate("nodule", (28, 3.9), ha="center")
    axes.annotate("vessel", (80, 2.3), ha="center")
    axes.set(xlabel="place along the line, pixels", ylabel="logit u", ylim=(-4, 6))


def nested_masks(crops, settings):
    """Colour each pixel of each crop by the lowest of three values of c that still marks it.

    crops: logits, truth and part around the nodule by name. settings: sigma, lambda1 and lambda2
    by name.
    """
    figure, panels = plt.subplots(1, 3, figsize=(7.4, 3.1))
    colours = ["#e9edf2", "#8fbbe8", "#e8924a", plots.GREEN]
    for axes, (name, (u, truth, _)) in zip(panels, crops.items(), strict=True):
        marked = [std.soft_threshold_dynamics(u, c=c, **settings) > 0.5 for c in (1.0, 0.5, 0.0)]
        axes.imshow(
            sum(mask.int() for mask in marked), cmap=ListedColormap(colours), vmin=0, vmax=3
        )
        if truth.any():
            axes.contour(truth, [0.5], colors=plots.INK, linewidths=1.2, linestyles=":")
        axes.set_title(name)
        axes.set_axis_off()
    labels = ("for c = 1 only", "until c = 0.5", "even for c = 0")
    handles = [
        Patch(color=colour, label=label) for colour, label in zip(colours[1:], labels, strict=True)
    ]
    figure.legend(handles=handles, title="marked", loc="outside lower center", ncols=3)


def droplet(radius, height, values, settings):
    """Draw a droplet in its disc, and its energy while it grows to fill the disc.

    radius, height: of the disc of logits. values: of c, one of each fate: kept, holds itself up,
    evaporates. settings: sigma, lambda1 and lambda2 by name.
    """
    figure, (left, right) = plt.subplots(1, 2, width_ratios=(2, 3))
    left.add_patch(plt.Circle((0, 0), radius, facecolor="#e6ebf2", edgecolor=plots.MUTED, ls="--"))
    left.add_patch(plt.Circle((0, 0), 0.6 * radius, facecolor="#9dc0e8", edgecolor=plots.BLUE))
    for angle, length, label in ((0.35, 0.6 * radius, "ρ"), (2.2, radius, "r")):
        tip = length * np.cos(angle), length * np.sin(angle)
        left.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "->", "color": plots.INK})
        left.annotate(label, (0.55 * tip[0] + 0.3, 0.55 * tip[1] + 0.5), fontsize=13)
    left.annotate("droplet", (0, -0.35 * radius), ha="center")
    left.annotate("disc of logits h", (0, -0.85 * radius), ha="center")
    left.set(xlim=(-1.1 * radius, 1.1 * radius), ylim=(-1.1 * radius, 1.1 * radius))
    left.set_aspect("equal")
    left.set_axis_off()
    mu = settings["lambda1"] * settings["sigma"] / np.sqrt(2 * np.pi)
    rho = np.linspace(0, radius, 100)
    fates = ("kept", "holds itself up", "evaporates")
    colours = (plots.BLUE, plots.ORANGE, plots.GREEN)
    for c, fate, colour in zip(values, fates, colours, strict=True):
        s = settings["lambda2"] * (1 - c)
        energy = -np.pi * rho**2 * (height - s) + 2 * np.pi * rho * mu
        right.plot(rho, energy, color=colour)
        right.plot(rho[-1], energy[-1], "o", color=colour)
        right.annotate(
            f"c = {c:g}\n{fate}", (radius, energy[-1]), (8, 0), textcoords="offset points",
            color=colour, va="center", annotation_clip=False,
        )  # fmt: skip
    right.axhline(0, color=plots.MUTED, linewidth=0.8, linestyle="-")
    right.set(
        xlabel="radius ρ of the droplet",
        ylabel="energy E(ρ)",
        xlim=(0, 1.45 * radius),
        ylim=(-34, 24),
    )
    right.set_xticks(np.arange(0, radius + 1, 2))


def fate_of_discs(radii, energies, held, soft, height, settings):
    """Draw which discs survive which c: for hard masks and for the soft layer.

    radii: in pixels. energies, held, soft: the lowest c for each radius where the energies of the
    disc and of nothing are equal, in the layer with epsilon = 0.1, and in the layer with
    epsilon = 1. height: that of the discs. settings: sigma, lambda1 and lambda2 by name.
    """
    smooth = np.linspace(3, 16, 80)
    lambda1, lambda2 = settings["lambda1"], settings["lambda2"]
    mu = lambda1 * settings["sigma"] / np.sqrt(2 * np.pi)
    break_even, evaporates = (1 - (height - k * mu / smooth) / lambda2 for k in (2, 1))
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(7.4, 3.6))
    left.plot(smooth, break_even, color=plots.BLUE, ls="-")
    left.plot(smooth, evaporates, color=plots.ORANGE, ls="-")
    left.plot(radii, energies, "o", color=plots.BLUE)
    left.plot(radii, held, "s", color=plots.ORANGE)
    left.fill_between(smooth, break_even, 0.8, color=plots.BLUE, alpha=0.12, lw=0)
    left.fill_between(smooth, evaporates, break_even, color=plots.ORANGE, alpha=0.2, lw=0)
    left.set_xticks([4, 8, 12, 16])
    left.annotate("kept", (11, 0.6), ha="center")
    left.annotate(
        "holds itself up", (7.2, 0.34), (10.6, 0.49), ha="center",
        arrowprops={"arrowstyle": "->", "color": plots.INK},
    )  # fmt: skip
    left.annotate("evaporates", (8, 0.15), ha="center")
    left.set(title="hard masks", xlabel="radius r of the disc, pixels", ylabel="c", ylim=(0, 0.8))
    right.plot(radii, soft, "^-", color=plots.GREEN, lw=1.2)
    right.fill_between(radii, soft, 0.8, color=plots.GREEN, alpha=0.12, lw=0)
    for level in (height, height - lambda1):
        right.axhline(1 - level / lambda2, color=plots.MUTED, ls=":", lw=1.4)
    right.set_xticks([4, 8, 12, 16])
    right.annotate("kept", (11, 0.5), ha="center")
    right.annotate("gone", (8, 0.12), ha="center")
    right.set(title="the soft layer, ε = 1", xlabel="radius r of the disc, pixels")


def hysteresis(u, values, down, up, lambda1):
    """Draw the area of a disc while c falls and rises again, and the area that the layer finds.

    u: (H, W), logits. values: the values of c, an array. down, up: areas while c falls and while
    it rises, in the order of `values`. lambda1: the weight of the boundary in both.
    """
    figure, axes = plt.subplots()
    weights = {"sigma": 2.0, "lambda1": lambda1, "lambda2": 4.0, "c": torch.tensor(values)}
    layer = std.soft_threshold_dynamics(u.expand(len(values), -1, -1), **weights)
    axes.plot(values, down, label="c falls")
    axes.plot(values, up, label="c rises")
    axes.plot(values, (layer > 0.5).sum((1, 2)), color=plots.MUTED, ls=":", label="layer")
    axes.set(xlabel="c", xlim=(0.35, 0.85), ylabel="area, pixels")
    axes.legend()


def bayes_beside_the_prior():
    """Draw the shift of the logits against c: the paper's prior, and Bayes' rule."""
    figure, axes = plt.subplots()
    c = np.linspace(0.003, 0.997, 400)
    for lambda2 in (2, 4):
        axes.plot(c, -lambda2 * (1 - c), label=f"−λ₂(1 − c), λ₂ = {lambda2}")
    axes.plot(c, np.log(c / (1 - c)), label="Bayes, P(N) = 1/2")
    axes.axhline(0, color=plots.MUTED, linewidth=0.8, linestyle="-")
    axes.set(xlabel="c", ylabel="shift of the logits", ylim=(-6, 6))
    axes.legend()
