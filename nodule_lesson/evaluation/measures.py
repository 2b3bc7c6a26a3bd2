"""How good an outline is: the six measures of the paper, Eqs. (8)-(13), and how to average them.

With TP, FP, FN the numbers of pixels that are rightly, wrongly and not marked, and X, Y the
contours of the two masks:

    (8)  precision    TP / (TP + FP)              (10) Dice  2 TP / (2 TP + FP + FN)
    (9)  sensitivity  TP / (TP + FN)              (11) IoU   TP / (TP + FP + FN)
    (12) HD = max{ max_x d(x, Y), max_y d(y, X) }
    (13) ASSD = (sum_x d(x, Y) + sum_y d(y, X)) / (|X| + |Y|)

The contour of a mask is its pixels with at least one of four neighbours in the background; outside
the image is background. Distances run between pixel centres, in mm. What an equation leaves
undefined, 0/0 or a distance to an empty set, is nan, never a silent 0 or 1.

All functions take numpy arrays or torch tensors, boolean or 0 and 1 of any type: one pair (H, W),
which gives a float, or stacks (N, H, W), which give an array (N,). They raise ValueError for other
shapes, shapes that differ, masks that are not binary, and spacings that are not positive.

Where others agree: MONAI's HausdorffDistanceMetric and SurfaceDistanceMetric(symmetric=True) are
Eqs. (12) and (13) on this contour (it erodes by the same cross and keeps the rest). Of two empty
masks they make nan, of one inf, which then is in the mean, and 0 of a mean over nothing but nan.
Where they do not: MONAI's surface Dice with a spacing, and DeepMind's `surface-distance`, put
points between the pixels and weight them by length. SimpleITK's HausdorffDistanceImageFilter
measures between all pixels of the masks: more than Eq. (12) where one mask fills a hole of the
other, less where a contour runs inside the other mask. On images of the contours it is Eq. (12).
Its average is the mean of the two directed means, in which a short contour weighs as much as a
long one: not Eq. (13).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

OVERLAPS = ("precision", "sensitivity", "dice", "iou")
DISTANCES = ("hausdorff_distance", "assd")
UNITS = ("slice", "lesion", "pooled")
EMPTY_POLICIES = ("undefined", "perfect", "penalise", "skip")

# --- overlap ------------------------------------------------------------------------------------


def precision(pred, truth):
    """The share of what is marked that is right, the paper's Eq. (8); nan if nothing is marked."""
    return _overlap("precision", pred, truth)


def sensitivity(pred, truth):
    """The share of the truth that is marked, the paper's Eq. (9); nan if there is none."""
    return _overlap("sensitivity", pred, truth)


def dice(pred, truth):
    """2 TP / (2 TP + FP + FN), the paper's Eq. (10); nan where both masks are empty."""
    return _overlap("dice", pred, truth)


def iou(pred, truth):
    """TP / (TP + FP + FN), the paper's Eq. (11); nan where both masks are empty."""
    return _overlap("iou", pred, truth)


def _overlap(name, pred, truth):
    pred, truth, alone = _masks(pred, truth)
    values = _overlaps(*_areas(pred, truth))[name]
    return float(values[0]) if alone else values


def _areas(pred, truth):
    """Pixels of each slice that are in both masks, in the prediction, and in the truth."""
    slices = zip(pred, truth, strict=True)
    count = np.count_nonzero  # much faster for a slice than along the axes of a stack
    areas = [(count(one & other), count(one), count(other)) for one, other in slices]
    return np.array(areas, int).reshape(-1, 3).T


def _overlaps(both, pred, truth):
    with np.errstate(invalid="ignore"):  # 0/0 is nan, as it should be
        return {
            "precision": both / pred,
            "sensitivity": both / truth,
            "dice": 2 * both / (pred + truth),
            "iou": both / (pred + truth - both),
        }


# --- distance -----------------------------------------------------------------------------------


def hausdorff_distance(pred, truth, spacing=(1.0, 1.0)):
    """The paper's Eq. (12): the largest distance from a contour pixel of one mask to the other's.

    spacing: (row_mm, column_mm), or one such pair a slice, (N, 2); as it is, distances are in
    pixels. In mm; nan where a mask is empty.
    """
    pred, truth, alone = _masks(pred, truth)
    values = _distances(pred, truth, _spacings(spacing, len(pred)))["hausdorff_distance"]
    return float(values[0]) if alone else values


def assd(pred, truth, spacing=(1.0, 1.0)):
    """The paper's Eq. (13): the mean distance from each contour pixel to the other mask's contour.

    One mean over all of them, so a longer contour weighs more. spacing and nan: as in
    `hausdorff_distance`.
    """
    pred, truth, alone = _masks(pred, truth)
    values = _distances(pred, truth, _spacings(spacing, len(pred)))["assd"]
    return float(values[0]) if alone else values


# So many slices at a time stay in the processor's cache.
_CHUNK = 128
# From here on two distance transforms of 128 x 128 pixels cost less than all pairs of points.
_MANY_PAIRS = 2**20


def _distances(pred, truth, spacing):
    """HD and ASSD of each pair of a stack; both come from the same distances."""
    hd, mean = np.empty((2, len(pred)))
    for start in range(0, len(pred), _CHUNK):
        part = slice(start, start + _CHUNK)
        hd[part], mean[part] = _distances_of_chunk(pred[part], truth[part], spacing[part])
    return {"hausdorff_distance": hd, "assd": mean}


def _distances_of_chunk(pred, truth, spacing):
    n, (row_mm, column_mm) = len(pred), spacing.T
    masks = _cropped(pred, truth)
    contours = [_contour(mask) for mask in masks]
    counts = [np.bincount(of, minlength=n) for of, _, _ in contours]
    squares = _squares(contours, counts, row_mm / column_mm, masks[0].shape[1:])
    hd, total = np.zeros((2, n))
    with np.errstate(invalid="ignore"):  # nan, where there is nothing to measure
        for (of, _, _), square in zip(contours, squares, strict=True):
            distance = np.sqrt(square) * column_mm[of]
            np.maximum.at(hd, of, distance)
            total += np.bincount(of, distance, n)
        hd[(counts[0] == 0) | (counts[1] == 0)] = np.nan
        return hd, total / (counts[0] + counts[1])


def _squares(contours, counts, ratio, shape):
    """The squared distance of each contour pixel to its slice's other contour; nan without one.

    Lengths are in columns, of which a row is `ratio`. |p - q|^2 = |p|^2 - 2 p.q + |q|^2, so one
    product of two thin matrices gives all pairs of pixels of a slice.
    """
    # Square pixels have whole coordinates, and float32 holds their squares exactly.
    exact = (ratio == 1).all() and shape[0] ** 2 + shape[1] ** 2 <= 2**23
    kind = np.float32 if exact else np.float64
    (y, x), (v, w) = [
        np.array((rows * ratio[of], columns), kind) for of, rows, columns in contours
    ]
    left = np.stack([y, x, y * y + x * x, np.ones_like(y)], 1)
    right = np.stack([-2 * v, -2 * w, np.ones_like(v), v * v + w * w], 1)
    squares = [np.full(len(y), np.nan), np.full(len(v), np.nan)]
    ends = [np.concatenate([[0], np.cumsum(count)]).tolist() for count in counts]
    for i in range(len(ratio)):
        p, q = (slice(end[i], end[i + 1]) for end in ends)
        n_pairs = (p.stop - p.start) * (q.stop - q.start)
        if n_pairs > _MANY_PAIRS:
            one, other = [(c[1][s], c[2][s]) for c, s in zip(contours, (p, q), strict=True)]
            squares[0][p] = _squares_by_transform(one, other, shape, ratio[i])
            squares[1][q] = _squares_by_transform(other, one, shape, ratio[i])
        elif n_pairs:
            pairs = left[p] @ right[q].T
            squares[0][p], squares[1][q] = pairs.min(1), pairs.min(0)
    for (of, _, _), square in zip(contours, squares, strict=True):
        square[square < np.minimum(ratio, 1)[of] ** 2 / 4] = 0  # one pixel in both, but rounded
    return squares


def _squares_by_transform(points, targets, shape, ratio):
    away = np.ones(shape, bool)
    away[targets] = False
    return distance_transform_edt(away, sampling=(ratio, 1))[points] ** 2


def _cropped(pred, truth):
    """Both without the rows and columns that no mask of the stack needs: outside is background."""
    needed = (pred | truth).any(0)
    rows, columns = (np.flatnonzero(needed.any(axis)) for axis in (1, 0))
    if rows.size:
        box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        pred, truth = pred[box], truth[box]
    return np.ascontiguousarray(pred), np.ascontiguousarray(truth)


def _contour(mask):
    """Slice, row and column of each contour pixel of a stack, in the order of its slices."""
    inside, flat, width = np.zeros(mask.shape, bool), mask.reshape(-1), mask.shape[2]
    # A neighbour is a shift of the whole stack; what comes round at a border is cleared after.
    middle = inside.reshape(-1)[width:-width]
    np.logical_and(flat[: -2 * width], flat[2 * width :], out=middle)
    middle &= flat[width - 1 : -width - 1]
    middle &= flat[width + 1 : flat.size - width + 1]
    for border in (inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]):
        border[:] = False
    on_contour = np.greater(mask, inside, out=inside)
    return np.unravel_index(np.flatnonzero(on_contour), mask.shape)


# --- averages -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """Six measures of many slices.

    units: the names of the U units. values: for each measure an array (U,), nan where a unit is
    left out of the mean. undefined: how many values the equations leave undefined, whatever the
    policy made of them; of: how many values there are. Overlap has one value per unit, distances
    have one value per slice.
    """

    per: str
    empty: str
    units: tuple
    values: dict
    undefined: dict
    of: dict

    @property
    def mean(self):
        """For each measure the mean over the units that count; nan where none does."""
        return {name: _mean(values) for name, values in self.values.items()}

    @property
    def used(self):
        """For each measure how many units its mean is taken over."""
        return {name: int(np.isfinite(values).sum()) for name, values in self.values.items()}


def summarise(pred, truth, spacing=(1.0, 1.0), *, per="slice", lesions=None, empty="undefined"):
    """All six measures, averaged over units, with empty masks treated by a named policy.

    pred, truth, spacing: as for the measures. per: the unit of the mean, one of UNITS.

    - "slice": each slice by itself.
    - "lesion": slices of equal label in `lesions`, (N,). Overlap is pooled over a lesion's slices,
      which is overlap in 3-D; distances are averaged over them. A slice whose label is "", None or
      nan belongs to no lesion and is left out, false positives and all.
    - "pooled": the same, as if all slices were of one lesion.

    empty: what becomes of empty masks, one of EMPTY_POLICIES. Overlap meets it in a unit,
    distances in a slice.

    - "undefined": what an equation leaves undefined is left out of the mean.
    - "perfect": two empty masks agree: overlap 1, distance 0 mm. The rest as "undefined".
    - "penalise": two empty masks agree, and where one alone is empty, overlap that is undefined
      becomes 0 and distances the diagonal of the image.
    - "skip": whatever has an empty truth is left out, false positives and all.

    Returns a `Summary`, which counts what is undefined under every policy. Raises ValueError for
    another unit or policy, or labels that are missing, unasked for, not one per slice, or texts
    and numbers together.
    """
    for name, value, names in (("per", per, UNITS), ("empty", empty, EMPTY_POLICIES)):
        if value not in names:
            raise ValueError(f"{name} must be one of {', '.join(names)}, found {value!r}.")
    pred, truth, _ = _masks(pred, truth)
    spacing = _spacings(spacing, len(pred))
    units, of_unit = _units(per, lesions, len(pred))
    inside = of_unit >= 0
    if not inside.all():
        pred, truth, spacing, of_unit = (a[inside] for a in (pred, truth, spacing, of_unit))

    def pool(values):  # the sum over each unit
        return np.bincount(of_unit, values, len(units))

    areas = _areas(pred, truth)
    values, undefined, of = {}, {}, {}
    whole = [pool(area) for area in areas]
    for name, value in _overlaps(*whole).items():
        undefined[name], of[name] = int(np.isnan(value).sum()), len(value)
        values[name] = _with_policy(empty, value, *whole[1:], 1.0, 0.0)
    diagonal = np.hypot(*((np.array(pred.shape[1:]) - 1) * spacing).T)
    for name, value in _distances(pred, truth, spacing).items():
        undefined[name], of[name] = int(np.isnan(value).sum()), len(value)
        value = _with_policy(empty, value, *areas[1:], 0.0, diagonal)
        known = ~np.isnan(value)
        with np.errstate(invalid="ignore"):
            values[name] = pool(np.where(known, value, 0)) / pool(known)
    return Summary(per, empty, units, values, undefined, of)


def _with_policy(empty, values, pred, truth, perfect, penalty):
    """Values with what the policy puts in the place of some; pred and truth are areas."""
    nothing, undefined = (pred == 0) & (truth == 0), np.isnan(values)
    if empty == "skip":
        return np.where(truth == 0, np.nan, values)
    if empty in ("perfect", "penalise"):
        values = np.where(nothing, perfect, values)
    if empty == "penalise":
        values = np.where(undefined & ~nothing, penalty, values)
    return values


def _units(per, lesions, n):
    """Names of the units, and the number of each slice's unit, -1 for a slice of none."""
    if (per == "lesion") != (lesions is not None):
        found = "none" if lesions is None else f"some for per={per!r}"
        raise ValueError(f'lesions are the labels for per="lesion" alone, found {found}.')
    if per == "slice":
        return tuple(range(n)), np.arange(n)
    if per == "pooled":
        return ("all",), np.zeros(n, int)
    # As objects: beside a text numpy would make the text "nan" of nan, which is no label.
    labels = np.asarray(lesions.tolist() if torch.is_tensor(lesions) else lesions, object)
    if labels.shape != (n,):
        raise ValueError(f"lesions must be one label a slice, ({n},), found {labels.shape}.")
    try:
        known = np.array([v is not None and v == v and v != "" for v in labels], bool)
        names, of_known = np.unique(labels[known], return_inverse=True)
    except TypeError as error:
        raise ValueError(f"lesions must be all texts or all numbers: {error}.") from None
    of_unit = np.full(n, -1)
    of_unit[known] = of_known
    return tuple(names.tolist()), of_unit


def _mean(values):
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


# --- input --------------------------------------------------------------------------------------


def _masks(pred, truth):
    """Both as boolean stacks (N, H, W), and whether they came as a single pair (H, W)."""
    pred, truth = _array("pred", pred), _array("truth", truth)
    if pred.shape != truth.shape:
        raise ValueError(
            f"pred and truth must have one shape, found {pred.shape} and {truth.shape}."
        )
    alone = pred.ndim == 2
    stacks = [mask[None] if alone else mask for mask in (pred, truth)]
    return _on("pred", stacks[0]), _on("truth", stacks[1]), alone


def _array(name, mask):
    if torch.is_tensor(mask):
        mask = mask.detach().cpu()
        mask = (mask.float() if mask.dtype == torch.bfloat16 else mask).numpy()
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3) or 0 in mask.shape[-2:]:
        raise ValueError(f"{name} must be a mask (H, W) or (N, H, W), found {mask.shape}.")
    if mask.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold booleans or 0 and 1, found {mask.dtype}.")
    return mask


def _on(name, mask):
    """Where a stack of 0 and 1 is 1."""
    if mask.dtype == bool:
        return np.ascontiguousarray(mask)
    on = np.empty(mask.shape, bool)
    for start in range(0, len(mask), 16):  # twice as fast as all at once
        part, values = on[start : start + 16], mask[start : start + 16]
        np.equal(values, 1, out=part)
        wrong = part == (values == 0)
        if wrong.any():
            raise ValueError(f"{name} must be 0 or 1 everywhere, found {values[wrong][0]}.")
    return on


def _spacings(spacing, n):
    """Millimetres of a row and of a column for each slice, (N, 2)."""
    if torch.is_tensor(spacing):
        spacing = spacing.detach().cpu().numpy()
    values = np.asarray(spacing, dtype=float)
    if values.shape not in ((2,), (n, 2)):
        raise ValueError(
            "spacing must be (row_mm, column_mm), or one such pair a slice, found the shape "
            f"{values.shape}."
        )
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"spacing must be positive millimetres, found {values.tolist()}.")
    return np.broadcast_to(values, (n, 2))
