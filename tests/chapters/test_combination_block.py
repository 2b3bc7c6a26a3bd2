"""The chapter *The combination block*: its exercises, what it computes, numbers of its text."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nodule_lesson.chapters.combination_block import computations, facts
from nodule_lesson.chapters.combination_block import exercises as checks
from nodule_lesson.networks.blocks import CombinationBlock
from nodule_lesson.networks.registry import Summary


def pointwise_weights(block):
    """The weights of the three 1x1 convolutions, as matrices."""
    layers = (block.translate, block.fuse, block.spread[1])
    return [layer.weight[:, :, 0, 0].detach().numpy() for layer in layers]


def by_numpy(block):
    """A of a linear block with 5 channels from the U-Net."""
    first, second, _ = pointwise_weights(block)
    return np.c_[second[:, :5], second[:, 5:] @ first]


@pytest.fixture
def block():
    torch.manual_seed(0)
    return CombinationBlock(5, 3).double().requires_grad_(False)


def test_the_exercises_speak_of_the_packages_block(block):
    """Its equation is the block's kernel; the hidden change cannot be seen behind the block."""
    A, P = by_numpy(block), pointwise_weights(block)[2]
    s, f = torch.randn(2, 5, 9, 7).double(), torch.randn(2, 3, 9, 7).double()
    depthwise = block.spread[0].weight[:, 0].numpy()
    kernel = torch.from_numpy(np.einsum("oj,jyx,ji->oiyx", P, depthwise, A))
    dense = torch.nn.functional.conv2d(torch.cat([s, f], 1), kernel, padding=1)
    torch.testing.assert_close(dense, block(s, f), rtol=0, atol=1e-12)

    d = torch.randn(3).double()
    step = torch.from_numpy(checks.hiding_change.right(A, 5, d.numpy()))
    amount = torch.randn(2, 1, 9, 7).double()  # as much as one likes, at each pixel
    changed = block(s + amount * step.view(5, 1, 1), f + amount * d.view(3, 1, 1))
    torch.testing.assert_close(changed, block(s, f), rtol=0, atol=1e-10)
    assert (block(s, f + amount * d.view(3, 1, 1)) - changed).abs().max() > 0.01


# --- what the chapter computes ------------------------------------------------------------------


class OneBlock(nn.Module):
    """A network with one combination block, at S2: s and f are multiples of the image."""

    def __init__(self, block):
        super().__init__()
        self.combination = nn.ModuleDict({"S2": block})

    def forward(self, image):
        s = image * torch.arange(1.0, 6).view(5, 1, 1)
        f = image * torch.tensor([-1.0, 2, 0.5]).view(3, 1, 1)
        output = self.combination["S2"](s, f)
        return SimpleNamespace(mask=torch.sigmoid(output.sum(1, keepdim=True)))


@pytest.fixture
def images():
    return torch.as_tensor(np.random.default_rng(3).normal(size=(2, 1, 8, 8)))


def test_both_pointwise_convolutions_are_one_matrix(block):
    np.testing.assert_allclose(computations.matrix(block), by_numpy(block), atol=1e-12)


def test_the_unseen_direction_moves_the_channels_with_most_room(block):
    v, s, f = computations.unseen_direction(block)
    A = by_numpy(block)
    assert abs(A @ v.numpy()).max() < 1e-12
    room = np.diag(np.eye(8) - np.linalg.pinv(A) @ A)  # of the projection on the null space
    assert s == room[:5].argmax() and f == room[5:].argmax()
    assert abs(v[s]) > 0.1 and abs(v[5 + f]) > 0.1


def test_a_look_changes_the_inputs_of_the_block_alone(block, images):
    net = OneBlock(block)
    v, _, _ = computations.unseen_direction(block)
    before = computations.look(net, "S2", images)
    assert torch.equal(before[3], net(images).mask)
    hidden = computations.look(net, "S2", images, v.view(1, -1, 1, 1) * images)
    seen = computations.look(net, "S2", images, torch.ones(1, 8, 1, 1).double() * images)
    torch.testing.assert_close(hidden[0] - before[0], v[:5].view(1, 5, 1, 1) * images)
    torch.testing.assert_close(hidden[1] - before[1], v[5:].view(1, 3, 1, 1) * images)
    for old, same, other in zip(before[2:], hidden[2:], seen[2:], strict=True):
        torch.testing.assert_close(same, old, rtol=0, atol=1e-10)
        assert (other - old).abs().max() > 0.01
    again = computations.look(net, "S2", images)
    assert all(map(torch.equal, again, before)), "nothing stays behind on the network"


def test_features_come_image_by_image(block, images):
    found = computations.features(OneBlock(block), images)
    factors = np.array([1, 2, 3, 4, 5, -1, 2, 0.5])
    assert list(found) == ["S2"]
    np.testing.assert_allclose(found["S2"], np.outer(factors, images.flatten()))


# Rows of zero mean that are orthogonal to each other in either half.
ROWS = np.tile([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], 2).astype(float)


def shares(A, z):
    return computations.shares(torch.as_tensor(A, dtype=torch.float64), torch.as_tensor(z))


def test_shares_of_channels_that_know_nothing_of_each_other():
    z = np.sqrt([[4.0], [3], [1]]) * ROWS
    keeps_two = np.eye(3)[:2]
    assert shares(keeps_two, z + 7) == pytest.approx([1 / 8, 1 / 8, 1 / 8])
    assert shares(np.eye(3)[1:], z) == pytest.approx([4 / 8, 4 / 8, 1 / 8])


def test_what_is_said_twice_can_be_predicted():
    z = np.vstack([ROWS[:2], ROWS[0] + ROWS[1]])  # variances 1, 1 and 2
    null, rest, least = shares(np.eye(3)[:2], z)
    assert null == pytest.approx(1 / 2)
    assert rest == pytest.approx(0, abs=1e-12) and least == pytest.approx(0, abs=1e-12)
    # A prediction that fits the earlier half need not hold in the later one.
    z[2, 4:] *= -1
    assert shares(np.eye(3)[:2], z)[1] == pytest.approx(4 * 2 / 4)


def test_each_stage_has_its_shares(block, images):
    (row,) = computations.left_out(OneBlock(block), images)
    A = by_numpy(block)
    direction = np.array([1, 2, 3, 4, 5, -1, 2, 0.5])  # all features lie on a line
    lost = direction - np.linalg.pinv(A) @ A @ direction
    null = (lost @ lost) / (direction @ direction)
    assert row == pytest.approx([null, 0, 0], abs=1e-9)


# --- the numbers of the text --------------------------------------------------------------------


def test_ways_cost_more_or_less_than_two_networks_alone():
    totals = {"alone": (10e6, 2e9), "with blocks": (11.5e6, 3e9), "shared": (9.75e6, 1.25e9)}
    head, rows = facts.costs_of_ways({way: Summary((), *both) for way, both in totals.items()})
    assert len(head) == 4
    assert rows == [
        ["alone", "10.0 M", "+0.000 M", "2.00 G"],
        ["with blocks", "11.5 M", "+1.500 M", "3.00 G"],
        ["shared", "9.8 M", "−0.250 M", "1.25 G"],
    ]


def test_weights_of_a_block_by_its_formula():
    net = SimpleNamespace(combination={"S2": CombinationBlock(128, 64)})
    head, (row,) = facts.weights_of_blocks(net, {"S2": (128, 64, 32)})
    S, C = 128, 64
    parts = (C * C, (S + C) * S, 9 * S + S * S, 9 * (S + C) * S)
    first, second, third, dense = (f"{part / 1000:.1f}" for part in parts)
    block = f"{sum(parts[:3]) / 1000:.1f}"
    assert row[:3] == ["S2,\u00a0C1", "128\u00a0+\u00a064", "32×32"]
    assert row[3:] == [first, second, third, block, dense] and len(head) == len(row)


def test_the_first_convolutions_have_c_squared_weights():
    sizes = {"S2": (32, 1024), "S3": (64, 512)}
    blocks = {stage: CombinationBlock(S, C) for stage, (S, C) in sizes.items()}
    first = sum(C * C for _, C in sizes.values())
    others = sum((S + C) * S + 9 * S + S * S for S, C in sizes.values())
    assert facts.first_convolutions(SimpleNamespace(combination=blocks)) == {
        "first-share": f"{first / (first + others):.0%}",
        "first-million": "1.3",
    }


def test_a_product_of_two_random_matrices_is_shorter_by_root_three():
    """PyTorch draws both from +-1 / sqrt(inputs), whose variance is a third of its square."""
    assert float(facts.norm_at_the_start()["start-norm"]) == pytest.approx(
        1 / np.sqrt(3), abs=0.02
    )


def test_more_than_twice_as_many_numbers_leave_each_block():
    texts = facts.numbers_at_s2({"S2": (100, 50, 10), "S3": (200, 50, 5)}, pixels=2000)
    assert texts == {"s2-in": "15,000", "s2-out": "10,000"}
    with pytest.raises(AssertionError):
        facts.numbers_at_s2({"S2": (100, 50, 10), "S3": (200, 50, 4)}, pixels=2000)


def test_the_shares_are_told_in_per_cent():
    values = np.array([[0.5, 0.25, 0.125], [0.625, 0.375, 0.0625]])
    texts = facts.variance_left_out({"trained": values})
    assert list(texts.values()) == ["50", "62", "25", "38"]
    with pytest.raises(AssertionError):
        facts.variance_left_out({"trained": values[:, ::-1]})


def test_who_hears_is_held():
    counts = {"none": 0, "S2": 1, "S3": 2, "S4": 3, "S5": 4, "all four": 4, "enlarged": 5}
    norms = {place: np.arange(6) < count for place, count in counts.items()}
    facts.who_hears(norms)
    norms["enlarged"] = np.arange(6) < 4
    with pytest.raises(AssertionError, match="enlarged"):
        facts.who_hears(norms)


def test_gradients_are_compared_in_c1_to_c4():
    norms = {"untrained": np.array([[1.0, 2, 3, 4, 50, 0], [4.0, 4, 4, 4, 1, 1]])}
    texts = facts.gradient_ratios(norms)
    assert texts == {"ratio-untrained-low": "0.25", "ratio-untrained-high": "1.00"}


def test_one_wrong_answer_decides_or_the_text_has_to_change():
    truths = torch.tensor([1.0, 0.0, 1.0])
    facts.one_answer_decides(torch.tensor([2.0, 9.0, 2.0]), truths)
    for logits in ([2.0, 9.0, -9.0], [2.0, -1.0, 3.0]):  # two wrong answers; none
        with pytest.raises(AssertionError, match="change the text"):
            facts.one_answer_decides(torch.tensor(logits), truths)
