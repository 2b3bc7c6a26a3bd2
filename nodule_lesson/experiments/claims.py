"""The paper's claims about its results, and the rule by which our runs support or contradict them.

A claim consists of comparisons: "this row is better than that one by this measure". Each is
decided by the 95 % interval of the paired difference, by patient, on lesions of patients that no
network was trained on. A comparison is *supported* if the interval lies above 0, *contradicted* if
it lies below 0, *not run* if a row has no results; otherwise it *cannot be decided*. A claim is
supported if all of its comparisons are, and contradicted if one of them is. A claim of which any
comparison suffices is supported if one of them is, and contradicted if all are.

The protocol fixed this interval and thirteen comparisons of Dice before the first run. The claims,
their comparisons by other measures, which are secondary, and how a claim follows from its
comparisons were written down together with the results.

The interval covers what other lesions of other patients would change. It does not cover what
another training would change, which is often more. So a decision has one of two strengths. It is
*firm* if the seeds are apart as well: the worst run of the better row is better than the best run
of the other. If the seeds overlap, or a row has only one seed, it is decided *by patients only*:
these networks differ, and it remains open whether the methods do.

Two claims are narrower than the paper's sentences. The paper says that feature combination
improves all measures but ASSD: we test Dice. It says that the prior "significantly" improves all
measures but sensitivity over two rows, without a test: we test it against the more similar row.

An interval does not say whether the networks have learnt at all. A run whose mean Dice on its own
training lesions is below LEARNT has not, and a comparison with it compares early training. This
threshold was chosen after the runs, so it decides nothing: it is a warning.
"""

from dataclasses import dataclass

import numpy as np

from nodule_lesson.evaluation.statistics import Difference, seed_band

SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNDECIDED, NOT_RUN = "cannot be decided", "not run"
FIRM, BY_PATIENTS = "firm", "by patients only"
LEARNT = 0.5
SMALL_GAP = 0.01  # of Dice; a smaller difference is called small even if it is decided
LOWER_IS_BETTER = ("hausdorff_distance", "assd")
RIVALS = ("unet", "resunet", "resunet++", "deeplabv3+")
FROZEN = ("freeze S1", "freeze S5", "freeze S9", "freeze C1", "freeze FC")


@dataclass(frozen=True)
class Comparison:
    """The statement that `row` is better than `other` by `measure`; rows as in the experiments."""

    row: str
    other: str
    measure: str = "dice"


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper as comparisons.

    where: section and table. any_suffices: whether one supported comparison supports the claim;
    otherwise it needs all of them.
    """

    text: str
    where: str
    comparisons: tuple
    any_suffices: bool = False


@dataclass(frozen=True)
class Evidence:
    """The result of our runs for one comparison.

    difference: positive if it favours the comparison. bands: (lowest, highest) seed of `row` and
    of `other`, in the units of the measure. apart: 1 if all seeds of `row` are better than all of
    `other`, -1 if all are worse, 0 if they overlap or a row has only one seed. learnt: whether all
    runs of both rows have learnt. These four are None if a row has not been run.
    """

    comparison: Comparison
    verdict: str
    difference: Difference | None = None
    bands: tuple | None = None
    apart: int | None = None
    learnt: bool | None = None

    @property
    def strength(self):
        """FIRM or BY_PATIENTS if the comparison is decided, else the verdict."""
        return _strength(
            self.verdict, self.apart == {SUPPORTED: 1, CONTRADICTED: -1}.get(self.verdict)
        )


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with the `Evidence` of its comparisons.

    apart: whether the seeds are apart in the direction of the verdict. learnt: whether all runs
    have learnt. If the verdict needs all comparisons, this holds for all of them; if one is
    enough, it holds for one that has this verdict.
    """

    verdict: str
    evidence: tuple
    apart: bool
    learnt: bool

    @property
    def strength(self):
        """FIRM or BY_PATIENTS if the claim is decided, else the verdict."""
        return _strength(self.verdict, self.apart)


def _strength(verdict, apart):
    if verdict not in (SUPPORTED, CONTRADICTED):
        return verdict
    return FIRM if apart else BY_PATIENTS


def _better(row, others, *measures):
    return tuple(Comparison(row, other, measure) for measure in measures for other in others)


CLAIMS = (
    Claim("The proposed model has a higher Dice than the four others", "4.4, Table 1",
          _better("proposed", RIVALS, "dice")),
    Claim("It has a higher IoU than they", "4.4, Table 1", _better("proposed", RIVALS, "iou")),
    Claim("It has a higher precision than they", "4.4, Table 1",
          _better("proposed", RIVALS, "precision")),
    Claim("It has a lower ASSD than they", "4.4, Table 1", _better("proposed", RIVALS, "assd")),
    Claim("Its sensitivity is lower than ResUNet's, ResUNet++'s and DeepLabv3+'s",
          "4.4, Table 1",
          tuple(Comparison(rival, "proposed", "sensitivity") for rival in RIVALS[1:])),
    Claim("Feature combination blocks raise Dice", "4.6, Table 3",
          _better("backbone+combination", ("backbone",), "dice")),
    Claim("STD raises precision and Dice", "4.6, Table 3",
          _better("std", ("backbone+combination",), "precision", "dice")),
    Claim("The prior improves all measures but sensitivity", "4.6, Table 3",
          _better("proposed", ("std",), "precision", "dice", "iou", "hausdorff_distance", "assd")),
    Claim("Pre-training raises Dice and IoU", "4.6, Table 3",
          _better("transfer", ("proposed",), "dice", "iou")),
    Claim("Pre-training makes HD and ASSD slightly worse", "4.6, Table 3",
          _better("proposed", ("transfer",), "hausdorff_distance", "assd")),
    Claim("Freezing nothing outperforms the other strategies (Dice)", "4.5, Table 2",
          _better("transfer", FROZEN, "dice")),
    Claim("Freezing certain layers further improves performance (Dice)", "abstract",
          tuple(Comparison(row, "transfer") for row in FROZEN), any_suffices=True),
)  # fmt: skip


def oriented(difference, measure):
    """The difference, its sign changed for a measure of which lower is better."""
    if measure not in LOWER_IS_BETTER:
        return difference
    d = difference
    return Difference(-d.mean, -d.high, -d.low, d.sd, d.count)


def train_dice(results, row):
    """Mean Dice of each run of a row on its own training lesions, (runs,)."""
    return np.array([np.mean(run["scores"]["train"]["dice"]) for run in results.runs_of(row)])


def evaluate(results, comparison, test="large"):
    """`Evidence` of one comparison, by the rule at the head of this module.

    results: `nodule_lesson.experiments.Results`. test: "small" or "large".
    """
    rows, measure = (comparison.row, comparison.other), comparison.measure
    if not set(rows) <= set(results.rows):
        return Evidence(comparison, NOT_RUN)
    difference = oriented(results.compare(*rows, measure=measure, test=test), measure)
    scores = [results.scores(row, measure, test) for row in rows]
    bands = tuple(seed_band(by_seed) for by_seed in scores)
    (low, high), (other_low, other_high) = bands
    apart = int(low > other_high) - int(high < other_low)
    if measure in LOWER_IS_BETTER:
        apart = -apart
    if min(len(by_seed) for by_seed in scores) < 2:
        apart = 0
    verdict = {1: SUPPORTED, -1: CONTRADICTED, 0: UNDECIDED}[difference.sign]
    learnt = all((train_dice(results, row) >= LEARNT).all() for row in rows)
    return Evidence(comparison, verdict, difference, bands, apart, learnt)


def evaluate_claim(results, claim, test="large"):
    """`Judgement` of a claim, by the rule at the head of this module."""
    evidence = tuple(evaluate(results, comparison, test) for comparison in claim.comparisons)
    verdicts = [each.verdict for each in evidence]
    one_is_enough, all_are_needed = (
        (SUPPORTED, CONTRADICTED) if claim.any_suffices else (CONTRADICTED, SUPPORTED)
    )
    if one_is_enough in verdicts:
        verdict, any_or_all = one_is_enough, any
    elif all(each == all_are_needed for each in verdicts):
        verdict, any_or_all = all_are_needed, all
    else:
        return Judgement(NOT_RUN if NOT_RUN in verdicts else UNDECIDED, evidence, False, False)
    sign = 1 if verdict == SUPPORTED else -1
    decisive = [each for each in evidence if each.verdict == verdict]
    apart = any_or_all(each.apart == sign for each in decisive)
    return Judgement(verdict, evidence, apart, any_or_all(each.learnt for each in decisive))


def missed_and_found(dice):
    """(m, d): the share of values that are 0 and the mean of all others, so mean = (1 - m) d.

    dice: any shape, nan is left out. d is nan if all values are 0.
    """
    dice = np.asarray(dice, dtype=float)
    dice = dice[~np.isnan(dice)]
    found = dice[dice > 0]
    if not dice.size:
        return np.nan, np.nan
    return 1 - len(found) / len(dice), float(found.mean()) if len(found) else np.nan


def misses_and_contours(dice, other):
    """(misses, contours): the two terms of the difference mean(dice) - mean(other).

    With mean = (1 - m) d from `missed_and_found`, the difference is exactly

        (m' - m) (d + d') / 2  +  (d - d') ((1 - m) + (1 - m')) / 2.

    The first term comes from lesions that one of the two missed altogether, the second from how
    well each outlines what it finds. Each factor is weighted by the mean of the other, so the
    order in which the two are changed does not matter. Who finds nothing has no d; then the whole
    difference counts as misses.
    """
    (m, d), (other_m, other_d) = missed_and_found(dice), missed_and_found(other)
    if np.isnan(d) or np.isnan(other_d):
        d = other_d = np.nan_to_num(other_d if np.isnan(d) else d)
    return (other_m - m) * (d + other_d) / 2, (d - other_d) * (2 - m - other_m) / 2
