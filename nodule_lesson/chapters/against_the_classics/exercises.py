"""Checkers of the chapter *Against the classics*."""

import numpy as np

from nodule_lesson.chapters.verdict import verdict


def _greys():
    """An image of two unequal, overlapping classes, on which every mistake gives another value."""
    random = np.random.default_rng(10)
    dark, bright = random.normal(90, 25, 50), random.normal(160, 30, 14)
    return random.permutation(np.concatenate([dark, bright]).round()).reshape(8, 8)


def otsu(function):
    """function(values) -> Otsu's threshold, the largest value of the darker class, I <= t."""
    values = _greys()
    answer = function(values.copy())
    levels = np.unique(values)

    def best(score):
        """The level with the largest score of (share, means, variances) of both classes."""
        found = []
        for t in levels[:-1]:
            parts = values[values <= t], values[values > t]
            found.append(score(*(x for p in parts for x in (p.size / 64, p.mean(), p.var()))))
        return levels[int(np.argmax(found))], max(found), int(np.argmax(found))

    right, largest, place = best(lambda w0, m0, s0, w1, m1, s1: w0 * w1 * (m1 - m0) ** 2)
    dark = values[values <= right]
    wrong = [
        ("this is the smallest value of the brighter class; the darker class is I <= t.",
         levels[place + 1]),
        ("this is the variance between the classes; return the threshold that has it.", largest),
        ("this is the number of the value; return the value itself.", place),
        ("this is (m1 - m0)^2 without the shares: one bright pixel would be a class.",
         best(lambda w0, m0, s0, w1, m1, s1: (m1 - m0) ** 2)[0]),
        ("this weighs (m1 - m0)^2 with one share only; both belong to it.",
         best(lambda w0, m0, s0, w1, m1, s1: w0 * (m1 - m0) ** 2)[0]),
        ("this adds the variances within the classes without their shares.",
         best(lambda w0, m0, s0, w1, m1, s1: -(s0 + s1))[0]),
        ("the square is missing: it is (m1 - m0)^2.",
         best(lambda w0, m0, s0, w1, m1, s1: w0 * w1 * (m1 - m0))[0]),
        ("this makes the variance between the classes smallest; the largest is wanted.",
         best(lambda w0, m0, s0, w1, m1, s1: -w0 * w1 * (m1 - m0) ** 2)[0]),
        ("this is the middle between the two means; return a value of the darker class.",
         (dark.mean() + values[values > right].mean()) / 2),
        ("this is the mean of all values: it is not where the classes part.", values.mean()),
        ("this is the middle of the range; classes are not asked for there.",
         (values.min() + values.max()) / 2),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def bound(function):
    """function(crop, truth) -> the largest Dice of {crop > t} over all thresholds t."""
    random = np.random.default_rng(2)
    y, x = np.indices((12, 12))
    truth = np.hypot(y - 5.4, x - 5.2) < 3.1
    grey = random.integers(0, 9, truth.shape) + 5 * truth
    grey[:, -2:] += 5  # a wall of the same grey
    crop = grey.astype(float)
    answer = function(crop.copy(), truth.copy())

    def dice(mask):
        return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())

    levels = np.concatenate([[crop.min() - 1], np.unique(crop)])
    scores = np.array([dice(crop > t) for t in levels])
    right, best = scores.max(), levels[scores.argmax()]
    mask = crop > best
    order = np.argsort(-crop.ravel(), kind="stable")
    both = np.cumsum(truth.ravel()[order])
    ties = (2 * both / (np.arange(1, crop.size + 1) + truth.sum())).max()
    first = truth.ravel()[np.lexsort((~truth.ravel(), -crop.ravel()))]
    lucky = (2 * np.cumsum(first) / (np.arange(1, crop.size + 1) + truth.sum())).max()
    wrong = [
        ("this is the threshold; return the Dice that it has.", best),
        ("this is IoU: Dice is 2 TP / (2 TP + FP + FN).", right / (2 - right)),
        ("this is the share of pixels that are right; background should not count.",
         max((((crop > t) == truth).mean()) for t in levels)),
        ("the factor 2 is missing.", right / 2),
        ("this cuts between pixels of equal grey, which no threshold can do.", ties),
        ("this cuts between pixels of equal grey, which no threshold can do.", lucky),
        ("this is the mean over all thresholds; the best one is wanted.", scores.mean()),
        ("this is the Dice of marking all; other thresholds do better.", dice(crop > -np.inf)),
        ("this marks what is darker than t.", max(dice(crop < t) for t in levels)),
        ("this is the precision of the best mask.", (mask & truth).sum() / mask.sum()),
        ("this is the sensitivity of the best mask.", (mask & truth).sum() / truth.sum()),
        ("this is the Dice of one threshold, the mean of the crop; try all of them.",
         dice(crop > crop.mean())),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def walker(function):
    """function(weights) -> the chance to meet pixel 0 before pixel n, from each of 0..n."""
    weights = np.array([0.9, 0.2, 0.7, 0.05, 0.8])
    answer = function(weights.copy())

    def falling(steps):
        gone = np.concatenate([[0.0], np.cumsum(steps)])
        return 1 - gone / gone[-1]

    right = falling(1 / weights)
    wrong = [
        ("this is the chance to meet pixel n first.", 1 - right),
        ("this falls by steps of w: a weak link is a high resistance, so it is 1 / w.",
         falling(weights)),
        ("this does not look at the weights: they make the steps unequal.",
         falling(np.ones_like(weights))),
        ("the seeds are missing: p has n + 1 values, from 1 to 0.", right[1:-1]),
        ("the last pixel is missing: p has n + 1 values, from 1 to 0.", right[:-1]),
        ("the first pixel is missing: p has n + 1 values, from 1 to 0.", right[1:]),
        ("this is the resistance on the way, not yet divided by that of the whole line.",
         np.concatenate([[0.0], np.cumsum(1 / weights)])),
        ("this starts at the wrong end: weights[0] is next to pixel 0.",
         falling(1 / weights[::-1])),
        ("these are the steps of p; add them up.", (1 / weights) / (1 / weights).sum()),
        ("this falls by steps of 1 / w^2; the flow is w times the step.",
         falling(1 / weights**2)),
        ("this multiplies chances along the line, as if the walker never turned back.",
         np.concatenate([[1.0], np.cumprod(weights)])),
    ]  # fmt: skip
    return verdict(answer, right, wrong)
