"""The numbers in the text of the chapter *Soft threshold dynamics*."""

import numpy as np
import pytest
import torch
from scipy import ndimage, optimize
from scipy.special import expit as sigmoid

from nodule_lesson import std
from nodule_lesson.chapters.soft_threshold_dynamics import facts
from nodule_lesson.chapters.soft_threshold_dynamics.exercises import classes_step
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
        held_out |= {"mean_boundary_length": 100 - value, "mean_dice": 1 - value / 1000}
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
        "real-outline-off": "70.0",
        "real-outline-on": "60.0",
        "real-outline-readers": "7.2",
        "real-dice-off": "0.970",
        "real-dice-on": "0.960",
        "real-empty-off": "30",
        "real-empty-on": "40",
    }


def test_the_explorer_answers_are_counted_on_scipys_convolution():
    """The areas and specks, by another convolution and another count of pieces."""
    u = np.asarray(scene("noisy disc"), dtype=float)
    x = sigmoid(u)
    for _ in range(10):
        blurred = ndimage.gaussian_filter(1 - 2 * x, 2.0, mode="constant", truncate=20)
        x = sigmoid(u - 2.5 * blurred)
    mask = x > 0.5
    texts = facts.explorer_answers(torch.as_tensor(u))
    assert texts["areas-0"] == f"{(u > 0).sum():,d}"
    assert texts["areas-2.5"] == f"{mask.sum():,d}"
    pieces, count = ndimage.label(mask)
    assert texts["specks"] == str(count - 1)
    outer = sum(
        all(
            min(row, 127 - row, column, 127 - column) < 4
            for row, column in zip(*where, strict=True)
        )
        for where in (np.nonzero(pieces == 1 + i) for i in range(count))
    )
    assert texts["specks-border"] == str(outer)


def test_the_weak_blob_and_the_haze_are_those_of_the_live_figure():
    from nodule_lesson.chapters.soft_threshold_dynamics.live import compute

    def area(**parameters):
        return f"{compute({'epsilon': 1.0, 'iterations': 10, **parameters})['area']:,d}"

    weak = facts.weak_blob(torch.as_tensor(scene("strong and weak blob")).double())
    place = {"scene": "strong and weak blob", "sigma": 5.0}
    assert weak["weak-gone"] == area(**place, lambda1=2.5)
    assert weak["weak-back"] == area(**place, lambda1=2.5, epsilon=2.0)
    haze = facts.slow_haze(torch.as_tensor(scene("ground-glass haze")).double())
    place = {"scene": "ground-glass haze", "sigma": 8.0}
    assert haze["haze-20"] == area(**place, lambda1=4.0, iterations=20)
    assert haze["haze-soft-10"] == area(**place, lambda1=1.0)


def test_a_few_printed_steps_are_those_of_one_pixel():
    """Far from the border, from x = 0 and x = 1, the printed step is x -> Sig(3x - 1)."""
    texts = facts.printed_few_steps(torch.as_tensor(scene("noisy disc", 96)).double())
    low, high = 0.0, 1.0
    for steps in (1, 2, 3):
        low, high = sigmoid(3 * low - 1), sigmoid(3 * high - 1)
        assert float(texts[f"printed-low-{steps}"]) == pytest.approx(low, abs=0.0051)
        assert float(texts[f"printed-high-{steps}"]) == pytest.approx(high, abs=0.0051)


# --- what the text proves ------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.7])
def test_a_sampled_gaussian_is_a_blur_applied_twice(sigma):
    """G = B B^T, where B blurs from pixels to a line, with the width sigma / sqrt 2."""
    size, spacing = 24, sigma / 20
    line = np.arange(-8 * sigma, size + 8 * sigma, spacing)
    B = np.exp(-((np.arange(size)[:, None] - line) ** 2) / sigma**2)
    taps = np.exp(-(np.arange(1 - size, size) ** 2) / (2 * sigma**2))
    G = spacing * B @ B.T / (sigma * np.sqrt(np.pi / 2)) / taps.sum()
    wanted = std.gaussian_matrix(size, torch.tensor(sigma, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(G, wanted, atol=1e-13)


def test_the_second_derivative_is_bounded_as_the_text_says():
    size, sigma, lambda1, epsilon = 12, 1.5, 1.3, 0.8
    G = std.gaussian_matrix(size, torch.tensor(sigma, dtype=torch.float64)).numpy()
    K = np.kron(G, G)
    bound = 4 * epsilon - 2 * lambda1 * K.sum(1).max()
    random = np.random.default_rng(3)
    for x in (np.full(size**2, 0.5), random.random(size**2)):
        second = np.diag(epsilon / (x * (1 - x))) - 2 * lambda1 * K
        assert np.linalg.eigvalsh(second).min() >= bound - 1e-12
    # And it is the second derivative of the package's energy.
    u = torch.as_tensor(random.normal(size=(size, size)))
    field = torch.as_tensor(x.reshape(size, size))
    value = torch.autograd.functional.hessian(
        lambda x: std.std_energy(x, u, sigma=sigma, lambda1=lambda1, epsilon=epsilon), field
    )
    np.testing.assert_allclose(value.reshape(second.shape), second, atol=1e-9)


def test_two_classes_are_soft_threshold_dynamics_with_twice_the_weight():
    blur = classes_step.ask[2]
    random = np.random.default_rng(5)
    x, u = random.random((9, 14)), random.normal(size=(9, 14))
    both = classes_step.right(np.stack([x, 1 - x]), np.stack([u, 0 * u]), blur, 0.6, 0.8)
    np.testing.assert_allclose(both[0], sigmoid((u - 1.2 * blur(1 - 2 * x)) / 0.8), atol=1e-12)
