"""The outlined nodules of a scan: by simulated readers, from LIDC's database, or from a mask."""

import csv
import functools
import itertools
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from nodule_lesson.data import contours
from nodule_lesson.data.ct import Scan, Upright
from nodule_lesson.data.ct.itk import SAME_PLACE

from .crops_of_scan import Nodule

MIN_READERS = 3  # of LIDC's four, who must have outlined a nodule, as in LUNA16's list
# The columns of nodules.csv. Coordinates are world coordinates in mm, as in LUNA16's lists.
TEXTS = ("seriesuid", "nodule", "patient", "type")
NUMBERS = ("diameter_mm", "coordX", "coordY", "coordZ")


def listed_nodules(folder):
    """The rows of nodules.csv in a folder of simulated scans, dicts of `TEXTS` and `NUMBERS`.

    Raises FileNotFoundError if it is missing, ValueError for other columns or separators, for rows
    that are too short or too long, for a nodule that is listed twice, and for invalid numbers.
    """
    path = Path(folder) / "nodules.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it lists what simulated readers outlined.")
    with open(path, encoding="utf-8-sig", newline="") as file:  # Excel writes a byte order mark
        table = csv.DictReader(file, strict=True)
        try:
            rows, header = list(table), table.fieldnames or []
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not a table: {error}.") from None
    if missing := [name for name in (*TEXTS, *NUMBERS) if name not in header]:
        raise ValueError(
            f"{path} must have columns with commas between, and lacks {', '.join(missing)}: its "
            f"first row is {str(header)[:80]}."
        )
    seen = set()
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():  # DictReader's mark of a long and of a short row
            raise ValueError(
                f"{path} must have {len(header)} cells per row, not so in row {number}."
            )
        for name in NUMBERS:
            row[name] = _number(row[name])
            if not np.isfinite(row[name]) or (name == "diameter_mm" and row[name] <= 0):
                raise ValueError(f"{path} must have numbers in {name}, not so in row {number}.")
        if (row["seriesuid"], row["nodule"]) in seen:
            raise ValueError(f"{path} has nodule {row['nodule']!r} of {row['seriesuid']} twice.")
        seen.add((row["seriesuid"], row["nodule"]))
    return rows


def _number(text):
    try:
        return float(text)
    except ValueError:
        return float("nan")


def with_listed_patient(scan, folder):
    """The scan with the patient from nodules.csv, if it is there; a MetaImage stores none."""
    names = {row["patient"] for row in listed_nodules(folder) if row["seriesuid"] == scan.series}
    if len(names) > 1:
        raise ValueError(
            f"{folder} has a nodules.csv that gives {scan.series} to several patients: "
            f"{', '.join(sorted(names))}."
        )
    return replace(scan, patient="".join(names) or scan.patient)


def outlined_in_volumes(scan, folder):
    """The nodules of a simulated scan, from readers/SERIES.mhd and nodules.csv beside it.

    Returns (nodules, obstacles, unused): the `Nodule` objects to use, those that no crop may
    contain, and pairs of (name, reason). Raises ValueError for a volume that is not on the scan's
    grid or has values outside 0..255, and the errors of `listed_nodules`.
    """
    rows = [row for row in listed_nodules(folder) if row["seriesuid"] == scan.series]
    volume = Scan.open(Path(folder) / "readers" / f"{scan.series}.mhd")
    for name in ("size", "spacing", "origin", "direction"):
        of_volume, of_scan = getattr(volume, name), getattr(scan, name)
        if not np.allclose(of_volume, of_scan, atol=1e-3):  # a thousandth of a millimetre
            raise ValueError(f"{volume.path} has the {name} {of_volume}, its scan {of_scan}.")
    bits = volume.load()
    if bits.min() < 0 or bits.max() > 255:
        raise ValueError(f"{volume.path} must lie in 0..255, found {bits.min()} to {bits.max()}.")
    bits = bits.astype(np.uint8)
    outlined = sitk.GetImageFromArray((bits > 0).astype(np.uint8))
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(outlined, True))
    owners, unused = {}, []
    for row in rows:
        index = scan.to_index([row[f"coord{axis}"] for axis in "XYZ"])
        label = _nearest_label(labels, index, scan.spacing, row["diameter_mm"])
        if label is None:
            unused.append((row["nodule"], "no reader's outline is where the list has it"))
        else:
            owners.setdefault(label, []).append(row)
    nodules, obstacles = [], []
    for label in range(1, labels.max() + 1):
        ranges = [np.flatnonzero((labels == label).any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
        box = tuple(slice(indices[0], indices[-1] + 1) for indices in ranges)
        rows = owners.get(label, [])
        nodule = Nodule(
            name=rows[0]["nodule"] if rows else "",
            type=rows[0]["type"] if rows else "",
            diameter=rows[0]["diameter_mm"] if rows else float("nan"),
            first=tuple(int(indices[0]) for indices in ranges),
            bits=np.where(labels[box] == label, bits[box], 0).astype(np.uint8),
        )
        if len(rows) == 1:
            nodules.append(nodule)
            continue
        obstacles.append(nodule)
        unused += [(row["nodule"], "its outline touches another nodule's") for row in rows]
        if not rows:
            unused.append(("", f"the list has no nodule where readers outlined {nodule.first}"))
    return nodules, obstacles, unused


def outlined_in_mask(scan, path):
    """The nodules of a scan of your own, from a mask of the same voxels.

    scan: an `Upright`. path: a file that `Scan.open` reads, 0 outside of nodules. If it has one
    other number, each connected part is a nodule, with its corners; if it has several, each number
    is one. Returns (nodules, obstacles, unused) as `outlined_in_volumes`, in the order of the axes
    of the view. The diameter is that of a disc with the area of the largest slice. Raises
    ValueError for a mask that is not on the scan's voxels, has negative numbers or marks nothing.
    """
    volume = Upright(Scan.open(path))
    corners = list(itertools.product(*((0, n - 1) for n in scan.size)))
    places = [[view.to_world(corner) for corner in corners] for view in (volume, scan)]
    apart = np.linalg.norm(np.subtract(*places), axis=1).max()
    if volume.size != scan.size or apart > SAME_PLACE:
        raise ValueError(
            f"{path} must have the scan's {scan.size} voxels at the same places, found "
            f"{volume.size}, up to {apart:.1f} mm away."
        )
    labels = volume.load()
    if labels.min() < 0 or not labels.any():
        raise ValueError(
            f"{path} must mark each nodule with a number above 0, found {labels.min()} to "
            f"{labels.max()}."
        )
    if len(np.unique(labels)) <= 2:
        labels, _ = ndimage.label(labels, np.ones((3, 3, 3)))
    nodules, obstacles, unused = [], [], []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        bits = (labels[box] == number).astype(np.uint8)
        area = bits.sum((1, 2)).max() * scan.spacing[1] * scan.spacing[2]
        nodule = Nodule(
            name=str(number),
            type="",
            diameter=2 * float(np.sqrt(area / np.pi)),
            first=tuple(side.start for side in box),
            bits=bits,
        )
        if bits.any((1, 2)).all():
            nodules.append(nodule)
        else:
            obstacles.append(nodule)
            unused.append((nodule.name, "its number is missing in a slice between two others"))
    return nodules, obstacles, unused


def _nearest_label(labels, index, spacing, diameter):
    """The label nearest to a voxel, at most a diameter away; None if there is none."""
    reach = [int(np.ceil(diameter / mm)) for mm in spacing]
    low = [max(0, i - r) for i, r in zip(index, reach, strict=True)]
    box = tuple(slice(a, max(0, i + r + 1)) for a, i, r in zip(low, index, reach, strict=True))
    labelled = np.argwhere(labels[box])
    if not len(labelled):
        return None
    offsets_mm = (labelled + low - np.array(index)) * spacing
    k, i, j = labelled[(offsets_mm**2).sum(1).argmin()]
    return int(labels[box][k, i, j])


def _lidc(database):
    """The database, opened once per thread and per state of its file.

    SQLite refuses a connection that another thread has opened, and a worker of Dask may have many
    threads. Such a worker may also run while the file is replaced.
    """
    time = Path(database).stat().st_mtime_ns if database else None
    return _lidc_of_thread(database, time, threading.get_ident())


@functools.cache
def _lidc_of_thread(database, time, thread):
    return contours.open_lidc(database)


def with_patient(scan, database=None):
    """The scan with LIDC's patient ID.

    LUNA16's headers have none, and one of its patients has two scans.
    """
    return replace(scan, patient=_lidc(database).scan(scan.series).patient)


def outlined_in_lidc(scan, database=None):
    """The nodules of a scan of LIDC-IDRI, as `outlined_in_volumes` returns them.

    database: see `contours.open_lidc`. A nodule is used if at least `MIN_READERS` readers outlined
    it and all of them surround something bright (`contours.misplaced`); other nodules are
    obstacles. Bit r is the r-th reader of this nodule: LIDC does not identify the readers from
    nodule to nodule. The diameter is that of a disc with the area of the consensus in its largest
    slice.
    """
    lidc = _lidc(database)
    row = lidc.scan(scan.series)
    annotations = lidc.annotations(row)
    slice_of = contours.slices_by_z(scan, row)
    nodules, obstacles, unused = [], [], []
    for number, group in enumerate(contours.cluster(row, annotations), start=1):
        name = str(number)
        drawn = {slice_of[contour.z] for annotation in group for contour in annotation.contours}
        voxels = [_voxels(slice_of, annotation) for annotation in group]
        voxels = [by_reader for by_reader in voxels if len(by_reader)]
        if not voxels:
            unused.append((name, "no pixel is inside its outlines"))
            continue
        everywhere = np.concatenate(voxels)
        # An outline may be a single pixel with nothing inside; its slice counts nevertheless.
        first = np.array([min(drawn), *everywhere.min(0)[1:]])
        last = np.array([max(drawn), *everywhere.max(0)[1:]]) + 1
        bits = np.zeros(last - first, np.uint8)
        for reader, by_reader in enumerate(voxels[:8]):
            bits[tuple((by_reader - first).T)] |= 1 << reader
        agreed = contours.consensus(bits, min(len(voxels), 8)).sum((1, 2)).max()
        area = agreed * scan.spacing[1] * scan.spacing[2]
        skipped = sorted({*range(min(drawn), max(drawn))} - drawn)
        nodule = Nodule(
            name=name,
            type=contours.nodule_type(group),
            diameter=2 * float(np.sqrt(area / np.pi)) if agreed else float("nan"),
            first=tuple(map(int, first)),
            bits=bits,
        )
        if len(voxels) < MIN_READERS:
            obstacles.append(nodule)
        elif not (scan.contains(first) and scan.contains(last - 1)):
            obstacles.append(nodule)
            unused.append((name, "its outline leaves the volume"))
        elif skipped:
            obstacles.append(nodule)
            reason = f"nobody outlined its slice {skipped[0]}, and somebody did above and below"
            unused.append((name, reason))
        elif faults := contours.misplaced(scan, voxels):
            obstacles.append(nodule)
            unused.append((name, next(iter(faults.values()))))
        else:
            nodules.append(nodule)
    return nodules, obstacles, unused


def _voxels(slice_of, annotation):
    """The voxels that one reader outlined: (n, 3) of (slice, row, column)."""
    voxels = [np.empty((0, 3), np.int64)]
    for z in {contour.z for contour in annotation.contours}:
        points = np.concatenate([c.points for c in annotation.contours if c.z == z])
        column, row = points.min(0)
        shape = (points.max(0) - points.min(0) + 1)[::-1]
        inside = np.argwhere(annotation.mask(z, tuple(shape), (column, row)))
        voxels.append(np.column_stack([np.full(len(inside), slice_of[z]), inside + (row, column)]))
    return np.concatenate(voxels)
