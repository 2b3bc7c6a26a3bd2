"""The figures of the chapter on training. Each function draws one with pyplot."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots


def twenty_slices_by_heart(sound, broken):
    """Draw loss and Dice of the sound loop and of the one with masks mixed up.

    sound, broken: the losses, one per step, and an array of three rows: steps, Dice in training
    mode and Dice in evaluation mode.
    """
    figure, (left, right) = plt.subplots(1, 2)
    for (losses, (steps, training, evaluation)), name, colour in (
        (sound, "sound", plots.BLUE),
        (broken, "mixed up", plots.ORANGE),
    ):
        means = _means_of_ten(losses)
        left.plot(10 * np.arange(len(means)) + 5, means, color=colour, linestyle="-", label=name)
        right.plot(steps, training, color=colour, linestyle="--", linewidth=1.1)
        right.plot(steps, evaluation, color=colour, linestyle="-")
    for mode, style in (("in evaluation mode", "-"), ("in training mode", "--")):
        right.plot([], [], color=plots.MUTED, linestyle=style, label=mode)
    left.set(xlabel="step", ylabel="loss, the paper's Eq. (7)", ylim=(0, None))
    right.set(xlabel="step", ylabel="mean Dice", ylim=(0, 1.03))
    left.legend(loc="center right")
    right.legend(loc=(0.35, 0.5))


def three_trainings(runs):
    """Draw Dice on the nodules, and the probability inside them, over the steps.

    runs: by name an array whose rows are steps, loss, Dice, marked pixels, and the mean
    probability inside nodules.
    """
    figure, (left, right) = plt.subplots(1, 2)
    looks = ((plots.ORANGE, "--"), (plots.BLUE, "-"), (plots.GREEN, "-."))
    for (name, run), (colour, style) in zip(runs.items(), looks, strict=True):
        steps, _, dice, _, inside = run
        left.plot(steps, dice, style, color=colour, label=name)
        right.plot(steps, inside, style, color=colour)
    left.set(xlabel="step", ylabel="mean Dice on the nodules", ylim=(-0.02, 1))
    right.set(xlabel="step", ylabel="probability inside nodules", ylim=(-0.02, 1))
    left.legend(fontsize=8, loc="upper left")


def learning_curves(losses, curve):
    """Draw the loss of each batch with means of ten, and Dice on crops seen and unseen.

    losses: one per step. curve: tuples of step, Dice on training crops, and Dice on unseen ones.
    """
    figure, (left, right) = plt.subplots(1, 2)
    steps = np.arange(1, len(losses) + 1)
    left.plot(steps, losses, linewidth=0.7, color=plots.MUTED, linestyle="-")
    means = _means_of_ten(losses)
    left.plot(10 * np.arange(len(means)) + 5.5, means, color=plots.BLUE)
    left.set(xlabel="step", ylabel="loss, the paper's Eq. (7)")
    steps, seen, unseen = np.array(curve).T
    right.plot(steps, seen, "o--", color=plots.ORANGE, label="seen in training")
    right.plot(steps, unseen, "o-", color=plots.BLUE, label="unseen patients")
    right.set(xlabel="step", ylabel="mean Dice", ylim=(0, 1))
    right.legend(loc="upper left")


def _means_of_ten(losses):
    """The mean of every ten losses; what is left over at the end is left out."""
    return np.reshape(losses[: len(losses) // 10 * 10], (-1, 10)).mean(1)


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


def schedules(rates):
    """Draw learning rates over the share of a training. rates: by name an array, one per step."""
    figure, axes = plt.subplots(figsize=(7.4, 2.8))
    for name, values in rates.items():
        axes.plot(np.linspace(0, 1, len(values)), 1000 * values, label=name)
    axes.set(xlabel="share of the training", ylabel="learning rate × 1000", ylim=(0, None))
    axes.legend()
