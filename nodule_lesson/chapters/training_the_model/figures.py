"""The figures of the chapter on training. Each function draws one with pyplot."""

import math

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots


def twenty_slices_by_heart(sound, broken):
    """Draw Dice, in evaluation mode, of the sound loop and of the one with masks mixed up.

    sound, broken: the losses, one per step, and an array of three rows: steps, Dice in training
    mode and Dice in evaluation mode.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.2))
    axes.plot(*sound[1][[0, 2]], "o-", color=plots.BLUE, markersize=3, label="sound")
    axes.plot(*broken[1][[0, 2]], "s--", color=plots.ORANGE, markersize=3, label="masks mixed up")
    axes.set(xlabel="step", ylabel="mean Dice of the slices", ylim=(0, 1.03))
    axes.legend(loc="lower right")


def empty_slices(curves, pixels):
    """Draw the mean logit of empty slices over the steps, and the middle of the plateau.

    curves: by name an array of three rows: steps, mean logit, Dice loss. pixels: of a slice.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    looks = ((plots.BLUE, "o-"), (plots.ORANGE, "s--"))
    for (name, (steps, logits, _)), (colour, style) in zip(curves.items(), looks, strict=True):
        axes.plot(steps, logits, style, color=colour, markersize=4, label=name)
    half = -math.log(pixels - 1)
    axes.axhline(half, color=plots.MUTED, linestyle=":", linewidth=1.2)
    axes.text(axes.get_xlim()[1], half + 0.3, "loss one half ", ha="right", color=plots.INK)
    axes.set(xlabel="step", ylabel="mean logit, empty slices", ylim=(None, 0.5))
    axes.legend(loc="lower left")


def gallery(crops, marked, score, c):
    """Draw four crops with a nodule, from the worst to the best Dice, and four without.

    crops: images and masks (N, 1, H, W), and has_nodule (N,). marked: (N, H, W), the answers,
    booleans. score: Dice of each crop with a nodule, in their order. c: (N,), the classifier's
    answers.
    """
    images, masks, has_nodule = (part.numpy() for part in crops)
    with_nodule, without = np.flatnonzero(has_nodule), np.flatnonzero(has_nodule == 0)
    order = np.argsort(score, kind="stable")
    by_score = order[[0, len(order) // 4, len(order) // 2, -1]]
    by_marks = without[np.argsort(-marked[without].sum((1, 2)), kind="stable")]
    rows = [*with_nodule[by_score], *by_marks[[0, 1, -2, -1]]]
    titles = [*(f"Dice {dice:.2f}, " for dice in score[by_score]), "", "", "", ""]
    figure, axes = plt.subplots(2, 4, figsize=(7.4, 4.1))
    for panel, row, title in zip(axes.flat, rows, titles, strict=True):
        panel.imshow(images[row, 0], cmap="gray", vmin=0, vmax=1)
        if has_nodule[row]:
            truth = {"colors": "#62e08f", "linestyles": ":", "linewidths": 1.4}
            panel.contour(masks[row, 0], [0.5], **truth)
        if marked[row].any():
            panel.contour(marked[row], [0.5], colors="#ff5a36", linewidths=1.2)
        panel.set_title(f"{title}c = {c[row]:.2f}", fontsize=9)
        panel.set_axis_off()
