"""Numbers in the text on the detection prior. Each function returns texts by name."""

import numpy as np
import torch

from nodule_lesson import std
from nodule_lesson.chapters.detection_prior.live import CROP_NAMES, areas, crop
from nodule_lesson.experiments import paper


def veto(lambda2):
    """The highest threshold on the sigmoid that the prior can set, with epsilon = 1 and c = 0.

    Holds the answer to "can the classifier veto?".
    """
    return {"veto": f"{1 / (1 + np.exp(-lambda2)):.2f}"}


def lost_areas(table):
    """Shares of the area that doubt takes, the false pixels that it leaves, and Dice.

    Holds the three points below the table of the crops, and the section on a wrong classifier.
    table: for each name of a crop and each c the pixels around the nodule, the pixels elsewhere,
    and Dice.
    """
    strong, empty, faint = CROP_NAMES
    return {
        "lost-strong-half": f"{_lost(table, strong, 0.5):.0%}",
        "lost-strong-none": f"{_lost(table, strong, 0.0):.0%}",
        "lost-vessel-half": f"{_lost(table, strong, 0.5, elsewhere=True):.0%}",
        "lost-faint-half": f"{_lost(table, faint, 0.5):.0%}",
        "lost-twin-half": f"{_lost(table, faint, 0.5, elsewhere=True):.0%}",
        "lost-faint-none": f"{_lost(table, faint, 0.0):.0%}",
        "left-empty-none": f"{table[empty, 0.0][1]:d}",
        "left-empty-half": f"{table[empty, 0.5][1]:d}",
        "left-empty-one": f"{table[empty, 1.0][1]:d}",
        "dice-strong-one": f"{table[strong, 1.0][2]:.3f}",
        "dice-strong-none": f"{table[strong, 0.0][2]:.3f}",
        "dice-faint-one": f"{table[faint, 1.0][2]:.3f}",
        "dice-faint-none": f"{table[faint, 0.0][2]:.3f}",
    }


def _lost(table, name, c, elsewhere=False):
    """The share of the area at c = 1 that is gone at this c."""
    return 1 - table[name, c][elsewhere] / table[name, 1.0][elsewhere]


def rims(table, crops, settings):
    """What rims and the boundary term contribute to the gap between the two faint blobs.

    Holds the sentence below the table with lambda1 on and off: most of the gap is the rims, and
    the rest is all on the small section.
    table: as in `lost_areas`. crops: logits, truth and part around the nodule by name. settings:
    the parameters of the layer by name.
    """
    faint = CROP_NAMES[-1]
    u, truth, part = crops[faint]
    alone = {
        (faint, c): areas(
            std.soft_threshold_dynamics(u, c=c, **{**settings, "lambda1": 0.0}), truth, part
        )
        for c in (1.0, 0.5)
    }
    nodule, section = (_lost(alone, faint, 0.5, elsewhere) for elsewhere in (False, True))
    whole = _lost(table, faint, 0.5, elsewhere=True) - _lost(table, faint, 0.5)
    by_rims, by_boundary = section - nodule, whole - (section - nodule)
    assert by_rims > by_boundary > 0
    assert abs(_lost(table, faint, 0.5) - nodule) < 0.005
    return {
        "gap-all": f"{100 * whole:.0f}",
        "gap-rims": f"{100 * by_rims:.0f}",
        "gap-boundary": f"{100 * by_boundary:.0f}",
    }


def tasks(settings):
    """The answers to the tasks below the live figure, on the steps of its sliders.

    settings: the parameters of the layer by name.
    """
    strong, empty, faint = CROP_NAMES

    def run(name, **changes):
        u, truth, part = crop(name)
        weights = {**settings, **changes}
        return areas(
            std.soft_threshold_dynamics(torch.as_tensor(u).double(), **weights), truth, part
        )

    all_of_it, _, dice_before = run(strong, c=1.0)
    clean = 1 - 0.01 * _first(100, lambda k: run(strong, c=1 - 0.01 * k)[1] == 0)
    left, _, dice = run(strong, c=clean)
    enough = {
        c: 0.05 * _first(80, lambda k, c=c: run(empty, c=c, lambda2=0.05 * k)[1] == 0)
        for c in (0.5, 0.0)
    }
    shifts = {c: weight * (1 - c) for c, weight in enough.items()}
    assert abs(shifts[0.5] - shifts[0.0]) < 0.051  # the same, up to a step of the slider
    lost = {}
    for label, changes in (("off", {"lambda1": 0.0}), ("on", {"lambda1": 1.5, "sigma": 3.0})):
        before, after = (run(faint, c=c, **changes) for c in (1.0, 0.5))
        lost[label] = [1 - after[i] / before[i] for i in (0, 1)]
    changed = [on - off for on, off in zip(lost["on"], lost["off"], strict=True)]
    assert changed[1] > 2 * abs(changed[0])
    return {
        "task-clean-c": f"{clean:.2f}",
        "task-clean-left": f"{left:d}",
        "task-clean-all": f"{all_of_it:d}",
        "task-clean-dice": f"{dice:.2f}",
        "task-clean-dice-one": f"{dice_before:.2f}",
        "task-half": f"{enough[0.5]:.2f}",
        "task-half-shift": f"{shifts[0.5]:.2f}",
        "task-zero": f"{enough[0.0]:.2f}",
        "task-zero-shift": f"{shifts[0.0]:.2f}",
        "task-nodule-off": f"{lost['off'][0]:.0%}",
        "task-section-off": f"{lost['off'][1]:.0%}",
        "task-nodule-on": f"{lost['on'][0]:.0%}",
        "task-section-on": f"{lost['on'][1]:.0%}",
    }


def _first(most, clean):
    """The first step of a slider, up to `most`, from which clean(step) is true, by halving."""
    low, high = 0, most
    while high > low:
        middle = (low + high) // 2
        low, high = (low, middle) if clean(middle) else (middle + 1, high)
    return high


def soft_discs(radii, soft, height, settings):
    """The lowest c of a small and of a large disc, in the layer and by the formula.

    Holds the sentences below the figure of discs, and the caption: the layer lets discs go at a
    lower c, keeps to the proposition's bounds, and hardly tells sizes from a radius of 8 on.
    radii, soft, height, settings: as in `figures.fate_of_discs`.
    """
    mu = settings["lambda1"] * settings["sigma"] / np.sqrt(2 * np.pi)
    lambda2 = settings["lambda2"]
    low = 1 - height / lambda2
    by_radius = dict(zip(map(int, radii), soft, strict=True))
    formula = {r: 1 - (height - 2 * mu / r) / lambda2 for r in by_radius}
    assert all(low - 0.005 < c < formula[r] for r, c in by_radius.items())
    assert max(by_radius.values()) < low + settings["lambda1"] / lambda2
    assert all(c - low < 0.015 for r, c in by_radius.items() if r >= 8)
    return {
        "soft-four": f"{by_radius[4]:.2f}",
        "soft-sixteen": f"{by_radius[16]:.2f}",
        "hard-four": f"{formula[4]:.2f}",
        "hard-sixteen": f"{formula[16]:.2f}",
    }


def counted(pixels, c):
    """What c does to the odds of a blob at a prevalence of 1/2: once, and once per pixel."""
    once = (1 - c) / c
    return {"odds-once": f"{once:g}", "odds-often": f"{once**pixels:,.0f}"}


def table_3():
    """The paper's sensitivity and precision without the prior and with it.

    Holds the sentence on the paper's Table 3: the one falls, the other rises.
    """
    without, with_prior = (
        dict(zip(paper.MEASURES, paper.TABLE3[row], strict=True))
        for row in ("backbone + STD, λ₂ = 0", "backbone + STD")
    )
    assert with_prior["sensitivity"] < without["sensitivity"]
    assert with_prior["precision"] > without["precision"]
    return {
        "paper-sensitivity-off": f"{without['sensitivity']:.3f}",
        "paper-sensitivity-on": f"{with_prior['sensitivity']:.3f}",
        "paper-precision-off": f"{without['precision']:.3f}",
        "paper-precision-on": f"{with_prior['precision']:.3f}",
    }


def jumps(values, down, up):
    """The size of the disc before it vanishes, and the c at which it goes and at which it returns.

    Holds the sentences below the figure of the two answers, for lambda1 = 3.
    values: rising values of c. down, up: areas in pixels while c falls and while it rises.
    """
    down, up = np.array(down), np.array(up)
    return {
        "jump-size": f"{down[down > 0].min():d}",
        "jump-down": f"{values[down > 0].min():.2f}",
        "jump-up": f"{values[up > 0].min():.2f}",
    }
