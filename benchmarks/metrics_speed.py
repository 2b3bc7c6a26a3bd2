"""HD and ASSD of many masks: `nodule_lesson.evaluation`, MONAI, a k-d tree, a distance transform.

Milliseconds of CPU time for both distances of a pair of 128 x 128 masks, with one thread. MONAI's
two metrics are called one after the other, as in its documentation, and so are ours; `summarise`
computes all six measures at once. All contenders take turns in one process; medians are reported.
There are three parts: 1,000 pairs of outlines of nodules, and of larger ones; pairs with ever
longer contours, up to a chequerboard, where a comparison of all pairs of pixels would be slow; and
pairs of volumes of 64 x 128 x 128 voxels.

    python benchmarks/metrics_speed.py --repeats 3 --out book/results/metrics_speed.json
"""

import argparse
import json
import statistics
import warnings
from pathlib import Path

import numpy as np
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDistanceMetric
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial import KDTree

from nodule_lesson.evaluation import measures as metrics
from nodule_lesson.provenance import provenance, seconds, sha256

SIZE, SEED = 128, 0
SPACINGS = {"square pixels": (0.7, 0.7), "oblong pixels": (0.7, 0.6)}
# Radii in pixels of nodules of 4 to 30 mm, and of outlines as large as the crop allows.
RADII = {"nodules": (3, 21), "large outlines": (21, 42)}
SETTINGS = (
    ("nodules", "square pixels"),
    ("nodules", "oblong pixels"),
    ("large outlines", "square pixels"),
)
STRIPES = (2, 4, 8, 16, 64)  # of the second part
VOXEL, SLICES, BALLS = (1.25, 0.7, 0.7), 64, (6, 12, 24)  # mm, and radii in mm, of the third

# --- masks --------------------------------------------------------------------------------------


def outlines(n, radii):
    """n pairs of wavy discs that nearly agree, as the outlines of two readers."""
    random = np.random.default_rng(SEED)
    y, x = np.indices((SIZE, SIZE))

    def disc(centre, radius):
        phase, wave = random.uniform(0, 2 * np.pi, 3), random.uniform(0, 0.1, 3)
        angle = np.arctan2(y - centre[0], x - centre[1])
        wobble = sum(
            w * np.cos(k * angle + p) for k, w, p in zip((2, 3, 5), wave, phase, strict=True)
        )
        return np.hypot(y - centre[0], x - centre[1]) < radius * (1 + wobble)

    pairs = []
    for _ in range(n):
        centre, radius = random.uniform(56, 72, 2), random.uniform(*radii)
        moved = centre + random.normal(0, 1 + radius / 20, 2)
        pairs.append((disc(centre, radius), disc(moved, radius * random.uniform(0.85, 1.15))))
    return [np.stack(masks) for masks in zip(*pairs, strict=True)]


def long_contours(stripes):
    """Two pairs of stripes, down and across, shifted by one pixel; the finest: chequerboards."""
    y, x = np.indices((SIZE, SIZE))
    if stripes == STRIPES[-1]:
        board, lines = (y + x) % 2 == 0, y % 2 == 0
        return np.stack([board, lines]), np.stack([~board, board])
    period = SIZE // stripes
    masks = [y % period < period // 2, x % period < period // 2]
    return np.stack(masks), np.stack([np.roll(mask, 1, axis) for axis, mask in enumerate(masks)])


def balls(radius):
    """A pair of balls in a volume, whose centres are a tenth of the radius apart: (1, D, H, W)."""
    grid = np.indices((SLICES, SIZE, SIZE), sparse=True)
    middle = np.array([SLICES, SIZE, SIZE]) / 2

    def ball(centre, radius):
        mm = zip(grid, centre, VOXEL, strict=True)
        return sum(((x - c) * size) ** 2 for x, c, size in mm) < radius**2

    moved = middle + radius / 10 / np.sqrt(3) / np.array(VOXEL)
    return ball(middle, radius)[None], ball(moved, 1.05 * radius)[None]


# --- contenders: each returns HD and ASSD of all pairs ------------------------------------------


def two_calls(pred, truth, spacing):
    return metrics.hausdorff_distance(pred, truth, spacing), metrics.assd(pred, truth, spacing)


def six_measures(pred, truth, spacing):
    values = metrics.summarise(pred, truth, spacing).values
    return values["hausdorff_distance"], values["assd"]


def monai(pred, truth, spacing):
    """The two metrics called one after the other, on (N, 1, H, W)."""
    masks = [torch.as_tensor(mask)[:, None] for mask in (pred, truth)]
    distances = []
    for metric in (
        HausdorffDistanceMetric(include_background=True, reduction="none"),
        SurfaceDistanceMetric(include_background=True, symmetric=True, reduction="none"),
    ):
        metric(*masks, spacing=list(spacing))
        distances.append(metric.aggregate()[:, 0].numpy())
    return distances


def by_pair(nearest):
    """A contender made of a function that returns the distances of one contour from another."""

    def both(pred, truth, spacing):
        distances = []
        for masks in zip(pred, truth, strict=True):
            x, y = (mask & ~binary_erosion(mask) for mask in masks)
            of_pair = np.concatenate([nearest(x, y, spacing), nearest(y, x, spacing)])
            distances.append((of_pair.max(), of_pair.mean()))
        return np.array(distances).T

    return both


def by_tree(contour, other, spacing):
    points, targets = (np.argwhere(mask) * spacing for mask in (contour, other))
    return KDTree(targets).query(points)[0]


def by_transform(contour, other, spacing):
    return distance_transform_edt(~other, sampling=spacing)[contour]


CONTENDERS = {
    "ours, two calls": two_calls,
    "ours, all six measures": six_measures,
    "MONAI": monai,
    "k-d tree": by_pair(by_tree),
    "distance transform": by_pair(by_transform),
}

VOLUME_CONTENDERS = ("ours, two calls", "MONAI", "distance transform")

# --- measurement --------------------------------------------------------------------------------


def measure(pred, truth, spacing, repeats, contenders=tuple(CONTENDERS)):
    """The median milliseconds per pair of each contender, and its largest difference from ours."""
    times = {name: [] for name in contenders}
    ours = two_calls(pred, truth, spacing)  # also a warm-up
    differences = {}
    order = list(contenders)
    for repeat in range(repeats):
        order = order[1:] + order[:1]
        for name in order:
            start = seconds()
            distances = CONTENDERS[name](pred, truth, spacing)
            times[name].append(1000 * (seconds() - start) / len(pred))
            if repeat == 0:
                differences[name] = float(np.abs(np.array(distances) - ours).max())
    return [
        {
            "contender": name,
            "ms": float(f"{statistics.median(times[name]):.4g}"),
            "difference_mm": differences[name],
        }
        for name in contenders
    ]


def ratios(rows):
    """The rows with the time of each contender divided by that of two calls of ours."""
    ours = {setting(row): row["ms"] for row in rows if row["contender"] == "ours, two calls"}
    return [{**row, "times_ours": float(f"{row['ms'] / ours[setting(row)]:.4g}")} for row in rows]


def setting(row):
    return tuple(row.get(key) for key in ("masks", "pixels", "contour_pixels", "radius_mm"))


def contour_pixels(masks):
    return float(np.mean([(mask & ~binary_erosion(mask)).sum() for mask in masks]))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of outlines (1000)")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds (3)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    rows, lengths, volumes = [], [], []
    for kind, pixels in SETTINGS:
        pred, truth = outlines(options.pairs, RADII[kind])
        head = {"masks": kind, "pixels": pixels, "mean_contour": contour_pixels(truth)}
        measured = measure(pred, truth, SPACINGS[pixels], options.repeats)
        rows += [{**head, **row} for row in measured]
        show(head, measured)
    for stripes in STRIPES:
        pred, truth = long_contours(stripes)
        head = {"contour_pixels": contour_pixels(np.concatenate([pred, truth]))}
        measured = measure(pred, truth, SPACINGS["square pixels"], options.repeats)
        lengths += [{**head, **row} for row in measured]
        show(head, measured)
    for radius in BALLS:
        pred, truth = balls(radius)
        head = {"radius_mm": radius, "voxels": pred.size, "surface": contour_pixels(truth)}
        measured = measure(pred, truth, VOXEL, options.repeats, VOLUME_CONTENDERS)
        volumes += [{**head, **row} for row in measured]
        show(head, measured)
    command = f"--pairs {options.pairs} --repeats {options.repeats}"
    result = {
        "what": "Milliseconds of HD and ASSD of a pair of masks: medians of interleaved rounds.",
        "setting": {
            "size": SIZE,
            "pairs": options.pairs,
            "repeats": options.repeats,
            "seed": SEED,
            "spacings_mm": SPACINGS,
            "radii_pixels": RADII,
            "masks": "boolean arrays; tensors (N, 1, H, W) for MONAI",
            "monai": "HausdorffDistanceMetric, then SurfaceDistanceMetric(symmetric=True), "
            "include_background=True",
            "difference_mm": "largest difference of HD and ASSD from ours; MONAI's are float32",
        },
        "provenance": {
            **provenance(
                f"python benchmarks/metrics_speed.py {command}", ("numpy", "scipy", "monai")
            ),
            "metrics_py_sha256": sha256(metrics.__file__),
        },
        "rows": ratios(rows),
        "lengths": ratios(lengths),
        "volumes": ratios(volumes),
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(head, rows):
    print(", ".join(str(value) for value in head.values()))
    for row in rows:
        print(
            f"  {row['contender']:24} {row['ms']:9.4f} ms  off by {row['difference_mm']:.1e} mm",
            flush=True,
        )


if __name__ == "__main__":
    main()
