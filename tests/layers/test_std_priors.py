"""nodule_lesson.layers.priors: a given volume and a star shape, against scipy's minimisers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq, isotonic_regression, minimize
from scipy.special import expit, xlogy

from nodule_lesson.layers import (
    std_sigmoid_nd,
    std_sigmoid_nd_energy,
    std_star_shaped,
    std_with_volume,
)
from nodule_lesson.layers.priors import _towards

F64 = torch.float64
quick = settings(deadline=None, max_examples=20)


def logits(*shape, seed=0, scale=2.0):
    return torch.as_tensor(scale * np.random.default_rng(seed).standard_normal(shape))


def scipy_blur(field, sigma):
    radius = tuple(n - 1 for n in field.shape)
    return gaussian_filter(field, sigma, mode="constant", cval=0.0, radius=radius)


def minimise(u, constraint, start, sigma, lambda1):
    """The energy's minimum by SLSQP, an active-set method that knows nothing of the iteration."""

    def energy(x):
        x = x.reshape(u.shape)
        entropy = xlogy(x, x).sum() + xlogy(1 - x, 1 - x).sum()
        return -(u * x).sum() + entropy + lambda1 * (x * scipy_blur(1 - x, sigma)).sum()

    def slope(x):
        x = x.reshape(u.shape)
        logit = np.log(x / (1 - x))
        return (-u + logit + lambda1 * scipy_blur(1 - 2 * x, sigma)).ravel()

    found = minimize(
        energy, start, jac=slope, method="SLSQP", bounds=[(1e-9, 1 - 1e-9)] * u.size,
        constraints=constraint, options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    assert found.success
    return found.x.reshape(u.shape)


# --- a given volume ------------------------------------------------------------------------------


@quick
@given(
    st.sampled_from([(2, 1, 4, 5), (1, 1, 7, 3), (2, 1, 2, 3, 4)]), st.integers(0, 99),
    st.floats(0.05, 0.95), st.floats(0, 2.5), st.floats(0.5, 2),
)  # fmt: skip
def test_the_volume_is_kept(shape, seed, part, lambda1, epsilon):
    u = logits(*shape, seed=seed)
    volume = torch.linspace(part, 0.5, shape[0]).double() * u[0].numel()
    found = std_with_volume(u, volume, sigma=1.2, lambda1=lambda1, epsilon=epsilon)
    assert torch.allclose(found.x.flatten(1).sum(1), volume, atol=1e-10)
    assert torch.equal(torch.sigmoid(found.logits), found.x)
    single = std_with_volume(
        u.float(), volume.float(), sigma=1.2, lambda1=lambda1, epsilon=epsilon
    )
    assert torch.allclose(single.x.double(), found.x, atol=1e-4)


def test_without_a_boundary_the_multiplier_solves_one_equation():
    u = logits(1, 1, 6, 5)
    found = std_with_volume(u, torch.tensor([4.0]), sigma=1.0, lambda1=0.0, iterations=1)
    level = brentq(lambda mu: expit(u.numpy() - mu).sum() - 4, -20, 20, xtol=1e-14)
    assert found.multiplier.item() == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize("shape", [(6, 7), (3, 4, 5)])
def test_the_detection_prior_is_the_multiplier(shape):
    """The prior lambda2 (1 - c) gives some volume; given that, the multiplier is the prior."""
    u, c = logits(2, 1, *shape), torch.tensor([0.3, 0.8]).double()
    run = dict(sigma=1.3, lambda1=1.2, epsilon=0.9, iterations=300)
    x = std_sigmoid_nd(u, lambda2=1.5, c=c, **run)
    found = std_with_volume(u, x.flatten(1).sum(1), **run)
    assert torch.allclose(found.multiplier, 1.5 * (1 - c), atol=1e-10)
    assert torch.allclose(found.x, x, atol=1e-10)
    # And a larger volume has a smaller price, which may be negative: a reward.
    larger = std_with_volume(u, x.flatten(1).sum(1) + 5, **run)
    assert (larger.multiplier < found.multiplier).all()


def test_scipy_finds_the_same_minimum_of_that_volume():
    u = logits(1, 1, 3, 4)
    found = std_with_volume(u, torch.tensor([3.5]), sigma=1.1, lambda1=1.4, iterations=300)
    keep = {"type": "eq", "fun": lambda x: x.sum() - 3.5, "jac": np.ones_like}
    expected = minimise(u[0, 0].numpy(), keep, np.full(12, 3.5 / 12), 1.1, 1.4)
    np.testing.assert_allclose(found.x[0, 0], expected, atol=1e-5)


def test_the_energy_falls_among_fields_of_that_volume():
    u, volume = logits(1, 1, 8, 9), torch.tensor([20.0])
    run = dict(sigma=1.5, lambda1=6.0)  # beyond 2 epsilon, too
    steps = [std_with_volume(u, volume, iterations=t, **run).x for t in range(1, 12)]
    energies = [std_sigmoid_nd_energy(x, u, **run).item() for x in steps]
    assert max(np.diff(energies)) <= 1e-10 and energies[0] - energies[-1] > 0.1


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (1, 1, 2, 2, 3)])
def test_gradcheck_with_a_volume(shape):
    u, volume = logits(*shape).requires_grad_(), torch.full((shape[0],), 4.2, dtype=F64)
    values = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (1.1, 1.3, 0.8)]

    def function(u, volume, sigma, lambda1, epsilon):
        return std_with_volume(
            u, volume, sigma=sigma, lambda1=lambda1, epsilon=epsilon, iterations=3
        )

    assert torch.autograd.gradcheck(function, (u, volume.requires_grad_(), *values))


def test_extreme_logits_with_a_volume_stay_finite():
    u = torch.full((1, 1, 6, 6), -800.0)
    u[..., 1:4, 1:4] = 800
    u.requires_grad_()
    for volume in (9.0, 4.5, 20.0):
        found = std_with_volume(u, torch.tensor([volume]), sigma=1.0)
        assert found.x.sum().item() == pytest.approx(volume, abs=1e-2)
        (slope,) = torch.autograd.grad(found.x.square().sum(), u)
        assert torch.isfinite(slope).all()


# --- star shapes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(7, 9), (64, 50), (4, 5, 6), (6, 17, 20)])
def test_every_way_leads_straight_to_the_centre(sizes):
    centre = torch.tensor([[s // 2 for s in sizes], [0] * len(sizes)])
    ways = _towards(centre, sizes)
    for sample in range(2):
        middle = centre[sample].numpy()
        for pixel in range(int(np.prod(sizes))):
            place = np.array(np.unravel_index(pixel, sizes))
            offset = place - middle
            steps = np.abs(offset).max()
            for step in range(steps):
                pixel = int(ways[sample, pixel])
                now = np.array(np.unravel_index(pixel, sizes)) - middle
                # One ring further in, and never far from the line.
                assert np.abs(now).max() == steps - step - 1
                assert np.abs(now - offset * (steps - step - 1) / steps).max() < 2
            assert np.array_equal(np.unravel_index(int(ways[sample, pixel]), sizes), middle)


def test_the_ways_are_symmetric():
    ways = _towards(torch.tensor([[4, 4]]), (9, 9)).reshape(9, 9)
    row, column = ways // 9, ways % 9
    assert torch.equal(row.flip(0), 8 - row) and torch.equal(column.flip(1), 8 - column)
    assert torch.equal(row, column.T)


def test_on_a_line_without_a_boundary_it_is_isotonic_regression():
    """There the minimum is known: the sigmoid of the L2 regression of the logits."""
    u = logits(3, 1, 1, 12)
    x, z = std_star_shaped(
        u, torch.zeros(3, 2).long(), sigma=1.0, lambda1=0.0, epsilon=0.8, iterations=4000
    )
    for sample in range(3):
        best = isotonic_regression(u[sample, 0, 0].numpy(), increasing=False).x
        np.testing.assert_allclose(x[sample, 0, 0], expit(best / 0.8), atol=1e-5)
    assert torch.equal(torch.sigmoid(z), x)


@pytest.mark.parametrize("shape, centre", [((4, 5), (1, 2)), ((3, 3, 3), (1, 1, 1))])
def test_scipy_finds_the_same_star(shape, centre):
    u, centre = logits(1, 1, *shape), torch.tensor([centre])
    x, _ = std_star_shaped(u, centre, sigma=0.9, lambda1=1.2, iterations=6000)
    way = _towards(centre, shape)[0].numpy()
    falls = np.eye(len(way))[way] - np.eye(len(way))
    keep = {"type": "ineq", "fun": lambda x: falls @ x, "jac": lambda x: falls}
    expected = minimise(u[0, 0].numpy(), keep, np.full(len(way), 0.5), 0.9, 1.2)
    np.testing.assert_allclose(x[0, 0], expected, atol=2e-4)


@quick
@given(st.sampled_from([(9, 8), (4, 5, 6)]), st.integers(0, 99), st.data())
def test_every_mask_is_a_star(shape, seed, data):
    """From each pixel of the mask the way to the centre stays inside, after any iterations."""
    u = logits(2, 1, *shape, seed=seed)
    centre = torch.tensor([[data.draw(st.integers(0, s - 1)) for s in shape] for _ in range(2)])
    x, _ = std_star_shaped(u, centre, sigma=1.0, iterations=data.draw(st.sampled_from([1, 30])))
    ways = _towards(centre, shape)
    for sample, way in zip(x.flatten(1), ways, strict=True):
        for level in (0.2, 0.5, 0.8):
            mask = sample > level
            assert (mask[way] | ~mask).all()


def test_a_star_fills_holes_and_drops_far_specks():
    i = torch.arange(24).double() - 12
    u = (4.0 * (i[:, None] ** 2 + i**2 < 64).double() - 2)[None, None]
    plain = u.clone()
    u[..., 11:14, 15:17] = -1.0  # a bay in the way to the centre
    u[..., 2, 2] = 2.0  # a speck outside
    x, _ = std_star_shaped(u, torch.tensor([[12, 12]]), sigma=1.0, lambda1=1.0)
    mask = x > 0.5
    assert not mask[..., 2, 2] and mask[..., 11:14, 15:17].all()
    assert (mask ^ (plain > 0)).sum() < 12
    alone = std_sigmoid_nd(u, sigma=0.3, lambda1=1.0, iterations=50) > 0.5
    assert not alone[..., 11:14, 15:17].any()


def test_the_usual_number_of_steps_is_enough_for_a_crop():
    i = torch.arange(64).double() - 32
    u = 2.0 * (i[:, None] ** 2 + i**2 < 21**2).double() - 1 + logits(64, 64, scale=1.5)
    x, limit = (
        std_star_shaped(u[None, None], torch.tensor([[32, 32]]), sigma=1.0, iterations=steps).x
        for steps in (300, 3000)
    )
    assert (x - limit).abs().max() < 0.03


def test_a_star_already_is_left_alone():
    i = torch.arange(15).double() - 7
    u = (5 - torch.sqrt(i[:, None] ** 2 + i**2))[None, None]
    x, _ = std_star_shaped(u, torch.tensor([[7, 7]]), sigma=1.0, lambda1=0.0, iterations=50)
    assert torch.allclose(x, torch.sigmoid(u), atol=1e-3)


def test_gradcheck_of_a_star():
    u, centre = logits(1, 1, 3, 4).requires_grad_(), torch.tensor([[1, 1]])
    values = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (1.1, 0.9, 0.8)]

    def function(u, sigma, lambda1, epsilon):
        return std_star_shaped(
            u, centre, sigma=sigma, lambda1=lambda1, epsilon=epsilon, iterations=20
        )

    assert torch.autograd.gradcheck(function, (u, *values))


# --- what is refused -----------------------------------------------------------------------------

U = torch.zeros(2, 1, 4, 5)
V, C = torch.tensor([3.0, 4.0]), torch.tensor([[1, 1], [2, 3]])


@pytest.mark.parametrize(
    "call, kind, wanted, found",
    [
        (lambda: std_with_volume(U[:, 0], V, sigma=1.0), ValueError, "u must have", "(2, 4, 5)"),
        (lambda: std_with_volume(U, 3.0, sigma=1.0), ValueError, "volume must be", "float"),
        (lambda: std_with_volume(U, V[:1], sigma=1.0), ValueError, "volume must be", "(1,)"),
        (lambda: std_with_volume(U, 9 * V, sigma=1.0), ValueError, "volume must lie", "27 to 36"),
        (lambda: std_with_volume(U, 0 * V, sigma=1.0), ValueError, "volume must lie", "0 to 0"),
        (lambda: std_with_volume(U, V, sigma=1.0, iterations=0), ValueError, "at least 1", "0"),
        (lambda: std_with_volume(U, V, sigma=0.0), ValueError, "sigma must be positive", "0.0"),
        (lambda: std_star_shaped(U, C.float(), sigma=1.0), TypeError, "centre must be", "float32"),
        (lambda: std_star_shaped(U, [[1, 1]], sigma=1.0), TypeError, "centre must be", "list"),
        (lambda: std_star_shaped(U, C[:1], sigma=1.0), ValueError, "shape (2, 2)", "(1, 2)"),
        (lambda: std_star_shaped(U, C[0], sigma=1.0), ValueError, "shape (2, 2)", "(2,)"),
        (lambda: std_star_shaped(U, 2 * C, sigma=1.0), ValueError, "centre must lie", "[4, 6]"),
        (lambda: std_star_shaped(U, -C, sigma=1.0), ValueError, "centre must lie", "[-1, -1]"),
        (lambda: std_star_shaped(U, C, sigma=1.0, lambda1=9.0), ValueError, "a star", ">= 2"),
        (lambda: std_star_shaped(U, C, sigma=1.0, iterations=0), ValueError, "at least 1", "0"),
    ],
)  # fmt: skip
def test_refusals(call, kind, wanted, found):
    with pytest.raises(kind) as error:
        call()
    message = str(error.value)
    assert wanted in message and found in message.split(wanted)[1], message
    assert message.endswith(".")
