"""The fates of old headlines: by runs that are made up, so that each fate is known."""

import numpy as np
import pytest

from nodule_lesson import experiments
from nodule_lesson.chapters.what_500_steps_told_us import facts, fates
from nodule_lesson.experiments import evidence, grid

STAGED = [run for stage in ("1", "2", "4") for run in grid.runs_of_stage(stage)]
PATIENTS = [f"p{k}" for k in range(30)]


def made_up(means, wanted=lambda run: True, train=0.9, sigma=0.4, noise=0.005):
    """Evidence of the staged runs with a Dice of about means[row] on each lesion, else 0.7."""
    random = np.random.default_rng(0)
    lesions = {clinic: {"large": {"patient": PATIENTS}} for clinic in (1, 2, 3)}
    runs = []
    for run in filter(wanted, STAGED):
        dice = means.get(run.row.name, 0.7) + noise * random.standard_normal(len(PATIENTS))
        runs.append(
            {
                "configuration": run.configuration,
                "training": {"sigma": [[1, 1.0], [9, sigma]]},
                "scores": {"large": {"dice": dice.tolist()}, "train": {"dice": [train]}},
            }
        )
    return evidence.Evidence(runs, lesions)


@pytest.mark.parametrize("other", ["unet", "backbone"], ids=["of the protocol", "not in it"])
@pytest.mark.parametrize(
    "dice, train, fate",
    [
        (0.6, 0.9, fates.KEPT),
        (0.8, 0.9, fates.TURNED),
        (0.7, 0.9, fates.DROPPED),
        (0.6, 0.7, fates.DROPPED),  # has not learnt
    ],
)
def test_a_comparison_keeps_turns_or_drops_a_headline(other, dice, train, fate):
    found = made_up({other: dice}, train=train, noise=0.02)
    assert fates.better("proposed", other)(found) == fate


def test_the_order_of_the_protocol_does_not_matter():
    found = made_up({"backbone": 0.8})
    assert fates.better("backbone", "backbone+combination")(found) == fates.KEPT
    assert fates.better("backbone+combination", "backbone")(found) == fates.TURNED


def test_a_comparison_of_the_protocol_needs_its_correction(monkeypatch):
    """A p-value between a twentieth and an eighth of it leaves the headline dropped."""
    found = made_up({"unet": 0.6})
    for p, fate in ((0.006, fates.KEPT), (0.02, fates.DROPPED)):
        monkeypatch.setattr(
            evidence.statistics,
            "holm",
            lambda _, p=p: np.full(len(evidence.protocol()["comparisons"]), 8 * p),
        )
        assert fates.better("proposed", "unet")(found) == fate


def test_a_headline_waits_until_the_last_run_of_both_rows_has_ended():
    last = max(run.seed for run in STAGED if run.row.name == "unet")
    missing = ("unet", 3, last)
    found = made_up({"unet": 0.6}, lambda run: (run.row.name, run.clinic, run.seed) != missing)
    assert fates.better("proposed", "unet")(found) == fates.WAITS
    assert fates.better("proposed", "resunet")(found) == fates.DROPPED
    # A row that no stage has waits for ever.
    assert fates.better("proposed", "printed iteration")(found) == fates.WAITS


def test_one_run_turns_a_headline_about_every_run():
    def first(run):
        return run.row.name == "resunet" and (run.clinic, run.seed) == (1, 0)

    fate = fates.in_every_run(("resunet",), fates.dice_is_low)
    assert fate(made_up({"resunet": 0.3}, first)) == fates.WAITS
    assert fate(made_up({"resunet": 0.6}, first)) == fates.TURNED
    assert fate(made_up({"resunet": 0.3})) == fates.KEPT
    small = fates.in_every_run(("std", "proposed"), fates.sigma_is_small)
    assert small(made_up({})) == fates.KEPT
    assert small(made_up({}, sigma=1.2)) == fates.TURNED


def test_without_runs_all_that_needs_one_waits():
    found = evidence.Evidence([], {})
    assert {one.fate(found) for one in fates.HEADLINES} == {fates.KEPT, fates.WAITS}
    assert fates.counts(found) == "2 kept, 0 turned, 0 dropped, 8 waiting"


def test_every_headline_that_compares_has_its_rows_in_a_stage():
    assert fates.WAITS not in {one.fate(made_up({})) for one in fates.HEADLINES}


def test_the_numbers_of_the_short_trainings_are_those_of_their_files():
    short = {name: experiments.read(name) for name in ("simulated", "real")}
    told = fates.numbers(short)
    means = {
        row: np.mean(
            [np.mean(run["scores"]["large"]["dice"]) for run in short["real"].runs_of(row)]
        )
        for row in ("resunet", "transfer", "proposed", "c = truth")
    }
    assert float(told["resunet"]) == pytest.approx(means["resunet"], abs=5e-4)
    start = means["transfer"] - means["proposed"]
    assert float(told["start"]) == pytest.approx(start, abs=5e-4)
    truth = means["proposed"] - means["c = truth"]
    assert float(told["truth-mean"]) == pytest.approx(truth, abs=5e-4)
    assert float(told["truth"]) > float(told["truth-mean"])
    assert facts.trainings(short)["short-steps"] == "500"
    for said, doubt, _ in fates.table(short, evidence.read("real")):
        assert "{" not in said.replace("{doc}", "") + doubt.replace("{doc}", "")
