"""The longer figures of the chapter on convolutions. Each function draws one.

A field is the influence of each pixel on one output in the middle, (side, side), with the largest
value 1.
"""

import matplotlib.pyplot as plt
import numpy as np
from torch.nn import functional as F

from nodule_lesson import plots


def two_edges(pair, nearest, crop):
    """Draw two kernels for one channel with their outputs, and the closest separable ones.

    pair, nearest: (2, 1, 3, 3). crop: (128, 128), float64, in HU; a part is shown.
    """
    figure, axes = plt.subplots(2, 4, figsize=(7.4, 3.9))
    for row, kernels, name in zip(axes, (pair, nearest), ("dense", "separable"), strict=True):
        outputs = F.conv2d(crop[None, None], kernels)[0, :, 30:110, 20:100]
        for number in range(2):
            picture, result = row[2 * number : 2 * number + 2]
            picture.imshow(kernels[number, 0], cmap="PuOr", vmin=-2.4, vmax=2.4)
            picture.set_title(f"{name}, kernel {number + 1}")
            result.imshow(outputs[number], cmap="gray", vmin=-2500, vmax=2500)
            result.set_title(f"output {number + 1}")
    for panel in axes.flat:
        panel.set_axis_off()


def gradients_through_units(sizes):
    """Draw the size of the gradient after each unit.

    sizes: as `computations.gradients_through_units` returns them.
    """
    styles = {
        "no sum": (plots.ORANGE, "--"),
        "no sum, no normalisation": (plots.MUTED, ":"),
        "sum, then ReLU": (plots.GREEN, "-."),
        "sum (the package's unit)": (plots.BLUE, "-"),
    }
    figure, axes = plt.subplots()
    for name, (colour, style) in styles.items():
        axes.semilogy(sizes[name], color=colour, ls=style, label=name)
    axes.set(xlabel="after so many units", ylabel="size of the gradient", ylim=(1e-4, 1e4))
    axes.legend(loc="lower left")


def three_fields(plain, dilated, pyramid, extent, width):
    """Draw what 16 plain layers, four dilated ones and a pyramid look at.

    plain, dilated, pyramid: fields. extent, width: the chapter's functions of a field, the side of
    what it reaches and its standard deviation along an axis, in pixels.
    """
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.9), sharey=True)
    titles = ("16 layers of rate 1", "4 layers: 1, 2, 5, 9", "ASPP: 1, 5, 10, 15")
    for panel, field, title in zip(axes, (plain, dilated, pyramid), titles, strict=True):
        half, reach = len(field) // 2, extent(field) / 2
        box = (-half - 0.5, len(field) - half - 0.5)
        panel.imshow(np.sqrt(field), cmap="magma", extent=(*box, *box[::-1]), vmax=0.8)
        white = {"fill": False, "ec": "w"}
        panel.add_patch(plt.Rectangle((-reach, -reach), 2 * reach, 2 * reach, ls="--", **white))
        if field is not pyramid:
            panel.add_patch(plt.Circle((0, 0), 2 * width(field), **white))
        panel.set(xlim=(-20, 20), ylim=(20, -20), xlabel="pixels from the output", title=title)
        panel.grid(False)


def bottom_of_the_u(large, crop):
    """Draw the influence on one pixel of S5, in a large image and in the crop.

    large: a field of 656 x 656, in whose middle the crop is marked. crop: one of 128 x 128.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.5))
    titles = ("in an image of 656 × 656", "in the crop of 128 × 128")
    for panel, field, title in zip(axes, (large, crop), titles, strict=True):
        power = np.log10(np.maximum(field, 1e-6))
        drawn = panel.imshow(power, cmap="magma", vmin=-6, vmax=0)
        panel.grid(False)
        panel.set(xlabel="pixels of the image", title=title)
    axes[0].add_patch(plt.Rectangle((264, 264), 128, 128, fill=False, ec="w", ls="--"))
    figure.colorbar(drawn, ax=axes, label="influence, power of ten", shrink=0.8)


def holes(reached, answer):
    """Draw which pixels stacks of dilated layers reach, and what the logit u looks at.

    reached: booleans within the extent for the rates of each of three stacks. answer: the field
    of u, of which the middle is shown.
    """
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.4))
    for panel, (rates, pixels) in zip(axes[:3], reached.items(), strict=True):
        panel.imshow(pixels, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        panel.set_title(f"{', '.join(map(str, rates))}: {pixels.mean():.0%}")
    axes[3].imshow(np.log10(np.maximum(answer[40:89, 40:89], 1e-4)), cmap="magma")
    axes[3].set_title("logit u")
    for panel in axes:
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
