"""The rule by which claims are judged: results made up so that the verdict is known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nodule_lesson.evaluation import statistics
from nodule_lesson.experiments import claims, paper
from nodule_lesson.experiments.claims import (
    BY_PATIENTS,
    CONTRADICTED,
    FIRM,
    NOT_RUN,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Comparison,
)

PATIENTS = np.repeat(np.arange(60), 5)


class MadeUp:
    """Results made up for `claims`.

    means: {row: mean}. seeds: what each seed adds to the mean. noise: sd of the lesions' values.
    """

    def __init__(self, means, seeds=(-0.01, 0.0, 0.01), noise=0.05):
        random = np.random.default_rng(0)
        lesion = random.normal(0, 0.1, len(PATIENTS))
        self.rows = list(means)
        self.values = {
            row: mean + lesion + random.normal(0, noise, (1, len(PATIENTS)))
            + np.array(seeds)[:, None]
            for row, mean in means.items()
        }  # fmt: skip

    def scores(self, row, measure="dice", test="large"):
        assert test == "large"
        return self.values[row]

    def runs_of(self, row):
        return [{"scores": {"train": {"dice": seed.tolist()}}} for seed in self.values[row]]

    def compare(self, row, other, measure="dice", test="large"):
        ours, theirs = (self.scores(name, measure, test).mean(axis=0) for name in (row, other))
        return statistics.paired(ours, theirs, PATIENTS)


@pytest.mark.parametrize(
    "gap, seeds, noise, verdict, apart",
    [
        (0.10, (-0.01, 0, 0.01), 0.05, SUPPORTED, 1),
        (-0.10, (-0.01, 0, 0.01), 0.05, CONTRADICTED, -1),
        (0.0, (-0.01, 0, 0.01), 0.05, UNDECIDED, 0),
        # The interval is clear of 0, but seeds overlap: 0.1 against a band of 0.2.
        (0.10, (-0.1, 0, 0.1), 0.05, SUPPORTED, 0),
        # Seeds are apart, but the lesions are too different for an interval clear of 0.
        (0.05, (-0.001, 0, 0.001), 2.0, UNDECIDED, 1),
        # One seed cannot tell how seeds differ.
        (0.10, (0.0,), 0.05, SUPPORTED, 0),
        (0.10, (0.0, 0.0), 0.05, SUPPORTED, 1),
    ],
)
def test_lesions_decide_and_seeds_are_reported(gap, seeds, noise, verdict, apart):
    results = MadeUp({"a": 0.6 + gap, "b": 0.6}, seeds, noise)
    evidence = claims.evaluate(results, Comparison("a", "b"))
    assert (evidence.verdict, evidence.apart) == (verdict, apart)
    assert evidence.difference == results.compare("a", "b")
    assert evidence.learnt is all((results.values[row].mean(axis=1) >= 0.5).all() for row in "ab")
    means = [results.scores(row).mean(axis=1) for row in "ab"]
    np.testing.assert_allclose(evidence.bands, [(m.min(), m.max()) for m in means])
    # The same comparison the other way round has the opposite verdict.
    opposite = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, UNDECIDED: UNDECIDED}
    back = claims.evaluate(results, Comparison("b", "a"))
    assert (back.verdict, back.apart) == (opposite[verdict], -apart)
    if verdict == UNDECIDED:
        assert evidence.strength == UNDECIDED
    else:
        assert evidence.strength == (FIRM if apart else BY_PATIENTS)


def test_a_verdict_reports_a_row_that_has_not_learnt():
    """One run of three below one half on its own training lesions is enough."""
    results = MadeUp({"a": 0.9, "b": 0.7, "slow": 0.505, "idle": 0.1})
    slow, idle, b = (Comparison("a", other) for other in ("slow", "idle", "b"))
    assert claims.train_dice(results, "slow").shape == (3,)
    learnt = [claims.evaluate(results, comparison).learnt for comparison in (slow, idle, b)]
    assert learnt == [False, False, True]
    for comparisons, any_suffices, learnt in [
        ((b,), False, True),
        ((b, idle), False, False),
        ((b, idle), True, True),
        ((slow, idle), True, False),
    ]:
        judgement = claims.evaluate_claim(results, Claim("", "", comparisons, any_suffices))
        assert judgement.verdict == SUPPORTED and judgement.learnt is learnt


@pytest.mark.parametrize("measure", claims.LOWER_IS_BETTER)
def test_of_distances_the_smaller_is_better(measure):
    results = MadeUp({"near": 1.0, "far": 2.0})
    evidence = claims.evaluate(results, Comparison("near", "far", measure))
    assert evidence.verdict == SUPPORTED and evidence.difference.low > 0 and evidence.apart == 1
    raw = results.compare("near", "far", measure)
    turned = dataclasses.astuple(evidence.difference)
    assert turned == (-raw.mean, -raw.high, -raw.low, raw.sd, raw.count)
    assert claims.evaluate(results, Comparison("far", "near", measure)).verdict == CONTRADICTED


def test_a_row_that_is_missing_was_not_run():
    evidence = claims.evaluate(MadeUp({"a": 0.5}), Comparison("a", "b"))
    assert evidence.verdict == NOT_RUN and evidence.difference is None


LADDER = MadeUp({"top": 0.9, "high": 0.7, "twin": 0.7, "low": 0.5})
# Verdicts of top, twin and low against "high": for, open, against; and of a row that is missing.
FOR, OPEN, AGAINST = (Comparison(row, "high") for row in ("top", "twin", "low"))
MISSING = Comparison("nobody", "high")


@pytest.mark.parametrize(
    "comparisons, if_all_are_needed, if_any_suffices",
    [
        ([FOR, FOR], SUPPORTED, SUPPORTED),
        ([FOR, OPEN], UNDECIDED, SUPPORTED),
        ([FOR, AGAINST], CONTRADICTED, SUPPORTED),
        ([OPEN, AGAINST], CONTRADICTED, UNDECIDED),
        ([AGAINST, AGAINST], CONTRADICTED, CONTRADICTED),
        ([OPEN], UNDECIDED, UNDECIDED),
        ([FOR, MISSING], NOT_RUN, SUPPORTED),
        ([AGAINST, MISSING], CONTRADICTED, NOT_RUN),
        ([OPEN, MISSING], NOT_RUN, NOT_RUN),
    ],
)
def test_a_claim_needs_all_comparisons_or_any(comparisons, if_all_are_needed, if_any_suffices):
    claim = Claim("", "", tuple(comparisons))
    assert claims.evaluate_claim(LADDER, claim).verdict == if_all_are_needed
    claim = dataclasses.replace(claim, any_suffices=True)
    assert claims.evaluate_claim(LADDER, claim).verdict == if_any_suffices


def test_the_seeds_of_a_claim_are_those_that_its_verdict_rests_on():
    # 0.3 apart with bands of 0.02, and 0.1 apart with bands of 0.2.
    results = MadeUp({"far": 0.9, "b": 0.6})
    results.rows += ["near", "c"]
    results.values |= MadeUp({"near": 0.7, "c": 0.6}, (-0.1, 0, 0.1)).values
    firm, loose = Comparison("far", "b"), Comparison("near", "c")
    for comparisons, any_suffices, apart in [
        ((firm,), False, True),
        ((loose,), False, False),
        ((firm, loose), False, False),
        ((firm, loose), True, True),
    ]:
        judgement = claims.evaluate_claim(results, Claim("", "", comparisons, any_suffices))
        assert judgement.verdict == SUPPORTED and judgement.apart is apart
        turned = tuple(Comparison(pair.other, pair.row) for pair in comparisons)
        judgement = claims.evaluate_claim(results, Claim("", "", turned, not any_suffices))
        assert judgement.verdict == CONTRADICTED and judgement.apart is apart
        assert [evidence.comparison for evidence in judgement.evidence] == list(turned)


def test_the_papers_tables_support_the_papers_claims():
    """Each comparison holds between the printed means, but for those the book says do not."""
    rows = {
        ours: dict(zip(paper.MEASURES, paper.TABLES[number][name], strict=True))
        for number in (1, 2, 3)
        for name, ours in paper.ROWS[number].items()
    }
    off = set()
    for claim in claims.CLAIMS:
        for pair in claim.comparisons:
            gap = rows[pair.row][pair.measure] - rows[pair.other][pair.measure]
            if (gap < 0) != (pair.measure in claims.LOWER_IS_BETTER):
                off.add((claim.where, pair.row))
    # Freezing helps nowhere in Table 2: the abstract against the paper's own section 4.5.
    assert off == {("abstract", row) for row in claims.FROZEN}


def test_what_the_rule_says_was_fixed_before_is_what_the_protocol_holds():
    """Thirteen comparisons of Dice by an interval; measures and claims are in no protocol."""
    from nodule_lesson.experiments.results import results_folder

    protocol = json.loads((results_folder() / "protocol.json").read_text(encoding="utf-8"))
    fixed = {(pair["row"], pair["other"]) for pair in protocol["comparisons"]}
    assert len(fixed) == len(protocol["comparisons"]) == 13
    assert "Dice" in protocol["primary_endpoint"] and "interval" in protocol["decision"]
    assert "thirteen comparisons of Dice" in " ".join(claims.__doc__.split())
    comparisons = [pair for claim in claims.CLAIMS for pair in claim.comparisons]
    claimed = {frozenset((pair.row, pair.other)) for pair in comparisons}
    assert claimed == {frozenset(pair) for pair in fixed}
    secondary = {pair.measure for pair in comparisons} - {"dice"}
    assert secondary == {"precision", "sensitivity", "iou", "hausdorff_distance", "assd"}


def test_the_book_names_the_measures_in_which_freezing_nothing_is_best():
    """Four of the paper's six, by its printed table."""
    names = ("precision", "sensitivity", "Dice", "IoU", "HD", "ASSD")
    best = [
        name
        for k, (name, measure) in enumerate(zip(names, paper.MEASURES, strict=True))
        if (min if measure in claims.LOWER_IS_BETTER else max)(
            paper.TABLE2, key=lambda row, k=k: paper.TABLE2[row][k]
        )
        == "no freezing"
    ]
    sentence = f"in {', '.join(best[:-1])} and {best[-1]}"
    assert sentence == "in Dice, IoU, HD and ASSD"
    book = Path(__file__).parents[2] / "book"
    for page in ("transfer_learning", "reading_the_tables"):
        assert sentence in (book / f"{page}.md").read_text(encoding="utf-8")


def test_the_names_are_those_of_the_experiments():
    from nodule_lesson.experiments.grid import ROWS, TABLES

    for number, names in TABLES.items():
        assert tuple(paper.ROWS[number].values()) == names
    claimed = {
        row for c in claims.CLAIMS for pair in c.comparisons for row in (pair.row, pair.other)
    }
    assert claimed <= set(ROWS)


# --- misses and contours ------------------------------------------------------------------------

SHARES = arrays(float, st.integers(1, 30), elements=st.sampled_from([0, 0.1, 0.5, 0.83, 1]))


@settings(max_examples=100, deadline=None)
@given(SHARES)
def test_the_mean_is_the_product(dice):
    missed, found = claims.missed_and_found(dice)
    assert missed == pytest.approx(sum(dice == 0) / len(dice))
    if missed < 1:
        assert (1 - missed) * found == pytest.approx(dice.mean())
    else:
        assert np.isnan(found)


@settings(max_examples=100, deadline=None)
@given(SHARES, SHARES)
def test_the_parts_add_up_and_change_sign_together(a, b):
    parts = claims.misses_and_contours(a, b)
    assert sum(parts) == pytest.approx(a.mean() - b.mean(), abs=1e-12)
    np.testing.assert_allclose(claims.misses_and_contours(b, a), np.negative(parts), atol=1e-12)


def test_each_part_alone():
    drawn_better = claims.misses_and_contours([0, 0.9, 0.9], [0, 0.8, 0.8])
    assert drawn_better == pytest.approx((0, 0.1 * 2 / 3))
    missed_less = claims.misses_and_contours([0.8, 0.8, 0.8], [0, 0.8, 0.8])
    assert missed_less == pytest.approx((0.8 / 3, 0))
    found_nothing = claims.misses_and_contours([0.8, 0.4, 0], [0, 0, 0])
    assert found_nothing == pytest.approx((0.4, 0))
    assert claims.misses_and_contours([0, 0], [0, 0]) == (0, 0)
    assert claims.missed_and_found([0.5, np.nan, 0]) == (0.5, 0.5)
    assert np.isnan(claims.missed_and_found([np.nan])).all()
