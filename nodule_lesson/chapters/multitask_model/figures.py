"""The longer figures of the chapter on the multitask model. Each function draws one.

images: (N, 1, 64, 64) in [0, 1]. truth: (N, 64, 64), booleans. output: a network's `Output` for
the images.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap

from nodule_lesson import plots
from nodule_lesson.evaluation import dice

TRUTH = {"colors": "#62e08f", "linestyles": ":"}
PLAIN = {"colors": "#ffd24a", "linestyles": "--"}
MASK = {"colors": "#ff5a36", "linestyles": "-"}


def shares_of_cost(counted):
    """Draw the share of each block in the parameters and in the multiply-adds.

    counted: the network's `Summary`; blocks with one number or two are left out.
    """
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 4.8), sharey=True)
    rows = [row for row in counted.rows if row.name not in ("FC", "last", "std")]
    names = [row.name for row in rows]
    colours = [
        plots.GREEN if "+" in name else plots.ORANGE if name[0] == "C" else plots.BLUE
        for name in names
    ]
    titles = {
        "parameters": f"parameters:\n{counted.parameters / 1e6:.1f} million",
        "multiply_adds": f"multiply-adds:\n{counted.multiply_adds / 1e9:.1f} billion",
    }
    for panel, (field, title) in zip(axes, titles.items(), strict=True):
        shares = [100 * getattr(row, field) / getattr(counted, field) for row in rows]
        panel.barh(names, shares, color=colours)
        panel.set(xlabel="%", title=title, xlim=(0, 1.25 * max(shares)))
        for place, share in enumerate(shares):
            panel.text(share, place, f" {share:.1f}", va="center", fontsize=9)
        panel.grid(axis="y", visible=False)
        panel.set_axisbelow(True)
    axes[0].invert_yaxis()


def saturation(gradient):
    """Draw the cross-entropy of a pixel of the background, and its derivative, over the logit.

    gradient(logit, truth, from_logits): the chapter's function, which returns both, the
    derivative first.
    """
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 2.7))
    logits = np.linspace(-10, 40, 501)
    for from_logits, label, style in (
        (True, "from logits", "-"),
        (False, "from probabilities", "--"),
    ):
        slopes, values = zip(*(gradient(z, 0, from_logits) for z in logits), strict=True)
        axes[0].plot(logits, values, style, label=label)
        axes[1].plot(logits, slopes, style, label=label)
    axes[0].set(xlabel="logit", ylabel="cross-entropy, y = 0", ylim=(-5, 165))
    axes[1].set(xlabel="logit", ylabel="derivative", ylim=(-0.1, 1.15))
    axes[0].legend(loc="upper left")


def from_crop_to_mask(images, truth, output, rows):
    """Draw two crops with their truth, logits, plain sigmoid and mask.

    On the mask, the pixels that the layer has taken away are orange.
    rows: the numbers of the two crops.
    """
    figure, axes = plt.subplots(2, 4, figsize=(5.8, 3.5))
    for (crop, logits, plain, mask), row in zip(axes, rows, strict=True):
        u, x = output.u[row, 0], output.mask[row, 0]
        crop.imshow(images[row, 0], cmap="gray", vmin=0, vmax=1)
        crop.contour(truth[row], [0.5], linewidths=1.3, **TRUTH)
        crop.set_title(f"crop\nc = {float(output.nodule[row]):.2f}", fontsize=10)
        logits.imshow(u, cmap="RdBu", vmin=-8, vmax=8)
        logits.set_title("logits u\n−8 to 8", fontsize=10)
        plain_dice, mask_dice = (dice(on.numpy(), truth[row]) for on in (u > 0, x > 0.5))
        plots.show_field(plain, torch.sigmoid(u), f"Sig(u)\nDice {plain_dice:.3f}")
        plots.show_field(mask, x, f"mask x\nDice {mask_dice:.3f}")
        taken = np.where((u > 0) & (x <= 0.5), 1.0, np.nan)
        mask.imshow(taken, cmap=ListedColormap([MASK["colors"]]), zorder=3)  # over the outline
        crop.set_axis_off()
        logits.set_axis_off()


def crops_by_rank(images, truth, output, scores, ranked):
    """Draw five crops from the best Dice to the worst, and three without a nodule by their c.

    scores: the Dice of each image. ranked: numbers of the images with a nodule, the worst first.
    """
    empty = np.flatnonzero(~truth.any((1, 2)))
    doubted = empty[np.argsort(output.nodule[empty].numpy(), kind="stable")]
    picks = [
        (1, ranked, "best"),
        (0.75, ranked, "upper quartile"),
        (0.5, ranked, "median"),
        (0.25, ranked, "lower quartile"),
        (0, ranked, "worst"),
        (0, doubted, "c smallest"),
        (0.5, doubted, "c median"),
        (1, doubted, "c largest"),
    ]
    figure, axes = plt.subplots(2, 4, figsize=(5.8, 4.1))
    for panel, (place, rows, name) in zip(axes.flat, picks, strict=True):
        row = rows[round(place * (len(rows) - 1))]
        panel.imshow(images[row, 0], cmap="gray", vmin=0, vmax=1)
        for field, level, line in (
            (output.u[row, 0], 0, PLAIN),
            (output.mask[row, 0], 0.5, MASK),
            (truth[row], 0.5, TRUTH),
        ):
            if field.min() < level < field.max():
                panel.contour(field, [level], linewidths=1.3, **line)
        score = f"Dice {scores[row]:.2f}\n" if truth[row].any() else "no nodule\n"
        panel.set_title(f"{name}\n{score}c = {float(output.nodule[row]):.2f}", fontsize=9)
        panel.set_axis_off()
