"""Exercises of the chapter *Against the classics*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _greys():
    """An image of two unequal, overlapping classes, on which every mistake gives another value."""
    random = np.random.default_rng(10)
    dark, bright = random.normal(90, 25, 50), random.normal(160, 30, 14)
    return random.permutation(np.concatenate([dark, bright]).round()).reshape(8, 8)


def _best(values, score):
    """The level with the largest score of (share, mean, variance) of both classes, and more.

    Returns the level, its score, and its place among the levels.
    """
    levels = np.unique(values)
    scores = []
    for t in levels[:-1]:
        parts = values[values <= t], values[values > t]
        moments = [(part.size / values.size, part.mean(), part.var()) for part in parts]
        scores.append(score(*moments[0], *moments[1]))
    place = int(np.argmax(scores))
    return levels[place], scores[place], place


def _between(w0, m0, s0, w1, m1, s1):
    return w0 * w1 * (m1 - m0) ** 2


def _level(score):
    return lambda values: _best(values, score)[0]


_otsu = _level(_between)

# function(values) -> Otsu's threshold, the largest value of the darker class, I <= t.
otsu = Exercise(
    ask=(_greys(),),
    right=_otsu,
    mistakes={
        "this is the smallest value of the brighter class; the darker class is I <= t.":
            lambda v: v[v > _otsu(v)].min(),
        "this is the variance between the classes; return the threshold that has it.":
            lambda v: _best(v, _between)[1],
        "this is the number of the value; return the value itself.":
            lambda v: _best(v, _between)[2],
        "this is (m1 - m0)^2 without the shares: one bright pixel would be a class.":
            _level(lambda w0, m0, s0, w1, m1, s1: (m1 - m0) ** 2),
        "this weighs (m1 - m0)^2 with one share only; both belong to it.":
            _level(lambda w0, m0, s0, w1, m1, s1: w0 * (m1 - m0) ** 2),
        "this adds the variances within the classes without their shares.":
            _level(lambda w0, m0, s0, w1, m1, s1: -(s0 + s1)),
        "the square is missing: it is (m1 - m0)^2.":
            _level(lambda w0, m0, s0, w1, m1, s1: w0 * w1 * (m1 - m0)),
        "this makes the variance between the classes smallest; the largest is wanted.":
            _level(lambda *moments: -_between(*moments)),
        "this is the middle between the two means; return a value of the darker class.":
            lambda v: (v[v <= _otsu(v)].mean() + v[v > _otsu(v)].mean()) / 2,
        "this is the mean of all values: it is not where the classes part.": lambda v: v.mean(),
        "this is the middle of the range; classes are not asked for there.":
            lambda v: (v.min() + v.max()) / 2,
    },
)  # fmt: skip


def _crop():
    """A disc, brighter than what is around it but for a wall of the same grey; and the disc."""
    random = np.random.default_rng(2)
    y, x = np.indices((12, 12))
    truth = np.hypot(y - 5.4, x - 5.2) < 3.1
    grey = random.integers(0, 9, truth.shape) + 5 * truth
    grey[:, -2:] += 5
    return grey.astype(float), truth


def _dice(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def _levels(crop):
    return np.concatenate([[crop.min() - 1], np.unique(crop)])


def _scores(crop, truth):
    return np.array([_dice(crop > t, truth) for t in _levels(crop)])


def _threshold(crop, truth):
    return _levels(crop)[_scores(crop, truth).argmax()]


def _pixel_by_pixel(crop, truth, *ties):
    """The best Dice of the n brightest pixels; `ties` says which of equal greys come first."""
    both = np.cumsum(truth.ravel()[np.lexsort((*ties, -crop.ravel()))])
    return (2 * both / (np.arange(1, crop.size + 1) + truth.sum())).max()


# function(crop, truth) -> the largest Dice of {crop > t} over all thresholds t.
bound = Exercise(
    ask=_crop(),
    right=lambda crop, truth: _scores(crop, truth).max(),
    mistakes={
        "this is the threshold; return the Dice that it has.": _threshold,
        "this is IoU: Dice is 2 TP / (2 TP + FP + FN).":
            lambda crop, truth: 1 / (2 / _scores(crop, truth).max() - 1),
        "this is the share of pixels that are right; background should not count.":
            lambda crop, truth: max(((crop > t) == truth).mean() for t in _levels(crop)),
        "the factor 2 is missing.": lambda crop, truth: _scores(crop, truth).max() / 2,
        "this cuts between pixels of equal grey, which no threshold can do.": (
            _pixel_by_pixel,
            lambda crop, truth: _pixel_by_pixel(crop, truth, ~truth.ravel()),
        ),
        "this is the mean over all thresholds; the best one is wanted.":
            lambda crop, truth: _scores(crop, truth).mean(),
        "this is the Dice of marking all; other thresholds do better.":
            lambda crop, truth: _scores(crop, truth)[0],
        "this marks what is darker than t.":
            lambda crop, truth: max(_dice(crop < t, truth) for t in _levels(crop)),
        "this is the precision of the best mask.":
            lambda crop, truth: truth[crop > _threshold(crop, truth)].mean(),
        "this is the sensitivity of the best mask.":
            lambda crop, truth: (crop > _threshold(crop, truth))[truth].mean(),
        "this is the Dice of one threshold, the mean of the crop; try all of them.":
            lambda crop, truth: _dice(crop > crop.mean(), truth),
    },
)  # fmt: skip


def _falling(steps):
    gone = np.concatenate([[0.0], np.cumsum(steps)])
    return 1 - gone / gone[-1]


def _walker(weights):
    return _falling(1 / weights)


# function(weights) -> the chance to meet pixel 0 before pixel n, from each of 0..n.
walker = Exercise(
    ask=(np.array([0.9, 0.2, 0.7, 0.05, 0.8]),),
    right=_walker,
    mistakes={
        "this is the chance to meet pixel n first.": lambda w: 1 - _walker(w),
        "this falls by steps of w: a weak link is a high resistance, so it is 1 / w.": _falling,
        "this does not look at the weights: they make the steps unequal.":
            lambda w: _falling(np.ones_like(w)),
        "the seeds are missing: p has n + 1 values, from 1 to 0.": lambda w: _walker(w)[1:-1],
        "the last pixel is missing: p has n + 1 values, from 1 to 0.": lambda w: _walker(w)[:-1],
        "the first pixel is missing: p has n + 1 values, from 1 to 0.": lambda w: _walker(w)[1:],
        "this is the resistance on the way, not yet divided by that of the whole line.":
            lambda w: np.concatenate([[0.0], np.cumsum(1 / w)]),
        "this starts at the wrong end: weights[0] is next to pixel 0.": lambda w: _walker(w[::-1]),
        "these are the steps of p; add them up.": lambda w: -np.diff(_walker(w)),
        "this falls by steps of 1 / w^2; the flow is w times the step.": lambda w: _walker(w**2),
        "this multiplies chances along the line, as if the walker never turned back.":
            lambda w: np.concatenate([[1.0], np.cumprod(w)]),
    },
)  # fmt: skip
