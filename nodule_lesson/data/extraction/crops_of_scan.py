"""The crops of one scan: their places and their contents."""

from dataclasses import dataclass

import numpy as np

from nodule_lesson.data import contours
from nodule_lesson.data.patches import COLUMNS

MIN_MARGIN = 4  # voxels between a nodule and the edge of its crop
SHIFT_STEP = 8  # voxels by which a crop is shifted


@dataclass(frozen=True)
class Nodule:
    """One nodule as its readers outlined it.

    name: its id within the scan. type: one of the five, or "". diameter: mm, or nan. bits: uint8
    (slices, rows, columns), bit r set where reader r outlined it; the box contains all outlined
    voxels. first: the (slice, row, column) of the first voxel of `bits`. In each slice of the box
    a reader drew the nodule, though an outline may contain no voxel.
    """

    name: str
    type: str
    diameter: float
    first: tuple
    bits: np.ndarray

    @property
    def last(self):
        """One past the last (slice, row, column)."""
        return tuple(f + n for f, n in zip(self.first, self.bits.shape, strict=True))

    @property
    def readers(self):
        """The number of readers who outlined it."""
        return int(np.bitwise_or.reduce(self.bits, axis=None)).bit_count()


def crops(scan, nodules, obstacles=(), *, size=128):
    """The crops of one scan, and the nodules that get none.

    scan: a `ct.Scan`. nodules: each `Nodule` of it. obstacles: nodules that no crop may contain.
    size: voxels per side. Returns (images, masks, readers, slices), the arguments of
    `PatchSet.write`, or None if there is no crop, and a list of (nodule's name, reason). Crops are
    placed in order of the nodules' size, the largest first.
    """
    boxes, unused, columns = [], [], {name: [] for name in COLUMNS}
    images, masks, readers = [], [], []
    for nodule in sorted(nodules, key=lambda nodule: -np.count_nonzero(nodule.bits)):
        others = [other for other in (*nodules, *obstacles) if other is not nodule]
        box = _crop_box(scan, nodule, others, boxes, size)
        if isinstance(box, str):
            unused.append((nodule.name, box))
            continue
        boxes.append(box)
        first, depth = box[0], box[1][0] - box[0][0]
        image, _ = scan.region(first, (depth, size, size))
        bits = np.zeros(image.shape, np.uint8)
        inner = [
            slice(a - f, b - f) for a, b, f in zip(nodule.first, nodule.last, first, strict=True)
        ]
        bits[tuple(inner)] = nodule.bits
        images.append(image)
        readers.append(bits)
        masks.append(contours.consensus(bits, nodule.readers))
        for k in range(depth):
            row = {
                "patient": scan.patient or scan.series,
                "scan": scan.series,
                "nodule": nodule.name,
                "slice": first[0] + k,
                "row_mm": scan.spacing[1],
                "column_mm": scan.spacing[2],
                "type": nodule.type,
                "diameter": nodule.diameter,
                "has_nodule": nodule.first[0] <= first[0] + k < nodule.last[0],
            }
            for name in COLUMNS:
                columns[name].append(row[name])
    if not images:
        return None, unused
    stacks = (np.concatenate(stack) for stack in (images, masks, readers))
    return (*stacks, columns), unused


def _crop_box(scan, nodule, others, boxes, size):
    """The box (first, last) of a nodule's crop, or the reason why there is none."""
    extent = nodule.bits.shape
    if max(extent[1:]) > size - 2 * MIN_MARGIN:
        return f"{max(extent[1:])} voxels wide, too large for a crop of {size}"
    if not all(
        0 <= a and b <= n for a, b, n in zip(nodule.first, nodule.last, scan.size, strict=True)
    ):
        return "its outline leaves the volume"
    middle = [(a + b) // 2 - size // 2 for a, b in zip(nodule.first, nodule.last, strict=True)]
    shifts = range(-(size // 2), size // 2 + 1, SHIFT_STEP)
    for down, right in sorted(
        ((a, b) for a in shifts for b in shifts), key=lambda s: s[0] ** 2 + s[1] ** 2
    ):
        row, column = middle[1] + down, middle[2] + right
        inside = (
            row + MIN_MARGIN <= nodule.first[1]
            and nodule.last[1] <= row + size - MIN_MARGIN
            and column + MIN_MARGIN <= nodule.first[2]
            and nodule.last[2] <= column + size - MIN_MARGIN
        )
        if not inside:
            continue
        taken = [(other.first, other.last) for other in others] + boxes
        corner, end = (row, column), (row + size, column + size)
        low, high = _depth(scan, nodule, corner, end, taken)
        if low is not None:
            return (low, *corner), (high, *end)
    return "another nodule is in every crop that holds it"


def _depth(scan, nodule, corner, end, taken):
    """The first slice of a crop and one past its last: (None, None) if another nodule is there.

    The crop has the nodule's own slices, and as many empty ones around as there is room for.
    """
    blocked = {
        k
        for first, last in taken
        if all(
            f < e and c < e2 for f, e, c, e2 in zip(first[1:], end, corner, last[1:], strict=True)
        )
        for k in range(first[0], last[0])
    }
    low, high = nodule.first[0], nodule.last[0]
    if blocked & set(range(low, high)):
        return None, None
    wanted = high - low
    while wanted:
        above = low - 1 >= 0 and low - 1 not in blocked
        below = high < scan.size[0] and high not in blocked
        if not (above or below):
            break
        # Alternate, so that the nodule stays in the middle if the scan allows it.
        if above and (not below or nodule.first[0] - low <= high - nodule.last[0]):
            low -= 1
        else:
            high += 1
        wanted -= 1
    return low, high
