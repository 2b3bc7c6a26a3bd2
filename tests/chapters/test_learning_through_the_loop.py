"""The chapter *Learning through the loop*: what it computes, and the numbers of its text."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nodule_lesson import std
from nodule_lesson.chapters.learning_through_the_loop import computations, facts
from nodule_lesson.chapters.learning_through_the_loop import exercises as checks


def test_the_right_rescaling_keeps_the_fixed_point():
    """What the exercise calls right is right, and of its mistakes only one keeps x*."""
    u = torch.as_tensor(np.random.default_rng(0).normal(size=(9, 14)))
    old = (1.3, 0.7, 0.4, 0.8)

    def fixed_point(u, sigma, lambda1, lambda2, epsilon):
        settings = {"sigma": sigma, "lambda1": lambda1, "lambda2": lambda2, "epsilon": epsilon}
        return std.soft_threshold_dynamics(u, c=0.3, iterations=300, **settings)

    wanted = fixed_point(u, *old)
    exercise = checks.same_fixed_point
    for hint, rescale in [("", exercise.right), *exercise.mistakes.items()]:
        gap = float((fixed_point(*rescale(2.5, u, *old)) - wanted).abs().max())
        assert (gap < 1e-12) is (not hint or "nothing was scaled" in hint), hint


def test_the_speed_table_has_its_numbers():
    """Elsewhere the chapter says that this file is missing; here it must be there."""
    path = Path(__file__).resolve().parents[2] / "book" / "results" / "std_layer.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert {"batch", "height", "width", "iterations"} <= set(result["setting"])
    assert result["provenance"]["threads"] >= 1 and result["provenance"]["versions"]["torch"]
    rows = {(row["sigma"], row["rival"], row["ours"]): row for row in result["ratios"]}
    assert len(rows) == 18  # three sigmas, three rivals, two gradients
    assert all(min(row["forward"], row["forward_backward"]) > 0 for row in rows.values())


# --- what the chapter computes, and the numbers of its text -------------------------------------


def test_unrolling_keeps_as_much_more_for_every_step_and_implicit_does_not():
    kept = computations.kept_megabytes([4, 8, 12])
    unrolled, implicit = kept["unrolled"], kept["implicit"]
    field = 128 * 128 * 4 / 1e6
    assert unrolled[2] - unrolled[1] == pytest.approx(unrolled[1] - unrolled[0])
    assert unrolled[1] - unrolled[0] > 4 * field  # a field per step, at least
    assert max(implicit) - min(implicit) < field


def test_the_teacher_is_found_at_its_own_parameters():
    u = torch.linspace(-2, 2, 64, dtype=torch.float64).reshape(8, 8)
    losses = {name: np.array(rows) for name, rows in computations.losses_of_students(u).items()}
    assert losses["fixed"].shape == losses["free"].shape == (13, 13)
    row, column = np.unravel_index(losses["fixed"].argmin(), (13, 13))
    assert row == column == 6 and losses["fixed"][6, 6] < 1e-12
    assert (losses["free"] <= losses["fixed"]).all()
    # Twice u with twice lambda1 and epsilon is the same question: the valley holds this point.
    assert losses["free"][10, 10] < 1e-12 < losses["fixed"][10, 10]


def test_a_student_walks_downhill():
    u = torch.linspace(-2, 2, 64, dtype=torch.float64).reshape(8, 8)
    way = computations.walk_of_a_student(u, 2.0, 1.0, steps=30)
    assert way.shape == (30, 3) and way[0] == pytest.approx([2.0, 1.0, 1.0])
    still = computations.walk_of_a_student(u, 1.0, 1.2, steps=5)  # the teacher itself
    assert np.allclose(still, [1.0, 1.2, 1.0], atol=1e-3)


def test_dice_is_twice_the_common_part_by_both_areas():
    x = torch.tensor([[0.9, 0.8, 0.7, 0.1]])
    assert computations.dice(x, torch.tensor([[1.0, 1.0, 0.0, 1.0]])) == pytest.approx(2 / 3)


def test_the_kept_memory_is_told_for_ten_and_forty_steps():
    texts = facts.kept_memory([1, 10, 40], {"unrolled": [1, 2, 3], "implicit": [0.5, 0.5, 0.501]})
    assert list(texts.values()) == ["2.00", "3.00", "0.50"]
    with pytest.raises(AssertionError):
        facts.kept_memory([1, 10, 40], {"unrolled": [1, 2, 3], "implicit": [0.5, 0.5, 0.6]})


def test_the_farthest_travel_is_a_geometric_series():
    travel = 82 * 5 * 1e-3 * (1 - 0.75**10) / (1 - 0.75)
    assert facts.farthest_travel() == {"loop-travel": f"{travel:.1f}"}


def test_weight_decay_would_pull_sigma_to_the_middle_of_the_softplus():
    layer = std.STDSigmoid(sigma=1.0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert facts.place_of_weight_decay() == {"loop-decay": f"{layer.sigma.item():.2f}"}


def test_the_speed_table_leaves_kernels_out_that_are_cut_too_early(tmp_path):
    ratio = {"sigma": 2.0, "rival": "a library", "ours": "unrolled", "forward_backward": 3.0}
    result = {
        "setting": {"batch": 8, "height": 64, "width": 64, "iterations": 10},
        "provenance": {"clock": "CPU time", "threads": 1, "versions": {"torch": "2.4"}},
        "ratios": [{**ratio, "reach": 3, "forward": 1.5}, {**ratio, "reach": 5, "forward": 2.5}],
    }
    path = tmp_path / "std_layer.json"
    assert "is not beside this notebook" in facts.speed_table(path)
    path.write_text(json.dumps(result), encoding="utf-8")
    table = facts.speed_table(path)
    assert "2.5 x" in table and "3.0 x" in table and "1.5 x" not in table
