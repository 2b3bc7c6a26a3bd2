"""The numbers in the text of the chapter *Soft threshold dynamics*."""

import numpy as np
import pytest
import torch
from scipy import ndimage, optimize
from scipy.special import expit as sigmoid

from nodule_lesson.chapters.soft_threshold_dynamics import facts
from nodule_lesson.live.scenes import scene


def test_the_printed_iteration_ends_where_one_pixel_would():
    """Far from the border K(1 - 2x) is 1 - 2x where x is the same everywhere, whatever u was."""
    limit = optimize.brentq(lambda x: sigmoid(x - (1 - 2 * x)) - x, 0.6, 1.0)
    texts = facts.printed_limit(torch.full((96, 96), -3.0, dtype=torch.float64))
    assert float(texts["printed-middle"]) == pytest.approx(limit, abs=1e-5)


def test_the_error_after_ten_steps_is_that_of_scipys_convolution():
    u = np.asarray(scene("noisy disc", 64), dtype=float)

    def step(x):
        blurred = ndimage.gaussian_filter(1 - 2 * x, 2.0, mode="constant", truncate=20)
        return sigmoid(u - blurred)

    fields = [sigmoid(u)]
    for _ in range(60):
        fields.append(step(fields[-1]))
    error = abs(fields[10] - fields[60]).max()
    texts = facts.error_after_ten_steps(torch.as_tensor(u))
    assert float(texts["error-ten"]) == pytest.approx(error, rel=0.05)
    assert float(texts["bound-ten"]) == pytest.approx(2**-11, rel=0.01)


def test_the_real_slices_are_those_of_shifted_logits_and_a_small_weight():
    def row(logits, lambda1, sigma, value):
        held_out = {"slices": 1234, "empty_masks": value}
        held_out |= {"mean_boundary_length": value, "mean_dice": value / 1000}
        row = {"logits": logits, "lambda1": lambda1, "sigma": sigma, "seconds": value}
        return {**row, "held_out": held_out}

    rows = [row("as fitted", 0.0, None, 1), row("as fitted", 1.0, 3.0, 2)]
    rows += [row("shifted", 0.0, None, 30), row("shifted", 1.0, 3.0, 40)]
    rows += [row("shifted", 1.0, 5.0, 5), row("shifted", 8.0, 3.0, 6)]
    consensus = {"held_out": {"mean_boundary_length": 7.25}}
    texts = facts.real_slices({"data": {"slices": 5678}, "rows": rows, "consensus": consensus})
    assert texts == {
        "real-slices": "5,678",
        "real-held": "1,234",
        "real-outline-off": "30.0",
        "real-outline-on": "40.0",
        "real-outline-readers": "7.2",
        "real-dice-off": "0.030",
        "real-dice-on": "0.040",
        "real-empty-off": "30",
        "real-empty-on": "40",
        "real-seconds": "40.0",
    }
