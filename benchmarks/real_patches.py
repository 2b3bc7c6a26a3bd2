"""Write the real slices as the three PatchSets that the experiments take: pretrain, clinic, large.

Patients of lidc_pretrain, scans of LUNA16, are dealt to `pretrain` and `large`; the seven of
lidc_clinic, whose scans LUNA16 leaves out for thick or uneven slices, are `clinic`. Positives are
64x64 around the nodule, with the consensus of its readers; negatives are the corners of the same
slices that no reader touched, so an empty crop is of a patient with a nodule. Slices whose readers
share no pixel are left out: they are neither. Pixels of LIDC-IDRI may not be put into a
repository; numbers computed from them may.

    python benchmarks/real_patches.py OUT
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
from crops import MARGIN, SIZE, cut, load_real, places
from provenance import sha256
from std_on_real_slices import SOURCES

from nodule_lesson.patches import PatchSet

LARGE_SHARE = 0.58  # of the patients of lidc_pretrain: at least 300 lesions


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("NODULE_REAL_DATA"),
        help="folder with lidc_pretrain and lidc_clinic, .npz and .csv ($NODULE_REAL_DATA)",
    )
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("no data: set NODULE_REAL_DATA or give --data.")
    options.out.mkdir(parents=True)
    many = load(options.data, "lidc_pretrain")
    patients = np.random.default_rng(0).permutation(np.unique(many["patient"]))
    of_large = np.isin(many["patient"], patients[: round(LARGE_SHARE * len(patients))])
    keep(options.out / "pretrain", options.data, "lidc_pretrain", many, ~of_large)
    keep(options.out / "large", options.data, "lidc_pretrain", many, of_large)
    clinic = load(options.data, "lidc_clinic")
    keep(options.out / "clinic", options.data, "lidc_clinic", clinic, clinic["has_nodule"] >= 0)


def load(folder, name):
    """Images and masks (N, 64, 64), and the columns of a PatchSet, as one dict of arrays."""
    slices = load_real(folder, name)
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pixel = np.array([float(row["pixel_mm"] or "nan") for row in rows])
    diameter = {}
    centre = slices.masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN].sum((1, 2))
    for nodule in np.unique(slices.nodules):
        mine = slices.nodules == nodule
        area = (centre[mine] * pixel[mine] ** 2).max()
        diameter[nodule] = (
            2 * np.sqrt(area / np.pi) if area > 0 else np.nan
        )  # of the largest slice
    positive, negative = places(slices)
    where = np.concatenate([positive, negative])
    images, masks = (tensor[:, 0].numpy() for tensor in cut(slices, where))
    at = where[:, 0]
    has_nodule = np.arange(len(where)) < len(positive)
    return {
        "image": np.rint(255 * images).astype(np.uint8),
        "mask": masks.astype(np.uint8),
        "patient": slices.patients[at],
        "scan": np.array([rows[k]["series_uid"] for k in at]),
        "nodule": np.where(has_nodule, np.array([rows[k]["nodule"] for k in at]), ""),
        "slice": np.array([int(rows[k]["slice"]) for k in at]),
        "row_mm": pixel[at],
        "column_mm": pixel[at],
        "type": np.full(len(where), ""),
        "diameter": np.where(has_nodule, [diameter[slices.nodules[k]] for k in at], np.nan),
        "has_nodule": has_nodule,
    }


def keep(path, folder, name, data, rows):
    """Write the rows of one set."""
    columns = {key: values[rows] for key, values in data.items()}
    arrays = columns.pop("image"), columns.pop("mask")
    written = PatchSet.write(
        path,
        *arrays,
        columns,
        source=f"LIDC-IDRI, {SIZE}x{SIZE} crops of 8-bit slices, consensus of the readers",
        licence="CC BY 3.0 (LIDC-IDRI), CC BY 4.0 (LUNA16)",
        citation="; ".join(f"{one['citation']} doi:{one['doi']}" for one in SOURCES),
        parameters={"file": f"{name}.npz", "sha256": sha256(folder / f"{name}.npz")},
    )
    drawn = columns["has_nodule"]
    names = set(zip(columns["patient"], columns["nodule"], strict=True))
    print(
        f"{path.name}: {len(written)} slices, {drawn.sum()} with a nodule, "
        f"{len({n for n in names if n[1]})} lesions of {len(set(columns['patient']))} patients"
    )


if __name__ == "__main__":
    main()
