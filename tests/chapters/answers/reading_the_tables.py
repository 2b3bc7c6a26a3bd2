"""Answers to the exercises of book/reading_the_tables.md, for test_exercises.py."""

import math

from nodule_lesson.evaluation.statistics import detectable
from nodule_lesson.experiments.claims import misses_and_contours


def lesions_needed(difference, sd):
    """The first number that suffices."""
    return next(n for n in range(2, 10_000) if detectable(sd, n) <= difference)


def clinics_needed(difference, clinic, run, lesion, lesions, seeds):
    """By trying."""
    for clinics in range(1, 10_000):
        of_clinics, of_runs = clinic**2 / clinics, run**2 / clinics / seeds
        if 2.802 * math.sqrt(of_clinics + of_runs + lesion**2 / lesions) <= difference:
            return clinics
    return math.inf


split = misses_and_contours
