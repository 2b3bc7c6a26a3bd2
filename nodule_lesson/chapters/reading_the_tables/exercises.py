"""Exercises of the chapter *Reading the tables*."""

from functools import cache

import numpy as np
from scipy import stats

from nodule_lesson.chapters.exercise import Exercise
from nodule_lesson.evaluation.statistics import power


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


def _clinics(difference, clinic, run, lesion, lesions, seeds, found=1.960 + 0.842):
    """How many clinics, not rounded: negative or infinite where no number is enough."""
    allowed = (difference / found) ** 2 - lesion**2 / lesions
    return np.float64(clinic**2 + run**2 / seeds) / allowed


def _whole(clinics, rounded=np.ceil):
    return rounded(clinics) if 0 < clinics < np.inf else np.inf


# function(difference, clinic, run, lesion, lesions, seeds) -> the fewest clinics C with which
# 80 % of tests find the difference: (1.960 + 0.842) sqrt(V) <= difference for
# V = clinic^2 / C + run^2 / (C seeds) + lesion^2 / lesions; inf where no number is enough.
# clinic, run, lesion: standard deviations of their parts of a difference of Dice. lesions, seeds:
# how many lesions are tested, and how many trainings each clinic has.
clinics_needed = Exercise(
    ask=[
        (0.05, 0.04, 0.05, 0.10, 130, 3),
        (0.05, 0.04, 0.05, 0.10, 130, 1),
        (0.03, 0.03, 0.02, 0.08, 200, 2),
        (0.05, 0.04, 0.05, 0.10, 11, 3),
    ],
    right=lambda *design: _whole(_clinics(*design)),
    mistakes={
        "with the eleven lesions of the last call no number of clinics is enough: the part of the "
        "lesions alone is too large, and the answer is np.inf.": (
            lambda *design: _whole(_clinics(*design)) if design[4] > 11
            else np.ceil(_clinics(*design)),
            lambda *design: _whole(_clinics(*design)) if design[4] > 11 else 1.0,
            lambda *design: _whole(_clinics(*design)) if design[4] > 11 else 0.0,
        ),
        "more seeds do not average the clinics away: divide clinic**2 by C alone.":
            lambda d, c, r, s, n, seeds: _whole(_clinics(d, c / np.sqrt(seeds), r, s, n, seeds)),
        "the clinics are missing: each clinic has its own effect as well.":
            lambda d, c, r, s, n, seeds: _whole(_clinics(d, 0, r, s, n, seeds)),
        "each clinic has several trainings: divide run**2 by C times seeds.":
            lambda d, c, r, s, n, seeds: _whole(_clinics(d, c, r, s, n, 1)),
        "all clinics are tested on the same lesions: more clinics do not shrink the last part.":
            lambda d, c, r, s, n, seeds: np.ceil(
                (c**2 + r**2 / seeds + s**2 / n) * (2.802 / d) ** 2),
        "this rounds down, and finds the difference in less than 80 %.":
            lambda *design: _whole(_clinics(*design), np.floor),
        "this is not a whole number of clinics.":
            lambda *design: _whole(_clinics(*design), lambda clinics: clinics),
        "this finds the difference in one half of the tests: the difference has to be 2.802 "
        "standard errors, not 1.960.":
            lambda *design: _whole(_clinics(*design, found=1.960)),
    },
)  # fmt: skip
