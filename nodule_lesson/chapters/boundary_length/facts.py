"""Numbers in the text on the boundary length. Each function returns texts by name.

The chapter's own measures are handed over: `estimated_length(x, sigma)`, the length of the outline
of x in pixels; `disc_errors(r, sigma, places)`, relative errors of that length for a disc of the
radius r with its centre at several places; and `edge_error(degrees, sigma)`, the same for a
straight edge.
"""

import math

import torch


def window_of_sigma(disc_errors):
    """The worst mean error, in per cent, for 2 <= sigma <= r / 4.

    Holds the sentence on the window below the figure of the discs.
    """
    errors = [abs(disc_errors(r, s).mean()) for r in (8, 16, 32, 64) for s in (2, r / 4)]
    return {"length-window-worst": f"{100 * max(errors):.1f}"}


def small_discs(disc_errors):
    """The range of the mean errors of discs with a radius of 3 to 5 pixels, in per cent.

    Holds the sentence below the table of small discs, that their outline is always too short.
    """
    errors = [
        100 * disc_errors(r, sigma, places=4).mean() for r in (3, 4, 5) for sigma in (1, 1.5, 2)
    ]
    assert max(errors) < 0
    return {"length-small-low": f"{-max(errors):.0f}", "length-small-high": f"{-min(errors):.0f}"}


def missing_pixels(estimate, error_of_edges):
    """What a square of side 40 in the middle of the image lacks at sigma = 2, and why, in pixels.

    Holds the sentence that its four corners and the error of its edges are all that is missing.
    estimate: the estimated length of its outline. error_of_edges: the relative error of an edge
    along rows and columns.
    """
    length = 160
    corners = 4 * 2.0 / math.sqrt(2 * math.pi)
    grid = length * -error_of_edges
    missing = length - estimate
    assert abs(missing - corners - grid) < 0.2
    return {
        "border-missing": f"{missing:.1f}",
        "border-corners": f"{corners:.1f}",
        "border-grid": f"{grid:.1f}",
    }


def two_regularisers(u, by_std, by_tv, estimated_length):
    """Largest values, the error of total variation after 100 steps, and the price of a speck.

    Holds the comparison of the boundary term with total variation.
    u: (H, W), logits. by_std, by_tv: all iterates, each (H, W), with the boundary term and with
    total variation; the last one of by_tv stands for its limit.
    """
    speck = torch.zeros(33, 33, dtype=torch.float64)
    speck[16, 16] = 1
    return {
        "length-range-std": f"{float(by_std[10].max()):.2f}",
        "length-range-tv": f"{float(by_tv[-1].max()):.2f}",
        "length-range-plain": f"{float(torch.sigmoid(u).max()):.2f}",
        "length-tv-error": f"{float((by_tv[100] - by_tv[-1]).abs().max()):.2f}",
        "length-speck-std": f"{estimated_length(speck, 2.0):.2f}",
    }


def overlap_with_truth(u, x, truth):
    """The Dice overlap with the truth, without neighbours and with them.

    Holds the sentence below the figure of Chan and Vese's model.
    u, x, truth: (H, W); the logits, the settled field in [0, 1], and a boolean array.
    """
    truth = torch.as_tensor(truth)

    def dice(mask):
        return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())

    return {
        "length-dice-alone": f"{dice(u > 0):.2f}",
        "length-dice-chan-vese": f"{dice(x > 0.5):.2f}",
    }
