"""The Dice loss against a double loop, closed forms and its own derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nodule_lesson.networks.detection_guided import Output
from nodule_lesson.training.losses import dice_loss, multitask_loss

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


# --- Eq. (7) -------------------------------------------------------------------------------------


def an_output(seed=0, spread=3.0, classifier=True, n=4):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(n, 1, 6, 5, generator=generator, dtype=torch.float64)
    nodule = spread * torch.randn(n, generator=generator, dtype=torch.float64)
    mask = torch.rand(n, 1, 6, 5, generator=generator) < 0.3
    has_nodule = torch.arange(n) % 2
    parts = (torch.sigmoid(nodule), nodule) if classifier else (None, None)
    u = torch.full_like(logits, float("nan"))  # the map before STD has no say in the loss
    return Output(torch.sigmoid(logits), logits, u, *parts), mask, has_nodule


@pytest.mark.parametrize("lambda1, lambda2", [(1, 1), (0.3, 2.5), (0, 0)])
def test_the_multitask_loss_is_the_printed_sum(lambda1, lambda2):
    output, mask, has_nodule = an_output()
    p, y = output.mask.numpy(), mask.numpy().astype(float)
    c, t = output.nodule.numpy(), has_nodule.numpy()
    overlap, total = (p * y).sum((1, 2, 3)), (p + y).sum((1, 2, 3))
    expected = np.mean(1 - (2 * overlap + 1) / (total + 1))
    expected += lambda1 * -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    expected += lambda2 * -np.mean(t * np.log(c) + (1 - t) * np.log(1 - c))
    found = multitask_loss(output, mask, has_nodule, lambda1, lambda2)
    assert found.shape == () and found.item() == pytest.approx(expected, rel=1e-12)


def test_without_a_classifier_its_term_is_missing():
    output, mask, has_nodule = an_output(classifier=False)
    full, _, _ = an_output()
    without = multitask_loss(output, mask, None)
    assert without.item() == pytest.approx(multitask_loss(full, mask, has_nodule, 1, 0).item())


def test_the_loss_and_its_gradient_are_finite_where_probabilities_saturate():
    logits = torch.tensor([[[[200.0, -200.0]]]], requires_grad=True)
    nodule = torch.tensor([-150.0], requires_grad=True)
    output = Output(torch.sigmoid(logits), logits, logits, torch.sigmoid(nodule), nodule)
    assert output.mask.flatten().tolist() == [1, 0] and output.nodule.item() == 0
    wrong = torch.tensor([[[[0, 1]]]])
    loss = multitask_loss(output, wrong, torch.ones(1))
    # Both pixels are wrong by 200, the classifier by 150; Dice: 1 - 1/3.
    assert loss.item() == pytest.approx(2 / 3 + 200 + 150)
    loss.backward()
    assert logits.grad.flatten().tolist() == pytest.approx([0.5, -0.5])
    assert nodule.grad.item() == pytest.approx(-1)


@pytest.mark.parametrize(
    "change, name",
    [
        (lambda o, m, t: (o, m[:, 0], t), "mask"),
        (lambda o, m, t: (o, m[:2], t), "mask"),
        (lambda o, m, t: (o, m.numpy(), t), "mask"),
        (lambda o, m, t: (o, m, t[:2]), "has_nodule"),
        (lambda o, m, t: (o, m, t[:, None]), "has_nodule"),
        (lambda o, m, t: (o, m, None), "has_nodule"),
    ],
)
def test_shapes_that_do_not_fit(change, name):
    with pytest.raises(ValueError, match=f"^{name} must have the shape"):
        multitask_loss(*change(*an_output()))


def test_three_readings_of_the_dice_by_plain_sums():
    torch.manual_seed(0)
    p = torch.rand(5, 1, 6, 6, dtype=torch.float64)
    y = (torch.rand(5, 1, 6, 6) < 0.3).double()
    y[1] = y[3] = 0

    def one(p, y):
        return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)

    by_slice = torch.stack([one(p[k], y[k]) for k in range(5)])
    assert torch.isclose(dice_loss(p, y), by_slice.mean())
    assert torch.isclose(dice_loss(p, y, over="batch"), one(p, y))
    assert torch.isclose(dice_loss(p, y, over="nodule"), by_slice[[0, 2, 4]].mean())
    assert dice_loss(p, torch.zeros_like(y), over="nodule") == 0
    with pytest.raises(ValueError, match="slice, batch, nodule"):
        dice_loss(p, y, over="image")
