"""The longer figures of the chapter on lung nodules in CT. Each function draws one with pyplot.

`window(hu, level, width)` is the chapter's function from HU to grey.
"""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson import plots
from nodule_lesson.chapters.lung_nodules_in_ct.live import TYPES, example

LUNG_WINDOW, TISSUE_WINDOW = (-600, 1500), (40, 400)  # level and width, HU


def two_windows(window):
    """Draw one slice through the lung window and the soft-tissue window, and both as curves."""
    windows = {"lung window": LUNG_WINDOW, "soft-tissue window": TISSUE_WINDOW}
    crop, _, _ = example("juxtapleural")
    figure, axes = plt.subplot_mosaic("ab;cc", figsize=(5.2, 4.8), height_ratios=(1.5, 1))
    hu = np.linspace(-1500, 1000, 501)
    for panel, (name, ends) in zip("ab", windows.items(), strict=True):
        _show_crop(axes[panel], window(crop, *ends), title=name)
        axes["c"].plot(hu, window(hu[None], *ends)[0], label=name)
    axes["c"].set(xlabel="HU", ylabel="grey", yticks=(0, 0.5, 1))
    axes["c"].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _show_crop(axes, grey, mask=None, title=""):
    """Show a crop with values in [0, 1], and the outline of its mask."""
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    if mask is not None:
        axes.contour(mask, [0.5], colors=plots.CONTOUR, linewidths=1)
    axes.set_title(title, fontsize=9.5)
    axes.set_axis_off()


def partial_volume(brightest):
    """Draw the brightest voxel of a ball over its diameter, for three thicknesses of the slices.

    brightest: the chapter's function of a diameter and a thickness in mm, which returns HU.
    """
    diameters = np.linspace(1, 10, 46)
    figure, axes = plt.subplots(figsize=(5.2, 3.2))
    for thickness in (1.0, 2.5, 5.0):
        heights = [brightest(diameter, thickness) for diameter in diameters]
        axes.plot(diameters, heights, label=f"{thickness:g} mm slices")
    axes.set(xlabel="diameter of the ball, mm", ylabel="brightest voxel, HU")
    axes.legend(loc="lower right")


def _short(name):
    return name.replace("ground glass ", "").strip("()")


def five_types(window):
    """Draw one example of each type in the lung window, and below it in the soft-tissue window."""
    figure, axes = plt.subplots(2, 5, figsize=(5.6, 2.5))
    for column, name in zip(axes.T, TYPES, strict=True):
        hu, mask, _ = (array[20:108, 20:108] for array in example(name))
        _show_crop(column[0], window(hu, *LUNG_WINDOW), mask, title=_short(name))
        _show_crop(column[1], window(hu, *TISSUE_WINDOW), mask)


def densities_after_eq6(densities, spread, lowest, highest):
    """Draw what the paper's Eq. (6) makes of densities: per slice, and per data set.

    densities: HU by name. spread: for each name the values in [0, 1], one per slice. lowest,
    highest: the extremes of the data set, HU.
    """
    figure, axes = plt.subplots(figsize=(5.4, 3.2))
    colours = (plots.MUTED, plots.GREEN, plots.BLUE)
    for (name, density), colour in zip(densities.items(), colours, strict=True):
        axes.hist(spread[name], np.linspace(0, 1, 51), color=colour, alpha=0.75, label=name)
        axes.axvline((density - lowest) / (highest - lowest), color=colour, ls=":", lw=2)
    axes.set_axisbelow(True)
    axes.set(xlabel="value after min-max scaling", ylabel="slices", xlim=(0, 1))
    axes.legend()


def readers_and_votes(window):
    """Draw the outlines of four readers around three nodules, and how many drew each pixel."""
    figure, axes = plt.subplots(2, 3, figsize=(5.4, 3.5))
    shown = ("isolated", "juxtapleural", "ground glass (GGO)")
    for (above, below), name in zip(axes.T, shown, strict=True):
        hu, mask, drawn = example(name)
        middles = [(v.min() + v.max()) // 2 for v in np.nonzero(drawn)]
        part = tuple(slice(middle - 20, middle + 20) for middle in middles)
        hu, mask, drawn = hu[part], mask[part], drawn[part]
        _show_crop(above, window(hu, *LUNG_WINDOW), title=_short(name))
        votes = np.zeros(drawn.shape, int)
        for reader, colour in enumerate(("#ff8a5c", "#7db4f0", "#86cf9f", "#f2d45c")):
            own = (drawn >> reader) & 1
            votes += own
            if own.any():
                above.contour(own, [0.5], colors=colour, linewidths=1)
        image = below.imshow(votes, cmap="Blues", vmin=0, vmax=4)
        below.contour(mask, [0.5], colors=plots.CONTOUR, linewidths=1.2)
        below.set_axis_off()
    figure.colorbar(image, ax=axes[1], label="readers", ticks=range(5), shrink=0.9)
