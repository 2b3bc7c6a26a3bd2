"""Exercises of the chapter *On real scans*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _scan():
    """A point, and the origin, spacing and direction of a scan that is turned and mirrored."""
    world, origin = np.array([-31.5, 44.25, 120.0]), np.array([96.0, 141.0, -55.0])
    cosine, sine = np.cos(0.4), np.sin(0.4)
    direction = np.array([[-cosine, -sine, 0], [-sine, cosine, 0], [0, 0, 1.0]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
    return world, origin, np.array([0.7, 0.8, 2.5]), direction @ tilt


def _index(world, origin, spacing, direction):
    return direction.T @ (world - origin) / spacing


# to_index(world, origin, spacing, direction) -> the index (column, row, slice), not rounded.
# world, origin and spacing are arrays (3,) in mm, direction is (3, 3): its columns are the unit
# vectors of the axes.
voxel_of_point = Exercise(
    ask=_scan(),
    right=_index,
    mistakes={
        "the direction is ignored: that holds for scans whose axes are those of the patient.":
            lambda w, o, s, d: (w - o) / s,
        "the direction is ignored, and abs() hides it: that rescues mirrored axes, not "
        "turned ones, and no point outside the volume.": lambda w, o, s, d: np.abs(w - o) / s,
        "the direction is the wrong way round: its columns are the axes, so a point is "
        "measured along them by the transposed matrix.": lambda w, o, s, d: d @ (w - o) / s,
        "only the diagonal of the direction is used: that holds for mirrored axes, not for "
        "turned ones.": lambda w, o, s, d: np.diag(d) * (w - o) / s,
        "* multiplies number by number; the product of a matrix and a vector is written @.":
            lambda w, o, s, d: d.T * (w - o) / s,
        "divided by the spacing too early: spacing belongs to the scan's axes, so turn first.":
            lambda w, o, s, d: d.T @ ((w - o) / s),
        "divided by the spacing too early, and the direction is the wrong way round.":
            lambda w, o, s, d: d @ ((w - o) / s),
        "the order of the axes is reversed: (column, row, slice) is wanted; arrays have "
        "(slice, row, column).": lambda w, o, s, d: _index(w, o, s, d)[::-1],
        "the origin is missing: it is where voxel (0, 0, 0) is.": lambda w, o, s, d: d.T @ w / s,
        "the origin is taken away after turning: turn the difference.":
            lambda w, o, s, d: (d.T @ w - o) / s,
        "the spacing is missing: those are millimetres.": lambda w, o, s, d: d.T @ (w - o),
        "multiplied by the spacing: that is the way from voxels.":
            lambda w, o, s, d: d.T @ (w - o) * s,
        "the sign is off: world - origin.": lambda w, o, s, d: _index(o, w, s, d),
        "this is rounded; leave the fractions.": (
            lambda *scan: np.rint(_index(*scan)),
            lambda *scan: np.floor(_index(*scan)),
            lambda *scan: np.trunc(_index(*scan)),
        ),
    },
)  # fmt: skip


def _outlines():
    """An inclusion and its outline's points, then a hole and its: two rectangles."""
    rows, columns = np.mgrid[:18, :18]
    parts = []
    for area in (
        (np.abs(columns - 9) <= 7) & (np.abs(rows - 6) <= 5),
        (np.abs(columns - 8) <= 2) & (np.abs(rows - 5) <= 1),
    ):
        padded = np.pad(area, 1)
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        # As the even-odd rule has it, left and upper edges are inside, right and lower ones not.
        filled = area & (columns < columns[area].max()) & (rows < rows[area].max())
        parts += [filled, np.argwhere(area & ~inner)[:, ::-1]]
    return tuple(parts)


def _drawn(points):
    """The pixels of an outline, as a mask."""
    mask = np.zeros((18, 18), bool)
    mask[points[:, 1], points[:, 0]] = True
    return mask


def _nodule(filled, points, hole, hole_points):
    return filled & ~_drawn(points) & ~hole & ~_drawn(hole_points)


def _whole_rows(filled, points, hole, hole_points):
    mask = filled & ~hole
    mask[points] = False
    mask[hole_points] = False
    return mask


# nodule(filled, points, hole, hole_points) -> bool, the pixels that one reader means. filled,
# hole: bool (rows, columns), the pixels inside an inclusion and an exclusion, some of their
# outlines' pixels among them. points, hole_points: integers (n, 2) of (column, row), their
# outlines. No outline belongs to the nodule.
nodule_of_outlines = Exercise(
    ask=_outlines(),
    right=_nodule,
    mistakes={
        "the inclusion's outline is still there: it is the first pixel outside.":
            lambda f, p, h, q: f & ~h & ~_drawn(q),
        "the inclusion's outline was added: it is the first pixel outside.":
            lambda f, p, h, q: (f | _drawn(p)) & ~h & ~_drawn(q),
        "the exclusion's outline is left in the nodule: it goes with the hole.":
            lambda f, p, h, q: f & ~_drawn(p) & ~h,
        "the exclusion loses its outline like an inclusion: here that would give pixels back.":
            lambda f, p, h, q: f & ~_drawn(p) & ~(h & ~_drawn(q)),
        "both outlines are left in.": lambda f, p, h, q: f & ~h,
        "the exclusion is missing: there is a hole to take away.":
            lambda f, p, h, q: f & ~_drawn(p),
        "the exclusion's outline is gone, its inside is not.":
            lambda f, p, h, q: f & ~_drawn(p) & ~_drawn(q),
        "nothing is taken away yet, neither outlines nor hole.": lambda f, p, h, q: f,
        "mask[points] takes whole rows: index with two arrays, mask[rows, columns].": _whole_rows,
        "points are (column, row), and arrays are indexed [row, column].":
            lambda f, p, h, q: _nodule(f, p[:, ::-1], h, q[:, ::-1]),
        "that is the outside.": lambda *outlines: ~_nodule(*outlines),
        "that is the outline.": lambda f, p, h, q: _drawn(p),
        "the axes are transposed.": lambda *outlines: _nodule(*outlines).T,
    },
)  # fmt: skip


def _with_neighbour(inner, end, single=0):
    """The mean over the places in a nodule, from functions of the part that is tested."""
    return lambda count, part: (
        single if count == 1 else ((count - 2) * inner(part) + 2 * end(part)) / count
    )


def _both(p):
    return 1 - p**2


def _one(p):
    return 1 - p


# with_neighbour(count, part) -> the probability that a test slice of a nodule has a neighbour in
# training, the mean over its places. Each slice is tested with probability `part`.
with_neighbour = Exercise(
    ask=[(12, 0.25), (5, 0.25), (2, 0.25), (1, 0.25), (7, 0.4), (3, 0.1)],
    right=_with_neighbour(_both, _one),
    mistakes={
        "right for two slices and more; a single slice has no neighbour.": (
            lambda n, p: ((n - 2) * _both(p) + 2 * _one(p)) / n,
            _with_neighbour(_both, _one, single=np.nan),
            _with_neighbour(_both, _one, single=1),
        ),
        "right for inner slices; the first and the last slice have one neighbour only.": (
            lambda n, p: _both(p),
            _with_neighbour(_both, _both),
        ),
        "there are two ends, the first slice and the last.":
            lambda n, p: 0 if n == 1 else ((n - 1) * _both(p) + _one(p)) / n,
        "an inner slice has two neighbours, and one of them in training is enough.": (
            lambda n, p: _one(p),
            _with_neighbour(_one, _one),
        ),
        "one neighbour in training is enough; this asks for both.": (
            lambda n, p: _one(p) ** 2,
            _with_neighbour(lambda p: _one(p) ** 2, _one),
        ),
        "`part` is the chance to be tested, not to be in training.": (
            _with_neighbour(lambda p: 1 - _one(p) ** 2, lambda p: p),
            lambda n, p: 1 - _one(p) ** 2,
        ),
        "that is the share without a neighbour in training.":
            _with_neighbour(lambda p: p**2, lambda p: p, single=1),
        "this is the number of slices; divide by `count` for the share.":
            lambda n, p: n * _with_neighbour(_both, _one)(n, p),
        "this counts the slices that are tested as well; the share is wanted among these.":
            lambda n, p: p * _with_neighbour(_both, _one)(n, p),
        "this takes all slices of the nodule for neighbours; there are at most two.":
            lambda n, p: 1 - p ** (n - 1),
    },
)  # fmt: skip


def _slices():
    """The patient of each of many slices: thirty patients, with unequal numbers of slices."""
    numbers = np.random.default_rng(20157).permutation(np.repeat(np.arange(30), 4 + np.arange(30)))
    return np.array([f"luna-{number:04}" for number in numbers])


_PATIENTS = _slices()


def _tested(test):
    return len(set(_PATIENTS[test]))


# split(patients, part, generator) -> bool (N,): True for slices of the test part. patients: (N,)
# names, one per slice. part: how many of the patients are tested. generator: of numpy, for the
# choice. Many splits are right, so this exercise asks for what they share. It asks for many seeds:
# names drawn with repeats, or drawn from the slices, are six only by chance.
patient_split = Exercise(
    ask=[(_PATIENTS, 0.2, np.random.default_rng(seed)) for seed in (0, *range(20))],
    right=None,
    read=np.asarray,
    faults={
        "wanted True or False for each slice; these are row numbers.":
            lambda test, *others: test.dtype.kind in "iu" and test.ndim == 1
            and len(test) < len(_PATIENTS),
        "wanted True or False for each slice.": lambda *tests: any(
            test.dtype != bool or test.shape != _PATIENTS.shape for test in tests),
        "no slice is tested.": lambda test, *others: not test.any(),
        "every slice is tested, and none is left to learn from.": lambda test, *others: test.all(),
        "it leaks: there are patients with slices on both sides. Draw patients, not slices.":
            lambda *tests: any(_tested(test) + _tested(~test) > 30 for test in tests),
        "that is the training part: True is wanted for the test part.":
            lambda *tests: [n for n in map(_tested, tests) if n != 6][:1] == [24],
        "another number of patients is tested than the part asked for, which is 6 of 30, each "
        "drawn once.": lambda *tests: any(_tested(test) != 6 for test in tests),
        "the same generator should give the same split: use no other source of chance.":
            lambda test, again, *others: (test != again).any(),
        "every generator gives the same split: draw the patients with it.":
            lambda test, again, *others: all((test == other).all() for other in others),
    },
)  # fmt: skip
