"""Numbers in the text on training the model. Each function returns texts by name.

The chapter's own `slope(p, area, pixels, s=1)` is handed over: dL/dp of the Dice loss of one slice
in which every pixel has the probability p.
"""

import math

import numpy as np

from nodule_lesson import experiments
from nodule_lesson.chapters.training_the_model.live import (
    BATCH_BOTH,
    NODULE_BOTH,
    NODULES,
    NOTHING,
    PER_SLICE,
    compute,
    defaults,
)
from nodule_lesson.evaluation.statistics import interval
from nodule_lesson.experiments import evidence
from nodule_lesson.networks import model_card

HEADS = {"normalised": ("unet", "deeplabv3+"), "free": ("resunet", "resunet++")}


def size_of_the_test(patients, test, has_nodule):
    """Patients of the test, and its slices with a nodule.

    Holds the sentence that no training sees the patients of the test.
    patients: of each slice. test: whether each slice is one of the test. has_nodule: of each crop
    of the test, 0 or 1.
    """
    assert not set(patients[test]) & set(patients[~test])
    return {
        "test-patients": f"{len(set(patients[test]))}",
        "test-nodules": f"{int(has_nodule.sum())}",
    }


# --- twenty slices by heart ----------------------------------------------------------------------


def by_heart(sound, broken):
    """Dice at the end of both loops, and of the sound one after the first twenty steps.

    Holds the sentences on the loop that learns twenty slices by heart, on the broken one, and on
    the averages of batch normalisation that lag behind.
    sound, broken: as in `figures.twenty_slices_by_heart`.
    """
    (_, (_, training, evaluation)), (broken_losses, (_, _, broken_dice)) = sound, broken
    assert evaluation[-1] > 0.9 and broken_dice.max() < 0.6
    assert np.mean(broken_losses[-50:]) > 1
    assert training[0] > evaluation[0] + 0.1
    return {
        "heart-dice": f"{evaluation[-1]:.2f}",
        "broken-dice": f"{broken_dice[-1]:.2f}",
        "heart-early-train": f"{training[0]:.2f}",
        "heart-early-eval": f"{evaluation[0]:.2f}",
    }


# --- a network that answers nothing --------------------------------------------------------------


def slices_below_the_border(areas, borders):
    """The border A* for each side of a crop, and the share of the slices below it.

    Holds the sentences on the slices that vote for silence.
    areas: in pixels, of the slices with a nodule. borders: A* in pixels by the side of the crop.
    """
    texts = {"nodule-slices": f"{len(areas)}"}
    for side, border in borders.items():
        texts[f"critical-{side}"] = f"{border:.0f}"
        texts[f"below-{side}"] = f"{(areas < border).mean():.0%}"
    return texts


def pulls_near_silence(slope, area=30, pixels=64**2, share=0.2):
    """How many large nodules one empty slice outvotes, and the p at which silence comes to rest.

    Holds the sentence on one empty slice, and the balance of Dice and cross-entropy, for s = 1.
    area: of a nodule, in pixels. share: of the slices with a nodule.
    """
    outvoted = slope(1e-9, 0, pixels) / -slope(1e-9, 1000, pixels)
    balance = share * area / ((1 - share) * pixels**2)

    def pull_down_on_the_logit(p):
        by_dice = share * slope(p, area, pixels) + (1 - share) * slope(p, 0, pixels)
        return p * (1 - p) * by_dice + p - share * area / pixels

    assert pull_down_on_the_logit(0.97 * balance) < 0 < pull_down_on_the_logit(1.03 * balance)
    digits, power = f"{balance:.0e}".split("e-0")
    return {
        "one-against": f"{round(outvoted, -2):,.0f}",
        "balance": f"{digits} · 10⁻{'⁰¹²³⁴⁵⁶⁷⁸⁹'[int(power)]}",
    }


def contrasts(area=30, pixels=64**2, share=0.2, batch=10):
    """The odds inside nodules, and their logarithm, from which silence repels, for s = 1.

    Holds the paragraph below the two inequalities for the contrast.
    area: of a nodule, in pixels. share: of the slices with a nodule. batch: slices per batch.
    """
    empty_slices = (1 - share) / share * pixels * (area + 1) ** 2
    by_slice = (empty_slices + pixels - area) / (area * (2 * area + 1))
    nodules = batch * share * area
    of_batch = (batch * pixels - nodules) / (nodules * (2 * nodules + 1))
    return {
        "known-slice": f"{math.log(by_slice):.1f}",
        "known-odds-slice": f"{round(by_slice, -2):,.0f}",
        "known-batch": f"{math.log(of_batch):.1f}",
        "known-odds-batch": f"{of_batch:.0f}",
    }


def batches_of_the_shipped_networks():
    """Crops with a nodule and without, per batch of 64x64, of the networks in the package."""
    with_nodule, without = model_card("slim")["recipe"]["batches"]["64"]
    return {"shipped-yes": f"{with_nodule}", "shipped-no": f"{without}"}


def answers_of_the_figure():
    """Holds the answers below the live figure.

    Returns how many empty slices of ten there may be, with the figure's other values as they are.
    """

    def end(**changes):
        return compute({**defaults(), **changes})["predictions"][1][2]

    assert end() == NOTHING and end(loss=BATCH_BOTH) == end(loss=NODULE_BOTH) == NODULES
    kept = [count for count in range(10) if end(empty=count) == NODULES]
    assert kept == list(range(len(kept)))
    alone = {"loss": PER_SLICE, "empty": 9, "contrast": 0}
    assert end(**alone, logit=-3.0) == NOTHING
    return {"most-empty": f"{kept[-1]}"}


def plateau(pixels=64**2):
    """The loss of an empty slice whose pixels share one logit, and where it is one half; s = 1.

    Holds the sentence that it is above 0.9 down to a logit of -6.
    """

    def loss(u):
        marked = pixels / (1 + math.exp(-u))
        return marked / (1 + marked)

    assert loss(-6) > 0.9 and loss(-9) < 0.35
    half = -math.log(pixels - 1)
    assert abs(loss(half) - 0.5) < 1e-12
    return {
        "plateau-half": f"{abs(half):.1f}",
        "plateau-half-32": f"{math.log(32**2 - 1):.1f}",
        **{f"plateau-{-u}": f"{loss(u):.2f}" for u in (-5, -9, -11)},
    }


def two_heads(curves):
    """Mean logits and losses of empty slices, of a U-Net and a ResUNet.

    Holds the sentences that the ResUNet is past the middle of the plateau at the first look, and
    the U-Net not at the last.
    curves: by name an array of three rows: steps, mean logit and Dice loss of empty slices.
    """
    unet, resunet = curves["U-Net"], curves["ResUNet"]
    half = -math.log(32**2 - 1)
    assert resunet[1, 0] < half < unet[1, -1]
    assert unet[2, -1] > 0.9 and resunet[2, 0] < 0.6
    return {
        "heads-first": f"{resunet[0, 0]:.0f}",
        "heads-last": f"{unet[0, -1]:.0f}",
        "heads-unet": f"{abs(unet[1, -1]):.1f}",
        "heads-unet-loss": f"{unet[2, -1]:.2f}",
        "heads-resunet": f"{abs(resunet[1, 0]):.1f}",
        "heads-resunet-loss": f"{resunet[2, 0]:.2f}",
    }


def readings():
    """What the stage "choice" of the experiments says of the three readings of the Dice loss.

    Holds the sentences that by nodule is the best for both networks, that by slice the loss is
    still high at the end, and that a faster rate moves lambda2.
    """
    found = evidence.read("simulated", "choice")
    chosen, fast, means = evidence.choose(found)
    assert chosen == "nodule" and fast
    texts, last = {}, {}
    for over in ("slice", "batch", "nodule"):
        for network in ("unet", "proposed"):
            row = f"{network} (Dice by {over})"
            runs = found.runs_of(row).values()
            last[network, over] = np.mean([np.mean(r["training"]["losses"][-5:]) for r in runs])
            marked = np.mean([np.mean(np.array(r["false_positive_pixels"]) > 0) for r in runs])
            texts[f"{network}-{over}"] = f"{means[row]:.3f}"
            texts[f"{network}-{over}-loss"] = f"{last[network, over]:.2f}"
            texts[f"{network}-{over}-marked"] = f"{marked:.0%}"
            assert means[row] <= means[f"{network} (Dice by nodule)"]
    assert all(last[n, "slice"] > last[n, "nodule"] + 0.2 for n in ("unet", "proposed"))
    weights = {
        name: np.mean([run["training"]["lambda2"][-1][1] for run in found.runs_of(row).values()])
        for name, row in (
            ("slow", "proposed (Dice by nodule)"),
            ("fast", "proposed (Dice by nodule, fast STD)"),
        )
    }
    steps = [run["training"]["steps"] for run in found.runs_of("unet (Dice by slice)").values()]
    return texts | {
        "lambda2-slow": f"{weights['slow']:.1f}",
        "lambda2-fast": f"{weights['fast']:.1f}",
        "choice-steps": f"{round(np.mean(steps), -1):,.0f}",
    }


def short_trainings():
    """The last losses of the 500 steps, what is missed and what empty slices get marks.

    Holds the paragraph that the short trainings compared heads: on both kinds of scans networks
    with a normalised head end with a loss above 0.8, the others below 0.4, which mark fewer empty
    slices; and frozen S9 leaves the plateau, which S9 trained does not.
    """
    texts = {}
    for data in ("simulated", "real"):
        results = experiments.read(data)

        def last(row, results=results):
            return np.mean([run["training"]["losses"][-1] for run in results.runs_of(row)])

        def marked(row, results=results):
            return np.mean(
                [np.mean(np.array(r["false_positive_pixels"]) > 0) for r in results.runs_of(row)]
            )

        normalised, free = ([last(row) for row in HEADS[kind]] for kind in ("normalised", "free"))
        assert min(normalised) > 0.8 and max(free) < 0.4
        assert max(marked(r) for r in HEADS["free"]) < min(marked(r) for r in HEADS["normalised"])
        assert last("freeze S9") < 0.6 < 0.7 < last("transfer")
        texts |= {
            f"short-{data}-unet": f"{last('unet'):.2f}",
            f"short-{data}-resunet": f"{last('resunet'):.2f}",
            f"short-{data}-missed": f"{(results.scores('resunet') == 0).mean():.0%}",
            f"short-{data}-frozen": f"{last('freeze S9'):.2f}",
            f"short-{data}-transfer": f"{last('transfer'):.2f}",
        }
        if data == "real":
            texts["short-dice"] = f"{results.scores('resunet').mean():.2f}"
    long = evidence.read("real").scores("resunet").values()
    dice = np.mean([values.mean() for values in long])
    assert dice > 0.7
    return texts | {"long-dice": f"{dice:.2f}"}


# --- the slim model ------------------------------------------------------------------------------


def slim_training(steps, size, has_nodule):
    """Steps and images of the training, and the share of the crops with a nodule.

    size: crops per batch. has_nodule: of each crop, 0 or 1.
    """
    return {
        "slim-steps": f"{steps}",
        "slim-images": f"{size * steps:,}",
        "slim-share": f"{float(has_nodule.mean()):.0%}",
    }


def slim_scores(marked, score, c, has_nodule, patients):
    """Dice on the test with its interval over patients, misses, false marks, and c.

    Holds the take-away that the interval is wider than the differences in the paper's Table 1.
    marked: (N, H, W), booleans. score: Dice of each crop with a nodule. c: (N,), the classifier's
    answers. has_nodule: (N,), booleans. patients: (N,).
    """
    low, high = interval(score, patients[has_nodule])
    assert high - low > 0.06
    return {
        "slim-dice": f"{score.mean():.2f}",
        "slim-median": f"{np.median(score):.2f}",
        "slim-low": f"{low:.2f}",
        "slim-high": f"{high:.2f}",
        "slim-missed": f"{(score == 0).sum()}",
        "slim-empty": f"{(~has_nodule).sum()}",
        "slim-false": f"{marked[~has_nodule].any((1, 2)).sum()}",
        "slim-right": f"{((c > 0.5) == has_nodule).mean():.0%}",
    }
