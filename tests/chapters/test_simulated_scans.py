"""The page *Simulated scans*: the numbers of its text, and what it computes for them."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest

from nodule_lesson.chapters.simulated_scans import computations, facts
from nodule_lesson.evaluation import statistics

RESULTS = Path(__file__).parents[2] / "book" / "results"


# --- judges -------------------------------------------------------------------------------------


@pytest.fixture
def realism():
    """Made up: 100 real and 50 simulated slices."""
    judges = [
        ("neighbour of thumbnails", [60, 30], 0.5, None),
        ("neighbour of numbers", [80, 30], 0.6, None),
        ("logistic regression", [80, 20], 0.7, 0.75),
        ("network", [90, 5], 0.9, 0.95),
    ]
    keys = ("judge", "said_real_of_real_simulated", "balanced_accuracy", "auc")
    glass = {"number": "ground glass core", "values": [0] * 42, "measured": [None, -700, -610.4]}
    return {
        "setting": {"counts_real_simulated": {"tested": [100, 50]}},
        "judges": [dict(zip(keys, judge, strict=True)) for judge in judges],
        "hounsfield": [{"number": "lung"}, {**glass, "simulated": [-600, -500, -467.2]}],
        "numbers": [{"number": "mean", "auc": 0.55}, {"number": "noise", "auc": 0.31}],
    }


def test_a_judge_is_right_where_it_says_what_is(realism):
    *_, network, _, counted = facts.judges_table(realism).splitlines()
    # 90 real slices were called real, and all but 5 simulated ones simulated.
    assert network.split() == ["network", "90%", "90%", "0.90", "0.95"]
    assert counted.startswith("100 real and 50 simulated slices")
    assert facts.judges_table(realism).splitlines()[1].split()[-4:] == ["60%", "40%", "0.50", "-"]


def test_the_judges_are_told_in_their_order(realism):
    assert facts.judges(realism) == {
        "glass-simulated": "−467",
        "glass-real": "−610",
        "glass-slices": "42",
        "judge-network": "0.95",
        "judge-network-share": "0.90",
        "judge-logistic": "0.75",
        "judge-nearest-low": "0.50",
        "judge-nearest-high": "0.60",
        "judge-number": "noise",  # the further from 1/2, on whichever side
        "judge-number-auc": "0.69",
    }


# --- trainings ----------------------------------------------------------------------------------


def made_up_runs(differences, patients):
    """Two seeds of two conditions, whose mean Dice differ by so much, slice by slice."""
    other = np.linspace(0.3, 0.6, len(differences))
    runs = []
    for shift in (-0.1, 0.1):
        for name, scores in (("new", other + differences), ("old", other)):
            blind = {"dice": list(2 * (scores + shift))}
            runs.append({"condition": name, "dice": list(scores + shift), "blind": blind})
    return {"runs": runs} | {test: {"patient_of_slice": patients} for test in ("data", "blind")}


def test_differences_are_sure_as_far_as_patients_agree():
    same = made_up_runs(np.full(6, 0.2), [0, 0, 0, 1, 1, 2])
    assert computations.mean_difference(same, "new", "old", "data") == pytest.approx([0.2] * 3)
    assert computations.mean_difference(same, "new", "old", "blind") == pytest.approx([0.4] * 3)
    two = made_up_runs(np.array([0.0, 0.0, 0.3]), [0, 0, 1])  # one patient or both may be drawn
    assert computations.mean_difference(two, "new", "old", "data") == pytest.approx([0.1, 0, 0.3])


def test_differences_have_the_interval_of_another_bootstrap():
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), random.integers(1, 9, 40))
    differences = random.normal(size=40)[patients] / 10 + 0.05
    ours = computations.mean_difference(made_up_runs(differences, patients), "new", "old", "data")
    other = statistics.paired(differences, np.zeros(len(patients)), patients)
    assert ours == pytest.approx([other.mean, other.low, other.high], abs=0.004)


@pytest.fixture(scope="module")
def kept():
    return json.loads((RESULTS / "simulated_to_real.json").read_text(encoding="utf-8"))


@pytest.fixture
def result(kept):
    return copy.deepcopy(kept)


def test_the_setting_is_that_of_the_caption(result):
    texts = facts.setting_of_training(result)
    assert texts["teach-longer"] == "3,600"  # in the text for those who do not see the figure
    assert (texts["teach-few"], texts["teach-many"]) == ("40", "400")
    small = sum(area < 40 for area in result["data"]["area_of_slice"])
    assert texts["teach-small"] == f"{small / result['data']['test_slices']:.0%}"
    result["setting"]["times_longer"] = 5
    with pytest.raises(AssertionError):
        facts.setting_of_training(result)


def test_the_order_of_the_trainings_is_held(result):
    rows = computations.rows_by_condition(result)
    texts = facts.dice_by_training(result)
    many = rows["many real, 4 times"]
    assert texts["dice-many-longer"] == f"{many['mean_dice']:.3f}"
    assert texts["dice-many-longer-blind"] == f"{many['blind']['mean_dice']:.3f}"
    assert texts["dice-many-longer-small"] == f"{many['by_group']['below 40 pixels']:.2f}"
    assert float(texts["dice-simulated-longer-least"]) > 0.75 > float(texts["dice-simulated"])
    many["mean_dice"] = rows["simulated, 4 times"]["mean_dice"] - 0.001
    with pytest.raises(AssertionError):
        facts.dice_by_training(result)


def test_sizes_share_out_what_simulated_slices_lack():
    """A quarter, a half and a quarter of the slices, which lack 0, 0.02 and 0.12."""
    sizes = ("below 40 pixels", "40 to 150 pixels", "150 pixels and more")
    lacks = np.array([0.0, 0.02, 0.12])

    def row(condition, scores):
        groups = dict(zip(sizes, scores, strict=True))
        mean = float(np.dot(scores, (0.25, 0.5, 0.25)))
        return {"condition": condition, "mean_dice": mean, "by_group": groups}

    result = {
        "setting": {"times_longer": 4},
        "data": {"area_of_slice": [39, 40, 149, 150]},
        "table": [
            row("many real, 4 times", np.full(3, 0.8)),
            row("simulated, 4 times", 0.8 - lacks),
        ],
    }
    assert facts.behind_many_real(result) == {
        "gap": "0.040",
        "gap-small": "0.000",
        "gap-middle": "0.010",
        "gap-large": "0.030",
    }
    result["data"]["area_of_slice"] = [39, 39, 40, 150]  # now the parts do not add up
    with pytest.raises(AssertionError):
        facts.behind_many_real(result)


def test_the_table_has_the_means_of_the_study_and_their_differences(kept):
    """The differences come from the slices, the means from the study's own table."""
    lines = facts.training_table(kept).splitlines()
    rows = computations.rows_by_condition(kept)
    titles = computations.CONDITIONS | {
        f"{name}, 4 times": f"{computations.CONDITIONS[name]}, 4 times"
        for name in ("simulated", "few real", "many real")
    }
    for condition, title in titles.items():
        row = rows[condition]
        overall, parts = (line for line in lines if re.match(rf"{re.escape(title)} +\d", line))
        means = [float(number) for number in re.findall(r"0\.\d{3}", overall)]
        assert means[0] == pytest.approx(row["mean_dice"], abs=0.0006)
        assert means[-1] == pytest.approx(row["blind"]["mean_dice"], abs=0.0006)
        groups = [float(number) for number in re.findall(r"0\.\d{3}", parts)]
        assert groups == pytest.approx(list(row["by_group"].values()), abs=0.0006)
    line = next(line for line in lines if line.startswith("simulated - many real, 4 times"))
    here, there = (float(mean) for mean in re.findall(r"([+-]0\.\d{3}) \(", line))
    simulated, many = rows["simulated, 4 times"], rows["many real, 4 times"]
    assert here == pytest.approx(simulated["mean_dice"] - many["mean_dice"], abs=0.001)
    blind = simulated["blind"]["mean_dice"] - many["blind"]["mean_dice"]
    assert there == pytest.approx(blind, abs=0.001)
