"""The figures of the chapter my_topic. Each function draws one, with pyplot."""

import matplotlib.pyplot as plt

from nodule_lesson import plots


def field_and_mask(x, level):
    """Draw probabilities with their outline at `level`, and the mask beside them. x: (H, W)."""
    figure, (left, right) = plt.subplots(1, 2)
    plots.show_field(left, x, "probabilities", outline=level)
    plots.show_field(right, x > level, "mask", outline=None)


def area_by_level(levels, areas):
    """Draw the area of a mask, in pixels, against the level at which a pixel is on."""
    figure, axes = plt.subplots()
    axes.plot(levels, areas)
    axes.set(xlabel="level", ylabel="area in pixels")
