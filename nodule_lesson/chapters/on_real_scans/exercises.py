"""Checkers of the chapter *On real scans*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict


def voxel_of_point(to_index):
    """to_index(world, origin, spacing, direction) -> the index (column, row, slice), not rounded.

    world, origin and spacing are arrays (3,) in mm, direction is (3, 3): its columns are the unit
    vectors of the axes. The checker's axes are turned and one is mirrored, so that all shows.
    """
    world, origin = np.array([-31.5, 44.25, 120.0]), np.array([96.0, 141.0, -55.0])
    spacing = np.array([0.7, 0.8, 2.5])
    cosine, sine = np.cos(0.4), np.sin(0.4)
    direction = np.array([[-cosine, -sine, 0], [-sine, cosine, 0], [0, 0, 1.0]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
    direction = direction @ tilt
    answer = to_index(world.copy(), origin.copy(), spacing.copy(), direction.copy())
    offset = world - origin
    right = direction.T @ offset / spacing
    wrong = [
        (
            "the direction is ignored: that holds for scans whose axes are those of the patient.",
            offset / spacing,
        ),
        (
            "the direction is ignored, and abs() hides it: that rescues mirrored axes, not "
            "turned ones, and no point outside the volume.",
            np.abs(offset) / spacing,
        ),
        (
            "the direction is the wrong way round: its columns are the axes, so a point is "
            "measured along them by the transposed matrix.",
            direction @ offset / spacing,
        ),
        (
            "only the diagonal of the direction is used: that holds for mirrored axes, not for "
            "turned ones.",
            np.diag(direction) * offset / spacing,
        ),
        (
            "* multiplies number by number; the product of a matrix and a vector is written @.",
            direction.T * offset / spacing,
        ),
        (
            "divided by the spacing too early: spacing belongs to the scan's axes, so turn first.",
            direction.T @ (offset / spacing),
        ),
        (
            "divided by the spacing too early, and the direction is the wrong way round.",
            direction @ (offset / spacing),
        ),
        (
            "the order of the axes is reversed: (column, row, slice) is wanted; arrays have "
            "(slice, row, column).",
            right[::-1],
        ),
        (
            "the origin is missing: it is where voxel (0, 0, 0) is.",
            direction.T @ world / spacing,
        ),
        (
            "the origin is taken away after turning: turn the difference.",
            (direction.T @ world - origin) / spacing,
        ),
        ("the spacing is missing: those are millimetres.", direction.T @ offset),
        (
            "multiplied by the spacing: that is the way from voxels.",
            direction.T @ offset * spacing,
        ),
        ("the sign is off: world - origin.", -right),
        *(
            ("this is rounded; leave the fractions.", rounded(right))
            for rounded in (np.rint, np.floor, np.trunc)
        ),
    ]
    return verdict(answer, right, wrong)


def nodule_of_outlines(nodule):
    """nodule(filled, points, hole, hole_points) -> bool, the pixels that one reader means.

    filled, hole: bool (rows, columns), the pixels inside an inclusion and an exclusion, some of
    their outlines' pixels among them. points, hole_points: integers (n, 2) of (column, row), their
    outlines. No outline belongs to the nodule.
    """
    rows, columns = np.mgrid[:18, :18]
    filled = (np.abs(columns - 9) <= 7) & (np.abs(rows - 6) <= 5)
    hole = (np.abs(columns - 8) <= 2) & (np.abs(rows - 5) <= 1)
    edge, hole_edge = _edge(filled), _edge(hole)
    # As the even-odd rule has it, left and upper edges are inside, right and lower ones are not.
    filled, hole = (
        area & (columns < columns[area].max()) & (rows < rows[area].max())
        for area in (filled, hole)
    )
    points, hole_points = (np.argwhere(line)[:, ::-1] for line in (edge, hole_edge))
    answer = nodule(filled.copy(), points.copy(), hole.copy(), hole_points.copy())
    without = filled & ~edge
    right = without & ~hole & ~hole_edge
    swapped, hole_swapped = edge.T, hole_edge.T
    whole_rows = filled & ~hole
    whole_rows[[*points, *hole_points]] = False
    wrong = [
        (
            "the inclusion's outline is still there: it is the first pixel outside.",
            filled & ~hole & ~hole_edge,
        ),
        (
            "the inclusion's outline was added: it is the first pixel outside.",
            (filled | edge) & ~hole & ~hole_edge,
        ),
        (
            "the exclusion's outline is left in the nodule: it goes with the hole.",
            without & ~hole,
        ),
        (
            "the exclusion loses its outline like an inclusion: here that would give pixels back.",
            without & ~(hole & ~hole_edge),
        ),
        ("both outlines are left in.", filled & ~hole),
        ("the exclusion is missing: there is a hole to take away.", without),
        ("the exclusion's outline is gone, its inside is not.", without & ~hole_edge),
        ("nothing is taken away yet, neither outlines nor hole.", filled),
        (
            "mask[points] takes whole rows: index with two arrays, mask[rows, columns].",
            whole_rows,
        ),
        (
            "points are (column, row), and arrays are indexed [row, column].",
            filled & ~swapped & ~hole & ~hole_swapped,
        ),
        ("that is the outside.", ~right),
        ("that is the outline.", edge),
        ("the axes are transposed.", right.T),
    ]
    return verdict(answer, right, wrong)


def _edge(area):
    """The outermost pixels of an area, bool."""
    padded = np.pad(area, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return area & ~inner


def patient_split(split):
    """split(patients, part, generator) -> bool (N,): True for slices of the test part.

    patients: (N,) names, one per slice. part: how many of the patients are tested. generator: of
    numpy, for the choice. Many splits are right, so this checker asks for what they share.
    """
    numbers = np.random.default_rng(20157).permutation(np.repeat(np.arange(30), 4 + np.arange(30)))
    patients = np.array([f"luna-{number:04}" for number in numbers])
    # Many seeds: names drawn with repeats, or drawn from the slices, are six only by chance.
    seeds = (0, *range(20))
    answers = [split(patients.copy(), 0.2, np.random.default_rng(seed)) for seed in seeds]
    return verdict(_judged(answers, patients), 0.0, _SPLIT_HINTS)


_SPLIT_HINTS = [
    ("wanted True or False for each slice; these are row numbers.", 1.0),
    ("wanted True or False for each slice.", 2.0),
    ("no slice is tested.", 3.0),
    ("every slice is tested, and none is left to learn from.", 4.0),
    (
        "it leaks: there are patients with slices on both sides. Draw patients, not slices.",
        5.0,
    ),
    ("that is the training part: True is wanted for the test part.", 6.0),
    (
        "another number of patients is tested than the part asked for, which is 6 of 30, each "
        "drawn once.",
        7.0,
    ),
    ("the same generator should give the same split: use no other source of chance.", 8.0),
    ("every generator gives the same split: draw the patients with it.", 9.0),
]


def _judged(answers, patients):
    """0 for a split by patient, else the number of a hint; None where there is no answer."""
    if answers[0] is None:
        return None
    tests = [np.asarray(answer) for answer in answers]
    test, again, *others = tests
    if test.dtype.kind in "iu" and test.ndim == 1 and len(test) < len(patients):
        return 1.0
    if any(one.dtype != bool or one.shape != patients.shape for one in tests):
        return 2.0
    if not test.any() or test.all():
        return 3.0 if not test.any() else 4.0
    if any(set(patients[one]) & set(patients[~one]) for one in tests):
        return 5.0
    patients_in_all = len(set(patients))
    wanted = patients_in_all // 5
    for one in tests:
        count = len(set(patients[one]))
        if count != wanted:
            return 6.0 if count == patients_in_all - wanted else 7.0
    if (test != again).any():
        return 8.0
    return 9.0 if all((test == other).all() for other in others) else 0.0
