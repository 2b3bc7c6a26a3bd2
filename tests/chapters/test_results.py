"""The page of results: tables from runs that are made up, so that every cell is known."""

import numpy as np
import pytest

from nodule_lesson.chapters.results import facts, tables
from nodule_lesson.experiments import evidence, grid, paper

STAGED = [run for stage in ("1", "2", "4") for run in grid.runs_of_stage(stage)]
PATIENTS = [f"p{k}" for k in range(30)]
DIAMETERS = [4.0] * 10 + [6.0] * 15 + [12.0] * 5


def made_up(means, runs=STAGED, train=0.9, noise=0.005):
    """Evidence with a Dice of about means[row] on every lesion, 0.7 for other rows."""
    random = np.random.default_rng(0)
    lesion = {"patient": PATIENTS, "lesion": PATIENTS, "diameter": DIAMETERS}
    lesions = {
        clinic: dict.fromkeys(("small", "large", "external"), lesion) for clinic in (1, 2, 3)
    }
    found = []
    for run in runs:
        dice = means.get(run.row.name, 0.7) + noise * random.standard_normal(len(PATIENTS))
        scores = dict.fromkeys(tables.MEASURES, dice.tolist())
        found.append(
            {
                "configuration": run.configuration,
                "training": {"steps": 1200, "cpu_seconds_a_step": 0.5},
                "scores": {**dict.fromkeys(tables.TESTS, scores), "train": {"dice": [train]}},
            }
        )
    return evidence.Evidence(found, lesions)


PAPERS = {row: dice for number in grid.TABLES for row, dice in tables.printed(number).items()}


@pytest.mark.parametrize("number", grid.TABLES)
def test_a_table_has_the_papers_rows_with_its_numbers_and_ours(number):
    rows = tables.table(made_up(PAPERS), number)
    printed = {name: values[2] for name, values in paper.TABLES[number].items()}
    assert [row[1] for row in rows] == [f"{dice:.3f}" for dice in printed.values()]
    for row in rows:
        assert len(row) == len(tables.head(number))
        assert [float(text) for text in row[2:5]] == pytest.approx([float(row[1])] * 3, abs=0.003)
    better = {1: "proposed", 2: "transfer", 3: None}[number]
    assert [row[0] for row in rows if row[5] == ""] == [better or "backbone"]


def test_runs_that_give_the_papers_means_decide_for_it_and_support_all_it_contributes():
    found = made_up(PAPERS | {"unet, pre-trained": 0.75})
    assert {one.verdict for one in found.primary()} == {evidence.DECIDED}
    assert [row[-1] for row in tables.contributions(found)] == ["supported"] * 5
    for number in grid.TABLES:
        mean, each = tables.rank_correlations(found, number)
        assert mean == pytest.approx(1)
        assert len(each) == (3 if number == 2 else 9)
    assert "rank correlation +1.0" in facts.order(found)["results-order-1"]


def test_runs_that_give_the_opposite_support_nothing():
    found = made_up({row: 1.5 - dice for row, dice in PAPERS.items()})
    assert [row[-1] for row in tables.contributions(found)] == ["not supported"] * 5
    assert tables.rank_correlations(found, 1)[0] == pytest.approx(-1)
    word = {row[0]: row[-1] for row in tables.table(found, 1)}
    assert word["unet"] == word["resunet"] == "decided" and word["resunet++"] == ""


def test_one_comparison_in_favour_does_not_support_what_two_speak_to():
    found = made_up(PAPERS | {"resunet": PAPERS["proposed"]}, noise=0.02)
    words = {(one.row, one.other): one.verdict for one in found.primary()}
    assert words["proposed", "unet"] == evidence.DECIDED
    assert words["proposed", "resunet"] == evidence.OPEN
    assert tables.contributions(found)[4][-1] == evidence.OPEN


def test_rows_that_have_not_learnt_have_a_star_and_leave_all_open():
    found = made_up(PAPERS, train=0.79)
    assert all(row[0].endswith("\\*") for row in tables.table(found, 1))
    assert [row[-1] for row in tables.contributions(found)] == ["open"] * 5


def test_before_two_clinics_have_run_nothing_is_compared():
    first = [run for run in STAGED if run.clinic == 1 and run.row.name in ("unet", "proposed")]
    found = made_up({}, first)
    unet, resunet, *_ = tables.table(found, 1)
    assert unet[2] != tables.WAITING and unet[5:] == [tables.WAITING, ""]
    assert resunet[2:] == [tables.WAITING] * 4 + [""]
    assert tables.rank_correlations(found, 1) is None
    assert [row[-1] for row in tables.contributions(found)] == ["open"] * 5
    told = facts.runs(found)
    assert f"{len(first)} of {len(STAGED)} have ended" in told["results-progress"]
    assert told["results-minutes"] == "10 to 10"
    assert facts.runs(made_up({}))["results-progress"] == f"All {len(STAGED)} runs have ended."


def test_lesions_are_grouped_by_their_diameter():
    (counts, *rows) = tables.by_diameter(made_up({"unet": 0.8}))
    assert counts == ["lesions", "10", "15", "5"]
    assert [row[0] for row in rows] == made_up({}).rows
    unet = next(row for row in rows if row[0] == "unet")
    assert [float(text) for text in unet[1:]] == pytest.approx([0.8] * 3, abs=0.003)
