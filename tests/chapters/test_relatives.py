"""The page on relatives of the layer: what it computes, and what it says of other programs."""

import itertools

import pytest
import torch

from nodule_lesson import std
from nodule_lesson.chapters.relatives import computations, facts


def test_the_kernel_is_that_of_the_layer():
    field = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for radius in (None, 2):
        K = computations.kernel(field.shape, 0.8, radius)
        blurred = std.gaussian_blur(field, 0.8, radius)
        assert torch.allclose((K @ field.flatten()).reshape(4, 6), blurred)


def test_costs_of_labellings_are_hard_energies():
    u = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)
    masks, costs = computations.labellings(u, computations.kernel((2, 2), 1.1), 1.7)
    assert len(masks) == 16
    for mask, cost in zip(masks, costs, strict=True):
        energy = computations.hard_energy(mask.reshape(2, 2), u, 1.1, 1.7, None)
        assert energy == pytest.approx(float(cost))


def test_probabilities_of_coins_add_up_to_one():
    masks = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
    x = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    probabilities = computations.log_probability(masks, x).exp()
    assert float(probabilities.sum()) == pytest.approx(1)
    assert float(probabilities @ masks[:, 0]) == pytest.approx(0.2)


def test_updates_with_the_diagonal_are_the_layer():
    u = computations.checkerboard(5, 0.7)
    weights = {"sigma": 0.9, "lambda1": 2.0, "epsilon": 0.8}
    K = computations.kernel(u.shape, weights["sigma"])
    fields, energies = computations.parallel_updates(u, K, 2.0, 0.8, 3)
    wanted = std.iterates(u, iterations=3, **weights)
    for x, y, energy in zip(fields, wanted, energies, strict=True):
        assert torch.allclose(x, y)
        assert energy == pytest.approx(float(std.std_energy(y, u, **weights)))


def test_mean_field_descends_where_the_text_says_so():
    """Where lambda1 k(0) <= 2 epsilon."""
    u = computations.checkerboard(8, 0.5)
    K = computations.kernel(u.shape, 0.5)
    lambda1 = 2.0 / float(K[0, 0])
    K0 = computations.without_diagonal(K)
    _, energies = computations.parallel_updates(u, K0, lambda1, 1.0, 30)
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(energies))


def test_a_minimum_cut_is_the_best_of_all_masks():
    generator = torch.Generator().manual_seed(1)
    for lambda1 in (0.5, 2.0):
        u = torch.randn(3, 4, dtype=torch.float64, generator=generator)
        _, costs = computations.labellings(u, computations.kernel((3, 4), 1.0, 2), lambda1)
        weights = {"sigma": 1.0, "lambda1": lambda1, "radius": 2}
        cut = computations.minimum_cut(u, **weights)
        assert computations.hard_energy(cut, u, **weights) == pytest.approx(
            float(costs.min()), abs=1e-4
        )


def test_a_softmax_of_two_classes_charges_each_outline_twice():
    """The public ancestor's step, for two classes, is ours with twice its weight."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 9, 9, dtype=torch.float64, generator=generator)
    x = torch.softmax(logits, 0)
    for _ in range(10):
        x = torch.softmax(logits - 5.0 * std.gaussian_blur(1 - 2 * x, 10.0, 3), 0)
    ours = std.soft_threshold_dynamics(
        logits[0] - logits[1], sigma=10.0, lambda1=10.0, radius=3, iterations=10
    )
    assert torch.allclose(x[0], ours)


def test_a_run_that_beats_the_minimum_cut_is_noticed():
    row = {2.0: [(9.0, 5), (9.0, 5)], 0.5: [(1.0, 3), (1.0, 3)], 0.1: [(4.0, 8), (0.5, 2)]}
    texts = facts.cuts(row)
    assert texts["cut-best-epsilon"] == "0.5" and texts["cut-last-above"] == "4"
    assert texts["cut-lowered-above"] == "0.50" and texts["cut-lowered-pixels"] == "2"
    with pytest.raises(AssertionError):
        facts.cuts({**row, 0.1: [(4.0, 8), (-0.5, 2)]})


def test_the_window_of_the_ancestor_is_nearly_a_box():
    # exp(-3^2 / (2 10^2)) = 0.956
    assert facts.ancestor()["ancestor-tap"] == "96%"
