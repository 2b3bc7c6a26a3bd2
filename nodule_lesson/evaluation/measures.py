"""Measures of a segmentation, in slices and in volumes, and their averages.

The first six are the paper's, Eqs. (8)-(13). TP, FP and FN are the numbers of true positive, false
positive and false negative pixels; X and Y are the contours of the two masks:

    (8)  precision    TP / (TP + FP)              (10) Dice  2 TP / (2 TP + FP + FN)
    (9)  sensitivity  TP / (TP + FN)              (11) IoU   TP / (TP + FP + FN)
    (12) HD = max{ max_x d(x, Y), max_y d(y, X) }
    (13) ASSD = (sum_x d(x, Y) + sum_y d(y, X)) / (|X| + |Y|)

The other two are

    HD95 = max{ 95th percentile of d(x, Y), 95th percentile of d(y, X) }
    surface Dice = (|{x: d(x, Y) <= tolerance}| + |{y: d(y, X) <= tolerance}|) / (|X| + |Y|)

The contour of a mask consists of its pixels with at least one of four neighbours in the
background; outside the image is background. In a volume they are voxels with one of six neighbours
in the background, and the contour is a surface. Distances are measured between the centres of
pixels or voxels, in mm. Where an equation is undefined (0/0, a distance to an empty set) the value
is nan. Nothing is within the tolerance of an empty set, so surface Dice is 0 if one mask is empty,
as Dice is, and nan if both are.

All functions take numpy arrays or torch tensors, boolean or 0 and 1 of any type. What a mask is,
the number of spacings says, or `dimensions` where there are none:

- two, the default: a slice (H, W), which gives a float, or a stack (N, H, W), which gives an array
  (N,);
- three: a volume (D, H, W), which gives a float, or a stack (N, D, H, W), which gives (N,).

They raise ValueError for other shapes, shapes that differ, masks that are not binary, and spacings
that are not positive.

Other libraries: MONAI computes the same on the same contours, but for empty masks; what
DeepMind's `surface-distance` and SimpleITK call by the same names is something else. The page *How
distances are computed* compares them.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

#: The names of the paper's overlaps, Eqs. (8) to (11).
OVERLAPS = ("precision", "sensitivity", "dice", "iou")
#: The names of the paper's distances, Eqs. (12) and (13).
DISTANCES = ("hausdorff_distance", "assd")
#: The units over which `summarise` averages.
UNITS = ("slice", "lesion", "pooled")
#: What `summarise` can do with empty masks.
EMPTY_POLICIES = ("undefined", "perfect", "penalise", "skip")

# --- overlap ------------------------------------------------------------------------------------


def precision(pred, truth, dimensions=2):
    """TP / (TP + FP), the paper's Eq. (8); nan if nothing is marked.

    - pred, truth: what was marked, and the truth: masks of one shape.
    - dimensions: 2 for slices, 3 for volumes. A stack of slices gives a value for each of them, a
      volume of the same shape gives one.

    For example

        >>> precision([[1, 1, 0, 0]], [[0, 1, 1, 1]])
        0.5
    """
    return _overlap("precision", pred, truth, dimensions)


def sensitivity(pred, truth, dimensions=2):
    """TP / (TP + FN), the paper's Eq. (9); nan if the truth is empty.

    - pred, truth, dimensions: as in `precision`.

    For example

        >>> sensitivity([[1, 1, 0, 0]], [[0, 1, 1, 1]])
        0.3333333333333333
    """
    return _overlap("sensitivity", pred, truth, dimensions)


def dice(pred, truth, dimensions=2):
    """2 TP / (2 TP + FP + FN), the paper's Eq. (10); nan if both masks are empty.

    - pred, truth, dimensions: as in `precision`. With three dimensions it is volumetric Dice.

    For example, two slices and the volume that they make:

        >>> pred, truth = [[[1, 1, 0]], [[0, 0, 0]]], [[[0, 1, 0]], [[0, 1, 0]]]
        >>> dice(pred, truth)
        array([0.66666667, 0.        ])
        >>> dice(pred, truth, dimensions=3)
        0.5
    """
    return _overlap("dice", pred, truth, dimensions)


def iou(pred, truth, dimensions=2):
    """TP / (TP + FP + FN), the paper's Eq. (11); nan if both masks are empty.

    - pred, truth, dimensions: as in `precision`.

    For example

        >>> iou([[1, 1, 0, 0]], [[0, 1, 1, 1]])
        0.25
    """
    return _overlap("iou", pred, truth, dimensions)


def _overlap(name, pred, truth, dimensions):
    if dimensions not in (2, 3):
        raise ValueError(f"dimensions must be 2 or 3, found {dimensions!r}.")
    pred, truth, single = _masks(pred, truth, dimensions)
    values = _overlaps(*_areas(pred, truth))[name]
    return float(values[0]) if single else values


def _areas(pred, truth):
    """The pixels of each pair in both masks, in the prediction, and in the truth: (3, N)."""
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


def hausdorff_distance(pred, truth, spacing=(1.0, 1.0), percentile=100.0):
    """The paper's Eq. (12): the largest distance from a contour pixel of one mask to the other's.

    - pred, truth: masks of one shape.
    - spacing: (row_mm, column_mm) for slices, (slice_mm, row_mm, column_mm) for volumes, or one
      such row for each mask of a stack, (N, 2) or (N, 3). With the default, distances are in
      pixels.
    - percentile: of the distances in each of the two directions, above 0 and at most 100; the
      larger one of the two counts. 95 makes HD95. Between two distances it is interpolated, as in
      `numpy.percentile`.

    Returns mm; nan if a mask is empty. For example, the distance of two points in a slice, and in
    a volume of the same shape as a stack of such slices:

        >>> hausdorff_distance([[1, 0, 0, 0]], [[0, 0, 0, 1]], (0.7, 0.5))
        1.5
        >>> hausdorff_distance([[[1]], [[0]]], [[[0]], [[1]]], (2.5, 0.7, 0.7))
        2.5
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, found {percentile!r}.")
    return _of_distances(_hausdorff, pred, truth, spacing, percentile)


def assd(pred, truth, spacing=(1.0, 1.0)):
    """The paper's Eq. (13): the mean distance from each contour pixel to the other mask's contour.

    It is one mean over the pixels of both contours, so a longer contour counts more.

    - pred, truth, spacing: as in `hausdorff_distance`.

    Returns mm; nan if a mask is empty. For example

        >>> assd([[1, 0, 0, 0]], [[1, 0, 0, 1]], (0.7, 0.5))
        0.5
    """
    return _of_distances(_mean_distance, pred, truth, spacing)


def surface_dice(pred, truth, spacing=(1.0, 1.0), *, tolerance):
    """The share of the pixels of both contours that are within a tolerance of the other contour.

    Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for radiotherapy",
    J. Med. Internet Res. 2021, with each contour pixel counted once.

    - pred, truth, spacing: as in `hausdorff_distance`.
    - tolerance: mm, at least 0. A distance that is equal to it, but for rounding, is within it.

    Returns a share; 0 if one mask is empty, nan if both are. For example

        >>> surface_dice([[1, 0, 0, 0]], [[1, 0, 0, 1]], (0.7, 0.5), tolerance=1.0)
        0.6666666666666666
    """
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"tolerance must be a number of mm, at least 0, found {tolerance!r}.")
    return _of_distances(_within, pred, truth, spacing, tolerance)


def by_class(pred, truth, spacing=(1.0, 1.0), *, classes=None, tolerance=None):
    """Each measure of each class of two label maps: {class: {measure: value}}.

    - pred, truth: label maps of one shape, of whole numbers; 0 is the background.
    - spacing: as in `hausdorff_distance`; it says whether they are slices or volumes.
    - classes: the labels to measure; without them, all that occur in either map but 0.
    - tolerance: mm, of `surface_dice`, which is left out without it.

    Measures are named as their functions; "hausdorff_distance_95" is HD95. Where the labels of a
    volume number lesions, these are measures by lesion, in 3-D. Raises ValueError as the measures
    do, and for labels that are no whole numbers. For example

        >>> found = by_class([[1, 1, 0, 2]], [[1, 0, 0, 2]])
        >>> [(label, values["dice"]) for label, values in found.items()]
        [(1, 0.6666666666666666), (2, 1.0)]
    """
    pred, truth = _labels("pred", pred), _labels("truth", truth)
    if classes is None:
        classes = np.union1d(pred[pred != 0], truth[truth != 0]).tolist()
    return {
        label: _each_measure(pred == label, truth == label, spacing, tolerance)
        for label in classes
    }


def _each_measure(pred, truth, spacing, tolerance):
    pred, truth, spacing, single = _stacks(pred, truth, spacing)
    nearest = _nearest(pred, truth, spacing)
    values = {
        **_overlaps(*_areas(pred, truth)),
        "hausdorff_distance": _hausdorff(*nearest),
        "hausdorff_distance_95": _hausdorff(*nearest, 95),
        "assd": _mean_distance(*nearest),
    }
    if tolerance is not None:
        values["surface_dice"] = _within(*nearest, tolerance)
    return {name: float(value[0]) if single else value for name, value in values.items()}


def _of_distances(measure, pred, truth, spacing, *options):
    pred, truth, spacing, single = _stacks(pred, truth, spacing)
    values = measure(*_nearest(pred, truth, spacing), *options)
    return float(values[0]) if single else values


# What follows takes the distances of both contours of n pairs of masks, as `_nearest` gives them.


def _hausdorff(there, back, n, percentile=100):
    worst = np.zeros(n)
    for index, distance in (there, back):
        if percentile == 100:
            with np.errstate(invalid="ignore"):  # nan, where the other mask is empty
                np.maximum.at(worst, index, distance)
        else:
            count = np.bincount(index, minlength=n)
            first, some = np.cumsum(count) - count, count > 0
            ordered = distance[np.lexsort((distance, index))]
            place = (count[some] - 1) * (percentile / 100)
            low, high = (ordered[first[some] + f(place).astype(int)] for f in (np.floor, np.ceil))
            worst[some] = np.maximum(worst[some], low + (high - low) * (place % 1))
    worst[np.logical_or(*(np.bincount(i, minlength=n) == 0 for i, _ in (there, back)))] = np.nan
    return worst


def _mean_distance(there, back, n):
    total = np.zeros(n)
    for index, distance in (there, back):
        total += np.bincount(index, distance, n)
    with np.errstate(invalid="ignore"):  # two empty masks give nan
        return total / sum(np.bincount(index, minlength=n) for index, _ in (there, back))


def _within(there, back, n, tolerance):
    within, of = np.zeros((2, n))
    for index, distance in (there, back):
        # A distance that is equal to the tolerance may be larger in its last digits.
        within += np.bincount(index, distance <= tolerance * (1 + 1e-6), n)
        of += np.bincount(index, minlength=n)
    with np.errstate(invalid="ignore"):  # two empty masks give nan
        return within / of


_CHUNK = 128  # slices that are processed at a time, so that they stay in the processor's cache
# With more pairs of points, two distance transforms of 128 x 128 pixels are faster.
_MAX_PAIRS = 2**20


def _nearest(pred, truth, spacing):
    """The distances of a stack of n pairs: (of pred's contours, of truth's contours, n).

    Each contour pixel is a pair in two arrays: the index of its mask, and its distance in mm to
    the nearest pixel of the other contour, nan if there is none.
    """
    n, dimensions = spacing.shape
    # Volumes are cropped one by one.
    size, distances = (_CHUNK, _in_slices) if dimensions == 2 else (1, _in_volume)
    sides = [[(np.zeros(0, int), np.zeros(0))] for _ in range(2)]
    for start in range(0, n, size):
        chunk = slice(start, start + size)
        masks = _cropped(pred[chunk], truth[chunk])
        contours = [_contour(mask) for mask in masks]
        found = distances(contours, spacing[chunk], masks[0].shape[1:])
        for side, contour, distance in zip(sides, contours, found, strict=True):
            side.append((start + contour[0], distance))
    there, back = ([np.concatenate(a) for a in zip(*side, strict=True)] for side in sides)
    return there, back, n


def _in_slices(contours, spacing, shape):
    row_mm, column_mm = spacing.T
    counts = [np.bincount(index, minlength=len(spacing)) for index, _, _ in contours]
    squares = _squares(contours, counts, row_mm / column_mm, shape)
    return [
        np.sqrt(square) * column_mm[index]
        for (index, _, _), square in zip(contours, squares, strict=True)
    ]


def _in_volume(contours, spacing, shape):
    points, others = (np.stack(contour[1:], 1) * spacing[0] for contour in contours)
    if not (len(points) and len(others)):
        return [np.full(len(points), np.nan), np.full(len(others), np.nan)]
    # Points of a grid need no balanced tree, which takes longer to build.
    trees = [KDTree(place, balanced_tree=False) for place in (points, others)]
    return [trees[1].query(points)[0], trees[0].query(others)[0]]


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
    """Both stacks without the outer planes that are background in all masks."""
    needed = (pred | truth).any(0)
    box = [slice(None)]
    for axis in range(needed.ndim):
        others = tuple(other for other in range(needed.ndim) if other != axis)
        planes = np.flatnonzero(needed.any(others))
        if planes.size:
            box.append(slice(planes[0], planes[-1] + 1))
            needed = needed[(slice(None),) * axis + (box[-1],)]
    return [np.ascontiguousarray(mask[tuple(box)]) for mask in (pred, truth)]


def _contour(mask):
    """Index, row and column of each contour pixel of a stack, in the order of its masks.

    In volumes there are four numbers: index, slice, row and column.
    """
    inside, flat = np.zeros(mask.shape, bool), mask.reshape(-1)
    # Shifts of the flat stack give the neighbours; at the borders these are wrong, and cleared.
    shifts = [math.prod(mask.shape[axis + 1 :]) for axis in range(1, mask.ndim)]
    far, end = shifts[0], flat.size - shifts[0]
    middle = inside.reshape(-1)[far:-far]
    np.logical_and(flat[: -2 * far], flat[2 * far :], out=middle)
    for shift in shifts[1:]:
        middle &= flat[far - shift : -far - shift]
        middle &= flat[far + shift : end + shift]
    for axis in range(1, mask.ndim):
        for border in (0, -1):
            inside[(slice(None),) * axis + (border,)] = False
    on_contour = np.greater(mask, inside, out=inside)
    return np.unravel_index(np.flatnonzero(on_contour), mask.shape)


# --- averages -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """Six measures of many slices.

    - units: the names of the U units.
    - values: for each measure an array (U,), nan where a unit is left out of the mean.
    - undefined: how many values are undefined by the equations, under any policy.
    - of: how many values there are. Overlaps have one value per unit, distances have one value per
      slice, and one per lesion in 3-D.
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
    """The paper's six measures, averaged over units, with empty masks treated by a named policy.

    - pred, truth: slices, (H, W) or (N, H, W).
    - spacing: (row_mm, column_mm), or one such pair per slice. With three numbers, (slice_mm,
      row_mm, column_mm), the slices of each lesion are a volume; see `per`.
    - per: the unit of the mean, one of UNITS, see below.
    - lesions: the label of each slice, (N,), for per="lesion" alone.
    - empty: how empty masks are treated, one of EMPTY_POLICIES, see below.

    Units:

    - "slice": each slice.
    - "lesion": slices with the same label in `lesions`. Overlap is pooled over a lesion's slices,
      which is overlap in 3-D. Distances are those in each slice, averaged over the slices. With
      three spacings they are 3-D: the slices of a lesion, in the given order and each slice_mm
      from the next, are one volume. A slice whose label is "", None or nan belongs to no lesion
      and is left out, with its false positives.
    - "pooled": as "lesion", with all slices as one lesion.

    Policies, which apply to units for overlap, to slices for distances, and to lesions for
    distances in 3-D:

    - "undefined": undefined values are left out of the mean.
    - "perfect": two empty masks agree: overlap 1, distance 0 mm. Otherwise as "undefined".
    - "penalise": two empty masks agree. If only one is empty, undefined overlap becomes 0 and
      distances become the diagonal of the image, or of the volume.
    - "skip": units or slices with an empty truth are left out, with their false positives.

    Returns a `Summary`, which counts the undefined values under every policy. Raises ValueError
    for an unknown unit or policy, for labels that are missing, not needed, not one per slice, or
    mixed texts and numbers, and for three spacings without lesions, or that differ within one. For
    example

        >>> pred, truth = [[[1, 1, 0]], [[0, 0, 0]]], [[[0, 1, 0]], [[0, 1, 0]]]
        >>> summarise(pred, truth).mean["dice"]
        0.3333333333333333
        >>> summarise(pred, truth, per="lesion", lesions=["a", "a"]).mean["dice"]
        0.5
    """
    for name, value, names in (("per", per, UNITS), ("empty", empty, EMPTY_POLICIES)):
        if value not in names:
            raise ValueError(f"{name} must be one of {', '.join(names)}, found {value!r}.")
    spacing = _checked_spacing(spacing)
    volumes = spacing.shape[-1] == 3
    if volumes and per != "lesion":
        raise ValueError(
            f'spacing of three numbers makes volumes of lesions, for per="lesion"; found {per!r}.'
        )
    pred, truth, _ = _masks(pred, truth)
    spacing = _per_mask(spacing, len(pred))
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
    if volumes:
        distances, diagonal = _distances_of_lesions(pred, truth, spacing, units, of_unit)
        areas, of_unit = whole, np.arange(len(units))  # one value per lesion
    else:
        distances, diagonal = _distances(pred, truth, spacing), _diagonal(pred.shape[1:], spacing)
    for name, value in distances.items():
        undefined[name], of[name] = int(np.isnan(value).sum()), len(value)
        value = _with_policy(empty, value, *areas[1:], 0.0, diagonal)
        known = ~np.isnan(value)
        with np.errstate(invalid="ignore"):
            values[name] = pool(np.where(known, value, 0)) / pool(known)
    return Summary(per, empty, units, values, undefined, of)


def _distances(pred, truth, spacing):
    """HD and ASSD of each pair of a stack; both come from the same distances."""
    nearest = _nearest(pred, truth, spacing)
    return {"hausdorff_distance": _hausdorff(*nearest), "assd": _mean_distance(*nearest)}


def _distances_of_lesions(pred, truth, spacing, units, of_unit):
    """HD and ASSD of each lesion as a volume of its slices, and the diagonals of the volumes."""
    found = {name: np.empty(len(units)) for name in DISTANCES}
    diagonal = np.empty(len(units))
    for unit, lesion in enumerate(units):
        mine = of_unit == unit
        if (spacing[mine] != spacing[mine][0]).any():
            raise ValueError(f"spacing must be one for all slices of lesion {lesion!r}.")
        volumes, size = [mask[None, mine] for mask in (pred, truth)], spacing[mine][:1]
        for name, value in _distances(*volumes, size).items():
            found[name][unit] = value[0]
        diagonal[unit] = _diagonal(volumes[0].shape[1:], size)[0]
    return found, diagonal


def _diagonal(shape, spacing):
    """The distance in mm between the centres of opposite corners, one per mask."""
    return functools.reduce(np.hypot, ((np.array(shape) - 1) * spacing).T)


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


def _stacks(pred, truth, spacing):
    """Both masks as boolean stacks, the spacing of each, and whether they are a single pair."""
    spacing = _checked_spacing(spacing)
    pred, truth, single = _masks(pred, truth, spacing.shape[-1])
    return pred, truth, _per_mask(spacing, len(pred)), single


_SHAPES = {2: "(H, W) or (N, H, W)", 3: "(D, H, W) or (N, D, H, W)"}


def _masks(pred, truth, dimensions=2):
    """Both masks as boolean stacks, and whether they are a single pair."""
    pred, truth = _array("pred", pred, dimensions), _array("truth", truth, dimensions)
    if pred.shape != truth.shape:
        raise ValueError(
            f"pred and truth must have one shape, found {pred.shape} and {truth.shape}."
        )
    single = pred.ndim == dimensions
    stacks = [mask[None] if single else mask for mask in (pred, truth)]
    return _on("pred", stacks[0]), _on("truth", stacks[1]), single


def _array(name, mask, dimensions):
    mask = _numpy(mask)
    if mask.ndim not in (dimensions, dimensions + 1) or 0 in mask.shape[-dimensions:]:
        raise ValueError(f"{name} must be a mask {_SHAPES[dimensions]}, found {mask.shape}.")
    if mask.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold booleans or 0 and 1, found {mask.dtype}.")
    return mask


def _labels(name, labels):
    labels = _numpy(labels)
    if labels.dtype.kind not in "bui":
        raise ValueError(f"{name} must hold labels, whole numbers, found {labels.dtype}.")
    return labels


def _numpy(array):
    if torch.is_tensor(array):
        array = array.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    return np.asarray(array)


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


def _checked_spacing(spacing):
    """Positive millimetres, two or three numbers, or rows of them."""
    values = np.asarray(_numpy(spacing), dtype=float)
    if values.ndim not in (1, 2) or values.shape[-1] not in (2, 3):
        raise ValueError(f"{_WANTED_SPACING}, found the shape {values.shape}.")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"spacing must be positive millimetres, found {values.tolist()}.")
    return values


def _per_mask(spacing, n):
    """The spacing of each of n masks, (n, 2) or (n, 3)."""
    if spacing.ndim == 2 and len(spacing) != n:
        raise ValueError(f"{_WANTED_SPACING}, of which there are {n}, found {spacing.shape}.")
    return np.broadcast_to(spacing, (n, spacing.shape[-1]))


_WANTED_SPACING = (
    "spacing must be (row_mm, column_mm), (slice_mm, row_mm, column_mm), or one such row per mask"
)
