"""Why a network answers nothing: a batch of slices, one answer for all, and where a loss pulls it.

Ten slices of 64x64. Some are empty, each of the others has one nodule. The network gives every
pixel outside the nodules the logit z, and every pixel of a nodule z + contrast. Only z moves.
"""

import numpy as np
import torch
from torch.nn import functional as F

from nodule_lesson.live.drawing import COLOURS, LINES, new_figure, show_field
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.training.losses import dice_loss

SIDE, SLICES = 64, 10
PER_UNIT = 10  # points of the grid per unit of z
LOWEST, HIGHEST = -12, 3
LOGITS = np.arange(LOWEST * PER_UNIT, HIGHEST * PER_UNIT + 1) / PER_UNIT
PER_SLICE, OF_BATCH, CROSS = "Dice by slice", "Dice of the batch", "cross-entropy"
PER_NODULE = "Dice by nodule"
BOTH, BATCH_BOTH = "Dice by slice + cross-entropy", "Dice of the batch + cross-entropy"
NODULE_BOTH = "Dice by nodule + cross-entropy"
LOSSES = (BOTH, BATCH_BOTH, NODULE_BOTH, PER_SLICE, OF_BATCH, CROSS)
NOTHING, NODULES, ALL = "nothing marked", "nodules marked", "everything marked"
CENTRE = 31.29, 31.83  # off the pixels' centres: no two are equally near
# Probabilities outside nodules, and their names on the axis of logits.
TICKS = {"10⁻⁵": 1e-5, "10⁻⁴": 1e-4, "10⁻³": 1e-3} | {str(p): p for p in (0.01, 0.1, 0.5, 0.9)}

CONTROLS = (
    Choice("loss", "loss", LOSSES, BOTH, "the first three are readings of the paper's Eq. (7)"),
    Slider("empty", "empty slices", 0, 9, 1, 8, "of ten"),
    Slider("area", "nodule", 5, 800, 5, 30, "pixels, of 4096"),
    Slider("contrast", "contrast", 0, 12, 0.25, 7, "what the network knows, in logits"),
    Slider("smooth", "smoothing s", 1, 200, 1, 1, "of Dice"),
    Slider("logit", "start z", LOWEST, HIGHEST, 0.1, -1.0, "the logit outside nodules"),
)
CAPTION = (
    "<strong>Live.</strong> A toy of ten slices: the network gives all pixels outside nodules"
    " one logit z, so one probability (the lower axes), and those inside nodules z + "
    "contrast. Training moves z alone. Upper left, a slice with a nodule at the start; lower "
    "left, where descent ends (red: what is marked; grey: the nodule). Upper right, the loss "
    "for every z: the blue dot is the start, the orange one the end. Lower right, how "
    "strongly nodules pull z up and all other pixels pull it down. With eight empty slices "
    "the network knows its nodules well, and still ends with nothing marked."
)
ALT = (
    "Two small square fields, the first pale blue with a marked disc, the second white with the "
    "grey outline of the disc and nothing marked; beside them a loss that falls to the left end "
    "of the axis, and two curves of pull, the one downwards above the other."
)


def collapse(**initial):
    """The live figure of the collapse to empty masks; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("collapse", __name__, controls, compute, draw, CAPTION, ALT)


def defaults():
    """The values that the controls start with, by name."""
    return {control.name: control.value for control in CONTROLS}


def nodule(area):
    """The `area` pixels nearest to the centre, (SIDE, SIDE) and boolean."""
    y, x = np.indices((SIDE, SIDE))
    near = np.hypot(y - CENTRE[0], x - CENTRE[1]).ravel().argsort(kind="stable")
    mask = np.zeros(SIDE * SIDE, bool)
    mask[near[:area]] = True
    return mask.reshape(SIDE, SIDE)


def batch(parameters):
    """The masks, (SLICES, 1, SIDE, SIDE) float64."""
    masks = torch.zeros(SLICES, 1, SIDE, SIDE, dtype=torch.float64)
    masks[parameters["empty"] :] = torch.from_numpy(nodule(parameters["area"])).double()
    return masks


def loss_of(name, logits, masks, smooth):
    """A loss of LOSSES; the Dice of a batch takes it for one large picture."""
    loss = logits.new_zeros(())
    if name in (PER_SLICE, BOTH):
        loss = loss + dice_loss(logits.sigmoid(), masks, smooth)
    if name in (OF_BATCH, BATCH_BOTH):
        loss = loss + dice_loss(logits.sigmoid().flatten()[None], masks.flatten()[None], smooth)
    if name == NODULE_BOTH:
        loss = loss + dice_loss(logits.sigmoid(), masks, smooth, over="nodule")
    if name in (CROSS, BOTH, BATCH_BOTH, NODULE_BOTH):
        loss = loss + F.binary_cross_entropy_with_logits(logits, masks)
    return loss


def at(z, parameters, masks):
    """The loss at one z, and how strongly nodules pull it up, all else pulls it down."""
    outside = torch.tensor(float(z), dtype=torch.float64, requires_grad=True)
    inside = torch.tensor(float(z + parameters["contrast"]), dtype=torch.float64)
    inside.requires_grad_()
    logits = torch.where(masks > 0, inside, outside)
    loss = loss_of(parameters["loss"], logits, masks, parameters["smooth"])
    up, down = torch.autograd.grad(loss, (inside, outside))
    return loss.item(), -up.item(), down.item()


def descend(losses, start):
    """The place on the grid where a walk downhill from `start` ends."""
    place = start
    while True:
        left, here = losses[max(place - 1, 0)], losses[place]
        right = losses[min(place + 1, len(losses) - 1)]
        if min(left, right) > here - 1e-9:
            return place
        place += -1 if left < right else 1


def prediction(z, contrast):
    """The probabilities inside and outside nodules, and what is marked."""
    inside, outside = (float(1 / (1 + np.exp(-logit))) for logit in (z + contrast, z))
    marked = ALL if outside > 0.5 else NODULES if inside > 0.5 else NOTHING
    return inside, outside, marked


def compute(parameters):
    """input: the grid of z; field: the loss there. Where the walk starts and ends, and the pulls.

    Start and end come with their places on the grid, probabilities, and what is marked.
    """
    masks = batch(parameters)
    losses, up, down = np.array([at(z, parameters, masks) for z in LOGITS]).T
    start = round((parameters["logit"] - LOWEST) * PER_UNIT)
    end = descend(losses, start)
    return {
        "input": LOGITS,
        "field": losses,
        "up": up,
        "down": down,
        "mask": nodule(parameters["area"]),
        "places": (start, end),
        "predictions": [prediction(LOGITS[i], parameters["contrast"]) for i in (start, end)],
    }


def draw(parameters, result):
    figure = new_figure(5.4)
    axes = figure.subplots(2, 2, width_ratios=(2, 4))
    mask, (start, end) = result["mask"], result["places"]
    predictions = zip(axes[:, 0], ("start", "end"), result["predictions"], strict=True)
    for field, name, (inside, outside, marked) in predictions:
        outlines = [(mask, 0.5, "muted"), *[(mask, 0.5, "contour")] * (marked == NODULES)]
        show_field(field, np.where(mask, inside, outside), "", outlines=outlines)
        field.set_title(f"{name}: {marked}", fontsize=10)
    top, bottom = axes[:, 1]
    z = result["input"]
    top.plot(z, result["field"], **LINES["first"])
    for place, kind in ((start, "first"), (end, "second")):
        top.plot(z[place], result["field"][place], "o", color=COLOURS[kind])
    top.set(ylabel="loss")
    bottom.semilogy(z, result["up"], **LINES["first"], label="nodules pull z up")
    bottom.semilogy(z, result["down"], **LINES["second"], label="all else pulls it down")
    bottom.set(ylim=(1e-6, 2), ylabel="pull")
    bottom.legend(frameon=False, loc="lower left")
    for plot in (top, bottom):
        plot.set_xticks([np.log(p / (1 - p)) for p in TICKS.values()], list(TICKS))
        plot.axvline(z[start], **LINES["cursor"])
        plot.grid(**LINES["grid"])
    bottom.set_xlabel("probability outside nodules")
    return figure
