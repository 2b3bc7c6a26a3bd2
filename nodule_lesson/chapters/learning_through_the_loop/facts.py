"""Numbers in the text on learning through the loop. Each function returns texts by name."""

import json
import math

import numpy as np

from nodule_lesson import std
from nodule_lesson.chapters.learning_through_the_loop import computations, live
from nodule_lesson.experiments import evidence
from nodule_lesson.experiments.grid import PROFILES
from nodule_lesson.glue import signed


def answers_of_the_live_figure():
    """What the three tasks of the live figure show."""

    def result(**changes):
        return live.compute({control.name: control.value for control in live.CONTROLS} | changes)

    def crossing(iterations, lambda1):
        """Where the slope changes its sign from - to +: the best sigma."""
        slopes = result(iterations=iterations, lambda1=lambda1)["field"]
        (place,) = np.flatnonzero((slopes[:-1] < 0) & (slopes[1:] >= 0))
        return np.exp(np.interp(0, slopes[place : place + 2], np.log(live.SIGMAS[place:])[:2]))

    whole, cut = (result(sigma=8, radius=radius)["slope"] for radius in ("none cut", "3"))
    assert 0 < 20 * cut < whole
    ten, one = crossing(10, 1.8), crossing(1, 1.8)
    weak_ten, weak_one = crossing(10, 1.0), crossing(1, 1.0)
    assert ten < weak_ten < weak_one < one  # a smaller lambda1 closes the window
    dead = result(sigma=live.SMALLEST)
    assert -1e-4 < dead["slope"] < 0 and dead["loss"] >= dead["losses"].max() - 1e-4
    return {
        "loop-live-whole": f"{whole:.2f}",
        "loop-live-cut": f"{cut:.2f}",
        "loop-live-low": f"{ten:.2f}",
        "loop-live-high": f"{one:.2f}",
        "loop-live-weak": f"{weak_ten:.2f} to {weak_one:.2f}",
        "loop-live-dead": signed(dead["slope"], ".6f"),
    }


def kept_memory(megabytes):
    """What both gradients keep for the way back, in MB.

    Holds the paragraph on memory: every step keeps the same, the implicit gradient keeps the same
    for every number of steps. megabytes: for each gradient two numbers, for 10 and for 40 steps.
    """
    (ten, forty), implicit = megabytes["unrolled"], megabytes["implicit"]
    assert len({f"{value:.2f}" for value in implicit}) == 1
    return {
        "loop-kept-ten": f"{ten:.2f}",
        "loop-kept-forty": f"{forty:.2f}",
        "loop-kept-implicit": f"{implicit[0]:.2f}",
    }


def speed(path):
    """How many times longer three rivals take, read from the results, and how it was measured."""
    result = json.loads(path.read_text(encoding="utf-8"))
    texts = {}
    for name in ("full convolution", "kornia loop", "C loop"):
        (ratio,) = (
            row["forward_backward"]
            for row in result["ratios"]
            if (row["rival"], row["sigma"], row["reach"], row["ours"]) == (name, 3, 5, "unrolled")
        )
        texts[f"loop-speed-{name.split()[0].lower()}"] = (
            f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"
        )
        assert (ratio > 5) is (name != "C loop") and ratio > 0.5
    setting, provenance = result["setting"], result["provenance"]
    assert provenance["threads"] == 1
    texts["loop-speed-setting"] = (
        f"{setting['batch']} fields of {setting['height']} × {setting['width']}, "
        f"T = {setting['iterations']}"
    )
    return texts


def cliff(slope):
    """How many times smaller dL/dsigma is at 0.2 than at the layer's floor."""
    return {"loop-cliff": f"{slope(0.3, 10, 1.8) / slope(0.2, 10, 1.8):.0f}"}


def ends_of_the_ways(ways, slow):
    """Hold the caption of the figure of three starts: one end, and a slow way that is short."""
    ends = np.array([way[-1] for way in ways])
    assert np.ptp(ends, axis=0).max() < 0.15, ends
    assert np.abs(slow[-1] - slow[0]).max() < 0.5
    return {}


def farthest_travel():
    """How far Adam could carry one parameter in the paper's schedule, all steps the same way.

    Holds the sentence on 50 epochs of 814 slices in batches of 10, with a rate of 0.001 that is
    multiplied by 0.75 every five epochs.
    """
    steps_per_epoch = math.ceil(814 / 10)
    travel = sum(steps_per_epoch * 5 * 1e-3 * 0.75**period for period in range(10))
    assert 0.7 < travel < 3  # not from 1 to 4
    return {"loop-travel": f"{travel:.1f}"}


def chosen_rate():
    """The rate of sigma and lambda2 in the experiments, and what the stage "choice" measured."""
    reading, fast, means = evidence.choose(evidence.read("simulated", "choice"))
    assert fast
    name = f"proposed (Dice by {reading}"
    return {
        "loop-rate": f"{PROFILES['night'].std_learning_rate:g}",
        "loop-rate-slow": f"{means[f'{name})']:.3f}",
        "loop-rate-fast": f"{means[f'{name}, fast STD)']:.3f}",
    }


def floor(scans):
    """Where the best sigma lies for quiet and loud logits, and for small and large discs.

    scans: as `computations.scans_of_sigma` returns them.
    """
    sigmas = computations.SCANNED
    noisy = sigmas[scans["noisy"].argmin(1)]
    assert noisy[0] < 0.4 and noisy[-1] > 1.5 and (np.diff(noisy) >= 0).all()
    assert (sigmas[scans["without noise"].argmin(1)] == sigmas[0]).all()
    spread = np.ptp(scans["without noise"], axis=1)
    at_one = np.abs(np.log(scans["scale"])).argmin()
    assert spread[-1] < 1e-5
    small, large = (computations.best_sigma_for_dice(radius) for radius in (1.5, 10))
    assert small < large
    return {
        "loop-flat-one": f"{spread[at_one]:.2f}",
        "loop-size-small": f"{small:.1f}",
        "loop-size-large": f"{large:.1f}",
    }


def place_of_weight_decay():
    """The sigma to which weight decay would pull: where the softplus has the argument 0.

    Holds the advice not to use weight decay on the layer.
    """
    return {"loop-decay": f"{std.STDSigmoid.FLOORS['sigma'] + math.log(2):.2f}"}


def falls_and_rises(sigmas):
    """Hold the sentence on sigma in the last training: it falls first, then rises."""
    lowest = int(np.argmin(sigmas))
    assert 0 < lowest < len(sigmas) - 1
    assert sigmas[lowest] < 0.8 * sigmas[0] and sigmas[-1] > 1.1 * sigmas[lowest], sigmas[-1]
    return {}
