"""Answers to the exercises of book/measuring_a_segmentation.md, for test_exercises.py."""

import numpy as np
from scipy.optimize import brentq
from scipy.spatial import KDTree

from nodule_lesson.evaluation import measures


def contour(mask):
    """The package's own."""
    contour = np.zeros_like(mask)
    _, rows, columns = measures._contour(mask[None])
    contour[rows, columns] = True
    return contour


def assd(x, y, spacing):
    """Nearest neighbours in trees."""
    x, y = x * spacing, y * spacing
    return np.mean([*KDTree(y).query(x)[0], *KDTree(x).query(y)[0]])


def misses(dice, iou):
    """The d at which both means give one share, found by search."""

    def share(d, j):
        return 1 - d / brentq(lambda x: d / x - j / (x / (2 - x)), 0.01, 1.99)

    return np.array([share(d, j) for d, j in zip(dice, iou, strict=True)])
