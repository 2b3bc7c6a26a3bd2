"""The Dice loss against a double loop, closed forms and its own derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nodule_lesson.losses import dice_loss

shapes = hnp.array_shapes(min_dims=2, max_dims=4, max_side=5)


@given(st.data(), shapes, st.floats(0.01, 10))
def test_dice_loss_is_the_mean_over_samples_of_the_printed_fraction(data, shape, smooth):
    p = data.draw(hnp.arrays(float, shape, elements=st.floats(0, 1)))
    y = data.draw(hnp.arrays(float, shape, elements=st.sampled_from([0.0, 1.0])))
    expected = []
    for n in range(shape[0]):
        both = total = 0.0
        for a, b in zip(p[n].ravel(), y[n].ravel(), strict=True):
            both, total = both + a * b, total + a + b
        expected.append(1 - (2 * both + smooth) / (total + smooth))
    found = dice_loss(torch.from_numpy(p), torch.from_numpy(y), smooth)
    assert found.shape == () and found.item() == pytest.approx(np.mean(expected), abs=1e-12)
    assert -1e-12 <= found.item() < 1


def test_closed_forms():
    disc = torch.zeros(2, 1, 8, 8)
    disc[:, :, 2:6, 2:6] = 1
    assert dice_loss(disc, disc).item() == 0
    assert dice_loss(0 * disc, 0 * disc).item() == 0  # both empty cost nothing
    assert dice_loss(0 * disc, disc).item() == pytest.approx(1 - 1 / 17)
    assert dice_loss(torch.full_like(disc, 0.5), disc).item() == pytest.approx(1 - 17 / 49)
    assert dice_loss(0 * disc, 0 * disc, smooth=0).isnan()
    # One perfect and one missed sample: the mean of the two, not the Dice of their union.
    half = torch.cat([disc[:1], 0 * disc[1:]])
    assert dice_loss(half, disc, smooth=0).item() == pytest.approx(0.5)


def test_gradient_is_that_of_the_formula():
    random = torch.Generator().manual_seed(0)
    p = torch.rand(3, 1, 4, 5, generator=random, dtype=torch.float64, requires_grad=True)
    y = (torch.rand(3, 1, 4, 5, generator=random) < 0.4).double()
    assert torch.autograd.gradcheck(lambda p: dice_loss(p, y), p)


def test_masks_may_be_booleans_or_integers():
    p, y = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4) < 0.5
    assert dice_loss(p, y) == dice_loss(p, y.float()) == dice_loss(p, y.to(torch.uint8))


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((torch.rand(2, 1, 4, 4), torch.rand(2, 4, 4)), ValueError, r"\(2, 1, 4, 4\)"),
        ((torch.rand(4), torch.rand(4)), ValueError, r"\(N, \.\.\.\)"),
        ((torch.rand(0, 1, 4, 4), torch.rand(0, 1, 4, 4)), ValueError, "batches"),
        ((torch.rand(2, 4), torch.rand(2, 4), -1.0), ValueError, "smooth"),
        ((torch.rand(2, 4), torch.rand(2, 4), float("nan")), ValueError, "smooth"),
        ((np.zeros((2, 4)), torch.rand(2, 4)), TypeError, "probability .* ndarray"),
        ((torch.rand(2, 4), [0, 1]), TypeError, "target .* list"),
    ],
)
def test_bad_input_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        dice_loss(*arguments)
