"""The judges of assignments 2 and 3 against theorems, loops and the package's own measures."""

import itertools
import json
import re
import textwrap
from pathlib import Path

import class_2
import class_3
import numpy as np
import pytest
import torch
from scipy import stats

from nodule_lesson.data import open_demo
from nodule_lesson.evaluation.measures import summarise
from nodule_lesson.grading import ablation, questions, two_encoders

SEED = 31


def defined(members, answers):
    names = {"torch": torch, "nn": torch.nn, "np": np, "ablation": ablation}
    names["plan"] = {"ingredient": "", "expected": ""}
    for source in answers.values():
        exec(textwrap.dedent(source), names)
    return {name: names[name] for name in members.NAMES}


RIGHT = {"2": defined(class_2, class_2.GRADIENTS), "3": defined(class_3, class_3.ARRAYS)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "number, name", [(number, name) for number in RIGHT for name in RIGHT[number]]
)
def test_right_answers_have_all_points_whatever_the_seed(number, name, seed):
    assert all(questions.held(number, name, RIGHT[number][name], seed))


@pytest.mark.parametrize("number", RIGHT)
def test_a_seed_chooses_what_is_asked(number):
    for name in set(RIGHT[number]) - {"results"}:  # there the data are the student's
        texts = []
        for seed in (2**100, 2**100, 2**100 + 1):
            cases = questions.cases(number, name, seed)
            texts.append(json.dumps(cases, default=lambda array: array.tolist()))
        assert texts[0] == texts[1] != texts[2], name


def test_what_a_notebook_changes_in_the_measuring_code_has_no_effect(monkeypatch):
    def forged(*anything):
        raise AssertionError("the changed code was called")

    for name in ("_act", "_ask_still", "_says"):
        monkeypatch.setattr(two_encoders, name, forged)
    monkeypatch.setattr(two_encoders, "QUESTIONS", two_encoders.QUESTIONS[:2])
    asked = questions.question_read_again("2", "is_still")
    case = asked.inputs(np.random.default_rng(0))
    said = questions.answers_of(asked, RIGHT["2"]["is_still"], case)["said"]
    assert said.tolist() == [kind in two_encoders.STILL for kind in case["kinds"]]


# --- assignment 2 --------------------------------------------------------------------------------


def alive_by_counting(kernel, stride, rate, side):
    """For each tap whether it meets the image at some place, and the side of the answer."""
    padding, places, meets = rate * (kernel // 2), 0, [False] * kernel
    start = -padding
    while start + rate * (kernel - 1) < side + padding:
        for tap in range(kernel):
            meets[tap] |= 0 <= start + rate * tap < side
        start, places = start + stride, places + 1
    return meets, places


@pytest.mark.parametrize("seed", range(8))
def test_alive_are_the_taps_that_meet_the_image(seed):
    case = two_encoders._dead_inputs(np.random.default_rng(seed))
    wanted = {}
    for tower in ("left", "right"):
        sides = case["shape"]
        for place, layer in enumerate(case[tower]):
            rows, columns = (alive_by_counting(*layer, side) for side in sides)
            wanted[f"{tower}.{3 * place}.weight"] = np.outer(rows[0], columns[0])
            sides = rows[1], columns[1]
    network = {name: case[name] for name in ("seed", "channels", "left", "right")}
    lives, at, dead = two_encoders.alive(**case), 0, 0
    for name, weights in two_encoders._towers(**network).named_parameters():
        found = lives[at : at + weights.numel()].reshape(weights.shape)
        at += weights.numel()
        assert (found == wanted.get(name, "spare" not in name)).all(), name
        dead += name in wanted and not wanted[name].all()
    assert at == lives.size and dead >= 1


@pytest.mark.parametrize("seed", range(5))
def test_the_report_is_that_of_the_packages_measures(seed):
    case = two_encoders._report_inputs(np.random.default_rng(seed))
    marked, truth = case["marked"] > 0, case["truth"] > 0
    wanted = two_encoders._wanted_report(case)
    known = {name for name, one in zip(case["lesion"], truth, strict=True) if one.any()}
    label = [name if name in known else "" for name in case["lesion"]]
    by_lesion = summarise(marked, truth, per="lesion", lesions=label)
    assert wanted["lesions"] == pytest.approx(by_lesion.mean["dice"])
    assert wanted["missed"] == pytest.approx((by_lesion.values["sensitivity"] == 0).mean())
    by_slice = summarise(marked, truth, empty="perfect")
    assert wanted["slices"] == pytest.approx(by_slice.mean["dice"])
    precision = summarise(marked, truth).values["precision"][~truth.any((1, 2))]
    assert wanted["alarms"] == pytest.approx((~np.isnan(precision)).mean())
    # What a sheet warns of is among the data.
    assert 0 < wanted["missed"] < 1 and 0 < wanted["alarms"] < 1 and len(known) < 5
    assert any(name and not one.any() for name, one in zip(case["lesion"], truth, strict=True))


def test_orders_cross_only_under_the_conditions():
    case = two_encoders._paradox_inputs(np.random.default_rng(SEED))
    truth = case["truth"] > 0
    a, b = RIGHT["2"]["paradox"](truth)
    holds = two_encoders._orders_cross
    assert holds(case, a.astype(float), b.astype(float))
    assert not holds(case, b.astype(float), a.astype(float))
    assert not holds(case, a + 0.5, b.astype(float))
    alarm = a.copy()
    alarm[~truth.any((1, 2)), 0, 0] = True
    assert not holds(case, alarm.astype(float), b.astype(float))
    missed = a.copy()
    missed[truth.sum((1, 2)) < 30] = False
    assert not holds(case, missed.astype(float), b.astype(float))


# --- assignment 3 --------------------------------------------------------------------------------


def test_simulated_experiments_vary_as_they_should():
    """The variance of the mean is that of its three parts."""
    random, deviations = np.random.default_rng(0), (0.03, 0.05, 0.1)
    made = ablation.experiments(random, (4, 8), 0.2, deviations, count=20000)
    variance = 0.03**2 / 4 + 0.05**2 / 8 + 0.1**2 / 32
    assert made.mean((1, 2)).var() == pytest.approx(variance, rel=0.05)
    assert made.mean() == pytest.approx(0.2, abs=4 * (variance / 20000) ** 0.5)


def test_the_bar_for_covering_is_fair():
    """Who covers in 94 of 100 is below the bar in six tries with a chance of less than 1 %."""
    below = int(np.ceil(ablation.COVERED * ablation.EXPERIMENTS)) - 1
    assert 6 * stats.binom.cdf(below, ablation.EXPERIMENTS, 0.94) < 0.01
    assert stats.binom.cdf(below, ablation.EXPERIMENTS, 0.80) > 0.99


def test_the_seal_changes_with_each_letter_and_brings_the_seeds():
    plan = {"arms": ["with", "without"], "seeds": 5, "smallest": 0.02, "expected": "better"}
    seeds = ablation.seeds_of(plan)
    assert seeds == ablation.seeds_of(dict(reversed(plan.items()))) and len(set(seeds)) == 5
    for name, value in (("expected", "Better"), ("smallest", 0.021), ("arms", ["a", "b"])):
        assert ablation.seal({**plan, name: value}) != ablation.seal(plan)
        assert ablation.seeds_of({**plan, name: value}) != seeds


def test_lesions_are_those_with_a_true_pixel_and_their_dice_is_pooled():
    clinic = open_demo("clinic_like")
    lesion, truth = ablation.lesion_names(clinic), np.asarray(clinic.masks) > 0
    assert set(lesion[truth.any((1, 2))]) == set(lesion) - {""}
    names = sorted(set(lesion) - {""})
    assert len({name.split()[0] for name in names}) == 7
    marked = np.roll(truth, 2, axis=2)
    found = ablation.lesion_dice(marked, truth, lesion)
    assert sorted(found) == names
    for name in names:
        a, b = marked[lesion == name], truth[lesion == name]
        assert found[name] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_allowed_verdicts():
    better, worse, no_matter, undecided = range(4)
    for low, high, wanted in (
        (0.03, 0.05, {better}),
        (0.001, 0.05, {better}),
        (0.001, 0.01, {better, no_matter}),
        (-0.01, 0.01, {no_matter}),
        (-0.01, -0.001, {worse, no_matter}),
        (-0.01, 0.02, {undecided}),
        (-0.05, 0.05, {undecided}),
        (-0.05, -0.03, {worse}),
    ):
        assert ablation._allowed(low, high, 0.02) == wanted


def test_plans_that_are_none_are_found_out():
    plan = {"arms": ["a", "b"], "seeds": 4, "smallest": 0.1, "expected": ""}

    def read(plan):
        return ablation._plan(np.array(list(json.dumps(plan).encode()), float))

    assert read(plan) == plan
    for name, value in (("arms", ["a", "a"]), ("seeds", 3), ("seeds", 10**9), ("smallest", 0.0),
                        ("smallest", "0.1"), ("expected", None)):  # fmt: skip
        assert read({**plan, name: value}) is None
    for numbers in ([], [1e9], [-1.0], [91.0] * 9):
        assert ablation._plan(np.array(numbers)) is None


def test_the_table_is_averaged_as_the_sheet_says():
    random = np.random.default_rng(SEED)
    lesions = ["anna nodule-1", "bert nodule-1", "bert nodule-2"]
    dice = random.random((2, 4, 3))
    found = ablation._of_table(lesions, dice)
    for seed, patient in itertools.product(range(4), range(2)):
        gaps = [dice[0, seed, n] - dice[1, seed, n] for n, name in enumerate(lesions)
                if name.startswith(("anna", "bert")[patient])]  # fmt: skip
        assert found[seed, patient] == pytest.approx(sum(gaps) / len(gaps))


def test_the_example_answers_have_points_of_the_rubrics_and_the_seal_of_their_plan():
    folder = Path(__file__).parents[2] / "assignments" / "3_an_experiment_that_can_fail"
    text = (folder / "examples.md").read_text(encoding="utf-8")
    heads = re.split(r"^## `(\w+)`, an? (\w+) answer: (\d+) of (\d+)$", text, flags=re.MULTILINE)
    found = {}
    for name, level, got, most, body in zip(*(heads[n::5] for n in range(1, 6)), strict=True):
        rubric = [points for points, _ in ablation.WRITTEN[name].rubric]
        parts = re.search(r"^(\d(?: \+ \d)+)", body, re.MULTILINE)[1].split(" + ")
        assert len(parts) == len(rubric) and int(most) == sum(rubric)
        assert all(int(part) <= points for part, points in zip(parts, rubric, strict=True))
        assert sum(map(int, parts)) == int(got)
        found.setdefault(name, {})[level] = int(got)
    assert set(found) == set(ablation.WRITTEN)
    for levels in found.values():
        assert levels["strong"] > levels["middling"] > levels["weak"]
    plan = json.loads(re.search(r"^plan = (.*)$", text, re.MULTILINE)[1])
    assert text.count(ablation.seal(plan)) >= 3
