"""Where the crops of one scan lie, and what is in them."""

from dataclasses import dataclass

import numpy as np

from nodule_lesson.data import contours
from nodule_lesson.data.patches import COLUMNS

MARGIN = 4  # voxels between a nodule and the edge of its crop, at least
STEP = 8  # voxels, by which a crop is moved aside


@dataclass(frozen=True)
class Nodule:
    """One nodule as its readers outlined it.

    name: its id within the scan. type: one of the five, or "". diameter: mm, or nan. first: the
    (slice, row, column) of the first voxel of `bits`, (slices, rows, columns) uint8 with bit r set
    where reader r outlined it; the box holds every outlined voxel. Its slices are those in which
    somebody drew the nodule: all of them have it, though an outline may hold no voxel.
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
        """How many readers outlined it."""
        return int(np.bitwise_or.reduce(self.bits, axis=None)).bit_count()


def crops(scan, nodules, obstacles=(), *, size=128):
    """The crops of one scan, and the nodules without one.

    scan: a `ct.Scan`. nodules: each `Nodule` of it. obstacles: nodules that must be in no crop.
    size: voxels a side. Returns (images, masks, readers, slices), stacks and columns as
    `PatchSet.write` takes them, or None where there is no crop, and a list of (nodule's name,
    reason). Large nodules choose their place first.
    """
    boxes, unused, columns = [], [], {name: [] for name in COLUMNS}
    images, masks, readers = [], [], []
    for nodule in sorted(nodules, key=lambda one: -np.count_nonzero(one.bits)):
        others = [one for one in (*nodules, *obstacles) if one is not nodule]
        box = _place(scan, nodule, others, boxes, size)
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


def _place(scan, nodule, others, boxes, size):
    """The box (first, last) of a nodule's crop, or the reason why there is none."""
    extent = nodule.bits.shape
    if max(extent[1:]) > size - 2 * MARGIN:
        return f"{max(extent[1:])} voxels wide, too large for a crop of {size}"
    if not all(
        0 <= a and b <= n for a, b, n in zip(nodule.first, nodule.last, scan.size, strict=True)
    ):
        return "its outline leaves the volume"
    middle = [(a + b) // 2 - size // 2 for a, b in zip(nodule.first, nodule.last, strict=True)]
    shifts = range(-(size // 2), size // 2 + 1, STEP)
    for down, right in sorted(
        ((a, b) for a in shifts for b in shifts), key=lambda s: s[0] ** 2 + s[1] ** 2
    ):
        row, column = middle[1] + down, middle[2] + right
        inside = (
            row + MARGIN <= nodule.first[1]
            and nodule.last[1] <= row + size - MARGIN
            and column + MARGIN <= nodule.first[2]
            and nodule.last[2] <= column + size - MARGIN
        )
        if not inside:
            continue
        taken = [(one.first, one.last) for one in others] + boxes
        corner, end = (row, column), (row + size, column + size)
        low, high = _depth(scan, nodule, corner, end, taken)
        if low is not None:
            return (low, *corner), (high, *end)
    return "another nodule is in every crop that holds it"


def _depth(scan, nodule, corner, end, taken):
    """First slice and one past the last: the nodule's own, and as many empty ones around."""
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
        # Turn by turn, so that the nodule stays in the middle where the scan allows.
        if above and (not below or nodule.first[0] - low <= high - nodule.last[0]):
            low -= 1
        else:
            high += 1
        wanted -= 1
    return low, high
