"""The two sheets to print: crops on squared paper, and the same with the readers' outlines."""

import matplotlib.pyplot as plt
import numpy as np

from nodule_lesson.chapters.outline_on_paper.computations import SIDE

LUNG_WINDOW = -1350, 150  # HU
READERS = ("#b4480d", "#1f5fa8", "#2b7446", "#d6330f")


def sheet(crops):
    """Draw the crops, each pixel a square of a grid, to outline with a pencil."""
    _crops(crops)


def readers(crops):
    """Draw the crops with the outlines of the four readers."""
    for axes, crop in zip(_crops(crops), crops, strict=True):
        for mask, colour in zip(crop["drawn"], READERS, strict=True):
            axes.contour(mask, [0.5], colors=colour, linewidths=1.4)


def _crops(crops):
    figure, axes = plt.subplots(3, 2, figsize=(6.6, 9.6))
    for panel, crop in zip(axes.flat, crops, strict=True):
        # Pale, so that a pencil shows.
        panel.imshow(crop["hu"], cmap="gray", vmin=LUNG_WINDOW[0] - 900, vmax=LUNG_WINDOW[1])
        lines = np.arange(SIDE + 1) - 0.5
        panel.vlines(lines, -0.5, SIDE - 0.5, color="#8b97a8", lw=0.3)
        panel.hlines(lines, -0.5, SIDE - 0.5, color="#8b97a8", lw=0.3)
        title = f"{crop['letter']}: {crop['name']}, a square is {crop['mm']:.2f} mm"
        panel.set_title(title, fontsize=9)
        panel.set_axis_off()
    return axes.flat
