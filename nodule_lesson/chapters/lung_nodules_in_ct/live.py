"""A crop of CT through a window, and through the paper's Eq. (6): what each keeps of the HU."""

import functools

import numpy as np

from nodule_lesson.data.patches import normalise
from nodule_lesson.live import arrays
from nodule_lesson.live.drawing import LINES, new_figure, show_field
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
BINS = np.arange(-1048, 1225, 32)  # HU

CAPTION = (
    "<strong>Live.</strong> Left, the middle 96 x 96 pixels of a simulated crop with the readers' "
    "consensus (red) as the display shows them: black is 0, white is 1. Right, their histogram; "
    "upright lines mark the values that become 0 and 1, where the axis reaches them. Level and "
    f"width move them in the display “{WINDOW}” alone: the paper's Eq. (6) takes both from the "
    "pixels, of this slice or of all of the data set. Lung is everything below −500 HU outside "
    "the outline."
)
ALT = (
    "A grey crop of lung with an outlined nodule, beside two histograms over Hounsfield units: "
    "that of all pixels with a tall peak of lung near −860, and that of the nodule's pixels; an "
    "upright line marks the upper end of the window, and the lower one lies beyond the axis."
)


def ct_window(**initial):
    """The live figure of window, level and the paper's Eq. (6); `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    crops = {name: packed_crop(name, SIZE) for name in TYPES}
    options = {"range": _range_of_set(), "crops": crops}
    return LiveFigure("ct_window", __name__, controls, compute, draw, CAPTION, ALT, options)


@functools.cache
def _range_of_set():
    from nodule_lesson.data.demo import open_demo  # no other figure needs scans

    images = open_demo("luna_like").images
    return int(images.min()), int(images.max())


def example(name):
    """A slice that shows a type, one of TYPES: HU, consensus, readers' bits, each (128, 128).

    Simulated by an early `data.phantom` and chosen by eye, one for each type: they are kept as
    they are, and are no slices of the demo set. int16, boolean and uint8. Raises ValueError for
    another name.
    """
    if name not in TYPES:
        raise ValueError(f"nodule must be one of {', '.join(TYPES)}; found {name!r}.")
    index, examples = list(TYPES).index(name), arrays.stored(__file__)
    hu, mask, bits = (examples[key][index].copy() for key in ("hu", "masks", "readers"))
    return hu, mask > 0, bits


def crop(name, size=SIZE):
    """The middle of a type's example: HU, (size, size) int16, and its outline, boolean."""
    hu, outline, _ = example(name)
    return arrays.middle(hu, size), arrays.middle(outline, size)


def packed_crop(name, size):
    """A crop for the page."""
    hu, outline = crop(name, size)
    return {"hu": arrays.packed(hu), "outline": arrays.packed(outline)}


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


def histogram(values, bins):
    """A curve: the middles of bins of equal width, and percent of the values in each of them.

    What lies beyond the bins counts to the outermost ones.
    """
    counts, _ = np.histogram(np.clip(values, bins[0], bins[-1] - 1), bins)
    return (bins[1:] + bins[:-1]) / 2, 100 * counts / values.size


def draw(parameters, result):
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    hu, outline = result["input"], result["outline"]
    outlines = [(outline, 0.5, "scan-contour")]
    show_field(left, result["field"], parameters["display"], "grey", outlines=outlines)
    right.plot(*histogram(hu, BINS), **LINES["muted"], label="all pixels")
    right.plot(*histogram(hu[outline], BINS), **LINES["first"], label="nodule")
    for place in (result["low"], result["high"]):
        right.axvline(place, **LINES["second"])
    contrast = result["nodule"] - result["lung"]
    right.set_title(
        f"lung {result['lung']:.3f}, nodule {result['nodule']:.3f}, contrast {contrast:.3f}"
    )
    right.set(xlabel="HU", ylabel="% of the pixels", xlim=(BINS[0], BINS[-1]), ylim=(0, 35))
    right.grid(**LINES["grid"])
    right.legend(frameon=False)
    return figure
