"""A crop of CT through a window, and through the paper's Eq. (6): what each keeps of the HU."""

import base64
import functools
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nodule_lesson.data.patches import normalise
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

SIZE = 96
# The types of the paper's Figure 1: their names here, and in the column `type` of a PatchSet.
TYPES = {
    "isolated": "isolated",
    "juxtapleural": "juxtapleural",
    "cavitary": "cavitary",
    "calcific": "calcific",
    "ground glass (GGO)": "ggo",
}
WINDOW = "HU window"
SLICE, SET = "the paper's Eq. (6), each slice", "the paper's Eq. (6), whole data set"
AIR_AND_TISSUE = -500  # HU between lung and what is solid

CONTROLS = (
    Choice("nodule", "nodule", tuple(TYPES), "isolated", "simulated"),
    Choice("display", "display", (WINDOW, SLICE, SET), WINDOW, "HU to grey"),
    Slider("level", "level", -1000, 500, 10, -600, "middle of the window, HU"),
    Slider("width", "width", 50, 2500, 50, 1500, "of the window, HU"),
)
BINS = np.arange(-1048, 1225, 32)

CAPTION = (
    "<strong>Live.</strong> Left, a simulated crop with the readers' consensus (red) as the "
    "display shows it: black is 0, white is 1. Right, its histogram; upright lines mark the "
    "values that become 0 and 1, where the axis reaches them. Level and width move them in the "
    f"display “{WINDOW}” alone: the paper's Eq. (6) takes both from the pixels, of this slice or "
    "of all of the data set. Lung is everything below −500 HU outside the outline."
)
ALT = (
    "A grey crop of lung with an outlined nodule, beside two histograms over Hounsfield units: "
    "that of all pixels with a tall peak of lung near −860, and that of the nodule's pixels; two "
    "upright lines mark the ends of the window."
)


def ct_window(**initial):
    """The live figure of window, level and the paper's Eq. (6); `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    options = {"range": _range_of_set(), "types": {name: _packed(name) for name in TYPES}}
    return LiveFigure("ct_window", __file__, controls, compute, draw, CAPTION, ALT, options)


@functools.cache
def _range_of_set():
    from nodule_lesson.data.demo import open_demo  # no other figure needs scans

    images = open_demo("luna_like").images
    return int(images.min()), int(images.max())


@functools.cache
def _examples():
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def example(name):
    """A slice that shows a type, one of TYPES: HU, consensus, readers' bits, each (128, 128).

    Simulated by an early `data.phantom` and chosen by eye, one for each type: they are kept as
    they are, and are no slices of the demo set. int16, boolean and uint8. Raises ValueError for
    another name.
    """
    if name not in TYPES:
        raise ValueError(f"nodule must be one of {', '.join(TYPES)}; found {name!r}.")
    index, examples = list(TYPES).index(name), _examples()
    hu, mask, bits = (examples[key][index].copy() for key in ("hu", "masks", "readers"))
    return hu, mask > 0, bits


def crop(name):
    """The middle of a type's example: HU, (SIZE, SIZE) int16, and its outline, boolean."""
    hu, outline, _ = example(name)
    border = (len(hu) - SIZE) // 2
    middle = np.s_[border : border + SIZE, border : border + SIZE]
    return hu[middle], outline[middle]


def _packed(name):
    """HU and outline as base64, for the page: 16-bit numbers, and bits."""
    hu, outline = crop(name)
    texts = (
        np.ascontiguousarray(hu, "<i2").tobytes(),
        np.packbits(outline, bitorder="little").tobytes(),
    )
    return [base64.b64encode(text).decode() for text in texts]


def ends(parameters, hu):
    """The HU that become 0 and 1."""
    if parameters["display"] == SLICE:
        return int(hu.min()), int(hu.max())
    if parameters["display"] == SET:
        return _range_of_set()
    level, width = parameters["level"], parameters["width"]
    return level - width / 2, level + width / 2


def compute(parameters):
    """The crop in HU, what is displayed of it, and the numbers shown."""
    hu, outline = crop(parameters["nodule"])
    low, high = ends(parameters, hu)
    # A window is the paper's Eq. (6) with two numbers that somebody has chosen.
    field = normalise(hu, low, high)
    lung = (hu < AIR_AND_TISSUE) & ~outline
    means = float(field[lung].mean(dtype=float)), float(field[outline].mean(dtype=float))
    return {
        "input": hu.astype(np.float32),
        "field": field,
        "outline": outline,
        "low": low,
        "high": high,
        "lung": means[0],
        "nodule": means[1],
        "lost": float(((hu < low) | (hu > high)).mean()),
    }


def histogram(hu, pixels):
    """Percent of the pixels in each of BINS; what lies beyond counts to the last ones."""
    counts, _ = np.histogram(np.clip(hu[pixels], BINS[0], BINS[-1] - 1), BINS)
    return 100 * counts / max(1, counts.sum())


def draw(parameters, result):
    figure = Figure(figsize=(7.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    outline = result["outline"]
    left.imshow(result["field"], cmap="gray", vmin=0, vmax=1)
    left.contour(outline, [0.5], colors="#d6330f", linewidths=1.2)
    left.set_title(parameters["display"])
    left.set_axis_off()
    hu, middles = result["input"], (BINS[1:] + BINS[:-1]) / 2
    everything = histogram(hu, np.ones_like(outline))
    right.plot(middles, everything, color="#55606e", linewidth=1.2, label="all pixels")
    right.plot(middles, histogram(hu, outline), color="#1f5fa8", linewidth=2, label="nodule")
    for place in (result["low"], result["high"]):
        right.axvline(place, color="#b4480d", linestyle="--", linewidth=1.2)
    contrast = result["nodule"] - result["lung"]
    right.set_title(
        f"lung {result['lung']:.3f}, nodule {result['nodule']:.3f}, contrast {contrast:.3f}"
    )
    right.set(xlabel="HU", ylabel="% of the pixels", xlim=(BINS[0], BINS[-1]), ylim=(0, 35))
    right.grid(color="#d5dae1", linewidth=0.6)
    right.legend(frameon=False)
    return figure
