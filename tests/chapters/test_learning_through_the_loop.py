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
    for hint, functions in [("", exercise.right), *exercise.mistakes.items()]:
        for rescale in functions if isinstance(functions, tuple) else (functions,):
            gap = float((fixed_point(*rescale(2.5, u, *old)) - wanted).abs().max())
            assert (gap < 1e-12) is (not hint or "nothing was scaled" in hint), hint


def test_the_missing_gradient_is_that_of_the_fixed_point():
    """The exercise's Euler identity, with autograd's gradients at a converged field."""
    u, g = torch.as_tensor(np.random.default_rng(1).normal(size=(2, 9, 14)))
    values = [u, *(torch.tensor(value).double() for value in (0.7, 0.4, 0.8))]
    values = [value.clone().requires_grad_() for value in values]
    weights = dict(zip(("lambda1", "lambda2", "epsilon"), values[1:], strict=True))
    x = std.soft_threshold_dynamics(values[0], sigma=1.3, c=0.3, iterations=200, **weights)
    *known, wanted = torch.autograd.grad((g * x).sum(), values)
    known = [part for pair in zip(values, known, strict=False) for part in pair]
    known = [part.detach().numpy() for part in known]
    found = checks.missing_gradient.right(*known, 0.8)
    assert found == pytest.approx(wanted.item(), rel=1e-6)


def test_the_shares_of_the_steps_add_up_to_the_gradients_of_autograd():
    """The chapter's sums for u, lambda2, lambda1, sigma and epsilon, over three steps."""
    random = np.random.default_rng(2)
    u, g = (torch.as_tensor(random.normal(size=(7, 9))) for _ in range(2))
    start = {"sigma": 1.3, "lambda1": 0.9, "lambda2": 0.6, "epsilon": 0.8}
    free = {name: torch.tensor(value, dtype=u.dtype) for name, value in start.items()}
    free["u"] = u.clone()
    for value in free.values():
        value.requires_grad_()
    steps, c = 3, 0.3
    x = std.soft_threshold_dynamics(c=c, iterations=steps, **free)
    wanted = dict(zip(free, torch.autograd.grad((g * x).sum(), free.values()), strict=True))

    sigma, lambda1, lambda2, epsilon = start.values()
    h = 1e-5

    def blur(field):
        return std.gaussian_blur(field, sigma)

    def slope_of_blur(field):
        up, down = (std.gaussian_blur(field, sigma + step) for step in (h, -h))
        return (up - down) / (2 * h)

    z = [u]
    for _ in range(steps):
        x = torch.sigmoid(z[-1])
        z.append((u - lambda1 * blur(1 - 2 * x) - lambda2 * (1 - c)) / epsilon)
    x = [torch.sigmoid(each) for each in z]
    back = [x[-1] * (1 - x[-1]) * g]
    for t in reversed(range(steps)):
        back.insert(0, x[t] * (1 - x[t]) * 2 * lambda1 / epsilon * blur(back[0]))
    first, *rest = back
    shares = list(zip(rest, x, z[1:], strict=False))
    found = {
        "u": first + sum(rest) / epsilon,
        "lambda2": -(1 - c) / epsilon * sum(each.sum() for each in rest),
        "lambda1": -sum((blur(1 - 2 * x) * each).sum() for each, x, _ in shares) / epsilon,
        "sigma": -lambda1
        / epsilon
        * sum((slope_of_blur(1 - 2 * x) * each).sum() for each, x, _ in shares),
        "epsilon": -sum((z * each).sum() for each, _, z in shares) / epsilon,
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, err_msg=name)


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


def test_a_scan_of_sigma_finds_what_the_layer_computes():
    u = torch.linspace(-2, 2, 64).reshape(1, 8, 8)
    masks = (u > 0).float()
    losses = computations.scan_of_sigma(u, masks)
    assert losses.shape == computations.SCANNED.shape
    sigma = computations.SCANNED[7]
    z = torch.logit(std.soft_threshold_dynamics(u.double(), sigma=float(sigma), iterations=10))
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(z, masks.double())
    assert losses[7] == pytest.approx(wanted.item(), rel=1e-5)


def test_quiet_noise_wants_the_floor_and_loud_noise_does_not():
    noise = torch.randn(4, 24, 24, generator=torch.Generator().manual_seed(3))
    blobs = torch.zeros(4, 24, 24)
    blobs[:, 6:18, 6:18] = 1
    scans = computations.scans_of_sigma(1.4 * blobs - 0.7 + 0.9 * noise, blobs, [0.05, 10])
    quiet, loud = computations.SCANNED[scans["noisy"].argmin(1)]
    assert quiet < 0.4 and loud > 1
    assert (scans["without noise"].argmin(1) == 0).all()


def test_the_kept_memory_is_told_for_ten_and_forty_steps():
    texts = facts.kept_memory({"unrolled": [2, 5], "implicit": [0.5, 0.501]})
    assert list(texts.values()) == ["2.00", "5.00", "0.50"]
    with pytest.raises(AssertionError):
        facts.kept_memory({"unrolled": [2, 5], "implicit": [0.5, 0.6]})


def test_the_farthest_travel_is_a_geometric_series():
    travel = 82 * 5 * 1e-3 * (1 - 0.75**10) / (1 - 0.75)
    assert facts.farthest_travel() == {"loop-travel": f"{travel:.1f}"}


def test_weight_decay_would_pull_sigma_to_the_middle_of_the_softplus():
    layer = std.STDSigmoid(sigma=1.0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert facts.place_of_weight_decay() == {"loop-decay": f"{layer.sigma.item():.2f}"}


def test_the_chosen_rate_is_that_of_the_experiments():
    texts = facts.chosen_rate()
    assert texts["loop-rate"] == "0.02"
    assert float(texts["loop-rate-slow"]) < float(texts["loop-rate-fast"])


def test_the_speed_of_rivals_is_read_from_the_results(tmp_path):
    book = Path(__file__).resolve().parents[2] / "book"
    result = json.loads((book / "results" / "std_layer.json").read_text(encoding="utf-8"))
    texts = facts.speed(book / "results" / "std_layer.json")
    rows = {
        (row["rival"], row["sigma"], row["reach"], row["ours"]): row for row in result["ratios"]
    }
    row = rows["full convolution", 3, 5, "unrolled"]
    assert texts["loop-speed-full"] == f"{row['forward_backward']:.0f}"
    assert texts["loop-speed-setting"] == "10 fields of 128 × 128, T = 10"
    for row in result["ratios"]:
        row["forward_backward"] = 1.0  # a library that is as quick as ours would belie the text
    path = tmp_path / "std_layer.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(AssertionError):
        facts.speed(path)
