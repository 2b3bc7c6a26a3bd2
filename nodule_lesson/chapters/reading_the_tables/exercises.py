"""Exercises of the chapter *Reading the tables*."""

from functools import cache

import numpy as np
from scipy import stats

from nodule_lesson.chapters.exercise import Exercise
from nodule_lesson.evaluation.statistics import power


def _parts(values, patients, drawn):
    """The values of each drawn patient."""
    return [values[patients == name] for name in drawn]


def _drawn_sum(*draw):
    return np.concatenate(_parts(*draw)).sum()


# function(values, patients, drawn) -> the mean of one draw of the bootstrap by patient. values,
# patients: (N,), one number and one name a lesion. drawn: names of the drawn patients, with
# repeats. All lesions of a drawn patient count, as often as the patient was drawn.
one_draw = Exercise(
    ask=(
        np.array([0.9, 0.85, 0.7, 0.1, 0.55, 0.65, 0.3]),
        np.array(["a", "a", "a", "b", "c", "c", "d"]),
        np.array(["a", "b", "b", "c", "c"]),
    ),
    right=lambda *draw: np.concatenate(_parts(*draw)).mean(),
    mistakes={
        "a patient who was drawn twice counts once here: np.isin loses the repeats.":
            lambda v, p, d: v[np.isin(p, d)].mean(),
        "this is the mean of the patients' means: a patient with many lesions has as many votes.":
            lambda *draw: np.mean([part.mean() for part in _parts(*draw)]),
        "this is the mean of all lesions; only those of the drawn patients belong.":
            lambda v, p, d: v.mean(),
        "this is the sum: divide it by the number of lesions drawn.": _drawn_sum,
        "this divides by the number of patients drawn, not of lesions.":
            lambda v, p, d: _drawn_sum(v, p, d) / len(d),
        "this divides by the number of all lesions, not of those drawn.":
            lambda v, p, d: _drawn_sum(v, p, d) / len(v),
        "this takes one lesion of each drawn patient; all of them come along.":
            lambda *draw: np.mean([part[0] for part in _parts(*draw)]),
    },
)  # fmt: skip


@cache
def _fewest(difference, sd, wanted=0.8, level=0.05):
    return next(n for n in range(2, 10_000) if power(difference, sd, n, level) >= wanted)


def _fewest_by_normal(difference, sd):
    return ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * sd / difference) ** 2


# function(difference, sd) -> the fewest lesions with which 80 % of tests find the difference.
# Two-sided paired t-test at 5 %; the first count at which `statistics.power` reaches 0.8.
lesions_needed = Exercise(
    ask=[(0.05, 0.1), (0.02, 0.1), (0.2, 0.15)],
    right=_fewest,
    mistakes={
        "one lesion short: with that many, power is still below 0.8.":
            lambda difference, sd: _fewest(difference, sd) - 1,
        "one lesion too many: with one fewer, power is at 0.8 already.":
            lambda difference, sd: _fewest(difference, sd) + 1,
        "this takes the normal distribution for Student's t: too few for small tests.":
            lambda difference, sd: np.ceil(_fewest_by_normal(difference, sd)),
        "this takes the normal distribution for Student's t, and is not a whole number.":
            _fewest_by_normal,
        "this is a power of one half: the difference equals half an interval.":
            lambda difference, sd: _fewest(difference, sd, wanted=0.5),
        "this is a power of 90 %; 80 % are asked for.":
            lambda difference, sd: _fewest(difference, sd, wanted=0.9),
        "this is one-sided: half of 5 % belongs to either side.":
            lambda difference, sd: _fewest(difference, sd, level=0.1),
        "this is for two groups of different lesions; here the same lesions are paired.":
            lambda difference, sd: _fewest(difference, np.sqrt(2) * sd),
    },
)  # fmt: skip


def _factors(dice):
    """The share 1 - m of what was found, and its mean d."""
    return (dice > 0).mean(), dice[dice > 0].mean()


def _mean(x, y):
    return (x + y) / 2


def _split(factors=lambda a, b: (*_factors(a), *_factors(b)), of_misses=_mean, of_contours=_mean):
    """Both parts, from both factors of a and of b, and what weighs the differences."""

    def split(a, b):
        f_a, d_a, f_b, d_b = factors(a, b)
        return (f_a - f_b) * of_misses(d_a, d_b), (d_a - d_b) * of_contours(f_a, f_b)

    return split


def _of_all(a, b):
    return (a > 0).mean(), a.mean(), (b > 0).mean(), b.mean()


def _of_common(a, b):
    both = (a > 0) & (b > 0)
    return (a > 0).mean(), a[both].mean(), (b > 0).mean(), b[both].mean()


# function(a, b) -> (misses, contours), the parts of mean(a) - mean(b). a, b: Dice of the same
# lesions by two methods, 0 where a lesion was missed. With mean = (1 - m) d each: misses is
# (m_b - m_a) times the mean of both d, contours is (d_a - d_b) times the mean of both 1 - m.
split = Exercise(
    ask=(
        np.array([0.9, 0.8, 0.0, 0.7, 0.6, 0.85, 0.75, 0.0]),
        np.array([0.8, 0.0, 0.0, 0.75, 0.0, 0.9, 0.5, 0.0]),
    ),
    right=_split(),
    mistakes={
        "misses and contours are swapped.": lambda a, b: _split()(a, b)[::-1],
        "the sign is off: a minus b is asked for.": lambda a, b: _split()(b, a),
        "the parts are weighted by sums; they want means of the two methods' factors.":
            _split(of_misses=np.add, of_contours=np.add),
        "the misses are weighted by a's d, the contours by b's share: a sum that is right, "
        "with parts that depend on the order.":
            _split(of_misses=lambda a, b: a, of_contours=lambda a, b: b),
        "the misses are weighted by b's d, the contours by a's share: a sum that is right, "
        "with parts that depend on the order.":
            _split(of_misses=lambda a, b: b, of_contours=lambda a, b: a),
        "these are the changes of m and d themselves; each wants the other as its weight.":
            _split(of_misses=lambda a, b: 1, of_contours=lambda a, b: 1),
        "the means d go over all lesions, with zeros: only what was found belongs.":
            _split(_of_all),
        "d is taken over the lesions that both found; each method has its own.":
            _split(_of_common),
    },
)  # fmt: skip
