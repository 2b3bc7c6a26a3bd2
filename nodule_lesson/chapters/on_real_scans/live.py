"""A crop and one threshold: what it keeps, what Otsu would choose, and what the truth would."""

import functools

import numpy as np
from scipy import ndimage

from nodule_lesson.chapters.lung_nodules_in_ct import live as ct
from nodule_lesson.chapters.lung_nodules_in_ct.live import TYPES, histogram
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation.measures import dice
from nodule_lesson.live.drawing import LINES, new_figure, show_field
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

SIZE = 64
LOWEST, HIGHEST, STEP = -1000, 400, 10  # HU
THRESHOLDS = np.arange(LOWEST, HIGHEST + 1, STEP)
BINS = np.arange(-1024, 1056, 32)  # HU
ALL, CENTRAL = "all that is brighter", "the central part"
OPENINGS = {"none": 0} | {f"{radius} px": radius for radius in range(1, 6)}

CONTROLS = (
    Choice("nodule", "nodule", tuple(TYPES), "isolated", "simulated"),
    Choice("keep", "keep", (CENTRAL, ALL), CENTRAL),
    Slider("threshold", "threshold", LOWEST, HIGHEST, STEP, -700, "HU"),
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
    from nodule_lesson.evaluation.classics import MAX_DISTANCE  # needs scikit-image

    crops = {name: {**ct.packed_crop(name, SIZE), "ends": crop(name)[-1]} for name in TYPES}
    options = {"reach": MAX_DISTANCE, "crops": crops}
    return LiveFigure("threshold", __name__, controls, compute, draw, CAPTION, ALT, options)


def crop(name):
    """The middle of a type's example: HU, (SIZE, SIZE) int16, outline, and the slice's range."""
    whole, _, _ = ct.example(name)
    return *ct.crop(name, SIZE), (int(whole.min()), int(whole.max()))


def opened(hu, radius):
    """The grey opening of a crop by a disc of this radius; outside the crop is nothing.

    For every threshold, what is brighter in it is the opening of what is brighter in the crop.
    """
    y, x = np.indices((2 * radius + 1,) * 2) - radius
    disc = y * y + x * x <= radius * radius
    lowest = {"mode": "constant", "cval": np.iinfo(hu.dtype).min}
    eroded = ndimage.grey_erosion(hu, footprint=disc, **lowest)
    return ndimage.grey_dilation(eroded, footprint=disc, **lowest)


def between_classes(hu, thresholds):
    """Variance between the classes hu <= t and hu > t, a share of all variance, for each t."""
    values, total = hu.ravel().astype(float), hu.var(dtype=float)
    shares = np.zeros(len(thresholds))
    for i, t in enumerate(thresholds):
        below, above = values[values <= t], values[values > t]
        if len(below) and len(above):
            gap = above.mean() - below.mean()
            shares[i] = len(below) * len(above) / len(values) ** 2 * gap**2 / total
    return shares


@functools.cache
def _of_crop(name):
    """Otsu's threshold in HU, the largest value of the darker class, and the curve of variance."""
    from skimage.filters import threshold_otsu

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
    from nodule_lesson.evaluation.classics import central

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


def draw(parameters, result):
    figure = new_figure(5.6)
    (left, right), (lower, curves) = figure.subplots(2, 2, width_ratios=(1, 1.7))
    hu, outline, mask = result["hu"], result["outline"], result["field"]
    kept = (mask, 0.5, "scan-contour")
    outlines = [kept, (outline, 0.5, "scan-third")]
    show_field(left, result["input"], "crop, truth dotted", "grey", outlines=outlines)
    show_field(lower, result["brighter"] / 2 + mask / 2, "brighter, and kept", outlines=[kept])
    right.plot(*histogram(hu, BINS), **LINES["muted"], label="all pixels")
    right.plot(*histogram(hu[outline], BINS), **LINES["first"], label="nodule")
    right.set(ylabel="% of the pixels", ylim=(0, 40))
    right.set_title(
        f"Dice {result['dice']:.3f}; Otsu's {result['otsu_dice']:.3f} at {result['otsu']} HU, "
        f"best {result['best_dice']:.3f} at {result['best']}",
        fontsize=9,
    )
    curves.plot(THRESHOLDS, result["scores"], **LINES["first"], label="Dice")
    label = "variance between classes"
    curves.plot(THRESHOLDS, result["variance"], **LINES["third"], label=label)
    curves.plot(result["best"], result["best_dice"], "o", **LINES["first"])
    curves.set(xlabel="threshold, HU", ylim=(0, 1.02))
    for axes in (right, curves):
        axes.axvline(parameters["threshold"], **LINES["cursor"])
        axes.axvline(result["otsu"], **LINES["second"])
        axes.grid(**LINES["grid"])
        axes.set_xlim(LOWEST, HIGHEST)
        axes.legend(frameon=False, loc="upper right", fontsize=8)
    return figure
