"""The chapter *Convolutions*: what it computes for its figures, and the numbers of its text."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from nodule_lesson.chapters.convolutions import computations, facts
from nodule_lesson.networks import build_model
from nodule_lesson.networks.blocks import ResidualUnit, conv3x3
from nodule_lesson.networks.registry import Row, Summary

# --- gradients on their way back ----------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0)


# What the units compute if every convolution and normalisation is the identity.
STEPS = {
    "no sum": relu,
    "no sum, no normalisation": relu,
    "sum, then ReLU": lambda x: relu(x + relu(x)),
    "sum (the package's unit)": lambda x: x + relu(x),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_by_numpy(name):
    unit = ResidualUnit(2, 2, separable=False).double().eval()
    for part in unit.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.dirac_(part.weight)
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5))
    step, _ = computations.STEPS[name]
    with torch.no_grad():
        np.testing.assert_allclose(step(unit, torch.as_tensor(x)), STEPS[name](x), atol=1e-12)
    assert computations.STEPS.keys() == STEPS.keys()


def test_sizes_of_gradients_are_relative_to_the_last():
    sizes = computations.sizes(lambda unit, x: 2 * x, True, seed=0, depth=3, channels=2)
    assert sizes == pytest.approx([8, 4, 2, 1])


def test_gradients_grow_and_vanish_as_the_theory_says():
    sizes = computations.gradients_through_units(draws=1)
    assert all(line.shape == (25,) and line[-1] == pytest.approx(1) for line in sizes.values())
    growth = (sizes["no sum"][2] / sizes["no sum"][22]) ** (1 / 20)
    assert growth == pytest.approx(math.pi / (math.pi - 1), rel=0.1)
    # PyTorch's weights and the ReLU leave a sixth of the square at each of two layers.
    vanished = sizes["no sum, no normalisation"]
    assert (vanished[2] / vanished[22]) ** (1 / 20) == pytest.approx(1 / 6, rel=0.15)
    assert 1 < sizes["sum (the package's unit)"][0] < sizes["sum, then ReLU"][0] < 100


# --- what a pixel sees --------------------------------------------------------------------------


def test_a_settled_network_has_the_statistics_of_one_batch():
    seen = []

    def run(net, image):
        seen.append((net, image))
        return net.S1(image)

    torch.manual_seed(0)
    network = computations.settled(run, side=32)(seed=0)
    (net, batch) = seen[0]
    convolution, (normalisation, _, _) = net.S1.residual
    with torch.no_grad():
        maps = convolution(batch).double().numpy()
    assert batch.shape == (2, 1, 32, 32) and not net.training
    np.testing.assert_allclose(normalisation.running_mean, maps.mean((0, 2, 3)), atol=1e-5)
    variances = maps.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(normalisation.running_var, variances, rtol=1e-4)
    with torch.no_grad():
        assert torch.equal(network(batch), net.S1(batch))


def test_reached_pixels_are_those_within_the_extent():
    field = np.zeros((15, 15))
    field[np.ix_((2, 7, 12), (2, 7, 12))] = [[0.1, 1, 0.1]] * 3
    inside = computations.reached(field)
    assert inside.shape == (11, 11) and inside.dtype == bool
    assert {tuple(place) for place in np.argwhere(inside)} == {
        (row, column) for row in (0, 5, 10) for column in (0, 5, 10)
    }


@pytest.mark.parametrize("rates, step", [((5, 10, 15), 5), ((2, 4, 8), 2), ((1, 5, 10), 1)])
def test_rates_with_a_common_factor_leave_holes(rates, step):
    """Behind each other, an output sees only pixels at multiples of the factor."""
    torch.manual_seed(0)
    layers = nn.Sequential(*(conv3x3(1, 1, dilation=rate) for rate in rates)).double()
    image = torch.zeros(1, 1, 81, 81, dtype=torch.float64, requires_grad=True)
    layers(image)[0, 0, 40, 40].backward()
    seen = image.grad[0, 0].abs() > 1e-12
    offsets = {abs(int(place) - 40) for pair in seen.nonzero().tolist() for place in pair}
    assert all(offset % step == 0 for offset in offsets)
    assert max(offsets) == sum(rates) and step in offsets


# --- the numbers of the text --------------------------------------------------------------------


def test_the_share_of_stage_five():
    rows = (Row("S4", (512, 16, 16), 5_000_000, 1), Row("S5", (1024, 8, 8), 15_000_000, 1))
    texts = facts.stage_five(Summary(rows, 50_000_000, 2))
    assert texts == {"conv-all-parameters": "50.0", "conv-s5-share": "30%"}


def closest_by_numpy(kernel):
    """The first term of a singular value decomposition for each input channel."""
    nearest = np.zeros(kernel.shape)
    for i in range(kernel.shape[1]):
        left, values, right = np.linalg.svd(kernel[:, i].flatten(1).numpy(), full_matrices=False)
        nearest[:, i] = values[0] * np.outer(left[:, 0], right[0]).reshape(nearest[:, i].shape)
    return torch.as_tensor(nearest)


def test_rank_one_keeps_the_first_singular_value():
    upright, slanted = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]
    pair = torch.tensor([upright, slanted]).double()[:, None]
    texts = facts.rank_one(pair, closest_by_numpy)
    # Both have the square 12 and the product 8, so the squares are 12 + 8 and 12 - 8.
    assert texts["conv-pair-kept"] == f"{20 / 24:.0%}"
    # Marchenko and Pastur: the largest of 9 squares of a 64 x 9 matrix, a little less for so few.
    edge = (math.sqrt(64) + math.sqrt(9)) ** 2 / (64 * 9)
    assert edge - 0.03 < float(texts["conv-random-kept"].strip("%")) / 100 < edge


def test_exchanged_convolutions_are_counted():
    """Nine units with two 3x3 convolutions each, and two pyramids with four rates each."""
    net = build_model("backbone+combination", width=8, classifier_blocks=(1, 1, 1, 1))
    whole, without = Summary((), 8_000_000, 30), Summary((), 10_000_000, 40)
    channels = 1024 // 8
    branch = 9 * channels**2 + 2 * channels
    pyramid = 4 * branch + 4 * channels**2 + 2 * channels
    assert facts.exchanged_convolutions(net, whole, without) == {
        "conv-three": "26",
        "conv-exchanged": "8",
        "conv-in-pyramids": "8",
        "conv-saved-parameters": "20%",
        "conv-saved-products": "25%",
        "conv-pyramid-parameters": f"{pyramid / 1e6:.0f}",
        "conv-pyramid-ratio": f"{pyramid / 2e6:.1f}",
    }


def test_gradients_at_the_first_unit():
    units = np.arange(25)
    sizes = {
        "no sum": np.where(units, 1.25 ** (24 - units), 1.25**23 / 2),  # the first unit halves it
        "no sum, no normalisation": 6.0 ** (units - 24),
        "sum, then ReLU": np.linspace(12, 1, 25),
        "sum (the package's unit)": np.linspace(3.5, 1, 25),
    }
    assert facts.gradients_through_units(sizes) == {
        "conv-grad-plain": "100",  # 1.25 to the 23rd is 169
        "conv-grad-plain-unit": "1.25",
        "conv-grad-theory": "1.47",
        "conv-grad-vanish": "10⁻¹⁹",
        "conv-grad-post": "12",
        "conv-grad-sum": "3.5",
    }
    sizes["no sum"] = 1.25 ** (24 - units)
    with pytest.raises(AssertionError, match="halves"):
        facts.gradients_through_units(sizes)


def test_a_shortcut_is_the_identity_where_no_shape_changes():
    changing, same = ResidualUnit(16, 32), ResidualUnit(16, 16)
    assert facts.identity_shortcuts({"S1": changing}) == {"conv-identities": "None"}
    assert facts.identity_shortcuts({"S1": changing, "S2": same}) == {"conv-identities": "1"}


def test_influence_from_outside_the_crop():
    field = np.zeros((656, 656))
    field[264, 391], field[263, 300], field[300, 392] = 3.0, 0.75, 0.25
    texts = facts.bottom_of_the_u(field, lambda field: 635)
    assert texts == {"conv-s5-extent": "635", "conv-s5-outside": "25%"}


def test_the_influence_at_the_taps_of_the_pyramid():
    rates = (1, 5, 10, 15)
    places = {(a, b) for rate in rates for a in (-rate, 0, rate) for b in (-rate, 0, rate)}
    assert len(places) == 33
    answer = np.full((128, 128), 2.0)
    for row, column in places:
        answer[64 + row, 64 + column] = 3.0
    dots = np.zeros((10, 10), bool)
    dots[::2, ::2] = True
    reached = {(5, 10, 15): dots, (1, 5, 10, 15): ~dots, (1, 2, 5, 9): dots | ~dots}
    assert list(facts.holes(reached, answer).values()) == ["25%", "75%", "100%", "1.5"]


def test_dead_taps_are_counted():
    rows_that_meet = [sum(0 <= row + step < 8 for row in range(8)) for step in (-5, 0, 5)]
    assert facts.dead_taps(2_500_000, Summary((), 10_000_000, 0)) == {
        "conv-five-share": f"{(sum(rows_that_meet) / 24) ** 2:.0%}",
        "conv-dead-million": "2.5",
        "conv-dead-share": "25%",
    }


def test_the_taps_that_are_counted_as_dead_get_no_gradient():
    weight = conv3x3(4, 4, dilation=10)
    weight(torch.rand(1, 4, 8, 8)).sum().backward()
    assert int((weight.weight.grad.abs().sum((0, 1)) == 0).sum()) == 8
