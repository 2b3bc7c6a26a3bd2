"""From a point in a scan to an outline: a function and a command.

    python -m nodule_lesson.segment SCAN --at X Y Z --out mask.nii.gz

The outline is that of one slice, the axial one through the point, by one of the small networks of
this package. For teaching and research, not for clinical use.
"""

import argparse
import csv
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from nodule_lesson.data import patches
from nodule_lesson.data.ct import Scan, Upright
from nodule_lesson.data.patches.normalisation import limits
from nodule_lesson.networks.registry import PRETRAINED, load_pretrained

NOTICE = "For teaching and research, not for clinical use."
SIDE = 128  # pixels of the crop that the network sees
REACH = 5.0  # mm from the point, within which an outline counts as that of the point
PIXELS = (0.4, 1.0)  # mm: of nearly all slices that the networks were trained on


@dataclass(frozen=True)
class Outline:
    """What a network outlines at a point.

    point: (x, y, z) in mm, LPS. c: the network's probability that there is a nodule in the crop,
    None for a network without a classifier. area: mm^2 of the outline, 0 if nothing is outlined
    within 5 mm of the point. diameter: mm, of the disc with that area. mask: bool (128, 128), rows
    towards the back and columns to the left. first: the (slice, row, column) of its first pixel in
    the scan's `Upright`, which may lie outside the scan, where the mask is empty.
    """

    point: tuple
    c: float | None
    area: float
    diameter: float
    mask: np.ndarray
    first: tuple

    def __str__(self):
        where = ", ".join(f"{mm:.1f}" for mm in self.point)
        c = "" if self.c is None else f"c {self.c:.2f}, "
        if not self.area:
            return f"({where}) mm: {c}nothing outlined within {REACH:g} mm"
        return f"({where}) mm: {c}area {self.area:.1f} mm2, diameter {self.diameter:.1f} mm"


def outline(scan, point, model=None, *, normalise="slice"):
    """The outline of the nodule at a point of a scan: an `Outline`.

        scan = Scan.open("chest.nii.gz")
        print(outline(scan, (-57.5, 12.0, -203.8)))  # x, y, z in mm, LPS

    scan: a `Scan`, whose axes may lie along the patient's in any order and direction: the network
    sees an axial slice, as radiologists do. point: (x, y, z) in mm, LPS, inside the scan. model: a
    network that returns an `Output`, in evaluation mode; None for `load_pretrained("slim-real")`,
    which knows CT alone. normalise: how its crops of 128 x 128 were scaled, "slice" or a window
    (low, high), as in `PatchSet.batch`. What lies outside the scan gets the lowest value of the
    crop. Of the mask only the connected part at the point is kept, or the nearest one within 5 mm.
    Warns of pixels larger or smaller than those the networks know. Raises ValueError for a point
    outside the scan, a network in training mode, and MR or PET without a network for it.
    """
    if model is None:
        if scan.modality != "CT":
            raise ValueError(f"the networks of this package know CT alone, found {scan.modality}.")
        model = load_pretrained("slim-real")
    if model.training:
        raise ValueError("model must be in evaluation mode: call model.eval() first.")
    upright = Upright(scan)
    number, row, column = upright.index_inside(point)
    first = (number, row - SIDE // 2, column - SIDE // 2)
    voxels, inside = upright.region(first, (1, SIDE, SIDE))
    voxels[~inside] = voxels[inside].min()
    image = patches.normalise(voxels[None], *limits(normalise))
    millimetres = upright.spacing[1:]
    if not PIXELS[0] <= min(millimetres) <= max(millimetres) <= PIXELS[1]:
        warnings.warn(
            f"pixels of {millimetres[0]:.2f} x {millimetres[1]:.2f} mm are none that the networks "
            f"of this package know, {PIXELS[0]} to {PIXELS[1]} mm: the outline means little.",
            stacklevel=2,
        )
    device = next(model.parameters()).device
    with torch.inference_mode():
        output = model(torch.from_numpy(image).to(device))
    mask = _nearest_part(output.mask[0, 0].cpu().numpy() >= 0.5, millimetres) & inside[0]
    area = float(mask.sum() * np.prod(millimetres))
    return Outline(
        point=tuple(map(float, point)),
        c=None if output.nodule is None else float(output.nodule),
        area=area,
        diameter=2 * float(np.sqrt(area / np.pi)),
        mask=mask,
        first=first,
    )


def _nearest_part(mask, millimetres):
    """The connected part of a crop's mask at its middle, or the nearest one within REACH."""
    labels, _ = ndimage.label(mask)
    pixels = np.argwhere(mask)
    distance = np.linalg.norm((pixels - SIDE // 2) * millimetres, axis=1)
    if not len(pixels) or distance.min() > REACH:
        return np.zeros_like(mask)
    return labels == labels[tuple(pixels[distance.argmin()])]


def label_map(scan, outlines):
    """Outlines of a scan in one array of its shape: k where the k-th has its voxels, from 1.

        outlines = [outline(scan, point) for point in read_points("points.csv")]
        scan.write_mask("mask.nii.gz", label_map(scan, outlines))

    Where two overlap, the first one stays.
    """
    upright = Upright(scan)
    labels = np.zeros(upright.size, np.uint8 if len(outlines) < 256 else np.uint16)
    for number, found in reversed(list(enumerate(outlines, start=1))):
        rows, columns = np.nonzero(found.mask)
        labels[found.first[0], found.first[1] + rows, found.first[2] + columns] = number
    return upright.as_stored(labels)


# --- the command ---------------------------------------------------------------------------------


def read_points(path):
    """The points of a CSV file with the columns x, y and z, in mm: a list of triples.

    Raises ValueError if a column is missing, a row holds no three numbers, or there is no row.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:  # Excel writes a byte order mark
        table = csv.DictReader(file)
        try:
            rows, header = list(table), table.fieldnames or []
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not a table: {error}.") from None
    if not {"x", "y", "z"} <= set(header):
        raise ValueError(
            f"{path} must have the columns x, y and z with commas between, found "
            f"{str(header)[:80]}."
        )
    points = []
    for number, row in enumerate(rows, start=2):
        try:
            points.append(tuple(float(row[axis]) for axis in "xyz"))
        except (TypeError, ValueError):
            raise ValueError(
                f"{path} must have numbers in x, y and z, not so in row {number}."
            ) from None
    if not points:
        raise ValueError(f"{path} must have a row for each point, found none.")
    return points


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m nodule_lesson.segment",
        description="Outline the nodule at a point of a CT scan, in the axial slice through it, "
        f"and write a mask that lies on the scan. {NOTICE}",
    )
    parser.add_argument(
        "scan", type=Path, help="a folder of DICOM slices, or a .nii, .nii.gz, .nrrd, .mhd, .mha"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--at", type=float, nargs=3, metavar=("X", "Y", "Z"), help="a point in mm")
    where.add_argument(
        "--points",
        type=Path,
        metavar="CSV",
        help="many points: a table with columns x, y, z in mm",
    )
    parser.add_argument(
        "--ras",
        action="store_true",
        help="points are in RAS, as 3D Slicer shows them; without it in LPS, as DICOM has them",
    )
    parser.add_argument("--weights", choices=PRETRAINED, default="slim-real")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the mask to write: .nii.gz, .nii, .nrrd or .mha; 1 at the first point, 2 at the "
        "second, and so on",
    )
    options = parser.parse_args(arguments)
    try:
        points = read_points(options.points) if options.points else [tuple(options.at)]
        if options.ras:
            points = [(-x, -y, z) for x, y, z in points]
        scan, model = Scan.open(options.scan), load_pretrained(options.weights)
        with warnings.catch_warnings(record=True) as notes:
            outlines = [outline(scan, point, model) for point in points]
        scan.write_mask(options.out, label_map(scan, outlines))
    except (ValueError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    for note in dict.fromkeys(str(note.message) for note in notes):
        print(f"Note: {note}", file=sys.stderr)
    for number, found in enumerate(outlines, start=1):
        print(f"{number}: {found}" if options.points else found)
    print(f"Points are in LPS. The mask is in {options.out}. {NOTICE}")


if __name__ == "__main__":
    main()
