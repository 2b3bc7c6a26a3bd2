"""The six measures of a segmentation in the paper, Eqs. (8)-(13), and their averages.

TP, FP and FN are the numbers of true positive, false positive and false negative pixels; X and Y
are the contours of the two masks:

    (8)  precision    TP / (TP + FP)              (10) Dice  2 TP / (2 TP + FP + FN)
    (9)  sensitivity  TP / (TP + FN)              (11) IoU   TP / (TP + FP + FN)
    (12) HD = max{ max_x d(x, Y), max_y d(y, X) }
    (13) ASSD = (sum_x d(x, Y) + sum_y d(y, X)) / (|X| + |Y|)

The contour of a mask consists of its pixels with at least one of four neighbours in the
background; outside the image is background. Distances are measured between pixel centres, in mm.
Where an equation is undefined (0/0, a distance to an empty set) the value is nan.

All functions take numpy arrays or torch tensors, boolean or 0 and 1 of any type: one pair (H, W),
which gives a float, or stacks (N, H, W), which give an array (N,). They raise ValueError for other
shapes, shapes that differ, masks that are not binary, and spacings that are not positive.

Other libraries: MONAI's HausdorffDistanceMetric and SurfaceDistanceMetric(symmetric=True) compute
Eqs. (12) and (13) on the same contour. For two empty masks they return nan, for one empty mask
inf, which then enters the mean, and for a mean over only nan 0. MONAI's surface Dice with a
spacing and DeepMind's `surface-distance` differ: they put points between the pixels and weight
them by length. SimpleITK's HausdorffDistanceImageFilter measures between all pixels of the masks:
the result is larger than Eq. (12) where one mask fills a hole of the other, and smaller where a
contour runs inside the other mask. On images of the contours it equals Eq. (12). Its average is
the mean of the two directed means, in which a short contour counts as much as a long one: it is
not Eq. (13).
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
    """TP / (TP + FP), the paper's Eq. (8); nan if nothing is marked."""
    return _overlap("precision", pred, truth)


def sensitivity(pred, truth):
    """TP / (TP + FN), the paper's Eq. (9); nan if the truth is empty."""
    return _overlap("sensitivity", pred, truth)


def dice(pred, truth):
    """2 TP / (2 TP + FP + FN), the paper's Eq. (10); nan if both masks are empty."""
    return _overlap("dice", pred, truth)


def iou(pred, truth):
    """TP / (TP + FP + FN), the paper's Eq. (11); nan if both masks are empty."""
    return _overlap("iou", pred, truth)


def _overlap(name, pred, truth):
    pred, truth, single = _masks(pred, truth)
    values = _overlaps(*_areas(pred, truth))[name]
    return float(values[0]) if single else values


def _areas(pred, truth):
    """The pixels of each slice in both masks, in the prediction, and in the truth: (3, N)."""
    count = np.count_nonzero  # much faster for a slice than along the axes of a stack
    areas = [(count(p & t), count(p), count(t)) for p, t in zip(pred, truth, strict=True)]
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

    spacing: (row_mm, column_mm), or one such pair per slice, (N, 2); with the default, distances
    are in pixels. Returns mm; nan if a mask is empty.
    """
    pred, truth, single = _masks(pred, truth)
    values = _distances(pred, truth, _spacings(spacing, len(pred)))["hausdorff_distance"]
    return float(values[0]) if single else values


def assd(pred, truth, spacing=(1.0, 1.0)):
    """The paper's Eq. (13): the mean distance from each contour pixel to the other mask's contour.

    It is one mean over the pixels of both contours, so a longer contour counts more. spacing and
    nan: as in `hausdorff_distance`.
    """
    pred, truth, single = _masks(pred, truth)
    values = _distances(pred, truth, _spacings(spacing, len(pred)))["assd"]
    return float(values[0]) if single else values


_CHUNK = 128  # slices that are processed at a time, so that they stay in the processor's cache
# With more pairs of points, two distance transforms of 128 x 128 pixels are faster.
_MAX_PAIRS = 2**20


def _distances(pred, truth, spacing):
    """HD and ASSD of each pair of a stack; both come from the same distances."""
    hd, mean = np.empty((2, len(pred)))
    for start in range(0, len(pred), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        hd[chunk], mean[chunk] = _distances_of_chunk(pred[chunk], truth[chunk], spacing[chunk])
    return {"hausdorff_distance": hd, "assd": mean}


def _distances_of_chunk(pred, truth, spacing):
    n, (row_mm, column_mm) = len(pred), spacing.T
    masks = _cropped(pred, truth)
    contours = [_contour(mask) for mask in masks]
    counts = [np.bincount(index, minlength=n) for index, _, _ in contours]
    squares = _squares(contours, counts, row_mm / column_mm, masks[0].shape[1:])
    hd, total = np.zeros((2, n))
    with np.errstate(invalid="ignore"):  # a slice with an empty mask gives nan
        for (index, _, _), square in zip(contours, squares, strict=True):
            distance = np.sqrt(square) * column_mm[index]
            np.maximum.at(hd, index, distance)
            total += np.bincount(index, distance, n)
        hd[(counts[0] == 0) | (counts[1] == 0)] = np.nan
        return hd, total / (counts[0] + counts[1])


def _squares(contours, counts, ratio, shape):
    """The squared distance of each contour pixel to the other contour of its slice, or nan.

    The unit of length is the width of a column; a row has the height `ratio`. Since
    |p - q|^2 = |p|^2 - 2 p.q + |q|^2, one product of two thin matrices gives the distances of all
    pairs of pixels in a slice.
    """
    # Square pixels have integer coordinates, whose squares are exact in float32.
    exact = (ratio == 1).all() and shape[0] ** 2 + shape[1] ** 2 <= 2**23
    dtype = np.float32 if exact else np.float64
    (y, x), (v, w) = [
        np.array((rows * ratio[index], columns), dtype) for index, rows, columns in contours
    ]
    left = np.stack([y, x, y * y + x * x, np.ones_like(y)], 1)
    right = np.stack([-2 * v, -2 * w, np.ones_like(v), v * v + w * w], 1)
    squares = [np.full(len(y), np.nan), np.full(len(v), np.nan)]
    ends = [np.concatenate([[0], np.cumsum(count)]).tolist() for count in counts]
    for i in range(len(ratio)):
        p, q = (slice(end[i], end[i + 1]) for end in ends)
        n_pairs = (p.stop - p.start) * (q.stop - q.start)
        if n_pairs > _MAX_PAIRS:
            pred, truth = [(c[1][s], c[2][s]) for c, s in zip(contours, (p, q), strict=True)]
            squares[0][p] = _squares_by_transform(pred, truth, shape, ratio[i])
            squares[1][q] = _squares_by_transform(truth, pred, shape, ratio[i])
        elif n_pairs:
            pairs = left[p] @ right[q].T
            squares[0][p], squares[1][q] = pairs.min(1), pairs.min(0)
    for (index, _, _), square in zip(contours, squares, strict=True):
        # A pixel in both contours has the distance 0; this removes rounding errors.
        square[square < np.minimum(ratio, 1)[index] ** 2 / 4] = 0
    return squares


def _squares_by_transform(points, targets, shape, ratio):
    elsewhere = np.ones(shape, bool)
    elsewhere[targets] = False
    return distance_transform_edt(elsewhere, sampling=(ratio, 1))[points] ** 2


def _cropped(pred, truth):
    """Both stacks without the rows and columns that are background in all masks."""
    needed = (pred | truth).any(0)
    rows, columns = (np.flatnonzero(needed.any(axis)) for axis in (1, 0))
    if rows.size:
        box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        pred, truth = pred[box], truth[box]
    return np.ascontiguousarray(pred), np.ascontiguousarray(truth)


def _contour(mask):
    """Slice, row and column of each contour pixel of a stack, in the order of its slices."""
    inside, flat, width = np.zeros(mask.shape, bool), mask.reshape(-1), mask.shape[2]
    # Shifts of the flat stack give the neighbours; at the borders these are wrong, and cleared.
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
    left out of the mean. undefined: how many values are undefined by the equations, under any
    policy. of: how many values there are. Overlaps have one value per unit, distances have one
    value per slice.
    """

    per: str
    empty: str
    units: tuple
    values: dict
    undefined: dict
    of: dict

    @property
    def mean(self):
        """For each measure the mean over the units that count; nan if none does."""
        return {name: _mean(values) for name, values in self.values.items()}

    @property
    def used(self):
        """For each measure the number of units in its mean."""
        return {name: int(np.isfinite(values).sum()) for name, values in self.values.items()}


def summarise(pred, truth, spacing=(1.0, 1.0), *, per="slice", lesions=None, empty="undefined"):
    """All six measures, averaged over units, with empty masks treated by a named policy.

    pred, truth, spacing: as for the measures. per: the unit of the mean, one of UNITS.

    - "slice": each slice.
    - "lesion": slices with the same label in `lesions`, (N,). Overlap is pooled over a lesion's
      slices, which is overlap in 3-D; distances are averaged over them. A slice whose label is "",
      None or nan belongs to no lesion and is left out, with its false positives.
    - "pooled": as "lesion", with all slices as one lesion.

    empty: how empty masks are treated, one of EMPTY_POLICIES; it applies to units for overlap, to
    slices for distances.

    - "undefined": undefined values are left out of the mean.
    - "perfect": two empty masks agree: overlap 1, distance 0 mm. Otherwise as "undefined".
    - "penalise": two empty masks agree. If only one is empty, undefined overlap becomes 0 and
      distances become the diagonal of the image.
    - "skip": units or slices with an empty truth are left out, with their false positives.

    Returns a `Summary`, which counts the undefined values under every policy. Raises ValueError
    for an unknown unit or policy, and for labels that are missing, not needed, not one per slice,
    or mixed texts and numbers.
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
    """The values under a policy for empty masks; pred and truth are areas."""
    both_empty, undefined = (pred == 0) & (truth == 0), np.isnan(values)
    if empty == "skip":
        return np.where(truth == 0, np.nan, values)
    if empty in ("perfect", "penalise"):
        values = np.where(both_empty, perfect, values)
    if empty == "penalise":
        values = np.where(undefined & ~both_empty, penalty, values)
    return values


def _units(per, lesions, n):
    """Names of the units, and the index of each slice's unit, -1 for a slice of no unit."""
    if (per == "lesion") != (lesions is not None):
        found = "none" if lesions is None else f"some for per={per!r}"
        raise ValueError(f'lesions are the labels for per="lesion" alone, found {found}.')
    if per == "slice":
        return tuple(range(n)), np.arange(n)
    if per == "pooled":
        return ("all",), np.zeros(n, int)
    # As objects, since numpy would convert nan beside a text to the text "nan".
    labels = np.asarray(lesions.tolist() if torch.is_tensor(lesions) else lesions, object)
    if labels.shape != (n,):
        raise ValueError(f"lesions must be one label per slice, ({n},), found {labels.shape}.")
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
    """Both masks as boolean stacks (N, H, W), and whether they are a single pair (H, W)."""
    pred, truth = _array("pred", pred), _array("truth", truth)
    if pred.shape != truth.shape:
        raise ValueError(
            f"pred and truth must have one shape, found {pred.shape} and {truth.shape}."
        )
    single = pred.ndim == 2
    stacks = [mask[None] if single else mask for mask in (pred, truth)]
    return _on("pred", stacks[0]), _on("truth", stacks[1]), single


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
    """A boolean stack, True where a stack of 0 and 1 is 1."""
    if mask.dtype == bool:
        return np.ascontiguousarray(mask)
    on = np.empty(mask.shape, bool)
    for start in range(0, len(mask), 16):  # twice as fast as all at once
        chunk, values = on[start : start + 16], mask[start : start + 16]
        np.equal(values, 1, out=chunk)
        wrong = chunk == (values == 0)
        if wrong.any():
            raise ValueError(f"{name} must be 0 or 1 everywhere, found {values[wrong][0]}.")
    return on


def _spacings(spacing, n):
    """Millimetres per row and per column for each slice, (N, 2)."""
    if torch.is_tensor(spacing):
        spacing = spacing.detach().cpu().numpy()
    values = np.asarray(spacing, dtype=float)
    if values.shape not in ((2,), (n, 2)):
        raise ValueError(
            "spacing must be (row_mm, column_mm), or one such pair per slice, found the shape "
            f"{values.shape}."
        )
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"spacing must be positive millimetres, found {values.tolist()}.")
    return np.broadcast_to(values, (n, 2))
