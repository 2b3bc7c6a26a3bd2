"""Numbers in the text on outlines in motion. Each function returns texts by name."""

import math

import torch

from nodule_lesson import std


def two_regularisers(u, by_std, by_tv):
    """Largest values, the error of total variation after 100 steps, and the price of a speck.

    Holds the comparison of the boundary term with total variation.
    u: (H, W), logits. by_std, by_tv: all iterates, each (H, W), with the boundary term and with
    total variation; the last one of by_tv stands for its limit.
    """
    ends = float(by_std[10].max()), float(by_tv[-1].max()), float(torch.sigmoid(u).max())
    assert ends[0] > ends[2] > ends[1]  # one sharpens, the other lowers the contrast
    error = {name: float((fields[t] - fields[-1]).abs().max())
             for name, fields, t in (("std", by_std, 10), ("tv", by_tv, 100))}  # fmt: skip
    assert error["std"] < 0.01 < error["tv"]
    speck = torch.zeros(33, 33, dtype=torch.float64)
    speck[16, 16] = 1
    term = float((speck * std.gaussian_blur(1 - speck, 2.0)).sum())
    return {
        "flow-range-std": f"{ends[0]:.2f}",
        "flow-range-tv": f"{ends[1]:.2f}",
        "flow-range-plain": f"{ends[2]:.2f}",
        "flow-tv-error": f"{error['tv']:.2f}",
        "flow-speck-std": f"{term * math.sqrt(2 * math.pi) / 2.0:.2f}",
    }


def overlap_with_truth(u, x, truth):
    """The Dice coefficient with the truth, without neighbours and with them.

    Holds the sentence below the figure of Chan and Vese's model.
    u, x, truth: (H, W); the logits, the settled field in [0, 1], and a boolean array.
    """
    truth = torch.as_tensor(truth)

    def dice(mask):
        return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())

    return {
        "flow-dice-alone": f"{dice(u > 0):.2f}",
        "flow-dice-chan-vese": f"{dice(x > 0.5):.2f}",
    }
