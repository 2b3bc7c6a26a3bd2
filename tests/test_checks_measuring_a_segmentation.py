"""The checkers of *Measuring a segmentation*: right, typically wrong, and empty answers."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.spatial import KDTree

from nodule_lesson.chapters.measuring_a_segmentation import exercises as checks
from nodule_lesson.evaluation import measures as metrics

# Written out as a reader would write them: the checkers' own code is not used.


def around(mask, outside=False, diagonal=False):
    """The neighbours of every pixel, a stack of shifted masks."""
    height, width = mask.shape
    wide = np.pad(mask, 1, constant_values=outside)
    steps = [(a, b) for a in (0, 1, 2) for b in (0, 1, 2) if (a, b) != (1, 1)]
    if not diagonal:
        steps = [(a, b) for a, b in steps if 1 in (a, b)]
    return np.stack([wide[a : a + height, b : b + width] for a, b in steps])


def rolled(mask):
    return np.stack([np.roll(mask, step, axis) for axis in (0, 1) for step in (1, -1)])


def inner(mask):
    return mask & ~around(mask).all(0)


def outer(mask):
    return ~mask & around(mask).any(0)


WRONG_CONTOURS = {
    "the pixels inside": lambda m: m & around(m).all(0),
    "the mask itself": lambda m: m,
    "outside of the image for foreground": lambda m: m & ~around(m, outside=True).all(0),
    "wraps round": lambda m: m & ~rolled(m).all(0),
    "first pixels outside; the contour": outer,
    "two pixels wide": lambda m: inner(m) | outer(m),
    "diagonal neighbours": lambda m: m & ~around(m, diagonal=True).all(0),
    "asks for all four": lambda m: m & ~around(m).any(0),
    "transposed": lambda m: inner(m).T,
}


def both_ways(x, y, spacing=(1, 1)):
    x, y = np.asarray(x) * spacing, np.asarray(y) * spacing
    return KDTree(y).query(x)[0], KDTree(x).query(y)[0]


def all_pairs(x, y, spacing):
    return [np.hypot(*((p - q) * spacing)) for p in x for q in y]


def city_block(x, y, spacing):
    x, y = x * spacing, y * spacing
    return [*KDTree(y).query(x, p=1)[0], *KDTree(x).query(y, p=1)[0]]


WRONG_ASSDS = {
    "HD, the paper's Eq. (12)": lambda x, y, s: max(np.concatenate(both_ways(x, y, s))),
    "mean of the two means": lambda x, y, s: np.mean([d.mean() for d in both_ways(x, y, s)]),
    "from x to y alone": lambda x, y, s: both_ways(x, y, s)[0].mean(),
    "from y to x alone": lambda x, y, s: both_ways(x, y, s)[1].mean(),
    "over all pairs": lambda x, y, s: np.mean(all_pairs(x, y, s)),
    "this is the sum": lambda x, y, s: sum(d.sum() for d in both_ways(x, y, s)),
    "spacing is missing": lambda x, y, s: np.concatenate(both_ways(x, y)).mean(),
    "spacing is swapped": lambda x, y, s: np.concatenate(both_ways(x, y, s[::-1])).mean(),
    "squared distances": lambda x, y, s: (np.concatenate(both_ways(x, y, s)) ** 2).mean(),
    "adds the two means": lambda x, y, s: sum(d.mean() for d in both_ways(x, y, s)),
    "city-block": lambda x, y, s: np.mean(city_block(x, y, s)),
}
WRONG_MISSES = {
    "this is d": lambda d, j: 2 - d / j,
    "share of what was found": lambda d, j: d / (2 - d / j),
    "1 - mean Dice": lambda d, j: 1 - d,
    "1 - mean IoU": lambda d, j: 1 - j,
    "takes the mean IoU for": lambda d, j: 1 - d / (2 * j / (1 + j)),
    "holds for one unit alone": lambda d, j: 1 - j / (d / (2 - d)),
    "wrong way round": lambda d, j: 1 - d / (2 - j / d),
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.contour, WRONG_CONTOURS),
        (checks.assd, WRONG_ASSDS),
        (checks.misses, WRONG_MISSES),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def contour_by_package(mask):
    found = np.zeros_like(mask)
    _, rows, columns = metrics._contour(mask[None])
    found[rows, columns] = True
    return found


def assd_by_package(x, y, spacing):
    """Pixels that touch no others are their own contour: spread them out on a wider grid."""
    masks = np.zeros((2, 64, 64), bool)
    for mask, points in zip(masks, (x, y), strict=True):
        mask[tuple(2 * points.T)] = True
    counted = [len(np.unique(points, axis=0)) == len(points) for points in (x, y)]
    assert all(counted), "a pixel twice would be one pixel of a mask"
    return metrics.assd(*masks, np.array(spacing) / 2)


def misses_by_root(dice, iou):
    """The d at which both means give one share, found by search."""

    def share(d, j):
        found = brentq(lambda x: d / x - j / (x / (2 - x)), 0.01, 1.99)
        return 1 - d / found

    return np.array([share(d, j) for d, j in zip(dice, iou, strict=True)])


RIGHT = [
    (checks.contour, contour_by_package),
    (checks.assd, assd_by_package),
    (checks.misses, misses_by_root),
]


@pytest.mark.parametrize("checker, answer", RIGHT)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("checker", [checker for checker, _ in RIGHT])
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")
