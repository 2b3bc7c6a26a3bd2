"""Compare simulated slices with real ones: statistics, and classifiers that distinguish them.

There are three parts. In HU: lung, ground glass, solid nodules and noise of the simulated slices,
beside values measured on LIDC-IDRI. On the scale that both share (each 128x128 crop from its
smallest to its largest value, Eq. (6)): contrast, noise, gradients, spectrum, area and the
readers' agreement, as percentiles and as the area under the ROC curve (AUC) of that number as a
classifier of real and simulated: 0.5 is chance, 1 is perfect. Third, three judges that see whole
crops: the nearest neighbour, a logistic regression on all those numbers, and a small network.
Their slices are split by patient. A judge that is always right need not mean that training
suffers; simulated_to_real.py measures that.

Needs lidc_pretrain.npz and its .csv, in --data or in the folder NODULE_REAL_DATA.

    python studies/simulated_realism.py --out book/results/simulated_realism.json
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from crops import (
    MARGIN,
    SIZE,
    SOURCES,
    cut,
    from_phantom,
    load_real,
    parse_with_data,
    places,
)
from scipy import ndimage, stats
from simulated_to_real import unit
from torch import nn
from torch.nn import functional as F

from nodule_lesson.data import phantom
from nodule_lesson.experiments.data import simulator_sha256
from nodule_lesson.files import write_json
from nodule_lesson.provenance import provenance, sha256
from nodule_lesson.training.fitting import fit, shuffled

SEED, PERCENTILES, KINDS = 0, (5, 25, 50, 75, 95), ("real", "simulated")
# Measured on real LIDC-IDRI patches in HU (percentiles 5, 25, 50, 75, 95; None is unknown).
MEASURED_HU = {
    "lung": [-898, None, -857, None, -798],
    "ground glass core": [None, -681, -610, -497, None],
    "solid core": [None, None, -45, None, None],
    "noise SD in soft tissue": [13, None, 29, None, 83],
}


# --- numbers of one crop ------------------------------------------------------------------------


def noise(images):
    """Standard deviation of the finest noise, (N,): Immerkaer's filter, robust by a median."""
    kernel = np.array([[[1, -2, 1], [-2, 4, -2], [1, -2, 1]]])
    return np.median(np.abs(ndimage.convolve(images, kernel)), (1, 2)) / (6 * 0.6745)


def spectral_centroid(images):
    """Mean spatial frequency of the power spectrum in cycles per pixel, (N,)."""
    window = np.hanning(images.shape[1])[:, None] * np.hanning(images.shape[2])
    centred = images - images.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) for side in images.shape[1:]]))
    return (power * frequency).sum((1, 2)) / np.maximum(power.sum((1, 2)), 1e-12)


def pairwise_dice(bits):
    """Mean Dice between the readers of one slice who drew something; nan for fewer than two."""
    drawn = [mask for mask in ((bits >> reader) & 1 for reader in range(4)) if mask.any()]
    pairs = [(a, b) for k, a in enumerate(drawn) for b in drawn[:k]]
    scores = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]
    return np.mean(scores) if scores else np.nan


def measure(slices, where):
    """A dictionary of arrays (N,), one number per crop, for centred crops with a nodule."""
    images, masks = (tensor[:, 0].numpy() for tensor in cut(slices, where))
    masks = masks > 0
    rows = where[:, 0]
    square = (slice(None), slice(MARGIN, MARGIN + SIZE), slice(MARGIN, MARGIN + SIZE))
    touched, bits = slices.touched[rows][square], slices.readers[rows][square]
    gradient = np.hypot(*np.gradient(images, axis=(1, 2)))
    inside, around, edge, dark = [], [], [], []
    for image, mask, any_reader, slope in zip(images, masks, touched, gradient, strict=True):
        ring = ndimage.binary_dilation(mask, iterations=8)
        ring &= ~ndimage.binary_dilation(mask | any_reader, iterations=3)
        inside.append(image[mask].mean())
        around.append(np.median(image[ring]) if ring.any() else np.nan)
        border = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
        edge.append(slope[border].mean())
        dark.append(np.percentile(image, 10))
    contrast = np.array(inside) - np.array(around)
    fine = noise(images)
    return {
        "mean": images.mean((1, 2)),
        "standard deviation": images.std((1, 2)),
        "darkest tenth": np.array(dark),
        "bright share": (images > 0.5).mean((1, 2)),
        "nodule": np.array(inside),
        "contrast of the nodule": contrast,
        "finest noise": fine,
        "finest noise / contrast": fine / np.maximum(np.abs(contrast), 0.02),
        "gradient": gradient.mean((1, 2)),
        "gradient at the edge": np.array(edge),
        "spectral centroid": spectral_centroid(images),
        "area, pixels": masks.sum((1, 2)).astype(float),
        "readers' mutual Dice": np.array([pairwise_dice(b) for b in bits]),
    }


def measure_hu(hu, masks, types):
    """The HU of simulated slices that correspond to MEASURED_HU."""
    lung, solid, glass, spread = [], [], [], []
    for image, mask, kind in zip(hu, masks, types, strict=True):
        smooth = ndimage.median_filter(image, 3)
        air = smooth[(smooth < -700) & (smooth > -960)]
        if air.size > 200:
            lung.append(np.median(air))
        core = ndimage.binary_erosion(mask, iterations=2)
        if core.any() and kind in ("isolated", "juxtapleural", "ggo"):
            (glass if kind == "ggo" else solid).append(np.median(image[core]))
        tissue = ndimage.binary_erosion((smooth > -60) & (smooth < 130), iterations=4)
        if tissue.sum() > 60:
            rest = image - ndimage.gaussian_filter(image.astype(float), 3)
            spread.append(rest[tissue].std())
    groups = {"lung": lung, "ground glass core": glass, "solid core": solid}
    return groups | {"noise SD in soft tissue": spread}


# --- judges -------------------------------------------------------------------------------------


def auc(score, real):
    """The share of (real, simulated) pairs in which the real score is higher; ties count half."""
    ranks = stats.rankdata(score)
    n, m = real.sum(), (~real).sum()
    return float((ranks[real].sum() - n * (n + 1) / 2) / (n * m))


def balanced_accuracy(called_real, real):
    return float((called_real[real].mean() + (~called_real[~real]).mean()) / 2)


def nearest_neighbour(features, real, tested):
    """Whether the nearest of the other patients' slices is real, for each tested one.

    features: (N, D). real, tested: bool (N,).
    """
    train, test = features[~tested], features[tested]
    distance = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    return real[~tested][distance.argmin(1)]


def standardise(features, tested):
    mean, spread = features[~tested].mean(0), features[~tested].std(0)
    return (features - mean) / np.maximum(spread, 1e-9)


def logistic(features, real, tested, penalty=1.0, iterations=30):
    """Scores of the tested rows by a ridge logistic regression, fitted by Newton's method."""
    x = np.column_stack([np.ones(len(features)), standardise(features, tested)])
    fitted, y, w = x[~tested], real[~tested].astype(float), np.zeros(x.shape[1])
    ridge = penalty * np.diag([0.0] + [1.0] * features.shape[1])
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-np.clip(fitted @ w, -30, 30)))
        hessian = fitted.T @ (fitted * (p * (1 - p))[:, None]) + ridge + 1e-9 * np.eye(len(w))
        w += np.linalg.solve(hessian, fitted.T @ (y - p) - ridge @ w)
    return x[tested] @ w


def network(images, real, tested, steps):
    """Scores of the tested crops by a small convolutional network."""
    torch.manual_seed(SEED)
    model = nn.Sequential(
        *(unit(1, 16, 1), nn.MaxPool2d(2), unit(16, 32, 1), nn.MaxPool2d(2), unit(32, 64, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0)),
    ).to(memory_format=torch.channels_last)
    rows = np.flatnonzero(~tested)
    random = np.random.default_rng(SEED)

    def batches():
        for drawn in shuffled(len(rows), 32, random):
            x, y = images[rows[drawn]], torch.from_numpy(real[rows[drawn]]).float()
            for axis in (2, 3):
                x = x.flip(axis) if random.random() < 0.5 else x
            yield x.contiguous(memory_format=torch.channels_last), y, y

    def loss(logits, y, _):
        return F.binary_cross_entropy_with_logits(logits, y)

    fit(model, batches(), loss, steps=steps, label="judge")
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in images[tested].split(64)]).numpy()


# --- report -------------------------------------------------------------------------------------


def rounded(values):
    """The finite values with four digits, for the results file."""
    return [float(f"{value:.4g}") for value in values if np.isfinite(value)]


def percentiles(values):
    return rounded(np.percentile(values, PERCENTILES)) if len(values) else [None] * 5


def compare_judges(real, simulated, steps):
    """The rows of the table of judges, and counts; real, simulated: (Slices, places, numbers)."""
    images = torch.cat([cut(slices, where)[0] for slices, where, _ in (real, simulated)])
    numbers = np.concatenate(
        [np.column_stack(list(columns.values())) for _, _, columns in (real, simulated)]
    )
    numbers = np.where(np.isfinite(numbers), numbers, np.nanmedian(numbers, 0))
    patients = np.concatenate([s.patients[w[:, 0]] for s, w, _ in (real, simulated)])
    is_real = np.arange(len(patients)) < len(real[1])
    random, tested = np.random.default_rng(SEED), np.zeros(len(patients), dtype=bool)
    for group in (is_real, ~is_real):
        names = np.unique(patients[group])
        chosen = random.permutation(names)[: max(1, round(0.3 * len(names)))]
        tested |= group & np.isin(patients, chosen)
    truth = is_real[tested]
    thumbnails = F.avg_pool2d(images, 4).flatten(1).numpy()
    verdicts = {}  # {name: (whether each slice is called real, scores or None)}
    for name, features in (("16x16 thumbnail", thumbnails), ("all numbers above", numbers)):
        called_real = nearest_neighbour(standardise(features, tested), is_real, tested)
        verdicts[f"nearest neighbour, {name}"] = (called_real, None)
    score = logistic(numbers, is_real, tested)
    verdicts["logistic regression, all numbers above"] = (score > 0, score)
    score = network(images, is_real, tested, steps)
    verdicts[f"small network, {steps} steps"] = (score > 0, score)
    rows = [
        {
            "judge": name,
            "said_real_of_real_simulated": [
                int(called_real[group].sum()) for group in (truth, ~truth)
            ],
            "balanced_accuracy": round(balanced_accuracy(called_real, truth), 4),
            "auc": None if score is None else round(auc(score, truth), 4),
        }
        for name, (called_real, score) in verdicts.items()
    ]
    counts = {
        "fitted": [int((is_real & ~tested).sum()), int((~is_real & ~tested).sum())],
        "tested": [int(truth.sum()), int((~truth).sum())],
    }
    return rows, counts


def report(real, simulated, steps):
    """The comparison: (rows of the table of numbers, rows of judges, counts)."""
    groups = []
    for slices in (real, simulated):
        where, _ = places(slices)
        groups.append((slices, where, measure(slices, where)))
    numbers = dict(zip(KINDS, [columns for _, _, columns in groups], strict=True))
    rows = []
    for name in numbers["real"]:
        values = {kind: rounded(columns[name]) for kind, columns in numbers.items()}
        is_real = np.arange(sum(map(len, values.values()))) < len(values["real"])
        rows.append(
            {"number": name}
            | {kind: percentiles(values[kind]) for kind in KINDS}
            | {"auc": round(auc(np.concatenate(list(values.values())), is_real), 4)}
            | {"values": values}
        )
    judges, counts = compare_judges(*groups, steps)
    return rows, judges, counts


def show(hu, rows, judges):
    def text(values):
        return " ".join("      -" if value is None else f"{value:7.4g}" for value in values)

    print(f"{'percentiles':28} {'simulated: ' + str(PERCENTILES):40} measured or real")
    for row in hu:
        print(f"{row['number']:28} {text(row['simulated'])}  {text(row['measured'])}  HU")
    for row in rows:
        print(
            f"{row['number']:28} {text(row['simulated'])}  {text(row['real'])}  "
            f"AUC {row['auc']:.3f}"
        )
    for row in judges:
        score = "" if row["auc"] is None else f", AUC {row['auc']:.3f}"
        print(f"{row['judge']:48} balanced accuracy {row['balanced_accuracy']:.3f}{score}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--slices", type=int, default=1000, help="slices of either kind (1000)")
    parser.add_argument("--steps", type=int, default=300, help="steps of the judging network")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parse_with_data(parser, arguments)
    torch.set_num_threads(1)

    real = load_real(options.data)
    real = real[np.sort(np.random.default_rng(SEED).permutation(len(real))[: options.slices])]
    hu, masks, readers, slices = phantom.simulate_patches("luna_like", options.slices, SEED)
    simulated = from_phantom(hu, masks, readers, slices)
    in_hu = measure_hu(hu, masks > 0, slices["type"])
    hu_rows = [
        {"number": name, "measured": measured, "simulated": percentiles(rounded(in_hu[name]))}
        | {"values": rounded(in_hu[name])}
        for name, measured in MEASURED_HU.items()
    ]
    rows, judges, counts = report(real, simulated, options.steps)
    show(hu_rows, rows, judges)
    result = {
        "what": "Simulated slices beside real ones: statistics, and how well judges tell them "
        "apart (0.5: not at all). For teaching, not for clinical use.",
        "setting": {
            "seed": SEED,
            "percentiles": PERCENTILES,
            "crop": SIZE,
            "scale": "each 128x128 crop from its smallest value (0) to its largest (1), 8 bits",
            "split": "30 % of the patients of either kind are tested",
            "counts_real_simulated": counts,
        },
        "data": {
            "file": "lidc_pretrain.npz",
            "sha256": sha256(options.data / "lidc_pretrain.npz"),
            "sources": SOURCES,
        },
        "hounsfield": hu_rows,
        "numbers": rows,
        "judges": judges,
        "provenance": provenance(
            "OMP_NUM_THREADS=1 python studies/simulated_realism.py "
            f"--slices {options.slices} --steps {options.steps}",
            ("numpy", "scipy"),
        )
        | {"simulator_sha256": simulator_sha256()},
    }
    if options.out is not None:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
