"""The first page: what it says of the runs follows the runs."""

import numpy as np

from nodule_lesson.chapters.index import facts
from nodule_lesson.experiments import evidence, grid

STAGED = [run for stage in ("1", "2", "4") for run in grid.runs_of_stage(stage)]


def made_up(runs, better="proposed"):
    random = np.random.default_rng(0)
    patients = [f"p{k}" for k in range(30)]
    found = []
    for run in runs:
        dice = 0.7 + 0.1 * (run.row.name == better) + 0.005 * random.standard_normal(30)
        scores = {"large": {"dice": dice.tolist()}, "train": {"dice": [0.9]}}
        found.append({"configuration": run.configuration, "scores": scores})
    lesions = {clinic: {"large": {"patient": patients}} for clinic in (1, 2, 3)}
    return evidence.Evidence(found, lesions)


def test_the_first_page_counts_runs_and_decisions():
    told = facts.what_came_out(made_up(STAGED[:7]))
    assert f": 7 of {len(STAGED)} trainings have ended." in told["index-progress"]
    assert "8 comparisons" in told["index-decisions"]
    assert "0 are decided, 0 are open, and 8 still wait." in told["index-decisions"]
    told = facts.what_came_out(made_up(STAGED))
    assert told["index-progress"].startswith(f"All {len(STAGED)} trainings")
    # The protocol has four pairs with "proposed"; in one of them it is the second.
    assert "4 are decided, 4 are open, and 0 still wait." in told["index-decisions"]


def test_the_first_page_does_not_print_the_kindest_end():
    told = facts.what_came_out(made_up(STAGED[:7]))
    low, high = map(float, told["index-sees"].split(" to "))
    assert high > 2 * low > 2 * float(told["index-leads"].split(" to ")[1])
