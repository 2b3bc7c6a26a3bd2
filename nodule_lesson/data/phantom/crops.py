"""Crops of simulated scans in memory, as `nodule_lesson.data.extraction` cuts them from files."""

import numpy as np

from nodule_lesson.data.phantom.simulate import HALF_CROP, INNER, check_domain, simulate_scan


def crop(volume, k, row, column, pad):
    """128x128 of slice k around (row, column), `pad` outside the volume."""
    found = np.full((2 * HALF_CROP, 2 * HALF_CROP), pad, dtype=volume.dtype)
    top, left = row - HALF_CROP, column - HALF_CROP
    rows = slice(max(top, 0), min(top + 2 * HALF_CROP, volume.shape[1]))
    columns = slice(max(left, 0), min(left + 2 * HALF_CROP, volume.shape[2]))
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    found[inside] = volume[k, rows, columns]
    return found


def scan_crops(scan):
    """Dicts of one scan's crops: all slices of its nodules, and as many without a nodule."""
    random = np.random.default_rng([len(scan.hu), *scan.hu[0, 0, :8].astype(int) + 4096])
    masks, drawn = scan.masks(), scan.readers.any((1, 2))
    found, negative = [], np.flatnonzero(~drawn)
    for nodule in scan.nodules:
        where = nodule["box"]
        for k in range(where[0].start, where[0].stop):
            mine = scan.readers[(k, *where[1:])]
            if mine.any():
                found.append((k, nodule["index"][1:], nodule))
    # Where empty slices are few, one is cut at several places.
    if len(negative):
        negative = random.permutation(negative)
        negative = np.resize(negative, len(found))
    for k in negative:
        near = scan.nodules[int(random.integers(len(scan.nodules)))]["index"][1:]
        places = np.argwhere(scan.lung[k, INNER, INNER])
        if len(places) and random.random() < 0.7:
            near = places[int(random.integers(len(places)))] + INNER.start
        found.append((int(k), [int(v) for v in near], None))
    for one in random.permutation(len(found)):  # so that a cut list has both classes
        k, (row, column), nodule = found[one]
        yield {
            "image": crop(scan.hu, k, row, column, -1000),
            "mask": crop(masks.view(np.uint8), k, row, column, 0),
            "readers": crop(scan.readers, k, row, column, 0),
            "patient": scan.patient,
            "scan": scan.uid,
            "nodule": nodule["nodule"] if nodule else "",
            "slice": k,
            "row_mm": scan.spacing[1],
            "column_mm": scan.spacing[2],
            "type": nodule["type"] if nodule else "",
            "diameter": nodule["diameter"] if nodule else np.nan,
            "has_nodule": nodule is not None,
        }


def simulate_patches(domain, count, seed=0):
    """`count` crops of as many simulated patients as that takes.

    Returns images (N, 128, 128) int16 HU, masks uint8 0 or 1 (consensus), readers uint8 bits, and
    the columns of a PatchSet's slices.csv as a dict of arrays. About half have no nodule. Fewer
    than `count` come back only where the domain has a fixed number of patients.
    Raises ValueError for an unknown domain or a count below 1.
    """
    options = check_domain(domain)
    if count < 1:
        raise ValueError(f"count must be at least 1, found {count}.")
    rows, number = [], 0
    while len(rows) < count and number < (options["patients"] or np.inf):
        number += 1
        rows += scan_crops(simulate_scan(domain, number, seed))
    rows = rows[:count]
    arrays = [np.stack([row.pop(name) for row in rows]) for name in ("image", "mask", "readers")]
    return *arrays, {name: np.array([row[name] for row in rows]) for name in rows[0]}
