"""Write the real slices as the PatchSets that the experiments take.

Patients of lidc_pretrain, scans of LUNA16, are parted by the thickness of their slices: those of
at most 1.5 mm, and the few of which it is not known, are `pretrain`. Those of 2 to 2.5 mm are one
domain, dealt once at random: half of their lesions are `large`, the test; the patients of the
other half are three disjoint clinics, `clinic`, `clinic-2` and `clinic-3`. The seven patients of
lidc_clinic, whose scans LUNA16 leaves out for thick or uneven slices, are `external`.

Positives are 64x64 around the nodule, with the consensus of its readers; negatives are the corners
of the same slices that no reader touched, so an empty crop is of a patient with a nodule. Slices
whose readers share no pixel are left out: they are neither. Pixels of LIDC-IDRI may not be put
into a repository; numbers computed from them may.

    python studies/real_patches.py OUT
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
from crops import MARGIN, SIZE, cut, load_real, places
from std_on_real_slices import SOURCES

from nodule_lesson.data.patches import PatchSet
from nodule_lesson.provenance import sha256

THICK_MM = 2.0  # slices from here on are the clinics' domain
CLINICS = ("clinic", "clinic-2", "clinic-3")


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
    for part, patients in deal(many).items():
        keep(
            *(options.out / part, options.data, "lidc_pretrain", many),
            np.isin(many["patient"], patients),
        )
    few = load(options.data, "lidc_clinic")
    keep(options.out / "external", options.data, "lidc_clinic", few, few["has_nodule"] >= 0)


def deal(slices, seed=0):
    """part -> its patients. Parts of the thick domain get whole patients, by random order."""
    patients = np.unique(slices["patient"])
    thick = [
        patient
        for patient in patients
        if np.nanmax([0, *slices["thickness_mm"][slices["patient"] == patient]]) >= THICK_MM
    ]
    order = np.random.default_rng(seed).permutation(thick)
    drawn = np.unique(
        np.stack([slices["patient"], slices["nodule"]])[:, slices["has_nodule"]], axis=1
    )
    lesions = np.cumsum([(drawn[0] == patient).sum() for patient in order])
    half, parts = lesions[-1] / 2, {}
    ends = [half, *(half * (1 + (k + 1) / len(CLINICS)) for k in range(len(CLINICS)))]
    begin = 0
    for part, end in zip(("large", *CLINICS), ends, strict=True):
        stop = int(np.argmin(np.abs(lesions - end))) + 1
        parts[part] = order[begin:stop]
        begin = stop
    return {"pretrain": np.setdiff1d(patients, thick), **parts}


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
        "thickness_mm": np.array([float(rows[k]["thickness_mm"] or "nan") for k in at]),
    }


def keep(path, folder, name, data, rows):
    """Write the rows of one set."""
    columns = {key: values[rows] for key, values in data.items() if key != "thickness_mm"}
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
