"""Answers to the exercises of book/on_real_scans.md, for test_exercises.py."""

import functools
import itertools

import numpy as np
import SimpleITK as sitk

from nodule_lesson.data import contours


def voxel_of_point(world, origin, spacing, direction):
    """SimpleITK's."""
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    image.SetOrigin(origin.tolist())
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image.TransformPhysicalPointToContinuousIndex(world.tolist())


def _around(points):
    """The points of a rectangle's outline, in the order in which a pen passes them."""
    centred = points - points.mean(0)
    half = np.abs(centred).max(0)
    angle = np.arctan2(centred[:, 1] / half[1], centred[:, 0] / half[0])
    return points[np.argsort(angle)]


def nodule_of_outlines(filled, points, hole, hole_points):
    """It is told the outlines alone."""
    return contours.rasterise([_around(points)], [_around(hole_points)], filled.shape)


def with_neighbour(count, part):
    """All ways to deal the slices out, each with its probability."""
    share = 0
    for place in range(count):
        for tested in itertools.product((True, False), repeat=count):
            if tested[place] and not all(tested[max(place - 1, 0) : place + 2]):
                others = np.delete(tested, place)
                share += np.prod(np.where(others, part, 1 - part)) / count
    return share


def patient_split(patients, part, generator):
    """Names are drawn, and their slices follow."""
    names = np.unique(patients)
    tested = generator.choice(names, round(part * len(names)), replace=False)
    return np.isin(patients, tested)


def _split_by_lesion(patients, part, generator):
    """Two halves of each patient's slices stand for two lesions."""
    lesions = np.array([f"{patient} {k % 2}" for k, patient in enumerate(patients)])
    return patient_split(lesions, part, generator)


def _split_by_rank(patients, part, generator):
    names = np.unique(patients)
    return np.isin(patients, names[: round(part * len(names))])


def _split_by_names(patients, part, generator, *, of_slices=False):
    """Names may be drawn with repeats, so that fewer are tested."""
    names = np.unique(patients)
    count = round(part * len(names))
    return np.isin(patients, generator.choice(patients if of_slices else names, count))


FAULTY = [
    ("patient_split", hint, split)
    for hint, split in [
        ("these are row numbers", lambda p, part, g: g.choice(len(p), 9, replace=False)),
        ("for each slice.", lambda *a: patient_split(*a).astype(float)),
        ("for each slice.", lambda p, part, g: np.unique(p)[:6]),
        ("no slice is tested", lambda p, part, g: np.zeros(len(p), bool)),
        ("every slice is tested", lambda p, part, g: np.ones(len(p), bool)),
        ("it leaks", lambda p, part, g: g.random(len(p)) < part),
        ("it leaks", _split_by_lesion),
        ("that is the training part", lambda *a: ~patient_split(*a)),
        ("another number", lambda p, part, g: patient_split(p, 2 * part, g)),
        ("each drawn once", _split_by_names),
        ("each drawn once", functools.partial(_split_by_names, of_slices=True)),
        (
            "the same generator should",
            lambda p, part, g: patient_split(p, part, np.random.default_rng()),
        ),
        ("every generator", _split_by_rank),
    ]
]
