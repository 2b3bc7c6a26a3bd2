"""Numbers in the text on soft threshold dynamics. Each function returns texts by name."""

import numpy as np
import torch
from scipy import ndimage

from nodule_lesson import std


def explorer_answers(u):
    """What the first tasks at the explorer show on the noisy disc: areas, outlines, specks.

    Holds the answers below the explorer: what shrinks is the specks, not the disc; without
    neighbours epsilon moves no outline; the specks that last longest are near the border.
    u: (128, 128), float64 logits, the disc of radius 30 in the middle.
    """

    def mask(lambda1, epsilon=1.0):
        return (std.iterates(u, sigma=2.0, lambda1=lambda1, epsilon=epsilon)[-1] > 0.5).numpy()

    def disc(mask):
        pieces, _ = ndimage.label(mask)
        return int((pieces == pieces[64, 64]).sum())

    weights = (0.0, 1.0, 1.8, 2.5, 4.0)
    masks = [mask(weight) for weight in weights]
    areas = [int(one.sum()) for one in masks]
    discs = [disc(one) for one in masks]
    assert areas == sorted(areas, reverse=True)
    assert min(discs[1:]) > 0.9 * np.pi * 30**2 and discs[0] < discs[1]
    sharp, soft = int(mask(1.0, 0.2).sum()), int(mask(1.0, 2.0).sum())
    assert mask(0.0, 0.2).sum() == mask(0.0, 2.0).sum() and sharp < areas[1] < soft
    pieces, count = ndimage.label(masks[3])
    largest = 1 + int(np.argmax(ndimage.sum(masks[3], pieces, range(1, count + 1))))
    inner = {*np.unique(pieces[4:-4, 4:-4])} - {0}
    at_border = count - len(inner)
    area_share = 1 - 120**2 / 128**2
    assert at_border / (count - 1) > 2 * area_share and largest in inner
    texts = {f"areas-{w:g}": f"{area:,d}" for w, area in zip(weights, areas, strict=True)}
    return texts | {
        "disc-strong": f"{discs[-1]:,d}",
        "area-sharp": f"{sharp:,d}",
        "area-soft": f"{soft:,d}",
        "specks": f"{count - 1}",
        "specks-border": f"{at_border}",
        "border-share": f"{area_share:.0%}",
    }


def weak_blob(u):
    """The areas of *strong and weak blob* at sigma = 5, for the second task at the explorer.

    Holds its answer: the weak blob is there for lambda1 = 1, gone for 2.5, and back with more
    entropy. u: (128, 128), float64 logits, the weak blob around row 72, column 92.
    """

    def mask(lambda1, epsilon):
        return (std.iterates(u, sigma=5.0, lambda1=lambda1, epsilon=epsilon)[-1] > 0.5).numpy()

    masks = {setting: mask(*setting) for setting in ((1.0, 1.0), (2.5, 1.0), (2.5, 2.0))}
    shares = [float(one[67:77, 87:97].mean()) for one in masks.values()]
    assert shares[0] > 0.5 and shares[1] == 0 and shares[2] > 0.5, shares
    names = ("weak-there", "weak-gone", "weak-back")
    return {name: f"{int(one.sum()):,d}" for name, one in zip(names, masks.values(), strict=True)}


def slow_haze(u):
    """The areas of *ground-glass haze* at sigma = 8 after 5 to 30 steps, for the third task.

    Holds its answer: beyond 2 epsilon the blob vanishes only after some 20 steps, with
    lambda1 = 1 ten steps are as good as thirty. u: (128, 128), float64 logits.
    """
    texts = {}
    for lambda1, name in ((4.0, "haze"), (1.0, "haze-soft")):
        fields = std.iterates(u, sigma=8.0, lambda1=lambda1, iterations=30)
        areas = {t: int((fields[t] > 0.5).sum()) for t in (5, 10, 20, 30)}
        texts |= {f"{name}-{t}": f"{area:,d}" for t, area in areas.items()}
        if lambda1 == 1:
            assert abs(areas[30] - areas[10]) <= 1, areas
        else:
            assert areas[10] > 1000 and areas[30] == 0, areas
    return texts


def printed_limit(u):
    """Where the printed iteration ends in the middle of the image.

    Holds the sentence that an image of a disc and an image of nothing end up alike.
    u: (H, W), logits with the disc in the middle.
    """
    x = std.printed_iteration(u, sigma=2.0, iterations=200)
    middle = x[x.shape[0] // 2, x.shape[1] // 2]
    return {"printed-middle": f"{float(middle):.5f}"}


def printed_few_steps(u):
    """What the printed iteration leaves of the surest logits, -50 and 50, after a few steps.

    Holds the paragraph on T = 1, 2 and 3: after two steps the two lie on two sides of 1/2, after
    three nowhere, not at the border either. u: (H, W), the chapter's logits.
    """
    texts = {}
    for steps in (1, 2, 3):
        low, high = (
            std.printed_iteration(torch.full_like(u, value), sigma=2.0, iterations=steps)
            for value in (-50.0, 50.0)
        )
        assert (float(low.min()) < 0.5) == (steps < 3) and float(high.min()) > 0.5
        middle = u.shape[0] // 2, u.shape[1] // 2
        texts[f"printed-low-{steps}"] = f"{float(low[middle]):.2f}"
        texts[f"printed-high-{steps}"] = f"{float(high[middle]):.2f}"
        disc = std.printed_iteration(u, sigma=2.0, iterations=steps)
        texts[f"printed-off-{steps}"] = f"{float((disc < 0.5).double().mean()):.1%}"
    return texts


def error_after_ten_steps(u):
    """The largest error after ten steps, and the bound that holds for every image.

    Holds the sentence on "within ten steps" for lambda1 = epsilon = 1: the steps contract by 1/2,
    and the first one moves no pixel by more than 1/4.
    u: (H, W), logits.
    """
    limit = std.iterates(u, sigma=2.0, iterations=200)[-1]
    error = float((std.iterates(u, sigma=2.0)[-1] - limit).abs().max())
    bound = 0.5**10 / (1 - 0.5) * 0.25
    assert error <= bound
    return {"error-ten": f"{error:.1e}", "bound-ten": f"{bound:.1e}"}


def one_answer_beyond(u):
    """Hold the sentence that this disc has one fixed point at lambda1 = 3 as well: no texts.

    u: (H, W), float64 logits.
    """
    low, high = (
        std.iterates(u, start=start, sigma=2.0, lambda1=3.0, iterations=200)[-1]
        for start in (0, 1)
    )
    assert float((high - low).abs().max()) < 1e-9
    return {}


def real_slices(real):
    """What the boundary term does to logits on real slices, with it and without.

    Holds the paragraph on real scans: outline, Dice and empty masks.
    real: what results/std_on_real_slices.json holds.
    """
    rows = {
        row["sigma"]: row
        for row in real["rows"]
        if row["logits"] == "shifted" and row["lambda1"] <= 1
    }
    off, on = rows[None]["held_out"], rows[3.0]["held_out"]
    readers = real["consensus"]["held_out"]
    assert on["mean_boundary_length"] < off["mean_boundary_length"]
    assert on["mean_dice"] < off["mean_dice"] and on["empty_masks"] > off["empty_masks"]
    return {
        "real-slices": f"{real['data']['slices']:,d}",
        "real-held": f"{off['slices']:,d}",
        "real-outline-off": f"{off['mean_boundary_length']:.1f}",
        "real-outline-on": f"{on['mean_boundary_length']:.1f}",
        "real-outline-readers": f"{readers['mean_boundary_length']:.1f}",
        "real-dice-off": f"{off['mean_dice']:.3f}",
        "real-dice-on": f"{on['mean_dice']:.3f}",
        "real-empty-off": f"{off['empty_masks']:d}",
        "real-empty-on": f"{on['empty_masks']:d}",
    }
