"""nodule_lesson.experiments: the grid, its data, one run, the schedule, the results."""

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nightly import NIGHTLY
from safetensors import safe_open

from nodule_lesson import provenance
from nodule_lesson.data.patches import PatchSet
from nodule_lesson.evaluation.measures import assd, hausdorff_distance
from nodule_lesson.experiments import data as datasets
from nodule_lesson.experiments import grid, results, runner, schedule, scoring, variants
from nodule_lesson.experiments.__main__ import main
from nodule_lesson.networks.freezing import freeze
from nodule_lesson.std import printed_iteration, soft_threshold_dynamics
from nodule_lesson.training.losses import multitask_loss

TINY = replace(grid.PROFILES["demo"], pretrain_steps=3, steps=4, scratch_steps=4, batch=4)


def write_set(path, patients, lesions, seed, side=48):
    """Discs of random sizes and places, three slices each, and as many slices without one."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    images, masks, rows = [], [], []
    for patient in patients:
        for lesion in range(lesions):
            radius, dy, dx = random.uniform(3, 8), *random.uniform(-3, 3, 2)
            for k in range(6):
                mask = ((y - dy) ** 2 + (x - dx) ** 2 < (radius - abs(k - 1)) ** 2) & (k < 3)
                images.append(random.integers(0, 90, (side, side)) + 120 * mask)
                masks.append(mask)
                rows.append(
                    {
                        "patient": patient,
                        "scan": f"scan of {patient}",
                        "nodule": f"n{lesion}" if k < 3 else "",
                        "slice": 10 * lesion + k,
                        "row_mm": 0.7,
                        "column_mm": 0.8,
                        "type": "isolated" if k < 3 else "",
                        "diameter": 1.5 * radius if k < 3 else np.nan,
                        "has_nodule": k < 3,
                    }
                )
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    origin = {"source": "discs", "licence": "CC0", "citation": "none"}
    PatchSet.write(path, np.array(images, np.uint8), np.array(masks, np.uint8), columns, **origin)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / "discs"
    place.mkdir()
    write_set(place / "pretrain", ["a", "b", "c"], 2, 0)
    write_set(place / "clinic", ["d", "e"], 5, 1)
    write_set(place / "large", ["f", "g", "h", "i"], 3, 2)
    return place


@pytest.fixture(scope="module")
def data(folder):
    return datasets.load(folder, side=32)


def one_run(row="proposed", seed=0, profile=TINY):
    return grid.Run("discs", profile, grid.ROWS[row], None, seed)


# --- the grid ------------------------------------------------------------------------------------


def test_the_grid_holds_the_papers_tables_and_more():
    assert len(grid.TABLES[1]) == 5 and len(grid.TABLES[2]) == 6 and len(grid.TABLES[3]) == 5
    printed = {name for names in grid.TABLES.values() for name in names}
    assert set(grid.rows_of("all")) == printed | set(grid.rows_of("extra"))
    staged = {name for stage in grid.STAGES.values() for name in stage.rows}
    assert set(grid.rows_of("all")) | staged <= set(grid.ROWS)
    assert grid.ROWS["freeze S9"].frozen == ("S9",) and grid.ROWS["freeze S9"].pretrained
    assert not any(grid.ROWS[name].pretrained for name in grid.TABLES[1])


@pytest.mark.parametrize("profile", grid.PROFILES)
def test_every_run_has_its_own_file_and_a_configuration_for_json(profile):
    runs = grid.runs("all", profile)
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        assert json.loads(json.dumps(run.configuration)) == run.configuration
        assert set(run.name) <= set("abcdefghijklmnopqrstuvwxyzCDFST0123456789-")
    seeds = [run.seed for run in runs]
    assert seeds == sorted(seeds)  # whole seeds first


def test_the_papers_profile_has_its_folds_and_its_numbers():
    paper = grid.PROFILES["paper"]
    runs = grid.runs(1, "paper")
    assert len(runs) == 5 * 5 and {run.fold for run in runs} == set(range(5))
    assert (paper.batch, paper.learning_rate, paper.weight_decay, paper.decay) == (
        *(10, 1e-3, 1e-8),
        0.75,
    )
    assert paper.width == 64 and paper.side == 128


def test_rows_of_the_laptop_take_the_same_number_of_steps_in_all():
    laptop = grid.PROFILES["laptop"]
    before = {True: laptop.pretrain_steps, False: 0}
    assert {run.steps(0) + before[run.row.pretrained] for run in grid.runs("all")} == {500}
    steps = {run.row.name: run.configuration["profile"]["steps"] for run in grid.runs("all")}
    assert (steps["proposed"], steps["transfer"]) == (500, 200)


def test_unknown_names_are_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="laptop"):
        grid.runs(1, "huge")
    with pytest.raises(ValueError, match="extra or all"):
        grid.runs(4)
    with pytest.raises(ValueError, match="freeze S9"):
        grid.runs(rows=["freeze S7"])


@pytest.mark.parametrize("stage", grid.STAGES)
def test_a_stage_crosses_its_rows_with_clinics_and_seeds(stage):
    runs, wanted = grid.runs_of_stage(stage), grid.STAGES[stage]
    clinics = wanted.clinics or grid.PROFILES[wanted.profile].clinics
    assert (
        len({run.name for run in runs}) == len(runs) == len(wanted.rows) * clinics * wanted.seeds
    )
    assert {(run.seed, run.clinic) for run in runs} == {
        (seed, clinic + 1) for seed in range(wanted.seeds) for clinic in range(clinics)
    }
    for run in runs:
        assert json.loads(json.dumps(run.configuration)) == run.configuration
        assert run.configuration["clinic"] == run.clinic


def test_the_night_trains_for_the_papers_epochs_with_the_papers_rates():
    run = grid.runs_of_stage("1")[0]
    assert run.steps(283) == 1415 and run.profile.epochs == 50
    assert run.profile.learning_rate == 1e-3
    assert len(grid.runs_of_stage("1")) == 81
    (full,) = grid.runs_of_stage("3")
    assert full.profile.width == 64 and grid.model_options(full.row, full.profile) == {}
    with pytest.raises(ValueError, match="choice, rate, 1"):
        grid.runs_of_stage("0")


def test_the_protocol_of_the_night_names_rows_and_stages_that_exist():
    path = results.results_folder() / "protocol_night.json"
    protocol = json.loads(path.read_text(encoding="utf-8"))
    assert len(protocol["comparisons"]) <= 8
    for pair in protocol["comparisons"]:
        rows = {*grid.STAGES["1"].rows, *grid.STAGES["2"].rows}
        assert {pair["row"], pair["other"]} <= rows
    assert set(grid.STAGES) <= set(protocol["stages"])


def test_the_protocol_names_rows_that_exist_and_the_seeds_of_the_profile():
    path = results.results_folder() / "protocol.json"
    protocol = json.loads(path.read_text(encoding="utf-8"))
    for pair in protocol["comparisons"]:
        assert pair["row"] in grid.ROWS and pair["other"] in grid.ROWS
    laptop = grid.PROFILES["laptop"]
    assert protocol["seeds"]["rows of the three tables"] == list(range(laptop.seeds))
    assert protocol["seeds"]["all other rows"] == list(range(laptop.extra_seeds))


# --- data ----------------------------------------------------------------------------------------


def test_the_clinic_is_split_by_lesion_and_no_slice_is_on_both_sides(folder, data):
    train, test = datasets.lesions_of(data.clinic), datasets.lesions_of(data.small)
    assert len(train) == 8 and len(test) == 2 and not set(train) & set(test)
    everything = datasets.slices_of(PatchSet.open(folder / "clinic"), 32)
    assert len(data.clinic) + len(data.small) == len(everything)
    share = [(part.lesion == "").mean() for part in (data.clinic, data.small)]
    assert share == pytest.approx([0.5, 0.5], abs=0.05)


def test_slices_are_cut_around_the_centre_and_scaled_by_eq_6(folder):
    raw = PatchSet.open(folder / "large")
    cut = datasets.slices_of(raw, 32)
    centre = np.asarray(raw.images[5, 8:40, 8:40], float)
    expected = (centre - centre.min()) / (centre.max() - centre.min())
    assert np.allclose(cut.images[5, 0].numpy(), expected, atol=1e-6)
    assert (cut.masks[5, 0].numpy() == raw.masks[5, 8:40, 8:40]).all()


def test_a_window_in_the_place_of_eq_6(folder):
    raw = PatchSet.open(folder / "clinic")
    whole = datasets.slices_of(raw, raw.images.shape[1], (-1000, 400)).images[:, 0].numpy()
    np.testing.assert_allclose(whole, np.clip((raw.images[:] + 1000.0) / 1400, 0, 1), atol=1e-6)


def test_the_large_test_has_two_slices_of_each_lesion_in_order(data):
    for name in datasets.lesions_of(data.large):
        slices = data.large.slices["slice"][data.large.lesion == name]
        assert len(slices) == 2 and (np.diff(slices) > 0).all()


def test_fewer_lesions_keep_their_share_of_empty_slices(data):
    few = datasets.fewer_lesions(data.clinic, 3, seed=0)
    assert len(datasets.lesions_of(few)) == 3 and set(few.lesion) <= set(data.clinic.lesion)
    assert (few.lesion == "").sum() == round(3 / 8 * (data.clinic.lesion == "").sum())
    other = datasets.fewer_lesions(data.clinic, 3, seed=1)
    assert set(other.lesion) != set(few.lesion)


def test_folds_leave_each_lesion_out_once(data):
    names = set(datasets.lesions_of(data.clinic))
    left = [names - set(datasets.lesions_of(datasets.fold(data.clinic, k))) for k in range(5)]
    assert sorted(name for part in left for name in part) == sorted(names)


def test_a_second_clinic_and_an_external_test_are_used_where_they_are_there(folder, tmp_path):
    for part in datasets.SETS:
        (tmp_path / part).symlink_to(folder / part)
    write_set(tmp_path / "clinic-2", ["k", "l"], 4, 4)
    write_set(tmp_path / "external", ["m", "n"], 2, 5)
    first, second = (datasets.load(tmp_path, 32, clinic=k, most=None) for k in (1, 2))
    assert set(second.clinic.patient) == {"k", "l"} and set(first.clinic.patient) == {"d", "e"}
    assert set(second.external.patient) == {"m", "n"}
    assert list(first.tests) == ["small", "large", "external"]
    assert list(datasets.load(folder, 32).tests) == ["small", "large"]
    for test in (first.large, first.external):  # every slice of a lesion is scored
        assert (test.lesion != "").sum() == 3 * len(datasets.lesions_of(test))
    with pytest.raises(ValueError, match="lacks clinic-3"):
        datasets.load(tmp_path, 32, clinic=3)


def test_sets_that_share_a_patient_are_refused(folder, tmp_path):
    for part in datasets.SETS:
        (tmp_path / part).symlink_to(folder / part)
    (tmp_path / "large").unlink()
    write_set(tmp_path / "large", ["d"], 2, 3)
    with pytest.raises(ValueError, match="share no patient"):
        datasets.load(tmp_path, 32)
    with pytest.raises(ValueError, match="lacks pretrain"):
        datasets.load(tmp_path / "large", 32)
    with pytest.raises(ValueError, match="at most 48"):
        datasets.load(folder, 64)


def test_simulated_sets_are_made_once_and_share_no_patient(tmp_path, monkeypatch):
    monkeypatch.setenv("NODULE_LESSON_CACHE", str(tmp_path))
    monkeypatch.setattr(
        datasets, "SIMULATED", {part: (*v[:2], 1) for part, v in datasets.SIMULATED.items()}
    )
    simulated = datasets.load("simulated", 64, patients=1, workers=1)
    assert len(simulated.pretrain) and len(simulated.clinic) and len(simulated.large)
    monkeypatch.setattr(datasets, "_crops", None)  # a second time nothing is simulated
    assert datasets.load("simulated", 64, patients=1, workers=1).checksums == simulated.checksums


# --- networks changed in one respect -------------------------------------------------------------


@pytest.mark.parametrize("name", grid.ROWS)
def test_every_row_has_a_network_that_runs(name):
    torch.manual_seed(0)
    model = variants.build(grid.ROWS[name], TINY)
    variants.set_truth(model, torch.tensor([1.0, 0.0]))
    output = model(torch.rand(2, 1, 32, 32))
    assert output.mask.shape == (2, 1, 32, 32)
    assert torch.equal(output.mask, torch.sigmoid(output.logits))
    if grid.ROWS[name].pretrained:  # its weights fit, all but those of STD
        plain = set(variants.build_plain(grid.ROWS[name], TINY).state_dict())
        assert {n for n in set(model.state_dict()) - plain if not n.startswith("std.")} == set()
        assert plain <= set(model.state_dict())


def outputs(row, has_nodule=(1.0, 0.0)):
    torch.manual_seed(0)
    model = variants.build(grid.ROWS[row], TINY).double()
    variants.set_truth(model, torch.tensor(has_nodule))
    torch.manual_seed(1)
    return model, model(torch.rand(2, 1, 32, 32, dtype=torch.float64))


def test_the_printed_iteration_is_that_of_the_package():
    model, output = outputs("printed iteration")
    std = model.std.std
    expected = printed_iteration(
        output.u, sigma=std.sigma, lambda2=std.lambda2, c=output.nodule, iterations=10
    )
    assert torch.allclose(output.mask, expected, atol=1e-12)


def test_the_prior_is_given_the_c_of_its_row():
    for row, c in (
        ("proposed", None),
        ("c attached", None),
        ("c = truth", torch.tensor([1.0, 0.0], dtype=torch.float64)),
    ):
        model, output = outputs(row)
        std = getattr(model.std, "std", model.std)
        expected = soft_threshold_dynamics(
            output.u,
            sigma=std.sigma,
            lambda2=std.lambda2,
            c=output.nodule if c is None else c,
        )
        assert torch.allclose(output.mask, expected, atol=1e-12), row


def test_a_shuffled_prior_is_given_the_answer_to_another_crop():
    model, _ = outputs("c shuffled")
    c = torch.rand(6, dtype=torch.float64)
    u = torch.rand(6, 1, 16, 16, dtype=torch.float64)
    for seed in range(5):
        torch.manual_seed(seed)
        order = torch.randperm(6)
        torch.manual_seed(seed)
        assert torch.equal(model.std.logits(u, c), model.std.std.logits(u, c[order]))
    assert not torch.equal(order, torch.arange(6))


@pytest.mark.parametrize("row", ["c = truth", "c shuffled", "c attached", "printed iteration"])
def test_in_16_bits_the_changed_layers_compute_in_32_as_the_layer_does(row):
    torch.manual_seed(0)
    model = variants.build(grid.ROWS[row], TINY)
    variants.set_truth(model, torch.tensor([1.0, 0.0]))
    u, c = torch.randn(2, 1, 32, 32), torch.tensor([0.2, 0.9])
    torch.manual_seed(1)
    expected = model.std.logits(u, c)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.std.logits(u, c)
    assert torch.equal(found, expected)


def test_only_an_attached_prior_lets_the_mask_teach_the_classifier_s_answer():
    for row, reaches in (("proposed", False), ("c attached", True)):
        model, output = outputs(row)
        gradients = torch.autograd.grad(
            output.mask.sum(), list(model.FC.parameters()), allow_unused=True
        )
        assert all((g is not None) == reaches for g in gradients), row


# --- one run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def result(data, work):
    torch.set_num_threads(1)
    return runner.execute(one_run("transfer"), data, work, progress=False)


def test_the_same_run_gives_the_same_numbers(result, data, tmp_path):
    again = runner.execute(one_run("transfer"), data, tmp_path, progress=False)  # pre-trains again
    for part in ("configuration", "scores", "classifier", "interventions", "data"):
        assert again[part] == result[part]
    assert again["training"]["losses"] == result["training"]["losses"]


def test_sigma_learns_at_its_own_rate_and_in_one_row_at_that_of_the_network(data, tmp_path):
    first = variants.build(grid.ROWS["proposed"], TINY).std.sigma.item()
    moved = {}
    for row in ("proposed", "slow std"):  # Adam's first step is as long as its rate
        run = one_run(row, profile=replace(TINY, scratch_steps=2))
        history = runner.execute(run, data, tmp_path, progress=False)["training"]
        moved[row] = abs(history["sigma"][0][1] - first)
    assert moved["proposed"] > 5 * moved["slow std"] > 0


NIGHT = replace(TINY, name="night", epochs=5, clinics=2, slices_of_a_lesion=None)


@pytest.fixture(scope="module")
def night(data, work):
    torch.set_num_threads(1)
    run = grid.Run("discs", NIGHT, grid.ROWS["proposed"], None, 0, 1)
    looks = []
    look = runner.Chosen.evaluate

    def recorded(chosen, step):
        before = {k: v.clone() for k, v in chosen.model.state_dict().items()}
        random = torch.get_rng_state()
        look(chosen, step)
        after = chosen.model.state_dict()
        assert chosen.model.training and torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(before[k], after[k]) for k in before)
        if step % chosen.every == 0:
            looks.append(
                scoring.lesion_dice(scoring.predict(chosen.model, data.small)["mask"], data.small)
            )
            chosen.model.train()

    runner.Chosen.evaluate = recorded
    try:
        return runner.execute(run, data, work, progress=False), looks
    finally:
        runner.Chosen.evaluate = look


def test_weights_are_chosen_where_left_out_lesions_were_outlined_best(night, data):
    result, looks = night
    steps = 5 * len(data.clinic) // 4
    assert (
        result["training"]["steps"]
        == steps
        == grid.Run("", NIGHT, None, None, 0).steps(len(data.clinic))
    )
    chosen = result["chosen"]
    assert [step for step, _ in chosen["looks"]] == [
        step for step in range(1, steps + 1) if step % (steps // 10) == 0
    ]
    means = [np.mean(dice) for dice in looks]
    assert [dice for _, dice in chosen["looks"]] == pytest.approx(means, abs=1e-4)
    best = int(np.argmax(means))
    assert chosen["step"] == chosen["looks"][best][0]
    assert chosen["dice"]["small"] == looks[best]


def test_looking_for_weights_does_not_change_the_training(night, data, tmp_path):
    run = grid.Run("discs", NIGHT, grid.ROWS["proposed"], None, 0, 1)
    model = runner.prepared(run, data, tmp_path, progress=False)
    history, chosen = runner.train(
        model,
        data.clinic,
        replace(
            run, profile=replace(NIGHT, epochs=None, scratch_steps=(run.steps(len(data.clinic))))
        ),
        progress=False,
    )
    assert chosen is None
    assert history["losses"] == night[0]["training"]["losses"]


def test_the_best_threshold_is_that_of_the_training_lesions(data):
    slices = {name: data.clinic if name == "train" else data.large for name in ("train", "large")}
    # x is 0.3 on the lesion, 0.2 beside it: all thresholds in (0.2, 0.3] are right.
    predictions = {
        name: {"x": np.where(part.masks[:, 0].numpy() > 0, 0.3, 0.2)}
        for name, part in slices.items()
    }
    best = scoring.at_best_threshold(predictions, slices)
    assert best["threshold"] == 0.3 and set(best["dice"]["large"]) == {1.0}


def test_the_temperature_undoes_a_classifier_that_is_too_sure(data):
    random = np.random.default_rng(0)
    slices = copy.copy(data.large)
    logit = random.normal(0, 2, 4000)
    slices.has_nodule = torch.from_numpy(random.random(4000) < 1 / (1 + np.exp(-logit))).float()
    temperature = scoring.best_temperature(1 / (1 + np.exp(-3 * logit)), slices)
    assert temperature == pytest.approx(3, rel=0.1)


def test_each_reading_of_the_dice_is_what_a_row_is_trained_with(data, tmp_path, monkeypatch):
    readings = []

    def recorded(output, masks, has_nodule, **how):
        readings.append(how)
        return multitask_loss(output, masks, has_nodule, **how)

    monkeypatch.setattr(runner, "multitask_loss", recorded)
    for over in ("slice", "batch", "nodule"):
        readings.clear()
        run = one_run(f"unet (Dice by {over})")
        runner.execute(run, data, tmp_path, progress=False)
        assert readings[: TINY.scratch_steps] == [{"dice_over": over}] * TINY.scratch_steps


def rates(row, profile=TINY):
    """Parameter name -> the rate it learns at."""
    run = one_run(row, profile=profile)
    model = variants.build(run.row, profile)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = runner._groups(model, run)
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def test_each_parameter_learns_at_the_rate_that_its_row_says():
    night = replace(TINY, std_learning_rate=1e-3)
    for row, fast in (
        ("proposed", ()),
        ("sigma from 3", ("std.raw_sigma",)),
        ("proposed (Dice by slice, fast STD)", ("std.raw_sigma", "std.raw_lambda2")),
        ("free last bias", ("last.bias",)),
    ):
        rate_of = rates(row, night)
        assert {name for name, rate in rate_of.items() if rate != 1e-3} == set(fast), row
        assert all(rate_of[name] == 2e-2 for name in fast)
        assert len(rate_of) == len(list(variants.build(grid.ROWS[row], night).parameters()))
    assert (
        rates("proposed")["std.raw_sigma"] == 2e-2 and rates("slow std")["std.raw_sigma"] == 1e-3
    )
    fixed = one_run("sigma = 2")
    with pytest.raises(ValueError, match="std.raw_sigma, which does not learn"):
        runner._groups(
            variants.build(fixed.row, TINY),
            replace(fixed, row=replace(fixed.row, rates=(("std.raw_sigma", 1e-2),))),
        )


def augmented(data, **amounts):
    batches = variants.Augmented(
        runner.Batches(*scoring.on_device(data.clinic), size=6, seed=0), 0
    )
    for name in ("DEGREES", "SCALE", "PIXELS", "CONTRAST", "BRIGHTNESS"):
        setattr(batches, name, amounts.get(name, 0))
    return batches


def test_an_augmented_mask_moves_with_its_image_and_the_rest_stays(data):
    plain = next(runner.Batches(*scoring.on_device(data.clinic), size=6, seed=0))
    still = next(augmented(data))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain, still, strict=True))
    moving = {"DEGREES": 15, "SCALE": 0.1, "PIXELS": 4}
    clinic = copy.copy(data)
    clinic.clinic = copy.copy(data.clinic)
    clinic.clinic.images = data.clinic.masks  # an image that is its own mask
    images, masks, _ = next(augmented(clinic, **moving))
    assert torch.equal((images >= 0.5).float(), masks)
    assert not torch.equal(masks, plain[1]) and masks.any()
    # A shift alone moves the middle of a disc by at most so many pixels.
    shifted = next(augmented(data, PIXELS=4))[1]
    for mask, moved in zip(plain[1][:, 0], shifted[:, 0], strict=True):
        if mask.any():
            middle = [pixels.nonzero().float().mean(0) for pixels in (mask, moved)]
            assert (middle[0] - middle[1]).abs().max() <= 4.5
    bright = next(augmented(data, CONTRAST=0.2, BRIGHTNESS=0.1))
    assert torch.equal(bright[1], plain[1]) and 0 <= bright[0].min() and bright[0].max() <= 1
    assert not torch.equal(bright[0], plain[0])


def test_augmented_batches_resume_from_their_state(data):
    first = variants.Augmented(runner.Batches(*scoring.on_device(data.clinic), size=6, seed=0), 0)
    next(first), next(first)
    second = variants.Augmented(runner.Batches(*scoring.on_device(data.clinic), size=6, seed=0), 0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(next(first), next(second), strict=True))


def test_a_cosine_ends_at_nothing_and_another_schedule_is_refused():
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1e-3)
    run = one_run("unet tuned (width 8, cosine)")
    schedule_of = runner._schedule(run, 10, adam)
    for _ in range(10):
        adam.step()
        schedule_of.step()
    assert adam.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="step or cosine"):
        runner._schedule(replace(run, row=replace(run.row, schedule="line")), 10, adam)


@pytest.mark.parametrize("part, weights_move, statistics_move", [
    ("all", False, False), ("weights", False, True), ("statistics", True, False),
])  # fmt: skip
def test_half_of_a_block_may_be_frozen(data, part, weights_move, statistics_move):
    run = one_run("proposed")
    model = variants.build(run.row, TINY)
    count = variants.freeze_part(model, ("S9",), part)
    block = model.S9
    assert (count > 0) == (not weights_move)
    before = copy.deepcopy(block.state_dict())
    runner.train(model, data.clinic, run, progress=False)
    names = {name for name, _ in block.named_parameters()}
    moved = {k for k, v in block.state_dict().items() if not torch.equal(v, before[k])}
    assert bool(moved & names) == weights_move
    assert any("running_mean" in name for name in moved) == statistics_move


def test_a_set_without_empty_slices_has_no_share_of_them(folder, data, tmp_path):
    bare = copy.copy(data)
    bare.large = data.large[np.flatnonzero(data.large.lesion != "")]
    result = runner.execute(one_run(), bare, tmp_path, progress=False)
    assert result["interventions"]["c = 1"]["marked"] is None
    assert result["false_positive_pixels"] == [] and result["classifier"]["without"] == []
    results.write(result, tmp_path / "one.json")


def test_provenance_names_the_command_and_who_made_the_weights(result, data, work):
    source = result["provenance"]
    assert source["command"] == (
        'python -m nodule_lesson.experiments --rows "transfer" --profile demo --data FOLDER'
    )
    assert source["pretrained"]["code_sha256"] == source["code_sha256"] == provenance.code_sha256()
    assert source["device"].endswith(" CPU")
    unlike = runner.pretrained_by(one_run("proposed"), data, work)
    assert unlike is None


class Cut(Exception):
    pass


def test_a_run_cut_off_in_its_training_ends_with_the_same_scores(
    result, folder, data, tmp_path, monkeypatch
):
    """It is cut off in pre-training, then in fine-tuning; each resumes at the step before."""
    run = one_run("transfer", profile=replace(TINY, checkpoint_every=1))
    watch, fit = runner.Trace.__call__, runner.fit

    def cut_after_two(model, batches, loss, **arguments):
        def cut(step, value):
            if step == 2:
                raise Cut

        return fit(model, batches, loss, **{**arguments, "watch": cut})

    def cutting(trace, step, loss):
        watch(trace, step, loss)
        if step == 3:
            raise Cut

    monkeypatch.setattr(runner, "fit", cut_after_two)
    with pytest.raises(Cut):
        runner.pretrain(run, data, tmp_path, progress=False)
    monkeypatch.setattr(runner, "fit", fit)
    monkeypatch.setattr(runner.Trace, "__call__", cutting)
    with pytest.raises(Cut):
        runner.execute(run, data, tmp_path, progress=False)
    monkeypatch.setattr(runner.Trace, "__call__", watch)
    assert schedule.carry_out([run], folder, tmp_path / "out", tmp_path) == 1
    again = json.loads((tmp_path / "out/discs-demo/transfer-seed0.json").read_bytes())
    for part in ("configuration", "scores", "classifier", "interventions", "data"):
        assert again[part] == json.loads(json.dumps(result[part])), part
    for part in ("losses", "sigma", "lambda2"):
        assert again["training"][part] == result["training"][part], part
    assert not list(tmp_path.rglob("*checkpoint*"))


def test_trained_weights_of_a_slim_network_are_kept_in_16_bits(result, data, work):
    run = one_run("transfer")
    path = runner.weights_path(run, work)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["configuration"]) == run.configuration
        kept = {name: file.get_tensor(name) for name in file.keys()}
    model = variants.build(run.row, run.profile)
    assert set(kept) == set(model.state_dict())
    assert all(v.dtype == torch.float16 for v in kept.values() if v.is_floating_point())
    model.load_state_dict(kept)
    c = scoring.lesion_scores(scoring.predict(model, data.large), data.large)["c"]
    assert np.allclose(c, result["scores"]["large"]["c"], atol=5e-3)


def test_weights_of_a_wide_network_stay_where_they_are(tmp_path):
    runner.keep_weights(
        torch.nn.Linear(1, 1), one_run(profile=replace(TINY, slim=False)), tmp_path
    )
    assert not list(tmp_path.iterdir())


def test_what_is_frozen_does_not_move_in_a_run(data, work):
    run = one_run("freeze S1")
    start = runner.prepared(run, data, work, progress=False).state_dict()
    kept = {}

    def keep(model, *others):
        history = trained(model, *others)
        kept.update(model.state_dict())
        return history

    trained, runner.train = runner.train, keep
    try:
        result = runner.execute(run, data, work, progress=False)
    finally:
        runner.train = trained
    same = {name for name in start if torch.equal(start[name], kept[name])}
    assert {name for name in start if name.startswith("S1.")} <= same
    assert not any(name.startswith("S2.") and name.endswith("weight") for name in same)
    assert result["training"]["frozen"] > 0


def test_scores_are_those_of_a_double_loop(data):
    random = np.random.default_rng(0)
    slices = data.large
    mask = random.random(slices.masks[:, 0].shape) < 0.2
    truth = slices.masks[:, 0].numpy() > 0
    c = random.random(len(slices))
    scores = scoring.lesion_scores({"mask": mask, "c": c}, slices)
    table = scoring.lesion_table(slices)
    assert scores["dice"] == scoring.lesion_dice(mask, slices)
    for number, name in enumerate(table["lesion"]):
        rows = np.flatnonzero((slices.lesion == name) & truth.any((1, 2)))
        tp = sum((mask[r] & truth[r]).sum() for r in rows)
        both = sum(mask[r].sum() + truth[r].sum() for r in rows)
        assert scores["dice"][number] == pytest.approx(2 * tp / both, abs=1e-4)
        for measure, function in (("hausdorff_distance", hausdorff_distance), ("assd", assd)):
            mean = np.mean([function(mask[r], truth[r], spacing=(0.7, 0.8)) for r in rows])
            assert scores[measure][number] == pytest.approx(mean, abs=1e-4)
        assert scores["c"][number] == pytest.approx(c[rows].mean(), abs=1e-4)
        assert table["patient"][number] == slices.patient[rows[0]]


def test_a_pixel_of_unknown_size_has_no_distance_and_keeps_its_overlap(data):
    slices = copy.deepcopy(data.large)
    slices.slices["row_mm"] = np.full(len(slices), np.nan)
    predicted = {"mask": slices.masks[:, 0].numpy() > 0, "c": None}
    scores = scoring.lesion_scores(predicted, slices)
    assert set(scores["assd"]) == {None} and set(scores["dice"]) == {1.0}


def test_interventions_start_from_the_network_s_own_output(result):
    asked = result["interventions"]
    assert {"plain sigmoid", "c = truth", "c = 1", "c shuffled", "lambda2 = 0"} <= set(asked)
    assert asked["c = 1"]["dice"] == asked["lambda2 = 0"]["dice"]  # the prior vanishes
    assert all(len(case["dice"]) == 12 for case in asked.values())


def test_memory_kept_is_less_where_the_first_stage_is_frozen(data, work):
    kept = {}
    for row in ("transfer", "freeze S1"):
        model = runner.prepared(one_run(row), data, work, progress=False)
        if row != "transfer":
            freeze(model, ["S1"])
        before = copy.deepcopy(model.state_dict())
        kept[row] = runner.kept_for_backward(model, data.clinic, 4)
        assert all(torch.equal(before[name], v) for name, v in model.state_dict().items())
    assert 0 < kept["freeze S1"] < kept["transfer"]


# --- the schedule --------------------------------------------------------------------------------


def test_an_interrupted_grid_continues(folder, tmp_path, capsys, monkeypatch):
    runs = [one_run("transfer"), one_run("unet"), one_run("freeze FC")]
    place = tmp_path / "out" / "discs-demo"
    assert schedule.carry_out(runs[:1], folder, tmp_path / "out", tmp_path / "work") == 1
    before = (place / "transfer-seed0.json").read_bytes()
    labels = []

    def counted(*arguments, fit=runner.fit, **options):
        labels.append(options["label"])
        return fit(*arguments, **options)

    monkeypatch.setattr(runner, "fit", counted)
    assert schedule.carry_out(runs, folder, tmp_path / "out", tmp_path / "work") == 2
    assert labels == ["unet-seed0", "freeze-FC-seed0"]
    assert "3 runs: 1 there already, 2 to do." in capsys.readouterr().err
    assert (place / "transfer-seed0.json").read_bytes() == before
    assert len(list((tmp_path / "work").glob("*.safetensors"))) == 1  # pre-trained once
    assert len(list(place.glob("*.json"))) == 4 and not list(place.glob("*.part"))
    other = [one_run("unet", profile=replace(TINY, scratch_steps=5))]
    with pytest.raises(ValueError, match=r"profile.steps: 4, wanted 5"):
        schedule.carry_out(other, folder, tmp_path / "out", tmp_path / "work")


def test_a_run_that_fails_is_named_and_does_not_stop_the_others(folder, tmp_path, monkeypatch):
    def poisoned(output, masks, has_nodule, **how):
        loss = multitask_loss(output, masks, has_nodule, **how)
        return loss * (np.nan if output.nodule is None else 1)

    monkeypatch.setattr(runner, "multitask_loss", poisoned)
    runs = [one_run("unet"), one_run("backbone")]
    with pytest.raises(ValueError, match=r"1 of 2 runs failed(?s:.*)unet-seed0: the loss .* nan"):
        schedule.carry_out(runs, folder, tmp_path / "out", tmp_path / "work")
    place = tmp_path / "out" / "discs-demo"
    assert [path.name for path in place.glob("*-seed*")] == ["backbone-seed0.json"]
    monkeypatch.setattr(runner, "multitask_loss", multitask_loss)
    assert schedule.carry_out(runs, folder, tmp_path / "out", tmp_path / "work") == 1


def test_dask_workers_of_several_threads_are_refused(folder, tmp_path):
    from dask.distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        with pytest.raises(ValueError, match="--nthreads 1"):
            schedule.carry_out(
                [one_run("unet")],
                *(folder, tmp_path / "out", tmp_path / "work"),
                scheduler=cluster.scheduler_address,
            )


@NIGHTLY
def test_a_dask_cluster_loses_a_worker_and_the_grid_is_finished(folder, data, tmp_path):
    from dask.distributed import Client, LocalCluster

    runs = [one_run(row, seed) for seed in (0, 1) for row in ("unet", "freeze S1")]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            pids = list(client.run(os.getpid).values())

        def kill_one():
            place = tmp_path / "out" / "discs-demo"
            while len(list(place.glob("*-seed*.json"))) < 1:
                time.sleep(0.02)
            os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        schedule.carry_out(
            runs, folder, tmp_path / "out", tmp_path / "work", scheduler=cluster.scheduler_address
        )
        killer.join()
    files = list((tmp_path / "out" / "discs-demo").glob("*-seed*.json"))
    assert len(files) == 4
    here = schedule.carry_out(runs, folder, tmp_path / "here", tmp_path / "work2", workers=2)
    assert here == 4
    for file in files:  # a cluster computes what two processes here compute
        found, expected = (
            json.loads((tmp_path / where / "discs-demo" / file.name).read_bytes())["scores"]
            for where in ("out", "here")
        )
        assert found == expected
    alone = runner.execute(runs[0], data, tmp_path / "work3", progress=False)  # and what one does
    file = tmp_path / "here" / "discs-demo" / f"{runs[0].name}.json"
    assert json.loads(file.read_bytes())["scores"] == json.loads(json.dumps(alone["scores"]))


def test_the_command_names_what_is_wrong(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--table", "7", "--data", str(folder), "--out", str(tmp_path)])
    assert stopped.value.code == 2 and "table must be 1, 2, 3" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--table", "1", "--data", str(tmp_path / "nothing"), "--out", str(tmp_path)])
    assert "lacks pretrain, clinic, large" in capsys.readouterr().err


def test_the_demo_profile_runs_from_the_command_line(folder, tmp_path):
    command = [sys.executable, "-m", "nodule_lesson.experiments", "--profile", "demo"]
    command += ["--rows", "unet", "resunet+std", "--data", folder, "--out", tmp_path / "out"]
    done = subprocess.run(
        [*command, "--work", tmp_path / "work"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Dice, large test" in done.stdout and "resunet+std" in done.stdout


def killed_if_unet(job, **place):
    """In a worker: what the system does to a process that uses too much memory."""
    if job[1].row.name == "unet":
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt(job, **place)


attempt = schedule._attempt


@pytest.mark.parametrize("where", ["here", pytest.param("dask", marks=NIGHTLY)])
def test_a_killed_worker_costs_its_own_run_alone(folder, tmp_path, monkeypatch, where):
    """Of five runs two are killed; the error names these two, whenever they were killed."""
    import dask
    from dask.distributed import LocalCluster

    monkeypatch.setattr(schedule, "_attempt", killed_if_unet)
    runs = [one_run(row, seed) for seed in (0, 1) for row in ("unet", "backbone")]
    runs.append(one_run("resunet"))
    place = folder, tmp_path / "out", tmp_path / "work"
    with pytest.raises(ValueError, match="2 of 5 runs failed") as raised:
        if where == "here":
            schedule.carry_out(runs, *place, workers=2)
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 0}),
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        ):
            schedule.carry_out(runs, *place, scheduler=cluster.scheduler_address)
    failed = [line for line in str(raised.value).splitlines() if "was killed" in line]
    assert {line.split(":")[0] for line in failed} == {"unet-seed0", "unet-seed1"}
    files = {path.name for path in (tmp_path / "out" / "discs-demo").glob("*-seed*")}
    assert files == {f"{run.name}.json" for run in runs if run.row.name != "unet"}


def test_a_fault_that_nobody_foresaw_ends_its_own_run_alone(folder, tmp_path, monkeypatch, capfd):
    def full(model, run, work):
        if run.row.name == "unet":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "keep_weights", full)
    runs = [one_run("unet"), one_run("backbone")]
    with pytest.raises(ValueError, match=r"(?s)1 of 2.*unet-seed0: OSError: .*No space left"):
        schedule.carry_out(runs, folder, tmp_path / "out", tmp_path / "work")
    assert (tmp_path / "out" / "discs-demo" / "backbone-seed0.json").exists()
    assert "Traceback" in capfd.readouterr().err  # a fault is shown in full


def test_where_all_is_done_nothing_is_simulated_or_read(folder, tmp_path, monkeypatch, capsys):
    """The command looks for finished runs first, as the README promises."""
    arguments = ["--rows", "unet", "--profile", "demo", "--out", str(tmp_path / "out")]
    arguments += ["--work", str(tmp_path / "work")]
    monkeypatch.setattr(datasets, "simulated", lambda *arguments: folder)
    main(arguments)
    table = capsys.readouterr().out

    def simulated(*arguments, **options):
        raise AssertionError("data were asked for")

    monkeypatch.setattr(datasets, "simulated", simulated)
    monkeypatch.setattr(datasets, "load", simulated)
    main([*arguments, "--scheduler", "tcp://127.0.0.1:9"])  # nor is a scheduler called
    captured = capsys.readouterr()
    assert captured.out == table and "1 runs: 1 there already, 0 to do." in captured.err
    assert "6 steps on crops of 32 x 32 pixels: these numbers prove that everything runs" in table


def test_one_patient_gives_no_interval(folder, tmp_path, capsys):
    write_set(tmp_path / "one" / "large", ["f"], 3, 2)
    for part in ("pretrain", "clinic"):
        (tmp_path / "one" / part).symlink_to(folder / part)
    arguments = ["--rows", "unet", "--profile", "demo", "--data", str(tmp_path / "one")]
    main([*arguments, "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")])
    printed = capsys.readouterr().out
    assert "nan" not in printed and "(no interval)" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--table", "3", "--rows", "unet"], "--rows: not allowed with argument --table"),
        (["--stage", "5", "--rows", "unet"], "--rows: not allowed with argument --stage"),
        (["--stage", "5", "--profile", "laptop"], "--profile: not allowed with argument --stage"),
        (["--stage", "1"], "--data: stage 1 wants a folder"),
        (["--stage", "5", "--data", "mine"], "--data: stage 5 wants simulated"),
        (["--workers", "0"], "at least 1, found '0'"),
        (["--workers", "-2"], "at least 1, found '-2'"),
        (["--workers", "2", "--scheduler", "a"], "--scheduler: not allowed with argument --work"),
        (["--rows", "freeze S7"], '\n    "freeze S5"\n    "freeze S9"\n'),
        (["--rows", "unet,", "pre-trained"], '\n    "unet, pre-trained"\n'),
    ],
)
def test_what_the_command_would_have_to_ignore_is_refused(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(schedule, "carry_out", None)  # else a fault would train for hours
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_folders_and_networks_that_fail_are_reported_in_a_sentence(
    folder, tmp_path, monkeypatch, capsys
):
    import dask

    (tmp_path / "file").touch()
    arguments = ["--rows", "unet", "--profile", "demo", "--data", str(folder)]
    monkeypatch.setattr(datasets, "load", None)  # all this is error before the data are read
    for out, more, message in (
        ("file", [], "file/discs-demo: Not a directory"),
        ("out", ["--work", str(tmp_path / "file")], "file: File exists"),
        ("out", ["--work", str(tmp_path), "--scheduler", "tcp://127.0.0.1:9"], "127.0.0.1:9"),
    ):
        with (
            pytest.raises(SystemExit) as stopped,
            dask.config.set({"distributed.comm.timeouts.connect": "100ms"}),
        ):
            main([*arguments, "--out", str(tmp_path / out), *more])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and message in error and "Traceback" not in error
        assert error.splitlines()[-1].startswith("error: ")


def test_a_damaged_file_of_a_run_is_named(folder, tmp_path):
    path = tmp_path / "discs-demo" / "unet-seed0.json"
    path.parent.mkdir()
    path.write_text('{"configuration"', encoding="utf-8")
    with pytest.raises(ValueError, match="unet-seed0.json is not a whole results file"):
        schedule.carry_out([one_run("unet")], folder, tmp_path, tmp_path / "work")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_no_more_cores_are_used_than_the_process_may_use(monkeypatch):
    """In a container or on a cluster a process may use few of many cores."""
    allowed, threads = os.sched_getaffinity(0), []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(schedule, "carry_out", lambda *arguments: sys.exit(0))
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with pytest.raises(SystemExit):
            main(["--rows", "unet"])
    finally:
        os.sched_setaffinity(0, allowed)
    assert threads == [1]


def test_the_help_names_every_profile_row_and_stage_on_a_line_of_its_own(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert {f'"{name}"' for name in grid.ROWS} <= set(lines)
    first = {line.split()[0] for line in lines if line}
    assert {*grid.PROFILES, *grid.STAGES} <= first
    laptop = next(line for line in lines if line.startswith("laptop"))
    files = results.results_folder().glob("*-laptop/*-seed*.json")
    seconds = [json.loads(f.read_text(encoding="utf-8"))["provenance"]["seconds"] for f in files]
    assert f"{min(seconds):.0f} to {max(seconds):.0f} s per run" in laptop


# --- results -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lesions(data):
    return {
        "checksums": data.checksums,
        "small": scoring.lesion_table(data.small),
        "large": scoring.lesion_table(data.large),
    }


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda r: r.pop("provenance"), "provenance: command"),
        (lambda r: r["provenance"].pop("commit"), "commit"),
        (lambda r: r["provenance"].update(commit="0123+"), "uncommitted"),
        (lambda r: r["provenance"].update(commit=None), "uncommitted"),
        (lambda r: r["provenance"].update(device=""), "device"),
        (lambda r: r["configuration"].pop("seed"), "seed"),
        (lambda r: r["data"]["checksums"].update(large="0" * 64), "checksums"),
        (lambda r: r["scores"]["large"]["dice"].pop(), "12 lesions of the large"),
        (lambda r: r["scores"].pop("small"), "small"),
        (lambda r: r["training"].pop("losses"), "losses"),
        (lambda r: r["training"].update(losses=[]), "losses"),
        (lambda r: r["provenance"].update(versions={}), "versions"),
        (lambda r: r["scores"].update(train={}), "sensitivity of train"),
        (lambda r: r["scores"]["large"].update(dice=[7] * 12), "dice of large"),
        (lambda r: r["scores"]["large"].update(iou=[None] * 12), "iou of large"),
    ],
)
def test_a_result_that_cannot_be_traced_is_refused(result, lesions, spoil, message):
    result = copy.deepcopy(result)
    result["provenance"]["commit"] = "0" * 40
    results.check(result, lesions)
    spoil(result)
    with pytest.raises(ValueError, match=message):
        results.check(result, lesions)


def test_a_damaged_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nodule_lesson.experiments --data nothing"):
        results.read("nothing", folder=tmp_path)
    place = tmp_path / "discs-demo"
    place.mkdir()
    (place / "lesions.json").write_text("{}", encoding="utf-8")
    (place / "unet-seed0.json").write_text('{"half": ', encoding="utf-8")
    with pytest.raises(ValueError, match="unet-seed0.json is not a whole"):
        results.read("discs", "demo", tmp_path)


DONE = sorted(results.results_folder().glob("*-laptop"))  # several clinics: test_evidence.py


@pytest.mark.parametrize("place", DONE, ids=lambda p: p.name)
def test_committed_results_are_traceable_and_their_tables_add_up(place):
    """Every column again from the files, by plain loops, and intervals by another generator."""
    name, profile = place.name.rsplit("-", 1)
    finished = results.read(name, profile)
    files = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in place.glob("*-seed*.json")}
    wanted = {run.name for run in grid.runs("all", profile, name)}
    assert set(files) <= wanted
    for run in grid.runs("all", profile, name):
        if run.name in files:
            assert files[run.name]["configuration"] == run.configuration
            text = json.dumps(files[run.name])
            assert not any(f'"/{top}' in text for top in ("home", "root", "tmp", "work"))
    lesions = json.loads((place / "lesions.json").read_text(encoding="utf-8"))
    random = np.random.default_rng(1)
    for number in grid.TABLES:
        for test in results.TESTS:
            lines = finished.table(number, test)
            assert [line["row"] for line in lines] == list(grid.TABLES[number])
            patients = np.array(lesions[test]["patient"])
            names = np.unique(patients)
            for line in lines:
                scores = [
                    f["scores"][test]
                    for f in files.values()
                    if f["configuration"]["row"]["name"] == line["row"]
                ]
                assert line["runs"] == len(scores) == grid.PROFILES[profile].seeds
                for measure in results.MEASURES:
                    by_lesion = zip(*(values[measure] for values in scores), strict=True)
                    known = [[v for v in values if v is not None] for values in by_lesion]
                    means = [sum(values) / len(values) for values in known if values]
                    assert line[measure][0] == pytest.approx(sum(means) / len(means)), measure
                    assert line["used"][measure] == len(means)
                by_seed = [values["dice"] for values in scores]
                dice = np.mean(by_seed, axis=0)
                mean, low, high = line["dice"]
                assert line["missed"][0] == pytest.approx((np.array(by_seed) == 0).mean())
                groups = [dice[patients == p] for p in names]
                drawn = random.integers(0, len(names), (1000, len(names)))
                means = [np.concatenate([groups[k] for k in row]).mean() for row in drawn]
                again = np.percentile(means, (2.5, 97.5))
                assert [low, high] == pytest.approx(again, abs=0.25 * (high - low) + 1e-4)


@pytest.mark.parametrize("place", DONE, ids=lambda p: p.name)
def test_comparisons_pair_the_same_lesions(place):
    name, profile = place.name.rsplit("-", 1)
    finished = results.read(name, profile)
    difference = finished.compare("proposed", "unet")
    ours, theirs = (finished.scores(row).mean(0) for row in ("proposed", "unet"))
    assert difference.mean == pytest.approx((ours - theirs).mean())
    assert difference.low < difference.mean < difference.high
    groups = finished.groups()
    small, other = list(groups)[:2]
    assert not (groups[small] & groups[other]).any()
    line = finished.summary_row("unet", where=groups[small])
    assert line["dice"][0] == pytest.approx(finished.scores("unet").mean(0)[groups[small]].mean())


def test_folds_of_a_seed_are_one_seed(result, lesions):
    """Two folds, of which one misses every lesion, and a second seed."""
    runs = []
    for seed, fold, dice in ((0, 0, 0.8), (0, 1, 0.0), (1, 0, 0.6), (1, 1, 0.8)):
        for row in ("unet", "proposed"):
            copied = copy.deepcopy(result)
            copied["configuration"] |= {"seed": seed, "fold": fold}
            copied["configuration"]["row"]["name"] = row
            copied["scores"]["large"]["dice"] = [dice + 0.1 * (row == "unet" and dice > 0)] * 12
            runs.append(copied)
    finished = results.Results(runs, lesions)
    assert np.allclose(finished.scores("proposed"), [[0.4] * 12, [0.7] * 12])
    line = finished.summary_row("proposed")
    assert line["by_seed"] == pytest.approx([0.4, 0.7]) and line["runs"] == 4
    assert line["missed"][0] == 0.25 and line["dice"][0] == pytest.approx(0.55)
    assert finished.compare("unet", "proposed").mean == pytest.approx(0.075)


def test_one_seed_is_compared_with_the_mean_of_the_others(result, lesions):
    """0.8 less the mean of 0.5, 0.6 and 1.0; with the same seed alone it would be 0.8 - 0.5."""
    runs = []
    for row, seeds in (("unet", (0.8,)), ("proposed", (0.5, 0.6, 1.0))):
        for seed, dice in enumerate(seeds):
            copied = copy.deepcopy(result)
            copied["configuration"]["seed"] = seed
            copied["configuration"]["row"]["name"] = row
            copied["scores"]["large"]["dice"] = [dice] * 12
            runs.append(copied)
    finished = results.Results(runs, lesions)
    assert finished.compare("unet", "proposed").mean == pytest.approx(0.1)
    assert finished.compare("proposed", "unet").mean == pytest.approx(-0.1)


def test_results_are_found_in_an_installed_package_too(monkeypatch, tmp_path):
    package = tmp_path / "nodule_lesson"
    (package / "results").mkdir(parents=True)
    monkeypatch.setattr(results.nodule_lesson, "__file__", str(package / "__init__.py"))
    assert results.results_folder() == package / "results"
    clone = tmp_path / "book" / "results" / "experiments"
    clone.mkdir(parents=True)
    assert results.results_folder() == Path(clone)
