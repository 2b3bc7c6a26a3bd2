"""The taps of a dilated 3x3 convolution: which see the map, and which only its padding."""

import numpy as np
import torch
from matplotlib.patches import Rectangle

from nodule_lesson.live.drawing import COLOURS, LINES, new_figure, show_field
from nodule_lesson.live.figure import LiveFigure, Slider, started_at
from nodule_lesson.networks.blocks import conv3x3

RATES = (1, 5, 10, 15)  # the paper's
KINDS = ("muted", "second", "third", "contour")  # of their lines, see live/figure.css
STRIDE = 16  # pixels of the crop per pixel of S5
SMALLEST, LARGEST = 4, 32  # sides of the map
SIDES = np.arange(SMALLEST, LARGEST + 1)

CONTROLS = (
    Slider("size", "map side n", SMALLEST, LARGEST, 1, 8, "8: S5 of a 128 × 128 crop"),
    Slider("rate", "rate d", 1, 15, 1, 5, "pixels from tap to tap"),
    Slider("row", "row", 0, LARGEST - 1, 1, 2, "of the output, up to n − 1"),
    Slider("column", "column", 0, LARGEST - 1, 1, 3, "of the output, up to n − 1"),
)
CAPTION = (
    "<strong>Live.</strong> Left, what a 3×3 convolution of rate d is given: the map, within d "
    "tinted pixels of padding. The framed pixel is the output; taps with a cross see a zero of "
    "the padding, the others see the map. Click or drag to move the output. Right, for each "
    "output, how many of the nine taps see the map. Below, the share of all products in which a "
    "kernel meets a map of side n, for the paper's rates and for yours."
)
ALT = (
    "Left, a small map in a wide margin, nine taps around one pixel, some of them crossed in the "
    "margin. Right, counts from one to nine for each pixel of the map. Below, a rising curve for "
    "each rate: the share of products against the side of the map. Most start at a ninth."
)


def dilated_taps(**initial):
    """The live figure of dilated taps on a small map; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("dilated_taps", __name__, controls, compute, draw, CAPTION, ALT)


def looks(size, rate, row, column):
    """What a 3x3 convolution of that rate sees of a map of size x size: three arrays.

    Taps on the map for each output pixel (size, size); the map's pixels that the output at row,
    column looks at, as 0 and 1 (size, size); and for each tap, how many outputs find the map
    there (3, 3). All are read off the package's convolution with weights of 1 on a map of 1: its
    output, and its gradients with respect to the map and to the weights.
    """
    convolution = conv3x3(1, 1, dilation=rate)
    torch.nn.init.ones_(convolution.weight)
    ones = torch.ones(1, 1, size, size, requires_grad=True)
    output = convolution(ones)
    seen = torch.autograd.grad(output[0, 0, row, column], ones, retain_graph=True)[0]
    outputs = torch.autograd.grad(output.sum(), convolution.weight)[0]
    return tuple(array[0, 0].detach().numpy() for array in (output, seen, outputs))


def share(size, rate):
    """The share of all products in which a 3x3 kernel of that rate meets the map: a closed form.

    Along one axis the middle tap always does, the other two at (size - rate)+ of size outputs.
    """
    return ((1 + 2 * np.maximum(0, 1 - rate / np.asarray(size))) / 3) ** 2


def compute(parameters):
    """Taps on the map for each output, what one output looks at, and the numbers shown."""
    size, rate = parameters["size"], parameters["rate"]
    row, column = (min(parameters[axis], size - 1) for axis in ("row", "column"))
    live, seen, outputs = looks(size, rate, row, column)
    return {
        "input": seen,
        "field": live,
        "row": row,
        "column": column,
        "outputs": outputs,
        "ever": int((outputs > 0).sum()),
        "share": float(live.sum() / (9 * size**2)),
        "wanted": STRIDE * (rate + 1),
    }


def draw(parameters, result):
    size, rate = parameters["size"], parameters["rate"]
    row, column = result["row"], result["column"]
    figure = new_figure(6.4)
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 2))
    left, right = upper.subplots(1, 2)
    left.set_facecolor("#fbe9df")
    map_edge = {"facecolor": "white", "edgecolor": COLOURS["muted"]}
    left.add_patch(Rectangle((-0.5, -0.5), size, size, **map_edge))
    for down in (-rate, 0, rate):
        for across in (-rate, 0, rate):
            y, x = row + down, column + across
            on_map = 0 <= y < size and 0 <= x < size
            colour = COLOURS["first" if on_map else "second"]
            left.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, linewidth=0))
            if not on_map:
                left.plot(x, y, "x", color=COLOURS["ink"], markersize=7)
    output = {"xy": (column - 0.5, row - 0.5), "width": 1, "height": 1, "fill": False}
    left.add_patch(Rectangle(**output, edgecolor=COLOURS["ink"]))
    ends = (-rate - 0.5, size + rate - 0.5)
    left.set(xlim=ends, ylim=ends[::-1], aspect="equal", xticks=[], yticks=[])
    left.set_title(f"{result['input'].sum():.0f} of 9 taps see the map")
    low, high = result["field"].min(), result["field"].max()
    show_field(right, result["field"], f"taps on the map: {low:.0f} to {high:.0f}", high=9)
    right.add_patch(Rectangle(**output, edgecolor=COLOURS["contour"]))
    axes = lower.subplots()
    for other, kind in zip(RATES, KINDS, strict=True):
        axes.plot(SIDES, 100 * share(SIDES, other), **LINES[kind], label=f"rate {other}")
    axes.plot(SIDES, 100 * share(SIDES, rate), **LINES["first"], label=f"yours: {rate}")
    axes.axvline(size, **LINES["cursor"])
    axes.set(xlabel="side n of the map", ylabel="% of products with the map", ylim=(0, 103))
    never = 9 - result["ever"]
    axes.set_title(f"{100 * result['share']:.0f} % here, {never} of 9 taps dead")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
