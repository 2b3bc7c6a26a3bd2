"""The shipped network's own logits, and the layer at its end: c, σ, λ₂, λ₁ and T to move."""

import base64
import functools
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from nodule_lesson import std
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation.measures import dice
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at

SIZE, BORDER = 64, 32  # a crop's side, and where it begins in a slice of 128x128
U_STEP = 1e-3  # logits are stored in thousandths
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
    is "" where a slice has no nodule. Copies are the caller's business: the result is shared.
    """
    from nodule_lesson.data.demo import open_demo  # no other figure's page needs scans

    demo = open_demo("luna_like")
    middle = np.s_[:, None, BORDER : BORDER + SIZE, BORDER : BORDER + SIZE]
    images = torch.as_tensor(normalise(np.asarray(demo.images))[middle])
    masks = torch.as_tensor(np.asarray(demo.masks)[middle] > 0)
    return images.contiguous(), masks, np.asarray(demo.slices["type"])


def pack():
    """Choose six crops by rule, run the shipped network on them, and write slim_network.npz.

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
    on, truth = (output.mask[:, 0] > 0.5).numpy(), masks[:, 0].numpy()
    plain = (output.u[:, 0] > 0).numpy()
    score, c = dice(on, truth), output.nodule.numpy()
    nodule = truth.any((1, 2))
    changed, marked = (on != plain).sum((1, 2)), on.sum((1, 2))

    rows = []

    def take(candidates, value, place):
        """The candidate at that place, in shares of 1, when they are sorted by value."""
        left = [row for row in np.flatnonzero(candidates) if row not in rows]
        left.sort(key=lambda row: (value[row], row))
        rows.append(int(left[round(place * (len(left) - 1))]))

    take(nodule, score, 0.5)
    take(nodule, changed, 1)
    take(nodule & (types == "ggo"), score, 0.5)
    take(nodule, score, 0)
    take(~nodule, c, 0.5)
    take(~nodule, marked, 1)
    return rows


@functools.cache
def _stored():
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def crop(name):
    """u float32, image in [0, 1], truth boolean, each (64, 64), and the classifier's c.

    Raises ValueError for a name that is not one of CROP_NAMES.
    """
    if name not in CROP_NAMES:
        raise ValueError(f"crop must be one of {', '.join(CROP_NAMES)}; found {name!r}.")
    stored, i = _stored(), CROP_NAMES.index(name)
    u = (stored["u"][i] * U_STEP).astype(np.float32)
    return (
        u,
        stored["image"][i] / np.float32(255),
        stored["truth"][i].copy(),
        float(stored["c"][i]),
    )


def _learned(name, step):
    return round(round(float(_stored()[name]) / step) * step, 6)


# --- the figure ----------------------------------------------------------------------------------

CONTROLS = (
    Choice("crop", "crop", CROP_NAMES, START, "simulated"),
    Choice("source", "c comes from", (CLASSIFIER, BY_HAND), CLASSIFIER),
    Slider("c", "c", 0, 1, 0.01, round(crop(START)[-1], 2), "is there a nodule?"),
    Slider("lambda2", "λ₂", 0, 8, 0.05, _learned("lambda2", 0.05), "weight of the size prior"),
    Slider("sigma", "σ", 0.3, 6, 0.05, _learned("sigma", 0.05), "width of the Gaussian, pixels"),
    Slider("lambda1", "λ₁", 0, 4, 0.05, 1.0, "weight of the boundary"),
    Slider("iterations", "iterations", 0, 20, 1, 10, "steps T"),
)


def slim_network(**initial):
    """The live figure of the shipped network's last layer; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    options = {"crops": {name: _packed(name) for name in CROP_NAMES}}
    return LiveFigure("slim_network", __file__, controls, compute, draw, CAPTION, ALT, options)


def _packed(name):
    """A crop for the page: u, image and truth as base64, then c."""
    stored, i = _stored(), CROP_NAMES.index(name)
    bits = np.packbits(stored["truth"][i], bitorder="little")
    arrays = (np.ascontiguousarray(stored["u"][i], "<i2"), stored["image"][i], bits)
    texts = [base64.b64encode(array.tobytes()).decode() for array in arrays]
    return [*texts, float(stored["c"][i])]


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
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    u, x, truth = result["input"], result["field"], result["truth"]
    left.imshow(result["image"], cmap="gray", vmin=0, vmax=1)
    left.set_title("crop")
    middle.imshow(u, cmap="RdBu", vmin=-6, vmax=6)
    middle.set_title("logits u")
    right.imshow(x, cmap="Blues", vmin=0, vmax=1)
    right.set_title(f"x after {parameters['iterations']} steps")
    for axes, lines in (
        (left, ((u, 0, "#ffd24a", "--"), (x, 0.5, "#ff5a36", "-"), (truth, 0.5, "#62e08f", ":"))),
        (middle, ((u, 0, "#1c2430", "--"),)),
        (right, ((x, 0.5, "#d6330f", "-"),)),
    ):
        axes.set_axis_off()
        for field, level, colour, style in lines:
            if field.min() < level < field.max():
                axes.contour(field, [level], colors=colour, linewidths=1.3, linestyles=style)
    says = f"c = {result['c']:.2f}, the classifier's {result['classifier']:.2f}"
    if truth.any():
        says += f"; Dice {result['dice']:.3f}, plain sigmoid {result['plain_dice']:.3f}"
    figure.suptitle(f"{says}; {result['area']} px, truth {truth.sum()}", fontsize=10)
    return figure
