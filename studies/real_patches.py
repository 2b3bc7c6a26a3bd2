"""Write the real slices as the PatchSets for the experiments.

The patients of lidc_pretrain, scans of LUNA16, are divided by the thickness of their slices. Those
with at most 1.5 mm, and the few with unknown thickness, are `pretrain`. Those with 2 to 2.5 mm are
another domain, divided at random: patients with half of the lesions are `large`, the test; the
others are three disjoint clinics, `clinic`, `clinic-2` and `clinic-3`. The seven patients of
lidc_clinic, whose scans LUNA16 excludes for thick or uneven slices, are `external`.

Positives are 64x64 around the nodule, with the consensus of its readers. Negatives are the corners
of the same slices that no reader touched, so an empty crop is of a patient with a nodule. Slices
whose readers share no pixel are left out. Pixels of LIDC-IDRI may not be put into a repository;
numbers computed from them may.

    python studies/real_patches.py OUT
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from crops import MARGIN, SIZE, SOURCES, cut, load_real, parse_with_data, places

from nodule_lesson.data.patches import PatchSet
from nodule_lesson.provenance import sha256

THICK_MM = 2.0  # the least thickness of slices in the domain of the clinics
CLINICS = ("clinic", "clinic-2", "clinic-3")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="a new folder")
    options = parse_with_data(parser, arguments)
    options.out.mkdir(parents=True)
    slices = load(options.data, "lidc_pretrain")
    for name, patients in divide(slices).items():
        rows = np.isin(slices["patient"], patients)
        write_set(options.out / name, options.data, "lidc_pretrain", slices, rows)
    slices = load(options.data, "lidc_clinic")
    rows = np.ones(len(slices["patient"]), bool)
    write_set(options.out / "external", options.data, "lidc_clinic", slices, rows)


def divide(slices, seed=0):
    """{name of a set: its patients}. In the thick domain patients are assigned in random order."""
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
    half, patients_of = lesions[-1] / 2, {}
    ends = [half, *(half * (1 + (k + 1) / len(CLINICS)) for k in range(len(CLINICS)))]
    begin = 0
    for name, end in zip(("large", *CLINICS), ends, strict=True):
        stop = int(np.argmin(np.abs(lesions - end))) + 1
        patients_of[name] = order[begin:stop]
        begin = stop
    return {"pretrain": np.setdiff1d(patients, thick), **patients_of}


def load(folder, name):
    """Images and masks (N, 64, 64), and the columns of a PatchSet, as one dict of arrays.

    A nodule's diameter is that of a disc with the area of its largest slice.
    """
    slices = load_real(folder, name)
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pixel = np.array([float(row["pixel_mm"] or "nan") for row in rows])
    diameter = {}
    centre = slices.masks[:, MARGIN:-MARGIN, MARGIN:-MARGIN].sum((1, 2))
    for nodule in np.unique(slices.nodules):
        of_nodule = slices.nodules == nodule
        area = (centre[of_nodule] * pixel[of_nodule] ** 2).max()
        diameter[nodule] = 2 * np.sqrt(area / np.pi) if area > 0 else np.nan
    positive, negative = places(slices)
    where = np.concatenate([positive, negative])
    images, masks = (tensor[:, 0].numpy() for tensor in cut(slices, where))
    index = where[:, 0]
    has_nodule = np.arange(len(where)) < len(positive)
    return {
        "image": np.rint(255 * images).astype(np.uint8),
        "mask": masks.astype(np.uint8),
        "patient": slices.patients[index],
        "scan": np.array([rows[k]["series_uid"] for k in index]),
        "nodule": np.where(has_nodule, np.array([rows[k]["nodule"] for k in index]), ""),
        "slice": np.array([int(rows[k]["slice"]) for k in index]),
        "row_mm": pixel[index],
        "column_mm": pixel[index],
        "type": np.full(len(where), ""),
        "diameter": np.where(has_nodule, [diameter[slices.nodules[k]] for k in index], np.nan),
        "has_nodule": has_nodule,
        "thickness_mm": np.array([float(rows[k]["thickness_mm"] or "nan") for k in index]),
    }


def write_set(path, folder, name, slices, rows):
    """Write these rows as a PatchSet. folder, name: of the file from which they were read."""
    columns = {key: values[rows] for key, values in slices.items() if key != "thickness_mm"}
    arrays = columns.pop("image"), columns.pop("mask")
    written = PatchSet.write(
        path,
        *arrays,
        columns,
        source=f"LIDC-IDRI, {SIZE}x{SIZE} crops of 8-bit slices, consensus of the readers",
        licence="CC BY 3.0 (LIDC-IDRI), CC BY 4.0 (LUNA16)",
        citation="; ".join(f"{source['citation']} doi:{source['doi']}" for source in SOURCES),
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
