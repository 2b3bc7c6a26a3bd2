"""nodule_lesson.experiments.evidence: means, differences and decisions from several clinics."""

import copy
import json

import numpy as np
import pytest
from scipy import stats

from nodule_lesson.evaluation.statistics import crossed
from nodule_lesson.experiments import evidence, grid, results
from nodule_lesson.experiments.__main__ import show_stage

CLINICS, PATIENTS = (1, 2, 3), np.repeat(np.arange(20), 2)


def made_up(random, rows, seeds=3, train=0.9, runs_sd=0.02):
    """Evidence with rows of these true means, to which runs and patients add random shifts."""
    lesions = {
        clinic: {"large": {"patient": [f"p{k}" for k in PATIENTS]}, "small": {}, "train": {}}
        for clinic in CLINICS
    }
    by_patient = 0.05 * random.standard_normal(20)[PATIENTS]
    runs = []
    for row, mean in rows.items():
        for clinic in CLINICS:
            for seed in range(seeds if isinstance(seeds, int) else seeds[row]):
                shift = mean + runs_sd * random.standard_normal()
                dice = shift + by_patient + 0.05 * random.standard_normal(40)
                small = shift + 0.05 * random.standard_normal(4 + clinic)
                runs.append(
                    {
                        "configuration": {"row": {"name": row}, "clinic": clinic, "seed": seed},
                        "scores": {
                            "train": {"dice": [train] * 5},
                            "small": {"dice": small.tolist()},
                            "large": {"dice": dice.tolist()},
                        },
                    }
                )
    return evidence.Evidence(runs, lesions)


PAIR = [{"row": "proposed", "other": "unet", "claim": "better"}]


def test_runs_of_one_clinic_and_seed_are_paired():
    experiment = made_up(np.random.default_rng(0), {"proposed": 0.8, "unet": 0.7})
    values, clinics = [], []
    for key, run in sorted(experiment.runs_of("proposed").items()):
        other = experiment.runs_of("unet")[key]
        values.append(np.subtract(*(np.array(r["scores"]["large"]["dice"]) for r in (run, other))))
        clinics.append(key[0])
    expected = crossed(np.array(values), np.array([f"p{k}" for k in PATIENTS]), clinics)
    assert experiment.compare("proposed", "unet") == expected
    assert experiment.compare("proposed", "unet").mean == pytest.approx(0.1, abs=0.03)


def test_rows_of_other_seeds_are_compared_by_clinic():
    random = np.random.default_rng(1)
    experiment = made_up(random, {"proposed": 0.8, "unet": 0.7}, seeds={"proposed": 3, "unet": 1})

    def by_clinic(row):
        dice = {clinic: [] for clinic in CLINICS}
        for (clinic, _), run in experiment.runs_of(row).items():
            dice[clinic].append(run["scores"]["large"]["dice"])
        return [np.mean(values) for values in dice.values()]

    one, two = by_clinic("proposed"), by_clinic("unet")
    difference = experiment.compare("proposed", "unet")
    assert difference.mean == pytest.approx(np.mean(one) - np.mean(two))
    expected = np.subtract(one, two).var(ddof=1) / 3
    assert difference.of_trainings == pytest.approx(expected)


def test_the_small_test_has_one_mean_per_clinic():
    experiment = made_up(np.random.default_rng(2), {"unet": 0.7})
    runs = experiment.runs_of("unet").items()
    by_clinic = [
        np.mean([np.mean(run["scores"]["small"]["dice"]) for (c, _), run in runs if c == clinic])
        for clinic in CLINICS
    ]
    mean, low, high = experiment.mean("unet", test="small")
    assert mean == pytest.approx(np.mean(by_clinic))
    half = stats.t.ppf(0.975, 2) * stats.sem(by_clinic)
    assert (low, high) == pytest.approx((mean - half, mean + half))


def test_a_comparison_is_decided_only_between_rows_that_have_learnt():
    random = np.random.default_rng(3)
    rows = {"proposed": 0.9, "unet": 0.6}
    for train, verdict in ((0.9, evidence.DECIDED), (0.7, evidence.OPEN)):
        (decision,) = made_up(random, rows, train=train).primary(PAIR)
        assert decision.verdict == verdict and decision.p < 0.05
    (decision,) = made_up(random, {"proposed": 0.8, "unet": 0.8}).primary(PAIR)
    assert decision.verdict == evidence.OPEN
    (decision,) = made_up(random, {"unet": 0.8}).primary(PAIR)
    assert (decision.verdict, decision.difference, decision.p) == (evidence.NOT_RUN, None, None)


def test_p_values_are_corrected_for_all_comparisons_of_the_protocol():
    experiment = made_up(np.random.default_rng(4), {"proposed": 0.85, "unet": 0.7})
    alone = experiment.primary(PAIR)[0].p
    listed = PAIR + [{"row": "transfer", "other": "unet", "claim": "not run"}] * 7
    assert experiment.primary(listed)[0].p == pytest.approx(min(1, 8 * alone))


def test_seeds_of_one_method_are_called_different_about_once_in_twenty():
    random, rejected, pairs = np.random.default_rng(5), 0, 0
    for _ in range(60):
        for *_, difference in made_up(random, {"unet": 0.8}).null_pairs():
            pairs, rejected = pairs + 1, rejected + (difference.p < 0.05)
    assert pairs == 180 and 0.01 <= rejected / pairs <= 0.1


def test_the_choice_follows_the_rule():
    random = np.random.default_rng(6)
    means = {
        "unet (Dice by slice)": 0.80,
        "proposed (Dice by slice)": 0.70,
        "unet (Dice by batch)": 0.78,
        "proposed (Dice by batch)": 0.78,
        "unet (Dice by nodule)": 0.70,
        "proposed (Dice by nodule)": 0.70,
    }
    rates = {f"proposed (Dice by {over}, fast STD)": 0.9 for over in ("slice", "batch", "nodule")}
    experiment = made_up(random, {**means, **rates}, seeds=1, runs_sd=0.0)
    assert evidence.choose(experiment)[:2] == ("batch", True)
    for run in experiment.runs["unet (Dice by batch)"].values():
        run["scores"]["train"]["dice"] = [0.4] * 5  # has not learnt: its reading is out
    assert evidence.choose(experiment)[0] == "slice"


def test_the_night_trains_as_the_choice_has_said():
    reading, fast, means = evidence.choose(evidence.read("simulated", "choice"))
    night = grid.PROFILES["night"]
    assert night.dice_over == reading
    assert night.std_learning_rate == (2e-2 if fast else night.learning_rate)
    others = {
        over: means[f"unet (Dice by {over})"] + means[f"proposed (Dice by {over})"]
        for over in {"slice", "batch", "nodule"} - {reading}
    }
    second = max(others, key=others.get)
    assert {name for name in grid.STAGES["2"].rows if "Dice by" in name} == {
        f"{name} (Dice by {second})"
        for name in ("unet", "backbone", "backbone+combination", "proposed")
    }


def test_a_stage_is_printed_beside_the_paper(monkeypatch, capsys):
    random = np.random.default_rng(8)
    experiment = made_up(random, {"unet": 0.7, "proposed": 0.9}, train=0.9)
    monkeypatch.setattr(evidence, "read", lambda *given, **how: experiment)
    show_stage(grid.STAGES["1"], None)
    printed = capsys.readouterr().out
    assert "0.753" in printed and "0.801" in printed  # the paper's Dice of both
    mean = experiment.mean("unet").mean
    assert any(
        line.startswith("unet") and f"{mean:.3f} (" in line for line in printed.splitlines()
    )
    assert (
        "proposed - unet: 0." in printed and "decided" in printed and "has not learnt" in printed
    )


# --- files ---------------------------------------------------------------------------------------

DONE = [
    place
    for profile in ("choice", "night", "full")
    for place in sorted(results.results_folder().glob(f"*-{profile}"))
]


@pytest.mark.parametrize("place", DONE, ids=lambda p: p.name)
def test_committed_runs_are_those_of_a_stage_and_can_be_traced(place):
    name, profile = place.name.rsplit("-", 1)
    planned = {
        run.name: run
        for stage in grid.STAGES
        for run in grid.runs_of_stage(stage)
        if (run.data, run.profile.name) == (name, profile)
    }
    files = {file.stem: file for file in place.glob("*-seed*.json")}
    assert set(files) <= set(planned)
    for stem, file in files.items():
        assert results.configuration(file) == planned[stem].configuration
        text = file.read_text(encoding="utf-8")
        assert not any(f'"/{top}' in text for top in ("home", "root", "tmp", "work"))
    if files:
        assert sum(len(runs) for runs in evidence.read(name, profile).runs.values()) == len(files)
    # No patient of a test is trained on, except in the small test, which is split by lesion.
    for file in place.glob("lesions-clinic*.json"):
        lesions = json.loads(file.read_text(encoding="utf-8"))
        for test in lesions.keys() & {"large", "external"}:
            assert not set(lesions[test]["patient"]) & set(lesions["train"]["patient"])
        assert not set(lesions["small"]["lesion"]) & set(lesions["train"]["lesion"])


def test_real_clinics_share_no_patient_and_no_lesion_of_the_test():
    files = sorted((results.results_folder() / "real-night").glob("lesions-clinic*.json"))
    tables = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    assert len(tables) == 3
    patients = [set(t["train"]["patient"]) | set(t["small"]["patient"]) for t in tables]
    assert sum(map(len, patients)) == len(set.union(*patients))
    assert all(t["large"] == tables[0]["large"] for t in tables)
    assert all(t["external"] == tables[0]["external"] for t in tables)


def test_a_missing_folder_and_a_missing_clinic_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results of real"):
        evidence.read("real", folder=tmp_path)
    place = tmp_path / "discs-night"
    place.mkdir()
    run = {"configuration": {"row": {"name": "unet"}, "clinic": 2, "seed": 0}}
    (place / "unet-clinic2-seed0.json").write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(ValueError, match="clinic 2, whose lesions are not there"):
        evidence.read("discs", folder=tmp_path)
    experiment = made_up(np.random.default_rng(7), {"unet": 0.7})
    with pytest.raises(ValueError, match="row must be one of unet"):
        experiment.runs_of("proposed")
    alone = copy.copy(experiment)
    alone.runs = {
        "unet": {key: run for key, run in experiment.runs_of("unet").items() if key[0] == 1}
    }
    with pytest.raises(ValueError, match="two clinics"):
        alone.compare("unet", "unet")
    mean, *interval = alone.mean("unet")
    values = [run["scores"]["large"]["dice"] for run in alone.runs_of("unet").values()]
    assert mean == pytest.approx(np.mean(values)) and np.isnan(interval).all()
