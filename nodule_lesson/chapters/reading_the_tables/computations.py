"""What the chapter on reading the tables computes for its figures and its numbers."""

import json
from itertools import combinations

import numpy as np

from nodule_lesson.evaluation import statistics
from nodule_lesson.experiments import paper
from nodule_lesson.experiments.results import results_folder

RIVALS = ("unet", "resunet", "resunet++", "deeplabv3+")
NAMES = {ours: theirs for theirs, ours in paper.ROWS[1].items()}
PRINTED_ROWS = tuple(dict.fromkeys(row for rows in paper.ROWS.values() for row in rows.values()))
LESIONS = 11  # of the paper's test
FOUND = 1.960 + 0.842  # standard errors that 80 % of two-sided tests at 5 % find
# The pairs of rows that the protocol compares, as far as the short runs have several seeds.
COMPARED = (
    ("proposed", "unet"),
    ("proposed", "resunet"),
    ("backbone+combination", "backbone"),
    ("std", "backbone+combination"),
    ("proposed", "std"),
    ("transfer", "proposed"),
    ("transfer", "freeze S9"),
)


def leads():
    """The paper's Dice of its proposed model minus that of each rival, by row."""
    dice = paper.MEASURES.index("dice")
    printed = {ours: paper.TABLE1[theirs][dice] for theirs, ours in paper.ROWS[1].items()}
    return {row: printed["proposed"] - printed[row] for row in RIVALS}


def twins(results):
    """Pairs of seeds of one row, compared as if they were two methods: a list of `Difference`."""
    patients = results.lesions["large"]["patient"]
    return [
        statistics.paired(one, two, clusters=patients)
        for row in PRINTED_ROWS
        for one, two in combinations(results.scores(row), 2)
    ]


def gaps(results, row, other):
    """Paired differences of Dice on the large test, (seeds, lesions)."""
    return results.scores(row) - results.scores(other)


def two_intervals(results, row, other):
    """Of one comparison: the interval by patients alone, the crossed one, each seed's mean.

    The short runs all learnt from one clinic, so each training counts as a sample of its own.
    """
    of_seeds = gaps(results, row, other)
    crossed = statistics.crossed(of_seeds, results.lesions["large"]["patient"])
    return results.compare(row, other), crossed, of_seeds.mean(1)


def shown_by_eleven(results, row, seeds):
    """The difference from "proposed" that eleven lesions find in 80 % of tests.

    seeds: 1, or as many as were run. The variance of the mean is that of lesions over LESIONS plus
    that of seeds over their number. Both are taken as known, which is kind: a real test has to
    estimate them.
    """
    of_seeds = gaps(results, "proposed", row)
    one = of_seeds.var(axis=1, ddof=1).mean()
    of_lesions = one if seeds == 1 else of_seeds.mean(0).var(ddof=1)
    return FOUND * np.sqrt(of_lesions / LESIONS + of_seeds.mean(1).var(ddof=1) / seeds)


def spreads(found):
    """Standard deviations over lesions of the differences of longer runs, pair by pair.

    found: `evidence.Evidence`. The pairs are rows of Table 1 with the same clinic and seed.
    """
    rows = [row for row in NAMES if row in found.rows]
    return [
        np.std(scores - found.scores(other)[key], ddof=1)
        for row, other in combinations(rows, 2)
        for key, scores in found.scores(row).items()
        if key in found.scores(other)
    ]


def coverage_of_seven(trials=200):
    """How often a 95 % interval by patient holds a known mean, with seven patients.

    Half of the variance is between patients; each has eight lesions.
    """
    random = np.random.default_rng(0)
    names, held = np.repeat(np.arange(7), 8), 0
    for trial in range(trials):
        values = (random.normal(size=(7, 1)) + random.normal(size=(7, 8))).ravel()
        low, high = statistics.interval(values, names, draws=400, seed=trial)
        held += low < 0 < high
    return held / trials


def design():
    """What `studies/coverage.py` found for our design: a dictionary, as in its file."""
    file = results_folder() / "coverage.json"
    return json.loads(file.read_text(encoding="utf-8"))


def one_over_all(sizes):
    """(mean Dice, pooled Dice) of lesions, each (marked, true, shared) pixels."""
    marked, true, shared = np.array(sizes).T
    return (2 * shared / (marked + true)).mean(), 2 * shared.sum() / (marked + true).sum()
