"""Answers to the exercises of book/taking_apart.md, for test_exercises.py."""

import math

from scipy import stats


def area(inside, empty):
    """The statistic of Mann and Whitney."""
    ranks = stats.mannwhitneyu(inside, empty, alternative="greater")
    return ranks.statistic / (len(inside) * len(empty))


def missed_and_marked(nodule, c, shift, lambda2):
    """Slice by slice."""
    marked = [lambda2 * (1 - p) < s for p, s in zip(c, shift, strict=True)]
    missed = [not on for inside, on in zip(nodule, marked, strict=True) if inside]
    false = [on for inside, on in zip(nodule, marked, strict=True) if not inside]
    return [sum(missed) / len(missed), sum(false) / len(false)]


def fair_share(scores, part):
    """Shapley's formula: each subset of the others has the weight |S|! (n - |S| - 1)! / n!."""
    factorial = math.factorial
    return sum(
        factorial(len(subset) - 1) * factorial(3 - len(subset)) / 6
        * (score - scores[subset - {part}])
        for subset, score in scores.items() if part in subset
    )  # fmt: skip
