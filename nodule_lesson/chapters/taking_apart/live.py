"""What the prior trades: nodules missed against empty slices marked, over lambda2 and c's quality.

Every pixel of x_T falls as the shift lambda2 (1 - c) grows: each step is increasing in x and
decreasing in the shift. So each slice has one *critical shift*, at which the last of the pixels
that count falls below 0.5. Compared with it, lambda2 (1 - c) says for every lambda2 whether
anything is marked.
"""

from pathlib import Path

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.multitask_model.live import SIZE, U_STEP, demo_crops, packed_crops
from nodule_lesson.live import arrays
from nodule_lesson.live.drawing import LINES, new_figure, show_field
from nodule_lesson.live.figure import LiveFigure, Slider, started_at, to_step

MOST = 16.0  # of lambda2
GRID = np.arange(161) / 10  # lambda2 of the curves
ITERATIONS = 10
FARTHEST = 64.0  # no shift beyond it is looked for
CROP_NAMES = ("nodule that c doubts", "empty, c says so", "empty, c is fooled")
REFERENCES = {"shuffled": -1.0, "the classifier's own": 0.0, "the truth": 1.0}
CAPTION = (
    "<strong>Live.</strong> Above, three simulated crops with the network's outline (red), that "
    "of the plain sigmoid of the same logits (yellow) and the truth (dotted green). Below, "
    "all slices of the demo set with a nodule, and all without: the share of the former that is "
    "missed against the share of the latter in which something is marked. The blue curve is "
    "travelled as λ₂ grows from 0 to 16; the point is the present λ₂. The dashed curve has the "
    "classifier's own c, the dotted one the truth. Move the quality of c towards −1: c of other "
    "slices is mixed in, until each slice has a stranger's."
)
ALT = (
    "Three grey crops of lung with outlines. Below them a plane of the share of empty slices "
    "marked and the share of nodules missed, with three curves for three qualities of c and a "
    "point for the present setting."
)


# --- the slices ----------------------------------------------------------------------------------


def critical_shift(u, counts, sigma, digits=3, iterations=ITERATIONS):
    """The shift at which the last counted pixel of x_T falls below 0.5, rounded: (N,) float64.

    u: logits, (N, H, W). counts: boolean, (N, H, W): the nodule's pixels for a slice with a
    nodule, all for an empty one. 0 where none of them is marked even without a shift.
    """
    u, counts = torch.as_tensor(u).double(), torch.as_tensor(counts)

    def marked(shift):
        x = std.soft_threshold_dynamics(
            u, sigma=sigma, lambda2=FARTHEST, c=1 - shift / FARTHEST, iterations=iterations
        )
        return ((x >= 0.5) & counts).flatten(1).any(1)

    low = torch.zeros(len(u), dtype=torch.float64)
    high = torch.full_like(low, FARTHEST)
    without = marked(low)
    while (high - low).max() > 10.0**-digits / 4:
        middle = (low + high) / 2
        still = marked(middle)
        low, high = torch.where(still, middle, low), torch.where(still, high, middle)
    return torch.where(without, low, 0.0).numpy().round(digits)


def pack():
    """Run the shipped network on the demo set and write live.npz.

    To be called again when the weights "slim" have changed. Slices whose nodule has no drawn
    pixel are left out.
    """
    from nodule_lesson.networks.registry import load_pretrained

    model = load_pretrained("slim").eval()
    images, masks, _ = demo_crops()
    with torch.no_grad():
        output = model(images)
    u = np.round(output.u[:, 0].numpy() / U_STEP).astype("<i2")
    truth, c = masks[:, 0].numpy(), output.nodule.numpy().astype(np.float64).round(4)
    nodule, sigma = truth.any((1, 2)), round(model.std.sigma.item(), 4)
    rows = np.flatnonzero(nodule | ~_has_nodule())
    counts = np.where(nodule[:, None, None], truth, True)
    shift = critical_shift((u[rows] * U_STEP).astype(np.float32), counts[rows], sigma)
    shown = rows[chosen(nodule[rows], c[rows], shift)]
    np.savez_compressed(
        Path(__file__).with_suffix(".npz"),
        rows=rows,
        nodule=nodule[rows],
        c=c[rows],
        shift=shift,
        order=np.random.default_rng(0).permutation(len(rows)),
        shown=np.searchsorted(rows, shown),
        u=u[shown],
        image=np.round(255 * images[shown, 0].numpy()).astype(np.uint8),
        truth=truth[shown],
        sigma=sigma,
        lambda2=model.std.lambda2.item(),
    )


def _has_nodule():
    from nodule_lesson.data.demo import open_demo

    return np.asarray(open_demo("luna_like").slices["has_nodule"]) > 0


def chosen(nodule, c, shift):
    """Which slices are shown, by rule: the found nodule with the smallest c; of the marked empty
    slices those with the smallest and the largest c."""
    marked = shift > 0

    def smallest(where, value):
        rows = np.flatnonzero(where)
        return rows[np.argmin(value[rows])]

    empty = ~nodule & marked
    return np.array([smallest(nodule & marked, c), smallest(empty, c), smallest(empty, -c)])


def stored():
    """Everything in live.npz: a dictionary of arrays, not to be written to."""
    return arrays.stored(__file__)


def answers(quality):
    """c of each slice, (N,): the classifier's own at 0, the truth at 1, a stranger's at -1.

    Between them it is a weighted mean.
    """
    data = stored()
    own = data["c"]
    other = data["nodule"].astype(float) if quality > 0 else own[data["order"]]
    return own + abs(quality) * (other - own)


def shares(lambda2, c):
    """(missed, marked): shares of nodules missed and of empty slices marked.

    lambda2: a number or an array. c: (N,), one per slice.
    """
    data = stored()
    unmarked = np.asarray(lambda2)[..., None] * (1 - c) >= data["shift"]
    nodule = data["nodule"]
    return unmarked[..., nodule].mean(-1), 1 - unmarked[..., ~nodule].mean(-1)


# --- the figure ----------------------------------------------------------------------------------


LAMBDA2 = to_step(stored()["lambda2"], 0.1)
CONTROLS = (
    Slider("lambda2", "λ₂", 0, MOST, 0.1, LAMBDA2, "weight of the detection prior"),
    Slider("quality", "quality of c", -1, 1, 0.05, 0.0, "−1 shuffled, 0 its own, 1 the truth"),
)


def prior_tradeoff(**initial):
    """The live figure of the prior's trade-off; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    data = stored()

    names = ("shown", "nodule", "c", "shift", "order", "sigma")
    options = {"crops": packed_crops(data), **{name: data[name] for name in names}}
    return LiveFigure("prior_tradeoff", __name__, controls, compute, draw, CAPTION, ALT, options)


def compute(parameters):
    """u and x_T of the shown crops, one below the other; shares now, and for all lambda2."""
    data, lambda2 = stored(), parameters["lambda2"]
    c = answers(parameters["quality"])
    u = (data["u"] * U_STEP).astype(np.float32)
    x = std.soft_threshold_dynamics(
        torch.as_tensor(u).double(),
        sigma=float(data["sigma"]),
        lambda2=lambda2,
        c=torch.as_tensor(c[data["shown"]]),
        iterations=ITERATIONS,
    ).numpy()
    return {
        "input": u.reshape(-1, SIZE),
        "field": x.reshape(-1, SIZE),
        "c": c[data["shown"]],
        "now": np.array(shares(lambda2, c)),
        "curve": np.array(shares(GRID, c)),
    }


def draw(parameters, result):
    figure = new_figure(5.8)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    data = stored()
    u, x = (result[key].reshape(-1, SIZE, SIZE) for key in ("input", "field"))
    for i, axes in enumerate(upper.subplots(1, len(u))):
        outlines = [
            (u[i], 0, "scan-second"),
            (x[i], 0.5, "scan-contour"),
            (data["truth"][i], 0.5, "scan-third"),
        ]
        show_field(axes, data["image"][i], "", "grey", 0, 255, outlines)
        axes.set_title(f"{CROP_NAMES[i]}: c = {result['c'][i]:.2f}", fontsize=9)
    axes = lower.subplots()
    for (name, quality), style in zip(REFERENCES.items(), ("-.", "--", ":"), strict=True):
        missed, marked = shares(GRID, answers(quality))
        axes.plot(100 * marked, 100 * missed, style, **LINES["muted"], label=name)
    missed, marked = 100 * result["curve"]
    axes.plot(marked, missed, **LINES["first"], label="this c")
    missed, marked = 100 * result["now"]
    axes.plot(marked, missed, "o", **LINES["contour"], markersize=8)
    axes.set(xlabel="empty slices marked, %", ylabel="nodules missed, %", xlim=(0, 25))
    axes.set_ylim(0, 50)
    axes.set_title(
        f"λ₂ = {parameters['lambda2']:.1f}: {missed:.0f} % missed, {marked:.0f} % marked"
    )
    axes.legend(frameon=False, loc="upper right")
    return figure
