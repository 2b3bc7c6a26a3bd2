"""The shipped network's own logits, and the layer at its end: c, σ, λ₂, λ₁ and T to move."""

import functools
from pathlib import Path

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation.measures import dice
from nodule_lesson.live import arrays
from nodule_lesson.live.drawing import new_figure, show_field, show_x
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at, to_step

SIZE = 64
U_STEP = 1e-3  # logits are stored in thousandths
_STORED = arrays.stored(__file__)
CROP_NAMES = (
    "median Dice",
    "most changed by STD",
    "ground glass",
    "worst Dice",
    "no nodule",
    "no nodule, most marked",
)
START = "most changed by STD"
CLASSIFIER, BY_HAND = "the classifier", "the slider"
CAPTION = (
    "<strong>Live.</strong> Left, a simulated crop that the network has not been trained on; "
    "middle, the logits u that it gives; right, x after T steps of STD. Red: the outline of x. "
    "Yellow, and thin in the middle: that of the plain sigmoid of the same u. Dotted green: the "
    "truth. c is the classifier's answer for this crop until you move its slider (in a notebook, "
    "choose “the slider” first). λ₂ and σ start at what training has found, rounded."
)
ALT = (
    "Three square fields: a grey crop of lung with three outlines round a nodule, which are the "
    "truth, the plain sigmoid's and that of x; the logits with the sigmoid's outline; and the "
    "result x with its own, smoother one."
)


# --- crops, and what the network says of them ----------------------------------------------------


@functools.cache
def demo_crops():
    """The demo set as the slim networks want it: images, masks (N, 1, 64, 64), types (N,).

    The paper's Eq. (6) over each slice of 128x128, then its middle; float32, and boolean. The type
    is "" where a slice has no nodule. The result is shared: copy it before you change it.
    """
    from nodule_lesson.data.demo import open_demo  # no other figure's page needs scans

    demo = open_demo("luna_like")
    images = arrays.middle(normalise(np.asarray(demo.images)), SIZE)[:, None]
    masks = arrays.middle(np.asarray(demo.masks), SIZE)[:, None] > 0
    types = np.asarray(demo.slices["type"])
    return torch.as_tensor(images).contiguous(), torch.as_tensor(masks), types


def pack():
    """Choose six crops by rule, run the shipped network on them, and write live.npz.

    To be called again when the weights "slim" have changed.
    """
    from nodule_lesson.networks.registry import load_pretrained

    model = load_pretrained("slim")
    images, masks, types = demo_crops()
    with torch.no_grad():
        output = model(images)
    rows = chosen(output, masks, types)
    u, image = output.u[rows, 0].numpy(), images[rows, 0].numpy()
    np.savez_compressed(
        Path(__file__).with_suffix(".npz"),
        rows=np.array(rows),
        u=np.round(u / U_STEP).astype("<i2"),
        image=np.round(255 * image).astype(np.uint8),
        truth=masks[rows, 0].numpy(),
        c=output.nodule[rows].numpy().astype(np.float64).round(4),
        sigma=model.std.sigma.item(),
        lambda2=model.std.lambda2.item(),
    )


def chosen(output, masks, types):
    """Rows of the demo set for CROP_NAMES, by rule; none is taken twice."""
    mask, truth = (output.mask[:, 0] > 0.5).numpy(), masks[:, 0].numpy()
    plain = (output.u[:, 0] > 0).numpy()
    score, c = dice(mask, truth), output.nodule.numpy()
    nodule = truth.any((1, 2))
    changed, marked = (mask != plain).sum((1, 2)), mask.sum((1, 2))

    rows = []

    def take(candidates, value, quantile):
        """Add the candidate at that quantile of the value."""
        left = [row for row in np.flatnonzero(candidates) if row not in rows]
        left.sort(key=lambda row: (value[row], row))
        rows.append(int(left[round(quantile * (len(left) - 1))]))

    take(nodule, score, 0.5)
    take(nodule, changed, 1)
    take(nodule & (types == "ggo"), score, 0.5)
    take(nodule, score, 0)
    take(~nodule, c, 0.5)
    take(~nodule, marked, 1)
    return rows


def crop(name):
    """u float32, image in [0, 1], truth boolean, each (64, 64), and the classifier's c.

    Raises ValueError for a name that is not one of CROP_NAMES.
    """
    if name not in CROP_NAMES:
        raise ValueError(f"crop must be one of {', '.join(CROP_NAMES)}; found {name!r}.")
    i = CROP_NAMES.index(name)
    u = (_STORED["u"][i] * U_STEP).astype(np.float32)
    image, truth = _STORED["image"][i] / np.float32(255), _STORED["truth"][i].copy()
    return u, image, truth, float(_STORED["c"][i])


# --- the figure ----------------------------------------------------------------------------------

SIGMA, LAMBDA2 = (to_step(_STORED[name], 0.05) for name in ("sigma", "lambda2"))
CONTROLS = (
    Choice("crop", "crop", CROP_NAMES, START, "simulated"),
    Choice("source", "c comes from", (CLASSIFIER, BY_HAND), CLASSIFIER),
    Slider("c", "c", 0, 1, 0.01, round(crop(START)[-1], 2), "is there a nodule?"),
    Slider("lambda2", "λ₂", 0, 8, 0.05, LAMBDA2, "weight of the detection prior"),
    Slider("sigma", "σ", 0.3, 6, 0.05, SIGMA, "width of the Gaussian, pixels"),
    Slider("lambda1", "λ₁", 0, 4, 0.05, 1.0, "weight of the boundary"),
    Slider("iterations", "iterations", 0, 20, 1, 10, "steps T"),
)


def slim_network(**initial):
    """The live figure of the shipped network's last layer; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    crops = zip(CROP_NAMES, packed_crops(_STORED), _STORED["c"].tolist(), strict=True)
    options = {"crops": {name: {**crop, "c": c} for name, crop, c in crops}}
    return LiveFigure("slim_network", __name__, controls, compute, draw, CAPTION, ALT, options)


def packed_crops(stored):
    """u, image and truth of each stored crop for the page."""
    names = ("u", "image", "truth")
    crops = zip(*(stored[name] for name in names), strict=True)
    return [dict(zip(names, map(arrays.packed, crop), strict=True)) for crop in crops]


def compute(parameters):
    """u, x_T, and the numbers shown."""
    rest = {**parameters}
    u, image, truth, c = crop(rest.pop("crop"))
    if rest.pop("source") == CLASSIFIER:
        rest["c"] = c
    x = std.soft_threshold_dynamics(torch.as_tensor(u).double(), **rest).numpy()
    return {
        "input": u,
        "field": x,
        "image": image,
        "truth": truth,
        "classifier": c,
        "c": rest["c"],
        "area": int((x > 0.5).sum()),
        "dice": dice(x > 0.5, truth) if truth.any() else np.nan,
        "plain_dice": dice(u > 0, truth) if truth.any() else np.nan,
    }


def draw(parameters, result):
    figure = new_figure(3.4)
    left, middle, right = figure.subplots(1, 3)
    u, x, truth = result["input"], result["field"], result["truth"]
    outlines = [(u, 0, "scan-second"), (x, 0.5, "scan-contour"), (truth, 0.5, "scan-third")]
    show_field(left, result["image"], "crop", "grey", outlines=outlines)
    show_field(middle, u, "logits u", "logits", -6, 6, [(u, 0, "cursor")])
    show_x(right, x, parameters["iterations"])
    numbers = f"c = {result['c']:.2f}, the classifier's {result['classifier']:.2f}"
    if truth.any():
        numbers += f"; Dice {result['dice']:.3f}, plain sigmoid {result['plain_dice']:.3f}"
    figure.suptitle(f"{numbers}; {result['area']} px, truth {truth.sum()}", fontsize=10)
    return figure
