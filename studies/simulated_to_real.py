"""Train on simulated slices, on real ones, or on both; compare Dice on unseen real patients.

A small U-Net (0.4 M parameters, 64x64) is trained with the same number of steps on simulated
slices alone; on simulated ones and then on a few real nodules; on the same few real nodules alone;
and on many real ones. All but the second are repeated with four times as many steps and, since
they cost no patient, four times as many simulated slices. All are scored on the slices of patients
that no training saw, and compared with a threshold. There is no validation set and no early stop:
the last weights are scored. Each seed draws its own few nodules, simulated set and weights.

The test patients are unseen by every training, but the scores on them are not blind. A network's
errors on these slices showed what the simulator lacked (fields of view that end inside a crop,
vessels at nodules, too wide outlines), and network, loss and number of steps were chosen by its
Dice there. Both make these scores optimistic. So every trained network, and every threshold, is
also scored on a second set that was not looked at before: seven patients whom LUNA16 excludes for
thick or uneven slices, with nodules drawn by one to four readers. Seven patients are few: their
interval is wide and imprecise.

Crops are those of crops.py; positive ones are shifted by up to 4 pixels in training.

Needs lidc_pretrain.npz, lidc_clinic.npz and their .csv, in --data or in the folder
NODULE_REAL_DATA.

    python studies/simulated_to_real.py --out book/results/simulated_to_real.json
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import numpy as np
import torch
from crops import MARGIN, SIZE, SOURCES, cut, load_real, parse_with_data, places, simulate
from scipy import ndimage
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from nodule_lesson.experiments.data import simulator_sha256
from nodule_lesson.files import write_json
from nodule_lesson.provenance import provenance, sha256
from nodule_lesson.training.fitting import fit, shuffled
from nodule_lesson.training.losses import dice_loss

MIN_LIFTED_LUNG = 0.3  # a lung this bright was scaled beside something much darker than air
JITTER = 4  # pixels, the largest random shift of a training crop
POSITIVES, NEGATIVES = 12, 4  # crops in a batch
FEW_NODULES, MANY_NODULES = 40, 400
TEST_SHARE = 0.25  # of the patients
SIMULATED_SHARE = 2 / 3  # of the steps, if real slices follow simulated ones
LONGER = 4  # factor of steps and simulated slices in the conditions that end with "4 times"
WIDTHS = (16, 32, 48, 64, 64)
TUNED_SET, BLIND_SET = "lidc_pretrain", "lidc_clinic"  # used for choices; not looked at before
AGREEMENTS = ("dice_with_consensus", "mutual_dice")


# --- batches -------------------------------------------------------------------------------------


def batches(slices, seed, positives=POSITIVES, negatives=NEGATIVES, side=SIZE):
    """Endless training batches: crops with a nodule first, shifted, flipped and transposed.

    side: 64, or 128 for whole slices, which are not shifted.
    """
    random = np.random.default_rng(seed)
    positive, negative = places(slices, side)
    draws = zip(
        shuffled(len(positive), positives, random),
        shuffled(len(negative), negatives, random),
        strict=True,
    )
    for with_nodule, without in draws:
        where = np.concatenate([positive[with_nodule], negative[without]])
        if side == SIZE:
            where[:positives, 1:] += random.integers(-JITTER, JITTER + 1, (positives, 2))
        images, masks = cut(slices, where, side)
        for axis in (2, 3):
            if random.random() < 0.5:
                images, masks = images.flip(axis), masks.flip(axis)
        if random.random() < 0.5:
            images, masks = images.mT, masks.mT
        images = images.contiguous(memory_format=torch.channels_last)
        yield images, masks, masks.flatten(1).any(1).float()


# --- network ------------------------------------------------------------------------------------


def unit(inputs, outputs, convolutions=2):
    """Several times a 3x3 convolution, batch normalisation and ReLU."""
    layers = []
    for channels in (inputs, *[outputs] * (convolutions - 1)):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class SmallUNet(nn.Module):
    """A U-Net of five scales with 16 to 64 channels; (N, 1, 64, 64) -> logits of that shape."""

    def __init__(self, widths=WIDTHS):
        super().__init__()
        self.down = nn.ModuleList(map(unit, (1, *widths[:-1]), widths))
        up = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList([unit(below + beside, beside, 1) for below, beside in up])
        self.last = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x):
        skips = []
        for step in self.down:
            skips.append(step(F.max_pool2d(skips[-1], 2) if skips else x))
        x = skips.pop()
        for step in self.up:
            x = step(torch.cat([F.interpolate(x, scale_factor=2.0), skips.pop()], 1))
        return self.last(x)


def loss(logits, masks, has_nodule):
    """Dice loss of each crop with a nodule, of the batch as one image, and binary cross entropy.

    The first corresponds to the score; crops without a nodule enter only the other two.
    """
    p, positive = torch.sigmoid(logits), has_nodule > 0
    dice = dice_loss(p[positive], masks[positive])
    dice = dice + dice_loss(p.reshape(1, -1), masks.reshape(1, -1))
    return dice + F.binary_cross_entropy_with_logits(logits, masks)


def train(stages, seed, label, progress=True):
    """A new network, trained in the stages [(slices, steps), ...], each with a decaying rate."""
    torch.manual_seed(seed)
    model = SmallUNet().to(memory_format=torch.channels_last)
    for number, (slices, steps) in enumerate(stages):
        fit(
            model,
            batches(slices, 10 * seed + number),
            loss,
            steps=steps,
            schedule=lambda adam, steps=steps: torch.optim.lr_scheduler.CosineAnnealingLR(
                adam, steps
            ),
            label=label,
            progress=progress,
        )
    return model


# --- scores -------------------------------------------------------------------------------------


def predict(model, slices, where):
    """Boolean masks (N, 64, 64) of crops."""
    model.eval()
    with torch.no_grad():
        masks = []
        for batch in np.array_split(where, -(-len(where) // 64)):
            images = cut(slices, batch)[0].contiguous(memory_format=torch.channels_last)
            masks.append(model(images)[:, 0] >= 0)
    return torch.cat(masks).numpy()


def dice(masks, truth):
    """Dice of each pair of masks, Eq. (10); the truth is never empty here."""
    return 2 * (masks & truth).sum((1, 2)) / (masks.sum((1, 2)) + truth.sum((1, 2)))


class Threshold:
    """Masks of pixels at least as bright as `level`.

    centred: whether only the component nearest to the centre is kept.
    """

    def __init__(self, level, centred):
        self.level, self.centred = level, centred

    def __call__(self, images):
        masks = images[:, 0].numpy() >= self.level
        return np.stack([central_component(mask) for mask in masks]) if self.centred else masks


def central_component(mask):
    """The connected component of a mask that is nearest to the centre."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    row, column = np.indices(mask.shape) - (np.array(mask.shape) - 1)[:, None, None] / 2
    distance = np.where(mask, row**2 + column**2, np.inf)
    return labels == labels.flat[distance.argmin()]


def best_threshold(slices, centred):
    """The level from 0.1 to 0.8 with the largest mean Dice on these slices."""
    where, _ = places(slices)
    images, masks = cut(slices, where)
    truth = masks[:, 0].numpy() > 0
    levels = [step / 40 for step in range(4, 33)]
    means = [dice(Threshold(level, centred)(images), truth).mean() for level in levels]
    return levels[int(np.argmax(means))]


def readers_agreement(slices, where):
    """Mean Dice of readers with the consensus, and of pairs of readers who both drew something."""
    with_consensus, mutual = [], []
    square = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    for row in where[:, 0]:
        bits, truth = slices.readers[row][square], slices.masks[row][square]
        drawn = [m for m in ((bits >> reader & 1) > 0 for reader in range(4)) if m.any()]
        with_consensus += [dice(m[None], truth[None])[0] for m in drawn]
        mutual += [dice(a[None], b[None])[0] for k, a in enumerate(drawn) for b in drawn[:k]]
    return float(np.mean(with_consensus)), float(np.mean(mutual))


# --- the experiment -----------------------------------------------------------------------------

CONDITIONS = {
    "simulated": "simulated slices alone",
    "simulated, few real": f"simulated slices, then {FEW_NODULES} real nodules",
    "few real": f"the same {FEW_NODULES} real nodules alone",
    "many real": f"{MANY_NODULES} real nodules",
    f"simulated, {LONGER} times": f"{LONGER} times as many simulated slices and steps",
    f"few real, {LONGER} times": f"the {FEW_NODULES} real nodules alone, {LONGER} times the steps",
    f"many real, {LONGER} times": f"{MANY_NODULES} real nodules, {LONGER} times the steps",
}


def split(real):
    """(test slices, training slices), split by patient, the same for every seed."""
    names = np.unique(real.patients)
    chosen = np.random.default_rng(0).permutation(names)[: round(TEST_SHARE * len(names))]
    in_test = np.isin(real.patients, chosen)
    return real[in_test], real[~in_test]


def stages(condition, seed, pool, steps, simulated):
    """The stages of a condition: [(slices, steps), ...], in total `steps` or 4 times as many.

    pool: all real slices for training. simulated: a function of a factor that gives slices.
    """
    order = np.random.default_rng(seed).permutation(np.unique(pool.nodules))
    many, few = (
        pool[np.isin(pool.nodules, order[:count])] for count in (MANY_NODULES, FEW_NODULES)
    )
    first = round(SIMULATED_SHARE * steps)
    return {
        "simulated": lambda: [(simulated(), steps)],
        "simulated, few real": lambda: [(simulated(), first), (few, steps - first)],
        "few real": lambda: [(few, steps)],
        "many real": lambda: [(many, steps)],
        f"simulated, {LONGER} times": lambda: [(simulated(LONGER), LONGER * steps)],
        f"few real, {LONGER} times": lambda: [(few, LONGER * steps)],
        f"many real, {LONGER} times": lambda: [(many, LONGER * steps)],
    }[condition]()


def run(condition, seed, options):
    """Train and score one network: an entry of "runs" in the results."""
    torch.set_num_threads(1)
    test, pool = split(load_real(options.data, TUNED_SET))
    start = time.perf_counter()
    training = stages(
        condition,
        seed,
        pool,
        options.steps,
        lambda times=1: simulate(times * options.simulated, seed, cache=options.cache),
    )
    ready = time.perf_counter()
    label = f"{condition}, seed {seed}"
    model = train(training, seed, label, progress=options.workers == 1)
    trained = time.perf_counter()
    simulator = simulator_sha256() if condition.startswith("simulated") else None
    return {
        "condition": condition,
        "seed": seed,
        **score(partial(predict, model), test),
        "blind": score(partial(predict, model), load_real(options.data, BLIND_SET)),
        "steps": sum(steps for _, steps in training),
        "simulator_sha256": simulator,
        "seconds_simulating": round(ready - start, 1),
        "seconds_training": round(trained - ready, 1),
    }


def score(masks_at, slices):
    """Dice of each positive crop, and the number of marked pixels in each negative one.

    masks_at: a function of (slices, places) that returns boolean masks (N, 64, 64).
    """
    positive, negative = places(slices)
    truth = cut(slices, positive)[1][:, 0].numpy() > 0
    return {
        "dice": [round(float(value), 4) for value in dice(masks_at(slices, positive), truth)],
        "false_positive_pixels": masks_at(slices, negative).sum((1, 2)).tolist(),
    }


def thresholds(test, pool, blind):
    """The scores of thresholds, whose level is chosen on all training slices, without a seed."""
    for name, centred in (("threshold", False), ("threshold, central part", True)):
        threshold = Threshold(best_threshold(pool, centred), centred)

        def masks_at(slices, where, threshold=threshold):
            return threshold(cut(slices, where)[0])

        scores = score(masks_at, test) | {"blind": score(masks_at, blind)}
        yield {"condition": name, "seed": None, "level": threshold.level, **scores}


def describe(slices):
    """The description of a test set: counts, and patient, area and scale of each slice."""
    positive, negative = places(slices)
    names, patients = np.unique(slices.patients[positive[:, 0]], return_inverse=True)
    images, masks = cut(slices, positive)
    with_consensus, mutual = readers_agreement(slices, positive)
    return {
        "test_patients": len(names),
        "test_nodules": len(np.unique(slices.nodules[positive[:, 0]])),
        "test_slices": len(positive),
        "test_negatives": len(negative),
        "patient_of_slice": patients.tolist(),
        "area_of_slice": masks.sum((1, 2, 3)).int().tolist(),
        "lifted_of_slice": (images.flatten(1).quantile(0.1, 1) > MIN_LIFTED_LUNG).int().tolist(),
        "readers_dice_with_consensus": round(with_consensus, 4),
        "readers_mutual_dice": round(mutual, 4),
    }


def groups(data):
    """Groups of test slices by the nodule's area and the lung's brightness: {name: bool array}."""
    area, lifted = np.array(data["area_of_slice"]), np.array(data["lifted_of_slice"]) > 0
    return {
        "below 40 pixels": area < 40,
        "40 to 150 pixels": (area >= 40) & (area < 150),
        "150 pixels and more": area >= 150,
        "lung dark": ~lifted,
        "lung lifted": lifted,
    }


def table(runs, data, blind):
    """Means over seeds, one row per condition."""
    rows = []
    for condition in dict.fromkeys(run["condition"] for run in runs):
        by_seed = [run for run in runs if run["condition"] == condition]
        rows.append({"condition": condition, **summary(by_seed, data)})
        rows[-1]["blind"] = summary([run["blind"] for run in by_seed], blind)
    return rows


def summary(by_seed, data):
    """The numbers of one row for one test set. by_seed: results of `score`."""
    scores = np.array([results["dice"] for results in by_seed])
    false = np.array([results["false_positive_pixels"] for results in by_seed])
    low, high = interval(scores.mean(0), data["patient_of_slice"])
    return {
        "mean_dice": round(float(scores.mean()), 4),
        "by_seed": [round(float(mean), 4) for mean in scores.mean(1)],
        "interval_by_patient": [round(low, 4), round(high, 4)],
        "by_group": {
            name: round(float(scores[:, group].mean()), 4) if group.any() else None
            for name, group in groups(data).items()
        },
        "median_dice": round(float(np.median(scores, axis=1).mean()), 4),
        "missed_share": round(float((scores == 0).mean()), 4),
        "false_positive_pixels": round(float(false.mean()), 2),
        "negatives_marked": round(float((false > 0).mean()), 4),
    }


def interval(scores, patients, draws=2000):
    """95 % bootstrap interval of the mean over slices, patients drawn with replacement."""
    patients = np.asarray(patients)
    sums, counts = np.bincount(patients, scores), np.bincount(patients)
    drawn = np.random.default_rng(0).integers(0, len(counts), (draws, len(counts)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return tuple(float(value) for value in np.percentile(means, (2.5, 97.5)))


def show(rows):
    blind_rows = [{"condition": row["condition"], **row["blind"]} for row in rows]
    for title, of_test in (("test, tuned on", rows), ("blind test", blind_rows)):
        print(f"{title:26} mean Dice (seeds)  95 %  median  missed  false pixels")
        for row in of_test:
            seeds = " ".join(f"{mean:.3f}" for mean in row["by_seed"])
            low, high = row["interval_by_patient"]
            print(
                f"{row['condition']:26} {row['mean_dice']:.3f} ({seeds})  {low:.3f}-{high:.3f}  "
                f"{row['median_dice']:.3f}  {row['missed_share']:.3f}  "
                f"{row['false_positive_pixels']:.2f} in {row['negatives_marked']:.3f} of corners"
            )
        for name in of_test[0]["by_group"]:
            means = [row["by_group"][name] for row in of_test]
            means = "  ".join("    -" if mean is None else f"{mean:.3f}" for mean in means)
            print(f"mean Dice, {name:20} {means}  (in the order above)")


def finished(path, result):
    """The runs of an earlier call with the same settings, data and simulator, which are kept."""
    if path is None or not path.exists():
        return []
    earlier = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(result))
    for key, value in now["setting"].items():
        if key != "seed" and earlier["setting"].get(key) != value:
            return []
    for key in ("data", "blind"):
        if earlier.get(key, {}).get("sha256") != now[key]["sha256"]:
            return []
    simulator = (None, now["provenance"]["simulator_sha256"])
    runs = [run for run in earlier["runs"] if run["seed"] is not None]
    return [run for run in runs if run["simulator_sha256"] in simulator]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=900, help="optimiser steps of each (900)")
    parser.add_argument("--simulated", type=int, default=2000, help="simulated slices (2000)")
    parser.add_argument("--cache", type=Path, help="folder that keeps simulated slices")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time (1)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parse_with_data(parser, arguments)
    torch.set_num_threads(1)

    test, pool = split(load_real(options.data, TUNED_SET))
    blind = load_real(options.data, BLIND_SET)
    result = {
        "what": "Dice of a small U-Net on slices of unseen real patients, by what it was trained "
        "on, beside a threshold. The simulator was improved after looking at errors on the test "
        "slices of 'data', and network, loss and number of steps were chosen while looking at "
        "Dice there: no score on them is a blind one. The slices of 'blind' were never looked "
        "at. For teaching, not for clinical use.",
        "setting": {
            "seed": options.seeds,
            "steps": options.steps,
            "batch": [POSITIVES, NEGATIVES],
            "simulated_slices": options.simulated,
            "times_longer": LONGER,
            "simulated_share_of_steps_before_real": round(SIMULATED_SHARE, 3),
            "few_and_many_nodules": [FEW_NODULES, MANY_NODULES],
            "crop": SIZE,
            "jitter": JITTER,
            "widths": WIDTHS,
            "parameters": sum(p.numel() for p in SmallUNet().parameters()),
            "optimiser": "Adam, 1e-3 falling to 0 as a cosine in each stage, weight decay 1e-8",
            "loss": "Dice by crop with a nodule + Dice of the batch + binary cross entropy",
            "mask": "logit >= 0",
            "dice": "one per slice with a consensus pixel in the centred crop, mean over them",
            "interval_by_patient": "95 %, 2000 bootstrap draws of patients; Dice averaged over "
            "seeds first",
            "false_positive_pixels": "mean over corners that no reader's outline touches",
            "lifted": "the darkest tenth of the centred crop is above 0.3: a corner outside the "
            "round field of view, filled with -2000 HU or less, took the dark end of the scale",
        },
        "data": {
            "file": f"{TUNED_SET}.npz",
            "sha256": sha256(options.data / f"{TUNED_SET}.npz"),
            "sources": SOURCES,
            "training_patients": len(np.unique(pool.patients)),
            "training_nodules": len(np.unique(pool.nodules)),
            **describe(test),
        },
        "blind": {
            "file": f"{BLIND_SET}.npz",
            "sha256": sha256(options.data / f"{BLIND_SET}.npz"),
            "sources": SOURCES[:1],
            **describe(blind),
        },
        "table": [],
        "runs": list(thresholds(test, pool, blind)),
        "provenance": provenance(
            "OMP_NUM_THREADS=1 python studies/simulated_to_real.py "
            f"--steps {options.steps} --simulated {options.simulated} --workers {options.workers}",
            ("numpy", "scipy"),
        )
        | {"simulator_sha256": simulator_sha256(), "clock": "wall time, the machine shared"},
    }
    result["runs"] += finished(options.out, result)
    done = {(run["condition"], run["seed"]) for run in result["runs"]}
    tasks = [(name, seed) for seed in options.seeds for name in options.conditions]
    tasks = [task for task in tasks if task not in done]
    order = [threshold["condition"] for threshold in result["runs"][:2]] + list(CONDITIONS)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as workers:
        running = [workers.submit(run, *task, options) for task in tasks]
        for trained in tqdm(as_completed(running), total=len(tasks), unit="training"):
            result["runs"].append(trained.result())
            result["runs"].sort(key=lambda run: (order.index(run["condition"]), run["seed"] or 0))
            result["table"] = table(result["runs"], result["data"], result["blind"])
            if options.out is not None:
                write_json(options.out, result)
    result["table"] = table(result["runs"], result["data"], result["blind"])
    if options.out is not None:
        write_json(options.out, result)
    show(result["table"])
    for key in ("data", "blind"):
        with_consensus, mutual = (result[key][f"readers_{name}"] for name in AGREEMENTS)
        print(f"{key}: readers with the consensus {with_consensus:.3f}, mutual {mutual:.3f}")


if __name__ == "__main__":
    main()
