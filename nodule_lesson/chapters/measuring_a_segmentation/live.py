"""A predicted outline beside a true one, and all six measures while one of them is dragged."""

import numpy as np

from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.live.drawing import LINES, new_figure, show_field
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

SIZE = 96
REACH = 40  # pixels that the prediction may be shifted
CENTRE = 47.8, 48.3  # row and column, off the pixels' centres: no distance is a tie
# Radii in pixels of the truth, and of what is predicted for it at size 1.
RADII = {"large nodule": (22.0, 22.0), "small nodule": (5.0, 5.0), "empty slice": (0.0, 10.0)}
SPECKS = {"none": 0, "1 pixel": 1, "25 pixels": 5}  # sides of a stray square
SPECK_AT = 12, 80

CONTROLS = (
    Choice("truth", "truth", tuple(RADII), "large nodule", "made up"),
    Choice("speck", "stray speck", tuple(SPECKS), "none", "also predicted"),
    Slider("right", "shift right", -REACH, REACH, 1, 5, "pixels"),
    Slider("down", "shift down", -REACH, REACH, 1, 2, "pixels"),
    Slider("size", "size", 0, 1.5, 0.05, 1.0, "of the true radius; 0: nothing"),
    Slider("rough", "roughness", 0, 4, 0.25, 0.5, "pixels"),
    Slider("pixel", "pixel", 0.5, 0.9, 0.05, 0.7, "mm wide and high"),
)
CAPTION = (
    "<strong>Live.</strong> Upper left, a true outline (filled) and a predicted one (line): drag "
    "it, or move the sliders. Upper right, where they differ: wrongly marked (blue), missed "
    "(orange), and as a line the two pixels between which the Hausdorff distance runs. Below, "
    "overlap and distances against the shift to the right; the upright line is the present shift. "
    "Add a stray speck: Dice hardly moves, HD jumps."
)
ALT = (
    "Two square fields with a lobed disc and an outline shifted against it, the second showing a "
    "crescent of missed and one of wrongly marked pixels; below, Dice and IoU as peaks over the "
    "shift, and HD and ASSD as valleys."
)
SHORT = {"dice": "Dice", "iou": "IoU", "hausdorff_distance": "HD", "assd": "ASSD"}


def segmentation_measures(**initial):
    """The live figure of the paper's Eqs. (8)-(13); `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("segmentation_measures", __name__, controls, compute, draw, CAPTION, ALT)


def outline(radius, down=0, right=0, rough=0.0):
    """A lobed disc, (SIZE, SIZE) and boolean; empty for a radius of 0."""
    y, x = np.indices((SIZE, SIZE))
    dy, dx = y - (CENTRE[0] + down), x - (CENTRE[1] + right)
    angle = np.arctan2(dy, dx)
    lobes = 1 + 0.12 * np.cos(3 * angle + 0.5) + 0.06 * np.cos(5 * angle + 2)
    edge = radius * lobes + rough * (np.cos(9 * angle + 1) + np.cos(16 * angle + 2.2))
    return (radius > 0) & (edge > 0) & (dx * dx + dy * dy < edge * edge)


def masks(parameters, right=None):
    """Prediction and truth; `right` is another shift than that of the parameters."""
    p = parameters
    true, predicted = RADII[p["truth"]]
    right = p["right"] if right is None else right
    pred = outline(predicted * p["size"], p["down"], right, p["rough"])
    (row, column), side = SPECK_AT, SPECKS[p["speck"]]
    pred[row : row + side, column : column + side] = True
    return pred, outline(true)


def measures(pred, truth, pixel):
    """The six measures by name, of one pair or of a stack."""
    values = {name: getattr(metrics, name)(pred, truth) for name in metrics.OVERLAPS}
    for name in metrics.DISTANCES:
        values[name] = getattr(metrics, name)(pred, truth, (pixel, pixel))
    return values


def compute(parameters):
    """The truth, the prediction, and the six measures."""
    pred, truth = masks(parameters)
    return {
        "input": truth.astype(np.float32),
        "field": pred.astype(np.float32),
        "measures": measures(pred, truth, parameters["pixel"]),
    }


def curves(parameters, shifts):
    """The six measures for each shift to the right."""
    pred, truth = zip(*(masks(parameters, right) for right in shifts), strict=True)
    return measures(np.stack(pred), np.stack(truth), parameters["pixel"])


def draw(parameters, result):
    figure = new_figure(6.4)
    (left, right), (overlap, distance) = figure.subplots(2, 2, height_ratios=(3, 2))
    truth, pred = result["input"], result["field"]
    outlines = [(pred, 0.5, "contour")]
    show_field(left, truth, "truth (filled), prediction (line)", high=2, outlines=outlines)
    title = "missed (orange), wrong (blue)"
    show_field(right, pred - truth, title, "signed", -1, 1, outlines)
    shifts = np.arange(-REACH, REACH + 1)
    values, now = curves(parameters, shifts), result["measures"]
    for axes, names, label in (
        (overlap, ("dice", "iou"), "overlap"),
        (distance, ("hausdorff_distance", "assd"), "mm"),
    ):
        for name, kind in zip(names, ("first", "second"), strict=True):
            text = f"{SHORT[name]} {_text(name, now[name])}"
            axes.plot(shifts, values[name], **LINES[kind], label=text)
        axes.axvline(parameters["right"], **LINES["cursor"])
        axes.set(xlabel="shift right, pixels", ylabel=label)
        axes.grid(**LINES["grid"])
        axes.legend(frameon=False, loc="upper left" if axes is overlap else "upper center")
    overlap.set_ylim(0, 1.02)
    distance.set_ylim(0)
    return figure


def _text(name, value):
    if np.isnan(value):
        return "undefined"
    return f"{value:.2f} mm" if name in metrics.DISTANCES else f"{value:.3f}"
