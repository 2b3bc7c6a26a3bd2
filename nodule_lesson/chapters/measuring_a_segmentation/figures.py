"""The longer figures of the chapter on measuring a segmentation. Each function draws one."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.evaluation import measures


def mean_dice_over_mean_iou(paper):
    """Draw the paper's rows below the curve of one pair of masks, and on the chord of misses.

    paper: for each row precision, sensitivity, Dice, IoU and distances. The chord leads from 0 to
    the Dice that the proposed model has where it misses nothing, if all its units there are alike.
    """
    dice, iou = np.array(list(paper.values()))[:, 2:4].T
    found = 2 - paper["proposed"][2] / paper["proposed"][3]
    figure, axes = plt.subplots(1, 2, figsize=(6.2, 3.4))
    line = np.linspace(0, 1, 201)
    for panel in axes:
        panel.plot(line, 2 * line / (1 + line), label="one pair of masks")
        panel.plot([0, found / (2 - found)], [0, found], label="misses, and the rest alike")
        points = {"color": plots.GREEN, "markersize": 4, "ls": "none"}
        panel.plot(iou, dice, "o", label="the paper's rows", **points)
        panel.set(xlabel="IoU, mean", ylabel="Dice, mean")
    axes[0].set(xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    axes[1].set(xlim=(0.61, 0.785), ylim=(0.69, 0.87), xticks=(0.65, 0.7, 0.75))
    places = {
        "UNet": (-27, 3),
        "DeepLabv3+": (-36, 7),
        "proposed": (4, -11),
        "freeze S9": (-8, 8),
    }
    for name, place in places.items():
        at = paper[name][3], paper[name][2]
        axes[1].annotate(name, at, place, textcoords="offset points", fontsize=8)


def stray_pixel():
    """Draw the measures of a disc that is predicted without any error, but for one stray pixel.

    The disc has a radius of 12 pixels, and pixels are 0.7 mm wide.
    """
    y, x = np.indices((128, 128))
    disc = np.hypot(y - 63.6, x - 63.4) < 12
    steps = np.arange(1, 50)
    stray = np.repeat(disc[None], len(steps), axis=0)
    stray[np.arange(len(steps)), 64, 75 + steps] = True
    truth = np.broadcast_to(disc, stray.shape)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.6))
    distance, spacing = 0.7 * steps, (0.7, 0.7)
    left.plot(distance, measures.hausdorff_distance(stray, truth, spacing), label="HD")
    left.plot(distance, measures.assd(stray, truth, spacing), label="ASSD")
    right.plot(distance, measures.dice(stray, truth), color=plots.GREEN, label="Dice")
    left.set(xlabel="distance of the pixel, mm", ylabel="mm")
    right.set(xlabel="distance of the pixel, mm", ylim=(0, 1.04))
    left.legend()
    right.legend(loc="lower right")


def five_values_of_dice(five):
    """Draw five values of Dice for each of five sets of outlines, as one line each.

    five: for the threshold and the four readers the values, by name.
    """
    figure, axes = plt.subplots(figsize=(6, 4))
    styles = (("-", "x"), ("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))
    colours = (plots.MUTED, plots.CONTOUR, plots.BLUE, plots.GREEN, plots.ORANGE)
    for (name, values), (dash, marker), colour in zip(five.items(), styles, colours, strict=True):
        axes.plot(values, dash, marker=marker, color=colour, label=name)
    averages = ("slices,\nundefined\nout", "slices,\nboth empty\nis 1", "slices\nwith a\nnodule")
    axes.set_xticks(range(5), (*averages, "lesions", "pooled"))
    axes.set(ylabel="Dice", ylim=(0.5, 0.95), xlim=(-0.2, 4.2))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def agreement_over_diameter(diameter, dice, assd, fifth):
    """Draw Dice and ASSD of pairs of readers over the diameter of what they drew, with means.

    diameter, dice, assd: (pairs,), lengths in mm. fifth: (pairs,), 0 for the smallest to 4.
    """
    figure, axes = plt.subplots(1, 2, figsize=(6, 2.9))
    middles = [diameter[fifth == k].mean() for k in range(5)]
    for panel, values, label in zip(axes, (dice, assd), ("Dice", "ASSD, mm"), strict=True):
        points = {"color": plots.BLUE, "alpha": 0.25, "markersize": 3, "ls": "none"}
        panel.plot(diameter, values, "o", **points)
        means = [values[fifth == k].mean() for k in range(5)]
        panel.plot(middles, means, "o-", color=plots.ORANGE)
        panel.set(xlabel="diameter, mm", ylabel=label, ylim=(0, None))
