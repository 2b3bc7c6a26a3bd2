"""The chapter *Lung nodules in CT*: what it computes, and the numbers of its text."""

import copy
import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from nodule_lesson.chapters.lung_nodules_in_ct import computations, facts
from nodule_lesson.evaluation import statistics

RESULTS = Path(__file__).parents[2] / "book" / "results"


# --- densities, thresholds, and the paper's Eq. (6) ---------------------------------------------


def test_lung_is_dark_and_outside_nodules():
    images = np.array([[[-900, -880, -860, -400]], [[-700, -600, 30, 40]]])
    masks = np.array([[[0, 0, 0, 0]], [[1, 1, 0, 1]]])  # -700 and -600 are ground glass
    # The median is -880: 120 of 1040 HU above air.
    assert facts.lung_level(images, masks) == {"lung-median": "−880", "lung-tissue": "12%"}


def test_the_brightest_voxel_is_told_by_diameter_and_thickness():
    def made_up(diameter, thickness):
        return np.array([-3000.0, 100.0 * diameter - 200.0 * thickness, -2000.0])

    texts = facts.brightest_voxels(made_up)
    assert texts == {"peak-thin": "200", "peak-thick": "−600", "peak-tiny": "−800"}


def test_what_one_threshold_finds_is_told_by_type():
    found = {
        "isolated": (0.5, 0.087),
        "calcific": (0.93, 0.05),
        "ground glass (GGO)": (0.21, 0.01),
    }
    texts = facts.one_threshold(found)
    assert texts == {"ggo-found": "21%", "calcific-found": "93%", "most-right": "8.7%"}


def test_the_best_threshold_of_the_best_type():
    lung = -860
    images = np.array(
        [
            [[0, 100, lung, lung]],  # one pixel of nodule, one of the wall above it
            [[-300, -300, -300, -300]],  # one pixel of four
            [[500, 500, 500, 500]],  # no outline: it does not count
        ]
    )
    masks = np.array([[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 0]]])
    types = np.array(["isolated", "ggo", "isolated"])
    assert facts.any_threshold(images, masks, types) == {"best-right": "50%"}
    assert facts.any_threshold(images[1:], masks[1:], types[1:]) == {"best-right": "25%"}


def test_few_slices_are_those_at_the_wall_and_the_cavities():
    images = np.array([[[-464, -500, 40]], [[-300, 40, 40]], [[900, 900, 900]]])
    masks = np.array([[[1, 1, 0]], [[1, 0, 0]], [[1, 1, 1]]], np.uint8)
    types = np.array(["juxtapleural", "cavitary", "calcific"])
    assert facts.few_slices(images, masks, types) == {
        "wall-median": "−482",
        "tiny-count": "2",
        "tiny-least": "1",
        "tiny-most": "2",
    }


def test_a_rib_divides_the_contrast():
    texts = facts.contrast_lost({"as it is": 0.2, "bone": 0.15, "padding": 0.05})
    assert texts["contrast-lost"] == "25%" and texts["contrast-padded"] == "75%"
    # I_max goes from 60 to 800 HU, with I_min at -960 HU.
    assert texts["predicted-loss"] == f"{1 - (60 + 960) / (800 + 960):.0%}"


def test_scales_are_told_by_slice_and_for_the_set():
    low, high = np.full(3, -1000.0), np.array([0.0, 240.0, 2000.0])
    assert facts.scales_of_slices(low, high, np.linspace(0, 1, 101)) == {
        "solid-low": "0.05",
        "solid-high": "0.95",
        "half-low": "−488",  # of -500, -380 and 500: a tenth of the way to the next
        "half-high": "412",
        "set-contrast": "0.08",
        "slice-contrast": "0.20",
        "set-step": "12",
    }


# --- readers ------------------------------------------------------------------------------------


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_pixel_costs_what_drawn_discs_say():
    y, x = np.mgrid[:1000, :1000] / 20 - 24.98  # 20 points per pixel, radii up to 21
    distance = np.hypot(y, x)
    texts = facts.discs_one_pixel_apart()
    for r in (4, 20):
        drawn = dice(distance < r, distance < r + 1)
        assert float(texts[f"ring-{r}"]) == pytest.approx(drawn, abs=0.006)


def test_the_mean_over_all_pairs_counts_a_reader_who_missed_the_nodule():
    random = np.random.default_rng(3)
    bits = random.integers(0, 16, (6, 5, 5), np.uint8)
    bits[1] &= 0b0101  # two of the readers drew nothing
    bits[2] &= 0b0111
    readers = [[(slice_ >> r) & 1 == 1 for r in range(4)] for slice_ in bits]
    pairs = [pair for masks in readers for pair in combinations(masks, 2)]
    all_pairs = [dice(a, b) for a, b in pairs if a.any() or b.any()]
    both = [(a, b) for a, b in pairs if a.any() and b.any()]
    values = np.array([dice(a, b) for a, b in both])
    areas = np.array([(a.sum() + b.sum()) / 2 for a, b in both])
    assert len(all_pairs) > len(values)
    texts = facts.agreement_of_readers(values, areas, [0.6, 0.8], bits)
    assert texts["readers-strict"] == f"{np.mean(all_pairs):.2f}"
    assert texts["readers-mean"] == f"{values.mean():.2f}"
    assert texts["readers-rest"] == "0.70"
    third = facts.agreement_of_readers(np.arange(9) / 10, np.arange(9.0), [1.0], bits)
    assert (third["readers-small"], third["readers-large"]) == ("0.10", "0.70")


def test_real_readers_are_read_from_the_counts():
    counts = {"dice": {"mean": 0.7492, "quartiles": [0.6982, 0.7648, 0.8149], "nodules": 1186}}
    assert list(facts.real_readers(counts).values()) == ["0.75", "0.70", "0.81", "1,186"]


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
