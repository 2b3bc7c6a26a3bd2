"""Whose outlines: those of simulated readers, or those of LIDC's database."""

import csv
import functools
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .. import contours
from ..ct import Scan
from .crops_of_scan import Nodule

READERS = 3  # of LIDC's four must have outlined a nodule, as in LUNA16's list


def outlined_in_volumes(scan, folder):
    """The nodules of a simulated scan, from readers/SERIES.mhd and nodules.csv beside it.

    Returns (nodules, obstacles, unused): each `Nodule` to use, those that must only not be in
    another's crop, and pairs of (name, reason).
    """
    with open(Path(folder) / "nodules.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["seriesuid"] == scan.series]
    volume = Scan.open(Path(folder) / "readers" / f"{scan.series}.mhd")
    if volume.size != scan.size:
        raise ValueError(f"{volume.path} has {volume.size} voxels, its scan has {scan.size}.")
    bits = volume.load().astype(np.uint8)
    outlined = sitk.GetImageFromArray((bits > 0).astype(np.uint8))
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(outlined, True))
    owners, unused = {}, []
    for row in rows:
        index = scan.to_index([float(row[f"coord{axis}"]) for axis in "XYZ"])
        label = _nearest_label(labels, index, scan.spacing, float(row["diameter_mm"]))
        if label is None:
            unused.append((row["nodule"], "no reader's outline is where the list has it"))
        else:
            owners.setdefault(label, []).append(row)
    nodules, obstacles = [], []
    for label, rows in owners.items():
        places = [np.flatnonzero((labels == label).any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
        box = tuple(slice(place[0], place[-1] + 1) for place in places)
        found = Nodule(
            name=rows[0]["nodule"],
            type=rows[0]["type"],
            diameter=float(rows[0]["diameter_mm"]),
            first=tuple(int(place[0]) for place in places),
            bits=np.where(labels[box] == label, bits[box], 0).astype(np.uint8),
        )
        if len(rows) == 1:
            nodules.append(found)
        else:
            obstacles.append(found)
            unused += [(row["nodule"], "its outline touches another nodule's") for row in rows]
    return nodules, obstacles, unused


def _nearest_label(labels, index, spacing, diameter):
    """The label nearest to a voxel, at most a diameter away; None where there is none."""
    reach = [int(np.ceil(diameter / mm)) for mm in spacing]
    low = [max(0, i - r) for i, r in zip(index, reach, strict=True)]
    box = tuple(slice(a, max(0, i + r + 1)) for a, i, r in zip(low, index, reach, strict=True))
    there = np.argwhere(labels[box])
    if not len(there):
        return None
    away = (there + low - np.array(index)) * spacing
    k, i, j = there[(away**2).sum(1).argmin()]
    return int(labels[box][k, i, j])


def _lidc(database):
    return _lidc_of_thread(database, threading.get_ident())


# A worker of Dask may have many threads, and SQLite refuses a connection that another one opened.
@functools.cache
def _lidc_of_thread(database, thread):
    return contours.open_lidc(database)


def with_patient(scan, database=None):
    """The scan with LIDC's name for its patient.

    LUNA16's headers have none, and one of its patients has two scans.
    """
    return replace(scan, patient=_lidc(database).scan(scan.series).patient)


def outlined_in_lidc(scan, database=None):
    """The nodules of a scan of LIDC-IDRI, as `outlined_in_volumes` gives them.

    database: see `contours.open_lidc`. Used are nodules with at least `READERS` outlines, all of
    them where something bright is (`contours.misplaced`); the others are obstacles. Bit r is the
    nodule's reader r: LIDC does not say who is who from nodule to nodule. The diameter is that of
    a disc as large as the largest slice of the consensus.
    """
    lidc = _lidc(database)
    row = lidc.scan(scan.series)
    nodules, obstacles, unused = [], [], []
    for number, group in enumerate(contours.cluster(row, lidc.annotations(row)), start=1):
        voxels = [_voxels(scan, annotation) for annotation in group]
        voxels = [found for found in voxels if len(found)]
        if not voxels:
            continue
        name, everywhere = str(number), np.concatenate(voxels)
        first, last = everywhere.min(0), everywhere.max(0) + 1
        bits = np.zeros(last - first, np.uint8)
        for reader, found in enumerate(voxels[:8]):
            bits[tuple((found - first).T)] |= 1 << reader
        agreed = contours.consensus(bits, min(len(voxels), 8)).sum((1, 2)).max()
        area = agreed * scan.spacing[1] * scan.spacing[2]
        nodule = Nodule(
            name=name,
            type=contours.nodule_type(group),
            diameter=2 * float(np.sqrt(area / np.pi)) if agreed else float("nan"),
            first=tuple(map(int, first)),
            bits=bits,
        )
        if len(voxels) < READERS:
            obstacles.append(nodule)
        elif not (scan.contains(first) and scan.contains(last - 1)):
            unused.append((name, "its outline leaves the volume"))
        elif faults := contours.misplaced(scan, voxels):
            obstacles.append(nodule)
            unused.append((name, next(iter(faults.values()))))
        else:
            nodules.append(nodule)
    return nodules, obstacles, unused


def _voxels(scan, annotation):
    """The voxels that one reader outlined: (n, 3) of (slice, row, column)."""
    found = [np.empty((0, 3), np.int64)]
    for z in {contour.z for contour in annotation.contours}:
        points = np.concatenate([c.points for c in annotation.contours if c.z == z])
        column, row = points.min(0)
        shape = (points.max(0) - points.min(0) + 1)[::-1]
        inside = np.argwhere(annotation.mask(z, tuple(shape), (column, row)))
        k, *_ = scan.to_index((*scan.origin[:2], z))
        found.append(np.column_stack([np.full(len(inside), k), inside + (row, column)]))
    return np.concatenate(found)
