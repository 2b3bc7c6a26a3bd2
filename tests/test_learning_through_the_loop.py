"""The chapter *Learning through the loop*: what rescaling keeps, and its table of speed."""

import json
from pathlib import Path

import numpy as np
import torch

from nodule_lesson import std
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
    path = Path(__file__).resolve().parents[1] / "book" / "results" / "std_layer.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert {"batch", "height", "width", "iterations"} <= set(result["setting"])
    assert result["provenance"]["threads"] >= 1 and result["provenance"]["versions"]["torch"]
    rows = {(row["sigma"], row["rival"], row["ours"]): row for row in result["ratios"]}
    assert len(rows) == 12  # three sigmas, two rivals, two gradients
    assert all(min(row["forward"], row["forward_backward"]) > 0 for row in rows.values())
