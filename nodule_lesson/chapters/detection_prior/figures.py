"""The longer figures of the chapter on the detection prior. Each function draws one with pyplot.

In all of them c is the classifier's answer, between 0 and 1.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from nodule_lesson import plots, std


def threshold_of_the_prior(u, lambda2):
    """Draw the level that a logit has to reach for several c, and the threshold on the sigmoid.

    u: (96, 96), float64 logits of the crop with a nodule and a vessel, shown along a line through
    both. lambda2: the weight of the prior in the left panel.
    """
    figure, (left, right) = plt.subplots(1, 2)
    along = np.linspace(0, 1, 2 * u.shape[0])
    rows, columns = 28 + 53 * along, 14 + 81 * along  # from left above to right below
    profile = u.numpy()[rows.round().astype(int), columns.round().astype(int)]
    left.plot(along * np.hypot(53, 81), profile, color=plots.BLUE, linewidth=1.2)
    for c, style in ((1.0, "-"), (0.5, "--"), (0.0, ":")):
        line = {"color": plots.ORANGE, "linestyle": style, "linewidth": 1.2}
        left.axhline(lambda2 * (1 - c), label=f"c = {c:g}", **line)
    left.legend(title="counts above", loc="upper right")
    left.set(xlabel="place along the line, pixels", ylabel="logit u", ylim=(-4, 6))
    c = np.linspace(0, 1, 101)
    for weight in (1, 2, 4):
        right.plot(c, 1 / (1 + np.exp(-weight * (1 - c))), label=f"λ₂ = {weight}")
    right.set(xlabel="c", ylabel="threshold on Sig(u)", ylim=(0.45, 1.02), title="ε = 1")
    right.legend()


def lowest_c_of_discs(radii, computed, held, soft, logit, settings):
    """Draw how low c may fall for a disc, against its radius: formulas and computed points.

    radii: in pixels. computed, held, soft: the lowest c for each radius where the energies of the
    disc and of nothing are equal, in the layer with epsilon = 0.1, and in the layer with
    epsilon = 1. logit: that of the disc. settings: sigma, lambda1 and lambda2 by name.
    """
    smooth = np.linspace(3, 16, 80)
    lambda2 = settings["lambda2"]
    price = settings["lambda1"] * settings["sigma"] * np.sqrt(2 / np.pi)
    break_even = 1 - (logit - price / smooth) / lambda2
    evaporates = 1 - (logit - price / smooth / 2) / lambda2
    figure, axes = plt.subplots()
    axes.plot(smooth, break_even, color=plots.BLUE, ls="-", label="break-even, r = 2ϱ")
    axes.plot(radii, computed, "o", color=plots.BLUE, ls="none", label="energies equal, ε = 0.1")
    axes.plot(smooth, evaporates, color=plots.ORANGE, ls="--", label="evaporates, r = ϱ")
    axes.plot(radii, held, "s", color=plots.ORANGE, ls="none", label="layer, ε = 0.1")
    axes.plot(radii, soft, "^", color=plots.GREEN, ls="none", label="layer, ε = 1, 10 steps")
    axes.axhline(1 - logit / lambda2, color=plots.MUTED, ls=":", lw=1.2, label="λ₁ = 0")
    axes.set(xlabel="radius r of the disc, pixels", ylabel="c")
    axes.legend(ncols=2)


def hysteresis(u, values, loops):
    """Draw the area of a disc while c falls and rises again, and the area that the layer finds.

    u: (H, W), logits. values: the values of c, an array. loops: for each lambda1 the areas while
    c falls and while it rises, in the order of `values`.
    """
    figure, axes = plt.subplots(1, 2, sharey=True)
    for panel, (lambda1, (down, up)) in zip(axes, loops.items(), strict=True):
        weights = {"sigma": 2.0, "lambda1": lambda1, "lambda2": 4.0, "c": torch.tensor(values)}
        layer = std.soft_threshold_dynamics(u.expand(len(values), -1, -1), **weights)
        panel.plot(values, down, label="c falls")
        panel.plot(values, up, label="c rises")
        panel.plot(values, (layer > 0.5).sum((1, 2)), color=plots.MUTED, ls=":", label="layer")
        panel.set(xlabel="c", xlim=(0.35, 0.85), title=f"λ₁ = {lambda1:g}, ε = 1")
    axes[0].set(ylabel="area, pixels")
    axes[0].legend()
