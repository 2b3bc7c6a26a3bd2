"""The detection prior: what a classifier's doubt does to a nodule and to what looks like one."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.evaluation import measures
from nodule_lesson.live.drawing import LINES, new_figure, show_field, show_x
from nodule_lesson.live.figure import Choice, LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import pixel_centres, white_noise

SIZE = 96
CURVE_POINTS = 33  # of the curve over c


def _plateau(distance, height, width, floor):
    """Logits of `height` where distance > 0, else of `floor`, with a soft edge of `width`."""
    return floor + (height - floor) * 0.5 * (1 + np.tanh(distance / width))


def _disc(x, y, cx, cy, radius):
    return radius - np.hypot(x - cx, y - cy)


def _tube(x, y, ax, ay, bx, by, radius):
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
    t = np.clip(along, 0, 1)
    return radius - np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay))


def _nodule_and_vessel(x, y):
    nodule = _plateau(_disc(x, y, 48, 56, 20), 3, 4, -3)
    vessel = _plateau(_tube(x, y, 114, -8, 92, 136, 4), -1.4, 3, -3)
    section = _plateau(_disc(x, y, 98, 90, 9), 1.4, 3, -3)  # where the vessel turns into the slice
    return np.maximum(np.maximum(nodule, vessel), section)


def _vessel_only(x, y):
    stem = _tube(x, y, 22, -8, 66, 62, 4)
    branches = np.maximum(_tube(x, y, 66, 62, 54, 136, 4), _tube(x, y, 66, 62, 136, 88, 3.5))
    vessel = _plateau(np.maximum(stem, branches), -1.2, 3, -3)
    return np.maximum(vessel, _plateau(_disc(x, y, 66, 62, 11), 1.2, 3, -3))


def _faint_nodule(x, y):
    nodule = _plateau(_disc(x, y, 50, 58, 23), 1.4, 6, -3)
    section = _plateau(_disc(x, y, 102, 94, 9), 1.4, 3, -3)
    return np.maximum(nodule, section)


# Each crop: the standard deviation of its noise, logits by place in 1/128 of the side, and the
# made-up truth, a disc (x, y, radius), or None where there is no nodule.
_CROPS = {
    "nodule and vessel": (0.3, _nodule_and_vessel, (48, 56, 20)),
    "vessel only": (0.3, _vessel_only, None),
    "faint nodule": (0.3, _faint_nodule, (50, 58, 22)),
}
CROP_NAMES = tuple(_CROPS)

CONTROLS = (
    Choice("crop", "crop", CROP_NAMES, CROP_NAMES[0], "made-up logits u"),
    Slider("c", "c", 0, 1, 0.01, 0.5, "is there a nodule?"),
    Slider("lambda2", "λ₂", 0, 4, 0.05, 2.0, "weight of the prior"),
    Slider("lambda1", "λ₁", 0, 2.5, 0.05, 1.0, "weight of the boundary"),
    Slider("sigma", "σ", 0.5, 6, 0.1, 2.0, "width of the Gaussian, pixels"),
    Slider("epsilon", "ε", 0.8, 2, 0.05, 1.0, "weight of the entropy"),
    Slider("iterations", "iterations", 0, 20, 1, 10, "steps T"),
)
CAPTION = (
    "<strong>Live.</strong> Left, made-up logits u; right, x after T steps with the prior, and "
    "its outline at 0.5. The dotted circle is the made-up truth, where there is one. Below, the "
    "area inside the outline against the classifier's answer c, around the nodule and everywhere "
    "else, where all of it is false. The upright line is the present c."
)
ALT = (
    "Two square fields side by side, logits with a large and a small blob and the result with "
    "outlines; below them two curves of area against c: the nodule's falls slowly as c falls, the "
    "false positive's reaches zero."
)


def detection_prior(**initial):
    """The live figure of the prior, the paper's Eqs. (4), (5); `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("detection_prior", __name__, controls, compute, draw, CAPTION, ALT)


def crop(name, n=SIZE):
    """Made-up logits, (n, n) float32; the true mask; and the surroundings of the nodule.

    Both masks are (n, n) and boolean; empty where the crop has no nodule. What is marked outside
    the surroundings is false. ValueError for a name that is not one of CROP_NAMES.
    """
    if name not in _CROPS:
        raise ValueError(f"crop must be one of {', '.join(CROP_NAMES)}; found {name!r}.")
    spread, logit, disc = _CROPS[name]
    x, y = pixel_centres(n)
    noise = white_noise(n, CROP_NAMES.index(name) + 11)
    u = (logit(x, y) + spread * noise).astype(np.float32)
    distance = _disc(x, y, *disc) if disc else np.full((n, n), -128.0)
    return u, distance > 0, distance > -12


def areas(x, truth, surroundings):
    """Pixels of x > 0.5 in the surroundings of the nodule and elsewhere, and Dice.

    Dice is nan for a crop without a nodule: there is nothing to compare with.
    """
    mask = np.asarray(x) > 0.5
    dice = float(measures.dice(mask, truth)) if truth.any() else np.nan
    return int((mask & surroundings).sum()), int((mask & ~surroundings).sum()), dice


def area_curve(parameters, c):
    """Area in the surroundings of the nodule and elsewhere for each value of c: two lists."""
    rest = {**parameters}
    u, truth, surroundings = crop(rest.pop("crop"))
    rest["c"] = torch.as_tensor(c, dtype=torch.float64)
    stack = torch.as_tensor(u).double().expand(len(c), -1, -1)
    fields = std.soft_threshold_dynamics(stack, **rest)
    inside, elsewhere, _ = zip(*(areas(x, truth, surroundings) for x in fields), strict=True)
    return inside, elsewhere


def compute(parameters):
    """u, x_T, and the numbers shown."""
    rest = {**parameters}
    u, truth, surroundings = crop(rest.pop("crop"))
    x = std.soft_threshold_dynamics(torch.as_tensor(u).double(), **rest).numpy()
    inside, elsewhere, dice = areas(x, truth, surroundings)
    return {
        "input": u,
        "field": x,
        "truth": truth,
        "nodule_area": inside,
        "other_area": elsewhere,
        "dice": dice,
        "shift": parameters["lambda2"] * (1 - parameters["c"]),
    }


def draw(parameters, result):
    figure = new_figure(6.4)
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 2))
    left, right = upper.subplots(1, 2)
    x, truth = result["field"], result["truth"]
    true_outline = (truth, 0.5, "third")
    show_field(left, result["input"], "logits u", "logits", -3, 3, [true_outline])
    show_x(right, x, parameters["iterations"], [true_outline])
    axes = lower.subplots()
    c = np.linspace(0, 1, CURVE_POINTS)
    inside, elsewhere = (100 * np.array(a) / max(a[-1], 1) for a in area_curve(parameters, c))
    if truth.any():
        axes.plot(c, inside, **LINES["first"], label="around the nodule")
    axes.plot(c, elsewhere, **LINES["second"], label="elsewhere: false positives")
    axes.axvline(parameters["c"], **LINES["cursor"])
    axes.set(xlabel="c", ylabel="% of the area at c = 1", ylim=(0, 105))
    dice = f"Dice {result['dice']:.3f}" if truth.any() else "no truth"
    axes.legend(title=f"{dice}, logit shift {result['shift']:.2f}", frameon=False)
    return figure
