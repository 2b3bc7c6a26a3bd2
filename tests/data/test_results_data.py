"""The committed results of the simulated data: traceable, and equal to what they are made of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RESULTS = Path(__file__).parents[2] / "book" / "results"
LONGER = {"simulated, 4 times", "few real, 4 times", "many real, 4 times"}  # the steps
CONDITIONS = {"simulated", "simulated, few real", "few real", "many real"} | LONGER
FLOORS = {"threshold", "threshold, central part"}


def read(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def check_provenance(result, name):
    """Refuses what does not say by what, where and from which data it was made."""
    source = result["provenance"]
    assert f"benchmarks/{name}.py" in source["command"]
    for key in ("python", "system", "processor", "threads", "clock"):
        assert source[key], key
    assert source["versions"]["torch"] and source["versions"]["nodule-lesson"]
    assert len(source["simulator_sha256"]) == 64
    assert "seed" in result["setting"] and "not for clinical use" in result["what"]
    for data in (result[key] for key in ("data", "blind") if key in result):
        assert len(data["sha256"]) == 64 and data["file"].endswith(".npz") and data["sources"]
        for cited in data["sources"]:
            assert cited["citation"] and cited["doi"].startswith("10.") and cited["licence"]
    text = json.dumps(result)
    assert "NaN" not in text and "Infinity" not in text
    assert "/home" not in text and "/work" not in text and "/tmp" not in text


def check_table(result):
    """Recomputes every column of the table, for both tests, from what the runs carry."""
    runs = result["runs"]
    assert {run["condition"] for run in runs} == CONDITIONS | FLOORS
    assert [row["condition"] for row in result["table"]] == list(
        dict.fromkeys(run["condition"] for run in runs)
    )
    assert result["data"]["file"] != result["blind"]["file"]
    assert result["data"]["sha256"] != result["blind"]["sha256"]
    simulator = result["provenance"]["simulator_sha256"]
    for row in result["table"]:
        mine = [run for run in runs if run["condition"] == row["condition"]]
        if row["condition"] in CONDITIONS:  # matched steps, every seed once
            assert sorted(run["seed"] for run in mine) == sorted(result["setting"]["seed"])
            times = 4 if row["condition"] in LONGER else 1
            assert {run["steps"] for run in mine} == {times * result["setting"]["steps"]}
            used = simulator if row["condition"].startswith("simulated") else None
            assert {run["simulator_sha256"] for run in mine} == {used}
        check_row(row, mine, result["data"])
        check_row(row["blind"], [run["blind"] for run in mine], result["blind"])


def check_row(row, runs, data):
    """One row's columns for one of the two tests."""
    patients = np.array(data["patient_of_slice"])
    assert len(patients) == len(data["area_of_slice"]) == data["test_slices"]
    assert set(patients) == set(range(data["test_patients"]))
    assert data["test_patients"] <= data["test_nodules"] <= data["test_slices"]
    scores = np.array([run["dice"] for run in runs])
    false = np.array([run["false_positive_pixels"] for run in runs])
    assert scores.shape == (len(runs), data["test_slices"])
    assert false.shape == (len(runs), data["test_negatives"])
    assert ((scores >= 0) & (scores <= 1)).all() and (false >= 0).all()
    assert row["by_seed"] == pytest.approx(scores.mean(1), abs=1e-4)
    assert row["mean_dice"] == pytest.approx(scores.mean(), abs=1e-4)
    assert row["median_dice"] == pytest.approx(np.median(scores, 1).mean(), abs=1e-4)
    assert row["missed_share"] == pytest.approx((scores == 0).mean(), abs=1e-4)
    assert row["false_positive_pixels"] == pytest.approx(false.mean(), abs=0.01)
    assert row["negatives_marked"] == pytest.approx((false > 0).mean(), abs=1e-4)
    area, lifted = np.array(data["area_of_slice"]), np.array(data["lifted_of_slice"])
    expected = {
        "below 40 pixels": scores[:, area < 40].mean(),
        "40 to 150 pixels": scores[:, (area > 39) & (area < 150)].mean(),
        "150 pixels and more": scores[:, area > 149].mean(),
        "lung dark": scores[:, lifted == 0].mean(),
        "lung lifted": scores[:, lifted == 1].mean(),
    }
    assert row["by_group"] == pytest.approx(expected, abs=1e-4)
    # The interval again, by another generator: drawing patients, not slices.
    random, mean = np.random.default_rng(1), scores.mean(0)
    groups = [mean[patients == name] for name in range(data["test_patients"])]
    drawn = random.integers(0, len(groups), (4000, len(groups)))
    means = [np.concatenate([groups[k] for k in row]).mean() for row in drawn]
    # Fewer patients, a wider interval: its ends are known less well.
    low, high = np.percentile(means, (2.5, 97.5))
    again = pytest.approx([low, high], abs=0.1 * (high - low) + 1e-4)
    assert row["interval_by_patient"] == again


def test_training_results_say_where_they_come_from_and_add_up():
    result = read("simulated_to_real")
    check_provenance(result, "simulated_to_real")
    assert len(result["setting"]["seed"]) == 3
    assert result["blind"]["test_patients"] == 7
    assert "no score on them is a blind one" in result["what"]
    check_table(result)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result.pop("provenance"),
        lambda result: result["provenance"].pop("simulator_sha256"),
        lambda result: result["data"].pop("sha256"),
        lambda result: result["table"][2].update(mean_dice=result["table"][2]["mean_dice"] + 0.01),
        lambda result: result["runs"][-1]["dice"].pop(),
        lambda result: result["runs"][2].update(simulator_sha256="0" * 64),
        lambda result: result["runs"][-1]["blind"]["dice"].pop(),
        lambda result: result["blind"].pop("sources"),
        lambda result: result["table"][3]["blind"].update(mean_dice=0.9),
        lambda result: result["table"][3]["blind"].update(interval_by_patient=[0.1, 0.2]),
        lambda result: result["runs"].pop(),
    ],
)
def test_spoilt_results_are_refused(spoil):
    result = read("simulated_to_real")
    spoil(result)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check_provenance(result, "simulated_to_real")
        check_table(result)


def auc(real, simulated):
    """Share of pairs in order, ties half, by comparing every pair."""
    pairs = np.subtract.outer(np.array(real), np.array(simulated))
    return (pairs > 0).mean() + (pairs == 0).mean() / 2


def check_realism(result):
    """Recomputes percentiles, AUC and accuracies from the numbers that the file carries."""
    percentiles = result["setting"]["percentiles"]
    assert len(result["hounsfield"]) == 4 and len(result["numbers"]) > 10
    for row in result["hounsfield"]:
        assert len(row["measured"]) == len(percentiles)
        again = np.percentile(row["values"], percentiles)
        assert row["simulated"] == pytest.approx(again, rel=1e-3)
    for row in result["numbers"]:
        for kind in ("real", "simulated"):
            assert len(row["values"][kind]) > 100
            again = np.percentile(row["values"][kind], percentiles)
            assert row[kind] == pytest.approx(again, rel=1e-3, abs=1e-6)
        assert row["auc"] == pytest.approx(auc(**row["values"]), abs=1e-4)
    of_real, of_simulated = result["setting"]["counts_real_simulated"]["tested"]
    assert len(result["judges"]) == 4
    for row in result["judges"]:
        real, simulated = row["said_real_of_real_simulated"]
        again = (real / of_real + 1 - simulated / of_simulated) / 2
        assert row["balanced_accuracy"] == pytest.approx(again, abs=1e-4)
        assert row["auc"] is None or 0 <= row["auc"] <= 1


def test_realism_results_say_where_they_come_from_and_add_up():
    result = read("simulated_realism")
    check_provenance(result, "simulated_realism")
    check_realism(result)
    result["numbers"][0]["auc"] += 0.01
    with pytest.raises(AssertionError):
        check_realism(result)


def test_reading_speeds_say_where_they_come_from_and_add_up():
    regions, batches = read("ct_regions"), read("patch_batches")
    for name, result in (("ct_regions", regions), ("patch_batches", batches)):
        assert f"benchmarks/{name}.py" in result["provenance"]["command"]
        assert result["provenance"]["processor"] and "wall time" in result["provenance"]["clock"]
    whole, region = (np.median(regions["seconds"][name]) for name in ("whole", "region"))
    assert regions["ratio"] == pytest.approx(whole / region)
    hours = np.median(regions["seconds"]["extraction"]) * 888 / 3600
    assert regions["hours_for_luna16_on_one_core"] == pytest.approx(hours)
    rows = {(row["way"], row["slices"]): row for row in batches["rows"]}
    fewest = min(slices for _, slices in rows)
    assert {(row["way"], row["slices"]) for row in batches["ratios"]} == {
        key for key in rows if key[1] != fewest
    }
    for row in batches["ratios"]:
        many, few = rows[row["way"], row["slices"]], rows[row["way"], fewest]
        for clock in ("cpu", "wall"):
            again = many[f"{clock}_us"] / few[f"{clock}_us"]
            assert row[clock] == pytest.approx(again, abs=1e-3)


@pytest.mark.parametrize("name", ["simulated_to_real", "simulated_realism"])
def test_scripts_say_what_they_need(name):
    script = RESULTS.parent.parent / "studies" / f"{name}.py"
    environment = {k: v for k, v in os.environ.items() if k != "NODULE_REAL_DATA"}
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment
    )
    assert found.returncode == 2 and "NODULE_REAL_DATA" in found.stderr
