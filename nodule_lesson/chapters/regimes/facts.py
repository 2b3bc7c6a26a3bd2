"""Numbers in the text on regimes. Each function returns texts by name."""

import torch

from nodule_lesson import std
from nodule_lesson.chapters.regimes import computations
from nodule_lesson.chapters.regimes.live import SIGMA, compute, fold


def prices(price):
    """Holds the borders of the regimes: 1 at 0, about 1/2 at 0.3, nothing from 1/2 on.

    price: a function of epsilon / lambda1. What is missing at 0.02 is the error of a straight edge
    along the pixels, by the proposition of the chapter on boundary length.
    """
    grid = 1 / (12 * SIGMA**2)
    assert abs(1 - price(0.02) - grid) < 1e-3
    assert abs(price(0.3) - 0.5) < 0.01
    assert max(abs(price(ratio)) for ratio in (0.5, 0.7, 1.0)) < 1e-3
    return {"price-hard": f"{price(0.1):.2f}", "price-grid": f"{grid:.0%}"}


def moves_of_the_edge():
    """By how many pixels the edge of the live figure moves in its second task.

    Holds the answer that the side wins which the logits prefer, and that both phases are stable.
    """
    shown = compute({"ratio": 0.2, "u": 0.05, "sigma": SIGMA})
    areas = [int((shown[name] > 0.5).sum()) for name in ("input", "layer", "field")]
    assert areas == sorted(areas) and shown["answers"] == 2
    return {"edge-ten": f"{areas[1] - areas[0]}", "edge-all": f"{areas[2] - areas[0]}"}


def gains(sigma=2.0):
    """What the layer does to small white noise, and to a wave of ten sigma, at epsilon = lambda1.

    Holds the sentence that noise becomes no quieter.
    """
    noise = computations.gain_of_noise(sigma)
    torch.manual_seed(0)
    u = 1e-3 * torch.randn(256, 256, dtype=torch.float64)
    z = torch.logit(std.soft_threshold_dynamics(u, sigma=sigma, iterations=40))
    inner = slice(20, -20)
    grown = float(z[inner, inner].std() / u[inner, inner].std())
    assert abs(grown / noise - 1) < 0.01 and noise > 1
    (wide,) = computations.measured_gains([10 * sigma], 1.0, sigma)
    return {"gain-noise": f"{100 * (noise - 1):.0f}", "gain-wide": f"{wide:.2f}"}


def discs(logits):
    """Holds the sentences below the table of discs: the small one is lost, the widest gains.

    logits: radius -> the logit in the middle of a disc of logit 0.5, after the layer.
    """
    radii = sorted(logits)
    assert logits[radii[0]] < 0 < logits[radii[1]] < 0.5 < logits[radii[-1]]
    return {"disc-wide": f"{logits[radii[-1]]:.2f}"}


def folds():
    """The fold at epsilon = lambda1 / 4, which the figure shows, in units of lambda1.

    Holds the sentence that it tends to lambda1 as epsilon falls.
    """
    assert fold(0.001) > 0.99
    return {"fold-quarter": f"{fold(0.25):.2f}"}


def loudness(rows):
    """Holds the sentence that no more pixels change than have |u| <= lambda1.

    rows: scale -> the share of pixels with |u| <= lambda1, and of those that change sides.
    """
    assert all(changed <= heard for heard, changed in rows.values())
    changed = [rows[scale][1] for scale in sorted(rows)]
    assert changed == sorted(changed, reverse=True)
    return {}
