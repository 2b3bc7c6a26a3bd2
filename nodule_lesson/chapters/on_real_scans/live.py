"""A crop and one threshold: what it keeps, what Otsu would choose, and what the truth would."""

import base64
import functools

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from nodule_lesson.chapters.lung_nodules_in_ct.live import TYPES, example
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation.measures import dice
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

SIZE, BORDER = 64, 32  # a crop's side, and where it begins in a slice of 128x128
THRESHOLDS = np.arange(-1000, 401, 10)
BINS = np.arange(-1024, 1056, 32)
ALL, CENTRAL = "all that is brighter", "the central part"
OPENINGS = {"none": 0} | {f"{radius} px": radius for radius in range(1, 6)}

CONTROLS = (
    Choice("nodule", "nodule", tuple(TYPES), "isolated", "simulated"),
    Choice("keep", "keep", (CENTRAL, ALL), CENTRAL),
    Slider("threshold", "threshold", -1000, 400, 10, -700, "HU"),
    Choice("opening", "opening", tuple(OPENINGS), "none", "radius of the disc"),
)
CAPTION = (
    "<strong>Live.</strong> Upper left, a simulated crop with the outline of what is kept (red) "
    "and the readers' consensus (dotted green). Below it, in blue, all that is brighter than the "
    "threshold; what has a red outline is kept. Upper right, the histogram; the upright line is "
    "your threshold, the dashed one is Otsu's. Below, for every threshold: Dice, and what Otsu "
    "makes as large as possible, the variance between the two classes. The opening takes away "
    "all that a disc of this radius does not fit into."
)
ALT = (
    "A grey crop of lung with an outlined nodule and the same as black and white; two plots over "
    "Hounsfield units: a histogram with a tall peak of lung and a low one of tissue, and a curve "
    "of Dice with a plateau beside a flat curve of variance."
)


def threshold(**initial):
    """The live figure of one threshold; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    options = {"crops": {name: _packed(name) for name in TYPES}}
    return LiveFigure("threshold", __file__, controls, compute, draw, CAPTION, ALT, options)


def crop(name):
    """The middle of a type's example: HU, (SIZE, SIZE) int16, outline, and the slice's range."""
    hu, outline, _ = example(name)
    middle = np.s_[BORDER : BORDER + SIZE, BORDER : BORDER + SIZE]
    return hu[middle], outline[middle], (int(hu.min()), int(hu.max()))


def _packed(name):
    """HU and outline as base64, and the slice's range, for the page."""
    hu, outline, ends = crop(name)
    arrays = np.ascontiguousarray(hu, "<i2"), np.packbits(outline, bitorder="little")
    return [*(base64.b64encode(array.tobytes()).decode() for array in arrays), *ends]


def opened(hu, radius):
    """What a disc of this radius fits into, as grey values; outside the crop is nothing.

    A threshold of the opened crop is the opening of a threshold of the crop: one does for all.
    """
    y, x = np.indices((2 * radius + 1,) * 2) - radius
    disc = y * y + x * x <= radius * radius
    lowest = {"mode": "constant", "cval": np.iinfo(hu.dtype).min}
    eroded = ndimage.grey_erosion(hu, footprint=disc, **lowest)
    return ndimage.grey_dilation(eroded, footprint=disc, **lowest)


def between_classes(hu, thresholds):
    """Variance between the classes hu <= t and hu > t, a share of all variance, for each t."""
    values, total = hu.ravel().astype(float), hu.var(dtype=float)
    found = []
    for t in thresholds:
        below, above = values[values <= t], values[values > t]
        if len(below) and len(above):
            gap = above.mean() - below.mean()
            found.append(len(below) * len(above) / len(values) ** 2 * gap**2 / total)
        else:
            found.append(0.0)
    return np.array(found)


@functools.cache
def _of_crop(name):
    """Otsu's threshold in HU, the largest value of the darker class, and the curve of variance."""
    from skimage.filters import threshold_otsu  # no other figure needs it

    hu, _, _ = crop(name)
    return int(hu[hu <= threshold_otsu(hu)].max()), between_classes(hu, THRESHOLDS)


@functools.lru_cache(64)
def _scores(name, keep, radius):
    """Dice for each of THRESHOLDS."""
    hu, outline, _ = crop(name)
    grey = opened(hu, radius)
    masks = np.stack([_kept(grey, keep, t) for t in THRESHOLDS])
    return dice(masks, np.broadcast_to(outline, masks.shape))


def _kept(grey, keep, t):
    from nodule_lesson.evaluation.classics import central  # no other figure needs scikit-image

    return grey > t if keep == ALL else central(grey > t)


def compute(parameters):
    """The crop after the paper's Eq. (6), the mask, and the numbers shown."""
    name, keep, radius = parameters["nodule"], parameters["keep"], OPENINGS[parameters["opening"]]
    hu, outline, ends = crop(name)
    grey, t = opened(hu, radius), parameters["threshold"]
    mask = _kept(grey, keep, t)
    otsu, variance = _of_crop(name)
    scores = _scores(name, keep, radius)
    best = int(scores.argmax())
    return {
        "input": normalise(hu, *ends),
        "field": mask.astype(np.float32),
        "brighter": grey > t,
        "hu": hu,
        "outline": outline,
        "scaled": (t - ends[0]) / (ends[1] - ends[0]),
        "dice": dice(mask, outline),
        "otsu": otsu,
        "otsu_dice": dice(_kept(grey, keep, otsu), outline),
        "best": int(THRESHOLDS[best]),
        "best_dice": float(scores[best]),
        "scores": scores,
        "variance": variance,
    }


def histogram(values):
    """Percent of the values in each of BINS; what lies beyond counts to the last ones."""
    counts, _ = np.histogram(np.clip(values, BINS[0], BINS[-1] - 1), BINS)
    return 100 * counts / len(values)


def draw(parameters, result):
    figure = Figure(figsize=(7.4, 5.6), layout="constrained")
    (left, right), (lower, curves) = figure.subplots(2, 2, width_ratios=(1, 1.7))
    outline, mask = result["outline"], result["field"]
    left.imshow(result["input"], cmap="gray", vmin=0, vmax=1)
    left.set_title("crop, truth dotted")
    lower.imshow(result["brighter"] / 2 + mask / 2, cmap="Blues", vmin=0, vmax=1)
    lower.set_title("brighter, and kept")
    for axes in (left, lower):
        axes.set_axis_off()
        if mask.any() and not mask.all():
            axes.contour(mask, [0.5], colors="#ff5a36", linewidths=1.3)
    left.contour(outline, [0.5], colors="#62e08f", linewidths=1.3, linestyles=":")
    middles = (BINS[1:] + BINS[:-1]) / 2
    right.plot(middles, histogram(result["hu"].ravel()), color="#55606e", label="all pixels")
    right.plot(middles, histogram(result["hu"][outline]), color="#1f5fa8", label="nodule")
    right.set(ylabel="% of the pixels", ylim=(0, 40))
    right.set_title(
        f"Dice {result['dice']:.3f}; Otsu's {result['otsu_dice']:.3f} at {result['otsu']} HU, "
        f"best {result['best_dice']:.3f} at {result['best']}",
        fontsize=9,
    )
    curves.plot(THRESHOLDS, result["scores"], color="#1f5fa8", label="Dice")
    curves.plot(
        THRESHOLDS, result["variance"], color="#2b7446", ls=":", label="variance between classes"
    )
    curves.plot(result["best"], result["best_dice"], "o", color="#1f5fa8")
    curves.set(xlabel="threshold, HU", ylim=(0, 1.02))
    for axes in (right, curves):
        axes.axvline(parameters["threshold"], color="#1c2430", linewidth=1)
        axes.axvline(result["otsu"], color="#b4480d", linewidth=1.4, linestyle="--")
        axes.grid(color="#d5dae1", linewidth=0.6)
        axes.set_xlim(THRESHOLDS[0], THRESHOLDS[-1])
        axes.legend(frameon=False, loc="upper right", fontsize=8)
    return figure
