"""The checkers of *Against the classics*: right, typically wrong, and empty answers."""

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from nodule_lesson.chapters.against_the_classics import exercises as checks

# Written out as a reader would write them: the checkers' own code is not used.


def scan(values, score):
    """The level at which a score of (dark, bright) is largest, and the score."""
    levels = np.unique(values)
    found = [score(values[values <= t], values[values > t]) for t in levels[:-1]]
    return levels[int(np.argmax(found))], max(found), levels, int(np.argmax(found))


def between(dark, bright):
    n = dark.size + bright.size
    return dark.size * bright.size / n**2 * (bright.mean() - dark.mean()) ** 2


def otsu_by_library(values):
    return threshold_otsu(values.astype(int))


def two_means(values):
    t = scan(values, between)[0]
    return (values[values <= t].mean() + values[values > t].mean()) / 2


WRONG_OTSU = {
    "smallest value of the brighter": lambda v: v[v > scan(v, between)[0]].min(),
    "return the threshold that has it": lambda v: scan(v, between)[1],
    "number of the value": lambda v: scan(v, between)[3],
    "without the shares": lambda v: scan(v, lambda a, b: (b.mean() - a.mean()) ** 2)[0],
    "one share only": lambda v: scan(v, lambda a, b: a.size * (b.mean() - a.mean()) ** 2)[0],
    "without their shares": lambda v: scan(v, lambda a, b: -a.var() - b.var())[0],
    "the square is missing": lambda v: scan(
        v, lambda a, b: a.size * b.size * (b.mean() - a.mean())
    )[0],
    "smallest; the largest": lambda v: scan(v, lambda a, b: -between(a, b))[0],
    "middle between the two means": two_means,
    "mean of all values": lambda v: v.mean(),
    "middle of the range": lambda v: (v.max() + v.min()) / 2,
}


def scores(crop, truth):
    masks = [crop > t for t in [-1, *np.unique(crop)]]
    return np.array([2 * (m & truth).sum() / (m.sum() + truth.sum()) for m in masks]), masks


def best_mask(crop, truth):
    values, masks = scores(crop, truth)
    return masks[int(values.argmax())]


def pixel_by_pixel(crop, truth, nodule_first):
    """Dice of the first n pixels, brightest first, with no thought of equal greys."""
    key = (~truth.ravel(), -crop.ravel()) if nodule_first else (-crop.ravel(),)
    both = np.cumsum(truth.ravel()[np.lexsort(key)])
    return (2 * both / (np.arange(1, crop.size + 1) + truth.sum())).max()


def darker(crop, truth):
    masks = [crop < t for t in [-1, *np.unique(crop)]]
    return max(2 * (m & truth).sum() / (m.sum() + truth.sum()) for m in masks)


def right_pixels(crop, truth):
    return max((m == truth).mean() for m in scores(crop, truth)[1])


def at_the_mean(crop, truth):
    mask = crop > crop.mean()
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def in_the_mask(crop, truth):
    return truth[best_mask(crop, truth)].mean()


def of_the_truth(crop, truth):
    return best_mask(crop, truth)[truth].mean()


WRONG_BOUND = {
    "return the Dice that it has": lambda c, t: [-1, *np.unique(c)][scores(c, t)[0].argmax()],
    "this is IoU": lambda c, t: max(1 / (2 / s - 1) for s in scores(c, t)[0] if s),
    "background should not count": right_pixels,
    "factor 2": lambda c, t: scores(c, t)[0].max() / 2,
    "pixels of equal grey": lambda c, t: pixel_by_pixel(c, t, False),
    "pixels of equal grey, which": lambda c, t: pixel_by_pixel(c, t, True),
    "mean over all thresholds": lambda c, t: scores(c, t)[0].mean(),
    "marking all": lambda c, t: scores(c, t)[0][0],
    "darker than t": darker,
    "precision": in_the_mask,
    "sensitivity": of_the_truth,
    "the mean of the crop": at_the_mean,
}


def linear(weights):
    """p by the equations of the line, solved."""
    n = len(weights)
    matrix, right = np.eye(n + 1), np.zeros(n + 1)
    right[0] = 1
    for i in range(1, n):
        matrix[i, i - 1 : i + 2] = -weights[i - 1], weights[i - 1] + weights[i], -weights[i]
    return np.linalg.solve(matrix, right)


WRONG_WALKER = {
    "meet pixel n first": lambda w: 1 - linear(w),
    "steps of w:": lambda w: linear(1 / w),
    "does not look at the weights": lambda w: np.linspace(1, 0, len(w) + 1),
    "the seeds are missing": lambda w: linear(w)[1:-1],
    "the last pixel is missing": lambda w: linear(w)[:-1],
    "the first pixel is missing": lambda w: linear(w)[1:],
    "not yet divided": lambda w: np.append(0, np.cumsum(1 / w)),
    "the wrong end": lambda w: linear(w[::-1]),
    "steps of p": lambda w: -np.diff(linear(w)),
    "1 / w^2": lambda w: linear(w**2),
    "never turned back": lambda w: np.append(1, np.cumprod(w)),
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.otsu, WRONG_OTSU),
        (checks.bound, WRONG_BOUND),
        (checks.walker, WRONG_WALKER),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def bound_by_levels(crop, truth):
    return scores(crop, truth)[0].max()


RIGHT = [
    (checks.otsu, otsu_by_library),
    (checks.bound, bound_by_levels),
    (checks.walker, linear),
]


@pytest.mark.parametrize("checker, answer", RIGHT)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("checker", [checker for checker, _ in RIGHT])
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")
