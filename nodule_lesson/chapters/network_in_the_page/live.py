"""The trained network on a slice: a box to move, what it answers there, and its last layer."""

import functools
from pathlib import Path

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.data.patches import normalise
from nodule_lesson.evaluation.measures import dice
from nodule_lesson.live import arrays
from nodule_lesson.live.drawing import COLOURS, new_figure, show_field, show_x
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at, to_step
from nodule_lesson.live.kernel import KERNEL  # noqa: F401 - network.js imports it from here
from nodule_lesson.live.scenes import white_noise
from nodule_lesson.networks.registry import load_pretrained, model_card

NETWORK = "slim"
SCRIPT = f"_static/networks/{NETWORK}.js"  # written by the build, loaded on a click
WIDTH = 160  # of a slice, pixels
SURROUND = 128  # the square over which the paper's Eq. (6) scales a crop, as in the training
SIDES = {"64 × 64": 64, "128 × 128, the paper's": 128}
NOISE, NOISE_SEED = "pure noise", 18
# Of simulated patients that the network has not been trained on: the patient, and which of its
# nodules the slice shows. Chosen by hand: three nodules, of which the network does badly on the
# small one, and a slice without.
SEED = 18
PATIENTS = {
    "solid nodule": (9, 1),
    "ground glass": (10, 0),
    "small nodule": (8, 1),
    "no nodule": (9, None),
}
_STORED = arrays.stored(__file__)
_LAYER = model_card(NETWORK)["std"]
SLICES = (*PATIENTS, NOISE)
MASKS = 4  # patches that cover a side, and overlap by half, for the occlusion map

CONTROLS = (
    Choice("slice", "slice", SLICES, SLICES[0], "simulated"),
    Choice("size", "box", tuple(SIDES), next(iter(SIDES)), "pixels"),
    Slider("across", "across", 0, 100, 0.25, 50, "place of the box, %"),
    Slider("down", "down", 0, 100, 0.25, 50, "place of the box, %"),
    Slider("sigma", "σ", 0.3, 6, 0.05, to_step(_LAYER["sigma"], 0.05), "width of the Gaussian"),
    Slider("lambda2", "λ₂", 0, 8, 0.05, to_step(_LAYER["lambda2"], 0.05), "weight of the prior"),
    Slider("iterations", "iterations", 0, 20, 1, _LAYER["iterations"], "steps T"),
)
CAPTION = (
    "<strong>Live.</strong> A simulated slice; the crop in the box with the outlines of x (red), "
    "of the plain sigmoid (dashed yellow) and of the simulated readers (dotted green); the logits "
    "u; the plain sigmoid of u; and x after T steps of STD with the classifier's c. Drag the box, "
    "and draw a nodule into the crop. For teaching, not for clinical use."
)
ALT = (
    "A slice of a simulated chest with a square box round a nodule; the box enlarged, with three "
    "outlines that nearly agree; the logits; the plain sigmoid; and the result x, whose outline "
    "is smoother."
)


def network_in_the_page(**initial):
    """The live figure of the trained network; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    slices = {}
    for i, name in enumerate(PATIENTS):
        low, high = _STORED["ends"][i].tolist()
        grey, truth = (arrays.packed(_STORED[key][i]) for key in ("grey", "truth"))
        slices[name] = {"grey": grey, "truth": truth, "low": low, "high": high}
    options = {"slices": slices}
    return LiveFigure(
        "network_in_the_page", __name__, controls, compute, draw, CAPTION, ALT, options
    )


# --- slices --------------------------------------------------------------------------------------


def pack():
    """Simulate the patients, cut a slice of each for PATIENTS, and write live.npz.

    The slice is the middle one of a nodule, or the first one that shows no nodule.
    """
    from nodule_lesson.data.phantom.simulate import simulate_scan

    scan_of = functools.cache(lambda number: simulate_scan("luna_like", number, SEED))
    windows = []
    for number, nodule in PATIENTS.values():
        scan = scan_of(number)
        masks = scan.masks()
        if nodule is None:
            k = int(np.flatnonzero(~masks.any((1, 2)))[0])
            row, column = (side // 2 for side in masks.shape[1:])
        else:
            k, row, column = scan.nodules[nodule]["index"]
        windows.append(_window(scan.hu[k], masks[k], row, column))
    grey, truth, ends = zip(*windows, strict=True)
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(path, grey=grey, truth=truth, ends=np.array(ends, np.int16))


def _window(hu, truth, row, column):
    """WIDTH x WIDTH around a place, as far as the slice reaches: 256 greys, truth, and their ends.

    Padding outside the scanner's field of view becomes air, -1024 HU.
    """
    top, left = (
        int(np.clip(middle - WIDTH // 2, 0, side - WIDTH))
        for middle, side in zip((row, column), hu.shape, strict=True)
    )
    part = np.s_[top : top + WIDTH, left : left + WIDTH]
    hu = np.maximum(hu[part], -1024)
    low, high = int(hu.min()), int(hu.max())
    grey = np.round((hu - low) * (255.0 / (high - low))).astype(np.uint8)
    return grey, truth[part], (low, high)


def slice_of(name):
    """A slice: 256 greys, (WIDTH, WIDTH) uint8, and the truth, boolean; ValueError for others."""
    if name not in SLICES:
        raise ValueError(f"slice must be one of {', '.join(SLICES)}; found {name!r}.")
    if name == NOISE:
        noise = 128 + 32 * white_noise(WIDTH, NOISE_SEED)
        grey = np.floor(np.clip(noise, 0, 255) + 0.5).astype(np.uint8)
        return grey, np.zeros((WIDTH, WIDTH), bool)
    i = SLICES.index(name)
    return _STORED["grey"][i].copy(), _STORED["truth"][i].copy()


def box(parameters, width=WIDTH):
    """(top, left, side) of the box in a picture of that width."""
    side = SIDES[parameters["size"]]
    shares = (parameters[key] for key in ("down", "across"))
    return *(int(np.floor(share * (width - side) / 100 + 0.5)) for share in shares), side


def crop(parameters):
    """The crop in the box as the network wants it, its greys, and its truth, all (side, side).

    Scaled by the smallest and the largest value of the 128x128 around it, as far as the slice
    reaches: in the training, too, crops of 64x64 were cut from such slices.
    """
    grey, truth = slice_of(parameters["slice"])
    top, left, side = box(parameters)
    rows, columns = (
        np.s_[start : start + SURROUND]
        for start in (
            int(np.clip(first - (SURROUND - side) // 2, 0, WIDTH - SURROUND))
            for first in (top, left)
        )
    )
    around = grey[rows, columns]
    part = np.s_[top : top + side, left : left + side]
    return normalise(grey[part], int(around.min()), int(around.max())), truth[part]


# --- the network ---------------------------------------------------------------------------------


@functools.cache
def _network():
    return load_pretrained(NETWORK)


def answers(images):
    """u (N, side, side) and the classifier's logits (N,) for crops in [0, 1], float32 arrays."""
    with torch.no_grad():
        output = _network()(torch.as_tensor(images)[:, None])
    return output.u[:, 0].numpy(), output.nodule_logits.numpy()


def occlusion(image):
    """By how much c's logit falls, on the mean, when a pixel is covered: (side, side).

    A square of a quarter of the crop's side, as grey as the crop's median, covers one place after
    the other, in steps of half its side (Zeiler and Fergus 2014). The logit, not c itself, since c
    is so near to 1 that it hardly moves.
    """
    side = image.shape[-1]
    patch = side // MASKS
    places = range(0, side - patch + 1, patch // 2)
    squares = [np.s_[y : y + patch, x : x + patch] for y in places for x in places]
    covered = np.repeat(image[None], len(squares), 0)
    for each, square in zip(covered, squares, strict=True):
        each[square] = np.median(image)
    (_, before), (_, after) = answers(image[None]), answers(covered)
    total, count = np.zeros((2, side, side))
    for square, logit in zip(squares, after, strict=True):
        total[square] += before[0] - logit
        count[square] += 1
    return total / count


# --- the figure ----------------------------------------------------------------------------------


@functools.lru_cache(64)
def _answer(slice_, size, across, down):
    image, truth = crop({"slice": slice_, "size": size, "across": across, "down": down})
    u, logit = answers(image[None])
    return image, truth, u[0], float(1 / (1 + np.exp(-logit[0])))


def compute(parameters):
    """The crop, the network's u and c there, x after T steps, and the numbers shown."""
    place = (parameters[key] for key in ("slice", "size", "across", "down"))
    image, truth, u, c = _answer(*place)
    layer = {key: parameters[key] for key in ("sigma", "lambda2", "iterations")}
    fixed = {key: _LAYER[key] for key in ("lambda1", "epsilon")}
    x = std.soft_threshold_dynamics(torch.as_tensor(u).double(), c=c, **layer, **fixed).numpy()
    return {
        "input": image,
        "field": x,
        "u": u,
        "c": c,
        "truth": truth,
        "dice": dice(x > 0.5, truth) if truth.any() else np.nan,
        "area": int((x > 0.5).sum()),
        "plain_area": int((u > 0).sum()),
    }


def draw(parameters, result):
    figure = new_figure(5.2)
    upper, lower = figure.subplots(2, 3)
    u, x = result["u"], result["field"]
    grey, _ = slice_of(parameters["slice"])
    show_field(upper[0], grey, "slice", "grey", 0, 255)
    top, left, side = box(parameters)
    across, down = (
        [left, left + side, left + side, left, left],
        [top, top, top + side, top + side, top],
    )
    upper[0].plot(np.array(across) - 0.5, np.array(down) - 0.5, color=COLOURS["scan-second"])
    lines = [(u, 0, "scan-second"), (x, 0.5, "scan-contour"), (result["truth"], 0.5, "scan-third")]
    show_field(upper[1], result["input"], "crop", "grey", outlines=lines)
    show_field(upper[2], u, "logits u", "logits", -6, 6, [(u, 0, "cursor")])
    plain = 1 / (1 + np.exp(-u.astype(float)))
    show_field(lower[0], plain, "plain sigmoid of u", outlines=[(plain, 0.5, "contour")])
    show_x(lower[1], x, parameters["iterations"])
    lower[2].set_axis_off()
    overlap = f"Dice {result['dice']:.3f}" if result["truth"].any() else "no nodule"
    lines = (
        f"c = {result['c']:.3f}",
        f"area {result['area']} px",
        f"plain sigmoid {result['plain_area']} px",
        overlap,
    )
    lower[2].text(0.05, 0.5, "\n".join(lines), transform=lower[2].transAxes, va="center")
    return figure
