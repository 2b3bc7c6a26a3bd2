"""Exercises of the chapter my_topic."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise

_MASK = np.random.default_rng(0).random((9, 7)) < 0.3

# function(mask, spacing) -> mm², for a mask of booleans and the sides of a pixel in mm.
area = Exercise(
    ask=(_MASK, (0.7, 0.5)),
    right=lambda mask, spacing: mask.sum() * spacing[0] * spacing[1],
    mistakes={
        "these are pixels; how large is one?": lambda mask, spacing: mask.sum(),
        "a pixel need not be a square: it has two sides.": (
            lambda mask, spacing: mask.sum() * spacing[0] ** 2,
            lambda mask, spacing: mask.sum() * spacing[1] ** 2,
        ),
        "this is the share of the image, not an area.": lambda mask, spacing: mask.mean(),
    },
)

# function(area) -> the diameter of a disc with that area, for an array of areas.
diameter = Exercise(
    ask=(np.array([0.5, 20.0, 300.0]),),
    right=lambda area: 2 * np.sqrt(area / np.pi),
    mistakes={
        "this is the radius.": lambda area: np.sqrt(area / np.pi),
        "this is the side of a square with that area.": np.sqrt,
    },
)
