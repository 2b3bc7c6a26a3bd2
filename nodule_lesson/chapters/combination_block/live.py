"""The combination block on two small maps: what two features may hide from a 1x1 convolution."""

import functools

import numpy as np
import torch

from nodule_lesson.live.drawing import LINES, new_figure, show_field
from nodule_lesson.live.figure import LiveFigure, Slider, started_at
from nodule_lesson.live.scenes import pixel_centres, white_noise
from nodule_lesson.networks.blocks import CombinationBlock

SIZE = 64
HIDDEN = (36, 14, 8)  # the hidden change, a disc: x, y, radius

CONTROLS = (
    Slider("a", "a: weight of s", -2, 2, 0.05, 0.8, "in the second 1x1"),
    Slider("b", "b: weight of f", -2, 2, 0.05, 1.0, "in the second 1x1"),
    Slider("w", "w: factor of f", -2, 2, 0.05, 0.8, "the first 1x1, on f alone"),
    Slider("p", "p: disc in s", -2, 2, 0.05, -1.0, "its brightness"),
    Slider("q", "q: disc in f", -2, 2, 0.05, 1.0, "its brightness"),
)
CAPTION = (
    "<strong>Live.</strong> One channel s of a U-Net and one channel f of a classifier, made up, "
    "and what the block makes of them. In the dotted circle a disc of brightness p is added to s, "
    "and one of brightness q to f. At the start both inputs show it and the output does not. "
    "Below, how much the disc changes the output, for every p; the dot is at the present p. Move "
    "any slider, and find the zero again."
)
ALT = (
    "Three square maps: s with bright edges and a dark disc in its upper right corner, f with a "
    "blob and a bright disc in the same corner, and the output without any disc there; below them "
    "a V-shaped curve of the change of the output against p, with a mark at its zero."
)


def feature_combination(**initial):
    """The live figure of the combination block; `initial` sets starting values."""
    controls = started_at(CONTROLS, initial)
    return LiveFigure("feature_combination", __name__, controls, compute, draw, CAPTION, ALT)


def features(n=SIZE):
    """Made-up s, f and the disc that can be added to them, each (n, n) float32.

    s has the edges of a nodule and of a vessel, as a network that outlines would; f has a blob
    where the nodule is, as a network that only has to say whether there is one.
    """
    x, y = pixel_centres(n, SIZE)
    nodule = 11 - np.hypot(x - 24, y - 36)
    vessel = 2.5 - abs(x - 50 + 0.2 * (y - 32))
    s = np.maximum(np.exp(-((nodule / 2) ** 2)), 0.8 * np.exp(-((vessel / 2) ** 2)))
    f = np.exp(-((x - 24) ** 2 + (y - 36) ** 2) / 200)
    hidden = 0.5 * (1 + np.tanh(HIDDEN[2] - np.hypot(x - HIDDEN[0], y - HIDDEN[1])))
    s = s + 0.06 * white_noise(n, 41)
    f = f + 0.03 * white_noise(n, 42)
    return tuple(field.astype(np.float32) for field in (s, f, hidden))


def block(a, b, w):
    """The paper's block, one channel per side: 1x1 by w, 1x1 by a and b, then a 3x3 blur."""
    block = CombinationBlock(1, 1).double().requires_grad_(False)
    smooth = torch.tensor([1, 2, 1], dtype=torch.float64) / 4
    block.translate.weight.fill_(w)
    block.fuse.weight.copy_(torch.tensor([a, b], dtype=torch.float64).view(1, 2, 1, 1))
    block.spread[0].weight.copy_(torch.outer(smooth, smooth))
    block.spread[1].weight.fill_(1)
    return block


def change_of_output(a, b, w, p, q):
    """The largest change of the output when p discs are added to s, and q to f."""
    return abs(a * p + b * w * q) * _peak()


@functools.cache
def _peak():
    """The disc's largest value after the blur of the block."""
    disc = torch.from_numpy(features()[2]).double()[None, None]
    return float(block(1, 0, 0)(disc, disc).max())


def compute(parameters):
    """Changed s over changed f; the block's output over that without the change; its size."""
    a, b, w, p, q = (parameters[name] for name in "abwpq")
    s, f, hidden = (torch.from_numpy(field).double()[None, None] for field in features())
    combine = block(a, b, w)
    changed = s + p * hidden, f + q * hidden
    before, after = combine(s, f), combine(*changed)
    return {
        "input": torch.cat([*changed], 2)[0, 0].numpy(),
        "field": torch.cat([after, before], 2)[0, 0].numpy(),
        "change": float((after - before).abs().max()),
        "hidden": hidden[0, 0].numpy(),
    }


def draw(parameters, result):
    a, b, w, p, q = (parameters[name] for name in "abwpq")
    figure = new_figure(5.2)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1))
    s, f = np.split(result["input"], 2)
    after, _ = np.split(result["field"], 2)
    titles = ("s (U-Net)", "f (classifier)", "output of the block")
    outlines = [(result["hidden"], 0.5, "third")]
    for axes, field, title in zip(upper.subplots(1, 3), (s, f, after), titles, strict=True):
        show_field(axes, field, title, "logits", -1.5, 1.5, outlines)
    axes = lower.subplots()
    places = np.linspace(-2, 2, 161)
    axes.plot(places, change_of_output(a, b, w, places, q), **LINES["first"])
    label = f"at the present p: {result['change']:.3f}"
    axes.plot([p], [result["change"]], "o", **LINES["second"], label=label, clip_on=False)
    axes.set(
        xlabel="p, brightness of the disc in s",
        ylabel="largest change of the output",
        xlim=(-2, 2),
    )
    axes.set_ylim(0, max(1.0, 1.05 * float(change_of_output(a, b, w, places, q).max())))
    axes.legend(frameon=False)
    return figure
