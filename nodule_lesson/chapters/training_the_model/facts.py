"""Numbers in the text on training the model. Each function returns texts by name, except for
`projected_times`, which returns a table.

The chapter's own `slope(p, area, pixels, s=1)` is handed over: dL/dp of the Dice loss of one slice
in which every pixel has the probability p.
"""

import json
import math

import numpy as np

from nodule_lesson import experiments
from nodule_lesson.evaluation.statistics import interval
from nodule_lesson.experiments import grid
from nodule_lesson.networks import build_model, model_card, summary

# Dense 16-bit operations per second, 1e12, from the makers' data sheets.
PEAKS = {"T4 (Colab)": 65, "L4 (Colab)": 121, "A100": 312, "H100 or H200": 989}
SHARE_OF_PEAK = 1 / 8  # assumed


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


def silent_run(fates, losses):
    """The loss of the silent run at its beginning and at its end.

    Holds what became of the three trainings, and the sentence that the loss falls all the same.
    fates: what the chapter says of each run. losses: of the first run, over time.
    """
    assert list(fates) == ["marks next to nothing", "alive", "alive"]
    early, late = losses[:3].mean(), losses[-3:].mean()
    assert late < early / 2
    return {"collapse-early": f"{early:.2f}", "collapse-late": f"{late:.2f}"}


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


def missed_lesions():
    """How many lesions ResUNet misses in the experiments, and what both ResUNets mark.

    Holds the paragraph that no training collapsed, and that two networks were on the way there.
    """
    results = {name: experiments.read(name) for name in ("simulated", "real")}
    missed = {
        name: {row: (kind.scores(row) == 0).mean(1) for row in kind.rows}
        for name, kind in results.items()
    }
    assert all((shares < 0.99).all() for rows in missed.values() for shares in rows.values())
    real = {row: shares.mean() for row, shares in missed["real"].items()}
    assert max(real, key=real.get) == "resunet"
    texts = {
        "trainings": f"{sum(len(kind.runs) for kind in results.values())}",
        "resunet-missed": f"{real['resunet']:.0%}",
    }
    proposed = results["real"].mean("proposed", "sensitivity")[0]
    for row in ("resunet", "resunet++"):
        precision = results["real"].mean(row, "precision")[0]
        sensitivity = results["real"].mean(row, "sensitivity")[0]
        assert precision > 0.9 and sensitivity < 0.5 < proposed
        texts |= {
            f"{row}-precision": f"{precision:.2f}",
            f"{row}-sensitivity": f"{sensitivity:.2f}",
        }
    return texts


# --- the slim model ------------------------------------------------------------------------------


def slim_training(steps, size, seconds, has_nodule, curve):
    """Steps, images and seconds of the training, and the share of the crops with a nodule.

    Holds the caption of the learning curves: each crop seen two or three times, and no gap to
    speak of.
    size: crops per batch. seconds: of one core. has_nodule: of each crop, 0 or 1. curve: as in
    `figures.learning_curves`.
    """
    _, seen, unseen = curve[-1]
    assert abs(seen - unseen) < 0.15
    assert 2 <= size * steps / len(has_nodule) <= 3
    return {
        "slim-steps": f"{steps}",
        "slim-images": f"{size * steps:,}",
        "slim-seconds": f"{seconds:.0f}",
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


def shipped_model(score, steps):
    """Steps of the shipped network for one of ours, its Dice, and on how many slices.

    Holds the sentence that our few slices are probably easy ones.
    score: Dice of our network on the slices with a nodule of the test. steps: of its training.
    """
    card = model_card("slim")
    shipped = card["scores"]["simulated patients"]
    assert score.mean() > shipped["mean_dice"] + 0.02 and shipped["slices"] > 10 * len(score)
    return {
        "shipped-times": f"{sum(card['recipe']['steps'].values()) / steps:.0f}",
        "shipped-dice": f"{shipped['mean_dice']:.2f}",
        "shipped-slices": f"{shipped['slices']}",
    }


def staircase(rates):
    """The share of the first learning rate that is left at the end of the paper's staircase.

    Holds the sentence that it is 0.75 to the ninth power.
    rates: the learning rate of each step.
    """
    left = rates[-1] / rates[0]
    assert abs(left - 0.75**9) < 1e-9
    return {"staircase-end": f"{left:.3f}"}


# --- the paper's size ----------------------------------------------------------------------------


def projected_times(work, pretraining, fine_tuning, rows):
    """How long the paper's trainings take on some GPUs: the head of a table, and its rows.

    work: operations per image. pretraining: images of 200 epochs. fine_tuning: images of all
    `rows` rows of the tables.
    """
    head = ["GPU", "images per second, projected", "Tables 1 to 3, once",
            "with 40 epochs of pre-training", "one row, five folds"]  # fmt: skip
    counts = (pretraining + fine_tuning, pretraining * 40 / 200 + fine_tuning, fine_tuning / rows)
    body = []
    for name in PEAKS:
        speed = _images_per_second(name, work)
        body.append([name, f"{speed:,.0f}", *(_duration(count / speed) for count in counts)])
    return head, body


def _images_per_second(gpu, work):
    return SHARE_OF_PEAK * PEAKS[gpu] * 1e12 / work


def _duration(seconds):
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 120 else f"{minutes:.0f} min"


def on_a_t4(work, pretraining):
    """How long the profiles "colab" and "paper" take on a T4.

    Holds the sentence that the profile "paper" pre-trains for forty epochs.
    work: operations per image of 128x128. pretraining: images of 200 epochs.
    """
    colab, paper = grid.PROFILES["colab"], grid.PROFILES["paper"]
    assert paper.side == 128 and colab.side == 64
    assert abs(paper.pretrain_steps * paper.batch / (pretraining / 5) - 1) < 0.02
    speed = _images_per_second("T4 (Colab)", work)
    small_work = 6 * summary(build_model("proposed"), 64).multiply_adds
    colab_images = colab.batch * (colab.pretrain_steps + colab.steps)
    colab_seconds = colab_images / _images_per_second("T4 (Colab)", small_work)
    return {
        "colab-images": f"{colab_images:,}",
        "colab-minutes": f"{colab_seconds / 60:.0f}",
        "every": f"{colab.checkpoint_every}",
        "paper-pre-hours": f"{paper.batch * paper.pretrain_steps / speed / 3600:.1f}",
        "paper-folds-minutes": f"{paper.batch * paper.folds * paper.steps / speed / 60:.0f}",
    }


def training_speed(path):
    """Images per second of `fit`, and how many times as many as those of the plain loop.

    Holds the sentence that `fit` is no faster on one core of a CPU. path: of the results, which
    lie beside the chapter; without them, as beside a notebook on Colab, there are no texts.
    """
    if not path.exists():
        return {}
    speed = json.loads(path.read_text(encoding="utf-8"))
    assert speed["setting"]["device"] == "cpu" and speed["setting"]["network"] == "slim"
    best = max(speed["rows"][1:], key=lambda row: row["times_plain"])
    assert 0.9 < best["times_plain"] < 1.05
    return {
        "speed-fit": f"{best['images_a_second']:.0f}",
        "speed-times": f"{best['times_plain']:.2f}",
    }
