"""What the paper says of its results, as comparisons, and the rule by which our runs answer.

A claim is taken apart into comparisons "this row is better than that one by this measure". Each is
decided by the 95 % interval of the paired difference, by patient, on lesions of patients that
nobody trained on. The comparison is *supported* where the interval lies above 0, *contradicted*
where it lies below, *not run* without results of a row; in all other cases it *cannot be decided*.
A claim is supported when all of its comparisons are, and contradicted when one is; a claim of
"some" is supported when one is, contradicted when all are.

What the protocol fixed before the first run is this interval and thirteen comparisons of Dice. The
claims, their comparisons by other measures, which are secondary, and how a claim follows from its
comparisons were written down together with the results.

The interval tells what other lesions of other patients would change. What another training would
change it does not know, and that is often more. So what is decided is of two strengths. It is
*firm* where the seeds are apart as well: the worst run of the better row is better than the best
run of the other. Where the seeds overlap, or a row has one seed alone, it is decided *by patients
only*: these networks differ, and whether the methods do is open.

Two claims are narrower than the paper's sentences. Feature combination is to improve all measures
but ASSD, and we ask for Dice; the prior is to improve all but sensitivity "significantly", without
a test, against two rows, and we ask for it against the nearer one.

Nor does an interval say whether the networks had learnt at all. A run whose mean Dice is below
LEARNT on the very lesions that it was trained on has not, and a comparison with it compares
beginnings. This mark was thought of after the runs, so it decides nothing: it is a warning.
"""

from dataclasses import dataclass

import numpy as np

from nodule_lesson.evaluation.statistics import Difference, seed_band

SUPPORTED, CONTRADICTED = "supported", "contradicted"
UNDECIDED, NOT_RUN = "cannot be decided", "not run"
FIRM, BY_PATIENTS = "firm", "by patients only"
LEARNT = 0.5
SMALL = 0.01  # a difference of Dice below is called small, whatever is decided of it
LOWER_IS_BETTER = ("hausdorff_distance", "assd")
RIVALS = ("unet", "resunet", "resunet++", "deeplabv3+")
FROZEN = ("freeze S1", "freeze S5", "freeze S9", "freeze C1", "freeze FC")


@dataclass(frozen=True)
class Better:
    """`row` is better than `other` by `measure`; names of rows as in the experiments."""

    row: str
    other: str
    measure: str = "dice"


@dataclass(frozen=True)
class Claim:
    """A sentence, where it stands, and the comparisons that it consists of: all, or some."""

    text: str
    where: str
    parts: tuple
    some: bool = False


@dataclass(frozen=True)
class Evidence:
    """What our runs say of one comparison. difference: positive where it speaks for the part.

    bands: lowest and highest seed of `row` and of `other`, in the measure's own direction. apart:
    1 where all seeds of `row` are better than all of `other`, -1 the other way round, 0 where they
    overlap or a row has but one. learnt: whether all runs of both rows have. All three are None
    where a row has not been run.
    """

    part: Better
    verdict: str
    difference: Difference | None = None
    bands: tuple | None = None
    apart: int | None = None
    learnt: bool | None = None

    @property
    def strength(self):
        """FIRM or BY_PATIENTS for what is decided, else the verdict: undecided or not run."""
        return _strength(
            self.verdict, self.apart == {SUPPORTED: 1, CONTRADICTED: -1}.get(self.verdict)
        )


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict, the `Evidence` of its comparisons, and how far these can be trusted.

    apart, learnt: whether the seeds are apart in the verdict's direction, and whether all runs
    have learnt; for a verdict that rests on all comparisons, in all of them, for one that rests on
    some, in one of these.
    """

    verdict: str
    evidence: tuple
    apart: bool
    learnt: bool

    @property
    def strength(self):
        """As of `Evidence`, for the claim as a whole."""
        return _strength(self.verdict, self.apart)


def _strength(verdict, apart):
    if verdict not in (SUPPORTED, CONTRADICTED):
        return verdict
    return FIRM if apart else BY_PATIENTS


def _all(row, others, *measures):
    return tuple(Better(row, other, measure) for measure in measures for other in others)


CLAIMS = (
    Claim("The proposed model has a higher Dice than the four others", "4.4, Table 1",
          _all("proposed", RIVALS, "dice")),
    Claim("It has a higher IoU than they", "4.4, Table 1", _all("proposed", RIVALS, "iou")),
    Claim("It has a higher precision than they", "4.4, Table 1",
          _all("proposed", RIVALS, "precision")),
    Claim("It has a lower ASSD than they", "4.4, Table 1", _all("proposed", RIVALS, "assd")),
    Claim("Its sensitivity is lower than ResUNet's, ResUNet++'s and DeepLabv3+'s",
          "4.4, Table 1",
          tuple(Better(rival, "proposed", "sensitivity") for rival in RIVALS[1:])),
    Claim("Feature combination blocks raise Dice", "4.6, Table 3",
          _all("backbone+combination", ("backbone",), "dice")),
    Claim("STD raises precision and Dice", "4.6, Table 3",
          _all("std", ("backbone+combination",), "precision", "dice")),
    Claim("The prior improves all measures but sensitivity", "4.6, Table 3",
          _all("proposed", ("std",), "precision", "dice", "iou", "hausdorff_distance", "assd")),
    Claim("Pre-training raises Dice and IoU", "4.6, Table 3",
          _all("transfer", ("proposed",), "dice", "iou")),
    Claim("Pre-training makes HD and ASSD slightly worse", "4.6, Table 3",
          _all("proposed", ("transfer",), "hausdorff_distance", "assd")),
    Claim("Freezing nothing outperforms the other strategies (Dice)", "4.5, Table 2",
          _all("transfer", FROZEN, "dice")),
    Claim("Freezing certain layers further improves performance (Dice)", "abstract",
          tuple(Better(row, "transfer") for row in FROZEN), some=True),
)  # fmt: skip


def oriented(difference, measure):
    """The difference with its sign turned where lower is better: positive is better."""
    if measure not in LOWER_IS_BETTER:
        return difference
    d = difference
    return Difference(-d.mean, -d.high, -d.low, d.sd, d.count)


def train_dice(results, row):
    """Mean Dice of each run of a row on its own training lesions, (runs,)."""
    return np.array([np.mean(run["scores"]["train"]["dice"]) for run in results.of(row)])


def weigh(results, part, test="large"):
    """`Evidence` of one comparison, by the rule at the head of this module.

    results: what `nodule_lesson.experiments.read` gives.
    """
    if not {part.row, part.other} <= set(results.rows):
        return Evidence(part, NOT_RUN)
    difference = oriented(
        results.compare(part.row, part.other, measure=part.measure, test=test), part.measure
    )
    scores = [results.scores(row, part.measure, test) for row in (part.row, part.other)]
    bands = tuple(seed_band(by_seed) for by_seed in scores)
    (low, high), (other_low, other_high) = bands
    apart = int(low > other_high) - int(high < other_low)
    if part.measure in LOWER_IS_BETTER:
        apart = -apart
    if min(len(by_seed) for by_seed in scores) < 2:
        apart = 0
    verdict = {1: SUPPORTED, -1: CONTRADICTED, 0: UNDECIDED}[difference.sign]
    learnt = all((train_dice(results, row) >= LEARNT).all() for row in (part.row, part.other))
    return Evidence(part, verdict, difference, bands, apart, learnt)


def judge(results, claim, test="large"):
    """`Judgement` of a claim, by the rule at the head of this module."""
    evidence = tuple(weigh(results, part, test) for part in claim.parts)
    found = [one.verdict for one in evidence]
    enough, against = (SUPPORTED, CONTRADICTED) if claim.some else (CONTRADICTED, SUPPORTED)
    if enough in found:
        verdict, needed = enough, any
    elif all(one == against for one in found):
        verdict, needed = against, all
    else:
        return Judgement(NOT_RUN if NOT_RUN in found else UNDECIDED, evidence, False, False)
    sign = 1 if verdict == SUPPORTED else -1
    base = [one for one in evidence if one.verdict == verdict]
    apart = needed(one.apart == sign for one in base)
    return Judgement(verdict, evidence, apart, needed(one.learnt for one in base))


def missed_and_found(dice):
    """(m, d): the share of units with Dice 0, and the mean Dice of all others: mean = (1 - m) d.

    dice: any shape, nan left out; d is nan where all are missed.
    """
    dice = np.asarray(dice, dtype=float)
    dice = dice[~np.isnan(dice)]
    found = dice[dice > 0]
    if not dice.size:
        return np.nan, np.nan
    return 1 - len(found) / len(dice), float(found.mean()) if len(found) else np.nan


def misses_and_contours(dice, other):
    """(misses, contours): what each adds to the difference mean(dice) - mean(other).

    With mean = (1 - m) d of `missed_and_found`, a product, the difference is exactly

        (m' - m) (d + d') / 2  +  (d - d') ((1 - m) + (1 - m')) / 2,

    the first part from lesions that one of both missed altogether, the second from how well both
    outline what they find. Each factor is weighted by the mean of the other: the order in which
    one would change them does not matter. Who has found nothing has no d: all is misses then.
    """
    (m, d), (other_m, other_d) = missed_and_found(dice), missed_and_found(other)
    if np.isnan(d) or np.isnan(other_d):
        d = other_d = np.nan_to_num(other_d if np.isnan(d) else d)
    return (other_m - m) * (d + other_d) / 2, (d - other_d) * (2 - m - other_m) / 2
