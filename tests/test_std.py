"""nodule_lesson.std against scipy, closed forms, the mathematics of the paper, and itself."""

import copy
import math
import re
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq, minimize
from scipy.special import expit, rel_entr, xlogy
from torch.nn.utils import parametrize, prune

from nodule_lesson.std import (
    STDSigmoid,
    gaussian_blur,
    gaussian_matrix,
    iterates,
    printed_iteration,
    soft_threshold_dynamics,
    std_energy,
)

GRADIENTS = ("unrolled", "implicit")
F64 = torch.float64


# --- the same things, written once more in numpy and scipy ---------------------------------------


def scipy_blur(field, sigma, radius=None):
    """K f by scipy; radius None means that no tap is cut off."""
    radius = tuple(n - 1 for n in field.shape) if radius is None else radius
    return gaussian_filter(field, sigma, mode="constant", cval=0.0, radius=radius)


def numpy_energy(x, u, sigma, lambda1=1.0, lambda2=0.0, c=1.0, epsilon=1.0, radius=None):
    """Eq. (4), term by term."""
    entropy = xlogy(x, x).sum() + xlogy(1 - x, 1 - x).sum()
    length = (x * scipy_blur(1 - x, sigma, radius)).sum()
    return -(u * x).sum() + epsilon * entropy + lambda1 * length + lambda2 * (1 - c) * x.sum()


def numpy_iteration(
    u, sigma, lambda1=1.0, lambda2=0.0, c=1.0, epsilon=1.0, iterations=10, radius=None
):
    """Eq. (5), derived form."""
    x = expit(u)
    for _ in range(iterations):
        shift = lambda1 * scipy_blur(1 - 2 * x, sigma, radius) + lambda2 * (1 - c)
        x = expit((u - shift) / epsilon)
    return x


def logits(*shape, seed=0, scale=2.0, dtype=F64):
    return torch.as_tensor(scale * np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


def fixed_point(u, iterations=600, **parameters):
    return soft_threshold_dynamics(u, iterations=iterations, **parameters)


# --- what hypothesis draws -----------------------------------------------------------------------

quick = settings(deadline=None, max_examples=30)
fields = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-4, 4)
).map(torch.from_numpy)
sigmas, epsilons, lambda2s = st.floats(0.3, 6), st.floats(0.5, 2), st.floats(0, 3)
unit = st.floats(0, 1)
convex = st.floats(0, 0.9)  # lambda1 / (2 epsilon)
radii = st.one_of(st.none(), st.integers(0, 4))


# --- the Gaussian operator -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 9), (16, 5), (31, 32)])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("radius", [None, 0, 1, 4, 40])
def test_blur_is_scipys_gaussian_filter(shape, sigma, radius):
    field = logits(*shape)
    expected = scipy_blur(field.numpy(), sigma, radius)
    np.testing.assert_allclose(gaussian_blur(field, sigma, radius).numpy(), expected, atol=1e-13)


def test_blur_treats_leading_dimensions_alone_and_keeps_the_type():
    stack = logits(2, 3, 5, 4)
    blurred = gaussian_blur(stack, 1.5)
    for i in range(2):
        for j in range(3):
            expected = scipy_blur(stack[i, j].numpy(), 1.5)
            np.testing.assert_allclose(blurred[i, j].numpy(), expected, atol=1e-13)
    single = gaussian_blur(stack.float(), 1.5)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), blurred, atol=1e-6)


def test_matrix_is_symmetric_toeplitz_and_its_taps_sum_to_one():
    sigma = torch.tensor(1.7, dtype=F64)
    matrix = gaussian_matrix(9, sigma, radius=3)
    taps = torch.exp(-0.5 * (torch.arange(-3, 4, dtype=F64) / 1.7) ** 2)
    taps = taps / taps.sum()
    for row in range(9):
        for column in range(9):
            offset = row - column
            expected = taps[offset + 3] if abs(offset) <= 3 else 0.0
            assert matrix[row, column] == pytest.approx(float(expected), abs=1e-15)
    assert matrix[4].sum() == pytest.approx(1, abs=1e-14)  # far from the border nothing is lost


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0, 30.0])
def test_untruncated_matrix_is_positive_semidefinite(sigma):
    eigenvalues = torch.linalg.eigvalsh(gaussian_matrix(64, torch.tensor(sigma, dtype=F64)))
    assert eigenvalues.min() > -1e-15 and eigenvalues.max() <= 1


def test_truncated_matrix_need_not_be():
    # sigma = 1 cut at radius 1: the smallest value of its symbol is (1 - 2 q) / (1 + 2 q).
    matrix = gaussian_matrix(200, torch.tensor(1.0, dtype=F64), radius=1)
    q = math.exp(-0.5)
    smallest = torch.linalg.eigvalsh(matrix).min().item()
    assert smallest == pytest.approx((1 - 2 * q) / (1 + 2 * q), abs=1e-3)


@pytest.mark.parametrize("radius", [None, 2])
def test_gradients_of_the_blur(radius):
    field, sigma = logits(4, 6).requires_grad_(), torch.tensor(1.3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, s: gaussian_blur(f, s, radius), (field, sigma))
    assert torch.autograd.gradcheck(lambda s: gaussian_matrix(5, s, radius), (sigma,))


# --- the energy and its minimisers ---------------------------------------------------------------


@quick
@given(fields, epsilons, st.data())
def test_sigmoid_minimises_equation_1(u, epsilon, data):
    x = torch.sigmoid(u / epsilon)
    arguments = dict(sigma=1.0, lambda1=0.0, epsilon=epsilon)
    lowest = std_energy(x, u, **arguments).item()
    assert lowest == pytest.approx(
        -epsilon * np.logaddexp(0, u.numpy() / epsilon).sum(), abs=1e-10
    )
    other = data.draw(hnp.arrays(np.float64, tuple(u.shape), elements=unit))
    # The excess of any other x is epsilon KL(other || x).
    excess = rel_entr(other, x.numpy()).sum() + rel_entr(1 - other, 1 - x.numpy()).sum()
    found = std_energy(torch.from_numpy(other), u, **arguments).item() - lowest
    assert found == pytest.approx(epsilon * excess, abs=1e-9)
    one_step = soft_threshold_dynamics(u, sigma=1.0, lambda1=0.0, epsilon=epsilon, iterations=1)
    assert torch.allclose(one_step, x, atol=1e-15)


@quick
@given(fields, sigmas, st.floats(0, 5), lambda2s, unit, epsilons, radii, st.data())
def test_energy_is_the_sum_of_its_terms(u, sigma, lambda1, lambda2, c, epsilon, radius, data):
    x = data.draw(hnp.arrays(np.float64, tuple(u.shape), elements=unit))
    arguments = dict(
        sigma=sigma, lambda1=lambda1, lambda2=lambda2, c=c, epsilon=epsilon, radius=radius
    )
    found = std_energy(torch.from_numpy(x), u, **arguments).item()
    assert found == pytest.approx(numpy_energy(x, u.numpy(), **arguments), abs=1e-9)


def test_energy_of_full_and_empty_masks():
    u = logits(5, 7)
    arguments = dict(sigma=2.0, lambda1=3.0, lambda2=0.5, c=0.25)
    assert std_energy(torch.zeros_like(u), u, **arguments) == 0
    # 0 ln 0 = 0, and 1 - x = 0 is what the image is padded with: a full mask has no boundary.
    full = std_energy(torch.ones_like(u), u, **arguments)
    assert full.item() == pytest.approx((-u + 0.375).sum().item(), abs=1e-12)


def test_energy_is_one_number_a_sample():
    u, c = logits(3, 4, 5), torch.tensor([0.0, 0.4, 1.0])
    x = torch.sigmoid(logits(3, 4, 5, seed=1))
    arguments = dict(sigma=1.0, lambda2=2.0)
    expected = torch.stack([std_energy(x[i], u[i], c=c[i].item(), **arguments) for i in range(3)])
    assert expected.shape == (3,) and std_energy(x[0], u[0], **arguments).shape == ()
    assert torch.allclose(std_energy(x, u, c=c, **arguments), expected, atol=1e-6)
    assert torch.allclose(
        std_energy(x[:, None], u[:, None], c=c, **arguments), expected, atol=1e-6
    )


@pytest.mark.parametrize(
    "arguments",
    [
        dict(sigma=1.0),
        dict(sigma=2.5, lambda1=1.9),
        dict(sigma=1.0, lambda1=1.2, epsilon=0.7, radius=1),
        dict(sigma=1.5, lambda1=1.5, lambda2=2.0, c=0.3),
    ],
    ids=["plain", "almost concave", "truncated", "with the prior"],
)
def test_bounded_minimiser_finds_the_same_point(arguments):
    u = logits(3, 4, seed=3).numpy()
    full = {"lambda1": 1.0, "lambda2": 0.0, "c": 1.0, "epsilon": 1.0, "radius": None, **arguments}

    def slope(x):
        boundary = full["lambda1"] * scipy_blur(1 - 2 * x, full["sigma"], full["radius"])
        # d/dx <x, K(1 - x)> is K(1 - x) - K x only because K is symmetric.
        return (
            -u
            + full["epsilon"] * np.log(x / (1 - x))
            + boundary
            + full["lambda2"] * (1 - full["c"])
        )

    best = fixed_point(torch.from_numpy(u), **arguments)
    random = np.random.default_rng(0)
    for start in [np.full(12, 0.5), np.full(12, 0.01), np.full(12, 0.99), random.random(12)]:
        found = minimize(
            lambda x: numpy_energy(x.reshape(3, 4), u, **full),
            start,
            jac=lambda x: slope(x.reshape(3, 4)).ravel(),
            method="L-BFGS-B",
            bounds=[(1e-12, 1 - 1e-12)] * 12,
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000},
        )
        np.testing.assert_allclose(found.x.reshape(3, 4), best.numpy(), atol=1e-5)
        lowest = std_energy(best, torch.from_numpy(u), **arguments).item()
        assert found.fun == pytest.approx(lowest, abs=1e-9)


# --- the iteration -------------------------------------------------------------------------------


@quick
@given(fields, sigmas, st.floats(0, 5), lambda2s, unit, epsilons, st.integers(0, 12), radii)
def test_iteration_is_equation_5(u, sigma, lambda1, lambda2, c, epsilon, iterations, radius):
    arguments = dict(
        sigma=sigma, lambda1=lambda1, lambda2=lambda2, c=c, epsilon=epsilon,
        iterations=iterations, radius=radius,
    )  # fmt: skip
    expected = numpy_iteration(u.numpy(), **arguments)
    np.testing.assert_allclose(soft_threshold_dynamics(u, **arguments), expected, atol=1e-11)
    steps = iterates(u, **arguments)
    assert len(steps) == iterations + 1
    assert torch.equal(steps[0], torch.sigmoid(u))
    np.testing.assert_allclose(steps[-1], expected, atol=1e-11)


def test_a_larger_field_too():
    u = logits(37, 52)
    arguments = dict(sigma=3.0, lambda2=1.0, c=0.2)
    expected = numpy_iteration(u.numpy(), **arguments)
    for gradient in GRADIENTS:
        found = soft_threshold_dynamics(u, gradient=gradient, **arguments)
        np.testing.assert_allclose(found, expected, atol=1e-13)


@quick
@given(fields, sigmas, st.floats(0, 4), lambda2s, unit, epsilons, st.one_of(st.none(), st.just(1)))
def test_descent_identity(u, sigma, lambda1, lambda2, c, epsilon, radius):
    # With every tap K is positive definite and lambda1 may be anything; cut at radius 1 it is not,
    # but lambda1 <= 2 epsilon is enough since no eigenvalue is below -1.
    if radius is not None:
        lambda1 = min(lambda1, 2 * epsilon)
    arguments = dict(
        sigma=sigma, lambda1=lambda1, lambda2=lambda2, c=c, epsilon=epsilon, radius=radius
    )
    steps = iterates(u, iterations=6, **arguments)
    energies = [std_energy(x, u, **arguments).item() for x in steps]
    for t in range(6):
        now, after = steps[t].numpy(), steps[t + 1].numpy()
        divergence = (rel_entr(now, after) + rel_entr(1 - now, 1 - after)).sum()
        change = after - now
        quadratic = (change * scipy_blur(change, sigma, radius)).sum()
        drop = epsilon * divergence + lambda1 * quadratic
        assert energies[t] - energies[t + 1] == pytest.approx(drop, abs=1e-9)
        assert drop >= -1e-12  # the energy never rises


def test_identity_also_holds_where_the_truncated_energy_rises():
    # Along the eigenvector of K's most negative eigenvalue mu, with lambda1 |mu| > 2 epsilon.
    arguments = dict(sigma=1.0, lambda1=50.0, radius=1)
    values, vectors = torch.linalg.eigh(gaussian_matrix(8, torch.tensor(1.0, dtype=F64), radius=1))
    u = 0.1 * vectors[:, :1] * vectors[:, -1]
    assert 50 * values[0] * values[-1] < -2.5
    steps = iterates(u, iterations=3, **arguments)
    rises = []
    for now, after in zip(steps[:-1], steps[1:], strict=True):
        drop = (std_energy(now, u, **arguments) - std_energy(after, u, **arguments)).item()
        now, after = now.numpy(), after.numpy()
        divergence = (rel_entr(now, after) + rel_entr(1 - now, 1 - after)).sum()
        quadratic = ((after - now) * scipy_blur(after - now, 1.0, 1)).sum()
        assert drop == pytest.approx(divergence + 50 * quadratic, abs=1e-10)
        rises.append(-drop)
    assert max(rises) > 1e-3


@quick
@given(fields, sigmas, convex, st.floats(0.01, 3), unit, unit, epsilons, radii)
def test_every_pixel_rises_with_c(u, sigma, ratio, lambda2, c, other, epsilon, radius):
    low, high = min(c, other), max(c, other)
    arguments = dict(
        sigma=sigma, lambda1=2 * epsilon * ratio, lambda2=lambda2, epsilon=epsilon, radius=radius
    )
    for iterations in (1, 10, 300):
        below = soft_threshold_dynamics(u, c=low, iterations=iterations, **arguments)
        above = soft_threshold_dynamics(u, c=high, iterations=iterations, **arguments)
        assert (above - below).min() >= -1e-14
        if high - low > 0.01:
            assert (above > below).all()


@quick
@given(fields, sigmas, st.floats(0, 1.5), lambda2s, unit, epsilons, radii, st.data())
def test_contraction_in_the_sup_norm(u, sigma, ratio, lambda2, c, epsilon, radius, data):
    lambda1 = 2 * epsilon * ratio
    norm = scipy_blur(np.ones(tuple(u.shape)), sigma, radius).max()  # ||K||_inf, all taps >= 0
    factor = lambda1 * norm / (2 * epsilon)
    arguments = dict(
        sigma=sigma, lambda1=lambda1, lambda2=lambda2, c=c, epsilon=epsilon, radius=radius
    )
    starts = [
        torch.from_numpy(data.draw(hnp.arrays(np.float64, tuple(u.shape), elements=unit)))
        for _ in range(2)
    ]
    first, second = (iterates(u, start=x, iterations=5, **arguments) for x in starts)
    for t in range(5):
        before = (first[t] - second[t]).abs().max().item()
        after = (first[t + 1] - second[t + 1]).abs().max().item()
        assert after <= factor * before + 1e-14


@quick
@given(fields, sigmas, unit, unit)
def test_within_ten_steps(u, sigma, lambda2, c):
    """lambda1 = epsilon = 1 and lambda2 (1 - c) <= 1: after 10 steps the error is below 4.9e-4."""
    arguments = dict(sigma=sigma, lambda1=1.0, lambda2=lambda2, c=c, epsilon=1.0)
    error = soft_threshold_dynamics(u, iterations=10, **arguments) - fixed_point(
        u, iterations=80, **arguments
    )
    assert error.abs().max() <= 2.0**-11 < 4.9e-4


def test_five_steps_are_not_enough_for_that():
    # The bound is no idle one: a plateau near 1/2, c = 0, and K nearly the identity.
    u = torch.full((9, 9), 0.55, dtype=F64)
    arguments = dict(sigma=0.3, lambda2=1.0, c=0.0)
    end = fixed_point(u, **arguments)
    error = [(x - end).abs().max().item() for x in iterates(u, iterations=10, **arguments)]
    assert error[5] > 4.9e-4 > error[10]


@quick
@given(fields, sigmas, st.floats(0, 2), lambda2s, unit, epsilons, radii)
def test_zero_and_one_bracket_every_iterate(u, sigma, ratio, lambda2, c, epsilon, radius):
    arguments = dict(
        sigma=sigma, lambda1=2 * epsilon * ratio, lambda2=lambda2, c=c, epsilon=epsilon,
        radius=radius,
    )  # fmt: skip
    low = iterates(u, start=0.0, iterations=30, **arguments)
    high = iterates(u, start=torch.ones_like(u), iterations=30, **arguments)
    middle = iterates(u, iterations=30, **arguments)
    assert (low[0] == 0).all() and (high[0] == 1).all()
    for t in range(31):
        assert (low[t] <= middle[t] + 1e-13).all() and (middle[t] <= high[t] + 1e-13).all()
    for t in range(30):
        assert (low[t + 1] >= low[t] - 1e-13).all() and (high[t + 1] <= high[t] + 1e-13).all()
    if ratio <= 0.5:  # one fixed point: the bracket closes
        assert (high[30] - low[30]).max() <= 0.5**30 + 1e-13


def test_two_fixed_points_beyond_lambda1_2_epsilon():
    # On one pixel K = 1: with u = 0 the mean field m = 2x - 1 solves m = tanh(lambda1 m/(2 eps)).
    u, lambda1 = torch.zeros(1, 1, dtype=F64), 3.0
    m = brentq(lambda m: m - math.tanh(lambda1 * m / 2), 0.1, 1)
    for start, expected in ((0.0, (1 - m) / 2), (1.0, (1 + m) / 2)):
        end = iterates(u, start=start, sigma=1.0, lambda1=lambda1, iterations=200)[-1]
        assert end.item() == pytest.approx(expected, abs=1e-12)


@quick
@given(fields, sigmas, convex, lambda2s, unit, epsilons, st.floats(0.2, 5), radii)
def test_fixed_point_knows_no_scale(u, sigma, ratio, lambda2, c, epsilon, factor, radius):
    lambda1 = 2 * epsilon * ratio
    once = fixed_point(
        u, sigma=sigma, lambda1=lambda1, lambda2=lambda2, c=c, epsilon=epsilon, radius=radius
    )
    scaled = fixed_point(
        factor * u, sigma=sigma, lambda1=factor * lambda1, lambda2=factor * lambda2, c=c,
        epsilon=factor * epsilon, radius=radius,
    )  # fmt: skip
    assert torch.allclose(once, scaled, atol=1e-12)


@quick
@given(fields, sigmas, st.floats(0, 4), epsilons, radii)
def test_complement_symmetry(u, sigma, lambda1, epsilon, radius):
    # 1 - 2x changes its sign with x -> 1 - x, and the zeros outside are their own opposite.
    arguments = dict(sigma=sigma, lambda1=lambda1, epsilon=epsilon, radius=radius)
    for x, opposite in zip(iterates(u, **arguments), iterates(-u, **arguments), strict=True):
        assert torch.allclose(opposite, 1 - x, atol=1e-11)


@quick
@given(fields, sigmas, convex, lambda2s, unit, epsilons)
def test_complement_symmetry_with_the_prior(u, sigma, ratio, lambda2, c, epsilon):
    # The prior is a shift of the logits by lambda2 (1 - c): the mirror stands there.
    arguments = dict(
        sigma=sigma, lambda1=2 * epsilon * ratio, lambda2=lambda2, c=c, epsilon=epsilon
    )
    mirrored = 2 * lambda2 * (1 - c) - u
    assert torch.allclose(fixed_point(mirrored, **arguments), 1 - fixed_point(u, **arguments))


def test_zero_field_stays_at_one_half():
    # Also at the border: the field that is padded with zeros is 1 - 2x, not x.
    for shape in ((6, 9), (1, 1), (2, 3, 4), (2, 1, 5, 3)):
        u = torch.zeros(shape)
        for gradient in GRADIENTS:
            x = soft_threshold_dynamics(u, sigma=2.0, gradient=gradient)
            assert torch.allclose(x, torch.full(shape, 0.5), atol=1e-6)


def test_one_pixel():
    for u in (-3.0, 0.4, 2.0):
        x = 1 / (1 + math.exp(-u))
        for _ in range(7):
            x = 1 / (1 + math.exp(-(u - 1.2 * (1 - 2 * x) - 0.5 * 0.7) / 0.8))
        field = torch.full((1, 1), u, dtype=F64)
        for gradient in GRADIENTS:
            found = soft_threshold_dynamics(
                field, sigma=3.0, lambda1=1.2, lambda2=0.5, c=0.3, epsilon=0.8, iterations=7,
                gradient=gradient,
            )  # fmt: skip
            assert found.item() == pytest.approx(x, abs=1e-14)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_extreme_logits(gradient, dtype):
    u = torch.full((1, 6, 5), -800.0, dtype=dtype)
    u[:, 1:4, 1:3] = 800
    u[:, 5, 4] = 0.1  # one pixel that can still change
    u.requires_grad_()
    parameters = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in (1.0, 1.0, 1.0, 0.5)]
    sigma, lambda1, lambda2, epsilon = parameters
    arguments = dict(lambda1=0.8 * lambda1, lambda2=lambda2, c=0.5, epsilon=epsilon)
    x = soft_threshold_dynamics(u, sigma=sigma, gradient=gradient, **arguments)
    settled = torch.ones_like(u, dtype=torch.bool)
    settled[:, 5, 4] = False
    assert torch.equal(x[settled], (u[settled] > 0).to(dtype))
    assert 0 < x[0, 5, 4] < 0.5
    x.sum().backward()
    for tensor in [u, *parameters]:
        assert torch.isfinite(tensor.grad).all()
    assert (u.grad[settled] == 0).all() and u.grad[0, 5, 4] > 0
    energy = std_energy((u.detach() > 0).to(dtype), u.detach(), sigma=1.0)
    assert torch.isfinite(energy).all()


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_float32_follows_float64(gradient):
    u = logits(2, 33, 40)
    single = soft_threshold_dynamics(u.float(), sigma=3.0, lambda2=1.0, c=0.5, gradient=gradient)
    double = soft_threshold_dynamics(u, sigma=3.0, lambda2=1.0, c=0.5, gradient=gradient)
    assert single.dtype == torch.float32 and double.dtype == F64
    assert torch.allclose(single.double(), double, atol=1e-6)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_shapes_agree(gradient):
    u, c = logits(3, 5, 8), torch.tensor([0.1, 0.5, 1.0], dtype=F64)
    run = {"sigma": 1.5, "lambda2": 2.0, "gradient": gradient}
    stack = soft_threshold_dynamics(u, c=c, **run)
    channel = soft_threshold_dynamics(u[:, None], c=c, **run)
    assert stack.shape == (3, 5, 8) and channel.shape == (3, 1, 5, 8)
    assert torch.allclose(channel[:, 0], stack, atol=1e-14)
    for i in range(3):
        alone = soft_threshold_dynamics(u[i], c=c[i].item(), **run)
        assert alone.shape == (5, 8)
        assert torch.allclose(alone, stack[i], atol=1e-14)
        assert torch.allclose(soft_threshold_dynamics(u[i], c=c[i : i + 1], **run), stack[i])
    for other in ([0.1, 0.5, 1.0], c.float(), c.numpy()):
        assert torch.allclose(soft_threshold_dynamics(u, c=other, **run), stack, atol=1e-7)
    same = soft_threshold_dynamics(u, c=0.5, **run)
    spread = soft_threshold_dynamics(u, c=torch.full((3,), 0.5), **run)
    assert torch.equal(same, spread)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_parameters_may_be_tensors_of_another_type(gradient):
    u = logits(6, 7)
    sigma = torch.tensor(1.5, requires_grad=True)  # float32 beside float64
    lambda1 = torch.tensor(1, dtype=torch.int64)
    x = soft_threshold_dynamics(u, sigma=sigma, lambda1=lambda1, gradient=gradient)
    expected = soft_threshold_dynamics(u, sigma=1.5, lambda1=1.0)
    assert torch.allclose(x, expected, atol=1e-14)
    x.sum().backward()
    assert sigma.grad.dtype == torch.float32 and sigma.grad != 0


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_samples_do_not_see_their_neighbours(gradient):
    """Nor do their gradients, though the implicit ones are solved for all at once."""
    u, g = logits(3, 6, 7), logits(3, 6, 7, seed=1)
    u[1] *= 300  # a neighbour that is saturated,
    g[2] *= 1e8  # one with an enormous gradient
    g[1] = 0  # and one with none
    c = torch.tensor([0.2, 0.9, 0.0], dtype=F64)
    run = {"sigma": 1.5, "lambda1": 1.5, "lambda2": 1.0, "gradient": gradient, "iterations": 20}

    def solve(u, c, g):
        u = u.clone().requires_grad_()
        x = soft_threshold_dynamics(u, c=c, **run)
        x.backward(g)
        return x.detach(), u.grad

    x, slope = solve(u, c, g)
    for i in range(3):
        alone, slope_alone = solve(u[i : i + 1], c[i : i + 1], g[i : i + 1])
        assert torch.allclose(alone[0], x[i], atol=1e-14)
        assert torch.allclose(slope_alone[0], slope[i], rtol=1e-11, atol=1e-13)
    assert (slope[1] == 0).all() and slope[0].abs().min() > 0


# --- as printed ----------------------------------------------------------------------------------


def test_printed_iteration_is_the_map_of_the_paper():
    u = logits(6, 9)
    arguments = dict(sigma=1.5, lambda1=0.8, lambda2=0.7, c=0.4, epsilon=1.2)
    x = expit(u.numpy())
    for _ in range(4):
        x = expit((x - 0.8 * scipy_blur(1 - 2 * x, 1.5) - 0.7 * 0.6) / 1.2)
    np.testing.assert_allclose(printed_iteration(u, iterations=4, **arguments), x, atol=1e-14)
    x = printed_iteration(u, iterations=0, **arguments)
    assert torch.equal(x, torch.sigmoid(u))


def test_printed_iteration_forgets_its_input():
    inputs = [torch.full((41, 41), v, dtype=F64) for v in (-30.0, 0.0, 30.0)]
    inputs.append(logits(41, 41, scale=5.0))
    ends = [printed_iteration(u, sigma=1.0, iterations=100) for u in inputs]
    for end in ends[1:]:
        assert torch.allclose(end, ends[0], atol=1e-10)
    inside = brentq(lambda x: x - expit(3 * x - 1), 0.5, 1, xtol=1e-14)
    assert inside == pytest.approx(0.80415, abs=5e-6)
    # Between the fixed point and the border's influence lie twenty pixels.
    assert ends[0][20, 20].item() == pytest.approx(inside, abs=1e-5)
    # A few steps still remember, and the derived iteration always does.
    early = [printed_iteration(u, sigma=1.0, iterations=2) for u in inputs]
    assert (early[0] - early[2]).abs().max() > 0.1
    derived = [fixed_point(u, sigma=1.0) for u in inputs]
    assert (derived[0] - derived[2]).abs().min() > 0.99


def test_energy_of_the_printed_iteration_can_rise():
    u = torch.full((12, 12), -3.0, dtype=F64)
    energies = [
        std_energy(printed_iteration(u, sigma=1.0, iterations=t), u, sigma=1.0).item()
        for t in range(8)
    ]
    assert max(np.diff(energies)) > 1


# --- gradients -----------------------------------------------------------------------------------

START = dict(sigma=1.2, lambda1=1.1, lambda2=0.6, epsilon=0.9)


def leaves(dtype=F64):
    return [torch.tensor(v, dtype=dtype, requires_grad=True) for v in START.values()]


def run(u, sigma, lambda1, lambda2, epsilon, **arguments):
    return soft_threshold_dynamics(
        u, sigma=sigma, lambda1=lambda1, lambda2=lambda2, epsilon=epsilon, **arguments
    )


@pytest.mark.parametrize("radius", [None, 1])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 3), (2, 1, 2, 4)])
@pytest.mark.parametrize("gradient, iterations", [("unrolled", 5), ("implicit", 80)])
def test_gradcheck(gradient, iterations, shape, radius):
    """u, sigma, lambda1, lambda2, epsilon against finite differences of the same steps."""
    c = 0.3 if len(shape) == 2 else torch.tensor([0.3, 0.8], dtype=F64)

    def function(*inputs):
        return run(*inputs, c=c, iterations=iterations, radius=radius, gradient=gradient)

    assert torch.autograd.gradcheck(function, (logits(*shape).requires_grad_(), *leaves()))


@pytest.mark.parametrize("iterations", [0, 1])
def test_gradcheck_of_few_steps(iterations):
    u = logits(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda u: run(u, **START, iterations=iterations), (u,))


def slopes(gradient, dtype=F64, shape=(2, 12, 9), values=None, **arguments):
    u = logits(*shape, dtype=dtype).requires_grad_()
    values = START if values is None else values
    parameters = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in values.values()]
    x = run(u, *parameters, c=0.4, gradient=gradient, **arguments)
    x.backward(logits(*shape, seed=7, dtype=dtype))
    return [tensor.grad.double() for tensor in (u, *parameters)]


@pytest.mark.parametrize(
    "dtype, rtol", [(F64, 1e-11), (torch.float32, 2e-5)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("radius", [None, 1])
@pytest.mark.parametrize("lambda1", [0.0, 1.1, 1.75])  # 2 epsilon = 1.8
def test_implicit_gradient_is_the_limit_of_the_unrolled_one(dtype, rtol, radius, lambda1):
    values = START | {"lambda1": lambda1}
    implicit = slopes("implicit", dtype, values=values, iterations=900, radius=radius)
    unrolled = slopes("unrolled", F64, values=values, iterations=900, radius=radius)
    for found, expected in zip(implicit, unrolled, strict=True):
        assert (found - expected).abs().max() <= rtol * expected.abs().max()


def test_ten_steps_of_the_implicit_gradient_are_near_it():
    implicit = slopes("implicit", iterations=10, values=START | {"lambda1": 0.9})
    limit = slopes("unrolled", iterations=300, values=START | {"lambda1": 0.9})
    for found, expected in zip(implicit, limit, strict=True):
        assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()


def test_one_step_gives_sigma_a_gradient_of_the_wrong_sign():
    """A disc whose area shrinks as sigma grows; one unrolled step says that it grows."""
    row = torch.arange(21, dtype=F64) - 10
    u = 3.0 * (row[:, None] ** 2 + row**2 < 16).double() - 2

    def slope(iterations, gradient="unrolled"):
        sigma = torch.tensor(2.0, dtype=F64, requires_grad=True)
        x = soft_threshold_dynamics(u, sigma=sigma, iterations=iterations, gradient=gradient)
        x.sum().backward()
        return sigma.grad.item()

    larger, smaller = (fixed_point(u, sigma=2 + step).sum().item() for step in (1e-5, -1e-5))
    true = (larger - smaller) / 2e-5
    assert true < -0.5 and slope(1) > 0.1
    assert slope(100) == pytest.approx(true, rel=1e-6)
    assert slope(100, "implicit") == pytest.approx(true, rel=1e-6)
    assert slope(10, "implicit") == pytest.approx(true, rel=1e-2)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_implicit_gradient_is_linear_in_what_arrives(factor):
    u, g = logits(2, 8, 8, dtype=torch.float32), logits(2, 8, 8, seed=1, dtype=torch.float32)
    found = []
    for scale in (1.0, factor):
        v = u.clone().requires_grad_()
        soft_threshold_dynamics(v, sigma=1.0, lambda1=1.5, gradient="implicit").backward(scale * g)
        found.append(v.grad / scale)
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("needs", range(5))
def test_implicit_gradient_of_one_argument_alone(needs):
    tensors = [logits(4, 5), *(t.detach() for t in leaves())]
    tensors[needs].requires_grad_()
    found = []
    for gradient in GRADIENTS:
        x = run(*tensors, c=0.2, iterations=200, gradient=gradient)
        found.append(torch.autograd.grad(x.square().sum(), tensors[needs])[0])
    assert torch.allclose(found[0], found[1], rtol=1e-9)


def test_implicit_without_gradients_records_nothing():
    u = logits(4, 5)
    assert not soft_threshold_dynamics(u, sigma=1.0, gradient="implicit").requires_grad
    with torch.no_grad():
        x = soft_threshold_dynamics(u.requires_grad_(), sigma=1.0, gradient="implicit")
    assert not x.requires_grad


def test_implicit_backward_can_be_repeated():
    u = logits(4, 5).requires_grad_()
    x = soft_threshold_dynamics(u, sigma=1.0, gradient="implicit")
    first = torch.autograd.grad(x.sum(), u, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(x.sum(), u)[0], first)


def test_second_derivatives():
    u = logits(2, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda u: run(u, **START, iterations=2), (u,))
    x = run(u, **START, gradient="implicit")
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(x.sum(), u, create_graph=True)


def saved_bytes(gradient, iterations):
    """What autograd keeps for the backward pass, each storage counted once."""
    u, sigma = logits(4, 32, 32).requires_grad_(), torch.tensor(2.0, requires_grad=True)
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        x = soft_threshold_dynamics(u, sigma=sigma, iterations=iterations, gradient=gradient)
    assert x.requires_grad  # and alive until here: no storage was counted for two
    return sum(kept.values())


def test_memory_of_the_implicit_gradient_does_not_grow():
    assert saved_bytes("implicit", 100) == saved_bytes("implicit", 5) > 0
    assert saved_bytes("implicit", 100) < 0.5 * saved_bytes("unrolled", 10)
    grown = saved_bytes("unrolled", 20) - saved_bytes("unrolled", 10)
    assert grown >= 10 * 4 * 32 * 32 * 8  # a field a step at least


def test_implicit_runs_exactly_its_iterations():
    u = logits(2, 9, 9)
    for iterations in (1, 2, 7):
        pair = [run(u, **START, iterations=iterations, gradient=g) for g in GRADIENTS]
        assert torch.allclose(*pair, atol=1e-15)


# --- what is refused -----------------------------------------------------------------------------

U = torch.zeros(2, 3, 4)


def layer(**arguments):
    return soft_threshold_dynamics(**({"u": U, "sigma": 1.0} | arguments))


def spoiled(value):
    u = U.clone()
    u[1, 2, 3] = value
    return u


REFUSED = [
    (dict(u=spoiled(math.nan)), ValueError, "u must be finite", "NaN"),
    (dict(u=spoiled(math.inf)), ValueError, "u must be finite", "infinity"),
    (dict(u=spoiled(-math.inf)), ValueError, "u must be finite", "infinity"),
    (dict(u=U.long()), TypeError, "u must be", "torch.int64"),
    (dict(u=U.bool()), TypeError, "u must be", "torch.bool"),
    (dict(u=U.half()), TypeError, "u must be float32 or float64", "torch.float16"),
    (dict(u=U.numpy()), TypeError, "u must be", "ndarray"),
    (dict(u=torch.zeros(4)), ValueError, "u must have the shape", "(4,)"),
    (dict(u=torch.zeros(2, 3, 4, 4)), ValueError, "u must have the shape", "(2, 3, 4, 4)"),
    (dict(u=torch.zeros(2, 0, 4)), ValueError, "u must have the shape", "(2, 0, 4)"),
    (dict(sigma=0), ValueError, "sigma must be positive", "0"),
    (dict(sigma=-1.5), ValueError, "sigma must be positive", "-1.5"),
    (dict(sigma=math.nan), ValueError, "sigma must be positive and finite", "nan"),
    (dict(sigma=math.inf), ValueError, "sigma must be positive and finite", "inf"),
    (dict(sigma=torch.ones(2)), ValueError, "sigma must be one number", "(2,)"),
    (dict(sigma="1"), TypeError, "sigma must be a number", "str"),
    (dict(sigma=None), TypeError, "sigma must be a number", "NoneType"),
    (dict(epsilon=0.0), ValueError, "epsilon must be positive", "0.0"),
    (dict(epsilon=-2.0), ValueError, "epsilon must be positive", "-2.0"),
    (dict(lambda1=-0.5), ValueError, "lambda1 must be zero or more", "-0.5"),
    (dict(lambda2=-0.25), ValueError, "lambda2 must be zero or more", "-0.25"),
    (dict(lambda2=math.nan), ValueError, "lambda2 must be zero or more", "nan"),
    (dict(c=1.5), ValueError, "c must lie in [0, 1]", "1.5"),
    (dict(c=-0.1), ValueError, "c must lie in [0, 1]", "-0.1"),
    (dict(c=math.nan), ValueError, "c must lie in [0, 1]", "nan"),
    (dict(c=torch.tensor([0.5, 2.0])), ValueError, "c must lie in [0, 1]", "0.5 to 2"),
    (dict(c=torch.ones(3)), ValueError, "c must be one number or one per sample", "(3,)"),
    (dict(c=torch.ones(2, 1)), ValueError, "c must be one number or one per sample", "(2, 1)"),
    (dict(c=[0.5]), ValueError, "c must be one number or one per sample", "(1,)"),
    (dict(c="0.5"), TypeError, "c must be", "str"),
    (dict(c=None), TypeError, "c must be", "NoneType"),
    (dict(iterations=-1), ValueError, "iterations must be zero or more", "-1"),
    (dict(iterations=2.0), TypeError, "iterations must be an integer", "float"),
    (dict(iterations=True), TypeError, "iterations must be an integer", "bool"),
    (dict(radius=-1), ValueError, "radius must be zero or more", "-1"),
    (dict(radius=1.5), TypeError, "radius must be an integer or None", "float"),
    (dict(gradient="exact"), ValueError, "gradient must be", "'exact'"),
    (dict(gradient="implicit", iterations=0), ValueError, "at least 1 iteration", "0"),
    (
        dict(gradient="implicit", lambda1=4.0, u=torch.zeros(31, 31)),
        ValueError, "lambda1 ||K||_inf < 2 epsilon", "4 >= 2",
    ),
]  # fmt: skip


def says_in_one_sentence(error, wanted, found):
    message = str(error.value)
    assert wanted in message
    assert found in message.split(wanted)[1], message
    assert message.endswith(".") and "\n" not in message
    assert not re.search(r"[.!?] +[A-Z]", message), message


@pytest.mark.parametrize("arguments, kind, wanted, found", REFUSED)
def test_refusals(arguments, kind, wanted, found):
    with pytest.raises(kind) as error:
        layer(**arguments)
    says_in_one_sentence(error, wanted, found)


@pytest.mark.parametrize("function", [iterates, printed_iteration])
@pytest.mark.parametrize("arguments, kind, wanted, found", REFUSED)
def test_the_other_iterations_refuse_the_same(function, arguments, kind, wanted, found):
    if "gradient" in arguments:
        return
    with pytest.raises(kind) as error:
        function(**({"u": U, "sigma": 1.0} | arguments))
    says_in_one_sentence(error, wanted, found)


@pytest.mark.parametrize("arguments, kind, wanted, found", REFUSED)
def test_the_energy_refuses_the_same(arguments, kind, wanted, found):
    if "gradient" in arguments or "iterations" in arguments:
        return
    with pytest.raises(kind) as error:
        std_energy(**({"x": 0.5 + U, "u": U, "sigma": 1.0} | arguments))
    says_in_one_sentence(error, wanted, found)


@pytest.mark.parametrize(
    "call, kind, wanted, found",
    [
        (lambda: std_energy(U[0], U, sigma=1.0), ValueError, "x must have u's shape", "(3, 4)"),
        (lambda: std_energy(U - 0.5, U, sigma=1.0), ValueError, "x must lie in [0, 1]", "-0.5"),
        (lambda: std_energy(U.double(), U, sigma=1.0), TypeError, "x must have u's", "float64"),
        (lambda: std_energy(U.long(), U, sigma=1.0), TypeError, "x must be", "int64"),
        (lambda: iterates(U, start=1.2, sigma=1.0), ValueError, "start must lie in", "1.2"),
        (lambda: iterates(U, start=U[0], sigma=1.0), ValueError, "start must have", "(3, 4)"),
        (lambda: gaussian_matrix(0, 1.0), ValueError, "size must be", "0"),
        (lambda: gaussian_matrix(2.5, 1.0), (TypeError, ValueError), "size must be", "2.5"),
        (lambda: gaussian_matrix(4, 0.0), ValueError, "sigma must be positive", "0.0"),
        (lambda: gaussian_matrix(4, 1.0, -2), ValueError, "radius must be", "-2"),
        (lambda: gaussian_blur(U.long(), 1.0), TypeError, "field must be", "torch.int64"),
        (lambda: gaussian_blur([[1.0]], 1.0), TypeError, "field must be", "list"),
        (lambda: gaussian_blur(torch.zeros(3), 1.0), ValueError, "field must have", "(3,)"),
        (lambda: gaussian_blur(U, -1.0), ValueError, "sigma must be positive", "-1.0"),
        (lambda: STDSigmoid(sigma=0), ValueError, "sigma must be positive", "0"),
        (lambda: STDSigmoid(sigma=0.3), ValueError, "learned sigma must start above 0.3", "0.3"),
        (lambda: STDSigmoid(lambda2=0), ValueError, "learned lambda2 must start above", "0"),
        (lambda: STDSigmoid(lambda2=-1), ValueError, "lambda2 must be zero or more", "-1"),
        (lambda: STDSigmoid(lambda1=0.0, learn_lambda1=True), ValueError,
         "learned lambda1 must start above", "0.0"),
        (lambda: STDSigmoid(epsilon=0.01, learn_epsilon=True), ValueError,
         "learned epsilon must start above 0.01", "0.0"),
        (lambda: STDSigmoid(epsilon=0), ValueError, "epsilon must be positive", "0"),
        (lambda: STDSigmoid(iterations=-3), ValueError, "iterations must be", "-3"),
        (lambda: STDSigmoid(radius=0.5), TypeError, "radius must be", "float"),
        (lambda: STDSigmoid(gradient="both"), ValueError, "gradient must be", "'both'"),
        (lambda: STDSigmoid()(U.long()), TypeError, "u must be", "torch.int64"),
        (lambda: STDSigmoid()(U[:, :, 0, None, None]), ValueError, "u must have", "(2, 3, 1, 1)"),
        (lambda: STDSigmoid()(U, torch.ones(3)), ValueError, "c must be one number", "(3,)"),
        (lambda: STDSigmoid()(U, "high"), TypeError, "c must be", "str"),
    ],
)  # fmt: skip
def test_more_refusals(call, kind, wanted, found):
    with pytest.raises(kind) as error:
        call()
    says_in_one_sentence(error, wanted, found)


# --- the layer -----------------------------------------------------------------------------------


def test_defaults_of_the_layer():
    layer = STDSigmoid()
    u, c = logits(2, 1, 9, 11, dtype=torch.float32), torch.tensor([0.3, 1.0])
    expected = soft_threshold_dynamics(u, sigma=1.0, lambda1=1.0, lambda2=1.0, c=c, epsilon=1.0)
    assert torch.allclose(layer(u, c), expected, atol=1e-6)
    assert {name for name, _ in layer.named_parameters()} == {"raw_sigma", "raw_lambda2"}


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_layer_passes_its_settings_on(gradient):
    layer = STDSigmoid(sigma=2.0, iterations=3, radius=1, gradient=gradient)
    u = logits(2, 9, 11, dtype=torch.float32)
    expected = soft_threshold_dynamics(u, sigma=2.0, iterations=3, radius=1)
    assert torch.allclose(layer(u), expected, atol=1e-6)
    assert not torch.allclose(layer(u), soft_threshold_dynamics(u, sigma=2.0), atol=1e-3)


@pytest.mark.parametrize("learned", range(16))
def test_flags_say_what_is_learned(learned):
    names = ("sigma", "lambda1", "lambda2", "epsilon")
    chosen = {name for bit, name in enumerate(names) if learned >> bit & 1}
    values = dict(sigma=2.0, lambda1=0.7, lambda2=1.5, epsilon=0.8)
    layer = STDSigmoid(**values, **{f"learn_{name}": name in chosen for name in names})
    parameters, buffers = dict(layer.named_parameters()), dict(layer.named_buffers())
    assert len(parameters) == len(chosen) and len(buffers) == 4 - len(chosen)
    assert all(any(name in key for key in parameters) for name in chosen)
    assert all(parameter.requires_grad for parameter in parameters.values())
    for name in names:
        assert getattr(layer, name).item() == pytest.approx(values[name], rel=1e-6)
    u = logits(2, 8, 8, dtype=torch.float32)
    x = layer(u.requires_grad_(), 0.4)
    assert torch.allclose(x, soft_threshold_dynamics(u, c=0.4, **values), atol=1e-6)
    x.square().sum().backward()
    assert all(p.grad is not None and p.grad != 0 for p in parameters.values())
    text = repr(layer)
    for name in chosen:
        assert name in text.split("learned:")[1]
    assert chosen or "none" in text


@pytest.mark.parametrize("start", [0.35, 1.0, 30.0])
def test_learned_values_start_where_they_were_told(start):
    layer = STDSigmoid(
        sigma=start, lambda1=start, lambda2=start, epsilon=start,
        learn_lambda1=True, learn_epsilon=True,
    )  # fmt: skip
    for name in ("sigma", "lambda1", "lambda2", "epsilon"):
        assert getattr(layer, name).item() == pytest.approx(start, rel=1e-5)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_wild_steps_leave_everything_positive(direction):
    layer = STDSigmoid(learn_lambda1=True, learn_epsilon=True)
    optimiser = torch.optim.SGD(layer.parameters(), lr=1e3)
    for _ in range(5):
        for parameter in layer.parameters():
            parameter.grad = torch.tensor(-direction)
        optimiser.step()
        assert layer.sigma >= 0.3
        assert layer.lambda1 > 0 and layer.lambda2 > 0 and layer.epsilon > 0
        assert all(torch.isfinite(getattr(layer, n)) for n in ("sigma", "lambda1", "epsilon"))
        assert torch.isfinite(layer(logits(5, 5, dtype=torch.float32), 0.5)).all()


def test_what_is_fixed_may_be_zero():
    layer = STDSigmoid(lambda1=0, lambda2=0, learn_lambda2=False)
    u = logits(3, 6, 6, dtype=torch.float32)
    assert torch.allclose(layer(u, 0.1), torch.sigmoid(u), atol=1e-7)
    layer = STDSigmoid(sigma=0.05, learn_sigma=False, lambda2=0, learn_lambda2=False)
    identity = soft_threshold_dynamics(u, sigma=1.0, radius=0)
    assert torch.allclose(layer(u), identity, atol=1e-6)


def test_c_none_means_no_prior():
    layer = STDSigmoid(lambda2=3.0)
    u = logits(2, 6, 6, dtype=torch.float32)
    without = soft_threshold_dynamics(u, sigma=1.0)
    assert torch.allclose(layer(u), without, atol=1e-6)
    assert torch.allclose(layer(u, 1.0), without, atol=1e-6)
    assert (layer(u, 0.0) < without).all()


def test_c_receives_no_gradient():
    layer, c = STDSigmoid(), torch.tensor([0.2, 0.6], requires_grad=True)
    x = layer(logits(2, 6, 6, dtype=torch.float32).requires_grad_(), c)
    x.sum().backward()
    assert c.grad is None
    assert layer.raw_lambda2.grad != 0


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_logits_are_the_argument_of_the_last_sigmoid(gradient):
    layer = STDSigmoid(gradient=gradient, iterations=4)
    u = 3 * logits(2, 1, 7, 6, dtype=torch.float32)
    z = layer.logits(u, 0.3)
    assert z.shape == u.shape
    assert torch.equal(torch.sigmoid(z), layer(u, 0.3))
    # Not clipped, so that a loss on them does not saturate.
    assert layer.logits(u + 800, 0.3).min() > 700
    assert torch.equal(STDSigmoid(iterations=0).logits(u), u)


@pytest.mark.parametrize("shape", [(6, 7), (3, 6, 7), (3, 1, 6, 7)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_layer_keeps_shapes_and_runs_in_float32_at_least(shape, dtype):
    u = logits(*shape).to(dtype)
    x = STDSigmoid(lambda2=2.0)(u, 0.25)
    assert x.shape == shape and x.dtype == (F64 if dtype == F64 else torch.float32)
    expected = soft_threshold_dynamics(u.double(), sigma=1.0, lambda2=2.0, c=0.25)
    assert torch.allclose(x.double(), expected, atol=1e-6)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_autocast_changes_nothing(gradient):
    def work(enabled):
        layer = STDSigmoid(sigma=2.0, gradient=gradient)
        u = logits(2, 1, 16, 16, dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            x = layer(u, torch.tensor([0.2, 0.9]))
        x.square().sum().backward()
        return x.detach(), u.grad, layer.raw_sigma.grad, layer.raw_lambda2.grad

    for inside, outside in zip(work(True), work(False), strict=True):
        assert inside.dtype == torch.float32 and torch.equal(inside, outside)


def test_bfloat16_logits_and_c_from_autocast():
    layer = STDSigmoid()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        u = (logits(8, 8, dtype=torch.float32) @ torch.eye(8)).reshape(1, 1, 8, 8)
        c = torch.sigmoid(torch.ones(1, 8) @ torch.ones(8, 1)).flatten()
        assert u.dtype == torch.bfloat16
        x = layer(u, c)
    assert x.dtype == torch.float32
    assert torch.equal(x, layer(u.float(), c.float()))


def test_state_dict_and_deepcopy():
    first = STDSigmoid(sigma=2.5, lambda1=0.5, lambda2=3.0, learn_lambda1=True)
    second = STDSigmoid(learn_lambda1=True, epsilon=0.5)
    second.load_state_dict(first.state_dict())
    twin = copy.deepcopy(first)
    u = logits(2, 5, 5, dtype=torch.float32).requires_grad_()
    expected = first(u, 0.5)
    expected.sum().backward()
    for other in (second, twin, copy.deepcopy(first)):
        assert torch.equal(other(u, 0.5), expected)
    with torch.no_grad():
        twin.raw_sigma += 1
    assert first.sigma.item() == pytest.approx(2.5, rel=1e-6) and twin.sigma > 3


def test_layer_in_double_learns():
    layer = STDSigmoid(learn_lambda1=True, learn_epsilon=True, gradient="implicit").double()
    names = [name for name, _ in layer.named_parameters()]
    assert len(names) == 4

    def function(u, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (u, 0.3))

    layer.iterations = 80
    inputs = [logits(3, 4).requires_grad_()]
    inputs += [p.detach().clone().requires_grad_() for p in layer.parameters()]
    with torch.no_grad():
        inputs[names.index("raw_lambda1") + 1] -= 0.5  # well inside the contraction
    assert torch.autograd.gradcheck(function, inputs)


def test_implicit_layer_refuses_second_derivatives_and_strong_coupling():
    u = logits(12, 12, dtype=torch.float32).requires_grad_()
    x = STDSigmoid(gradient="implicit")(u)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(x.sum(), u, create_graph=True)
    with pytest.raises(ValueError, match="lambda1 ||K||_inf < 2 epsilon"):
        STDSigmoid(gradient="implicit", lambda1=2.5)(u)


# --- on a graphics processor ---------------------------------------------------------------------


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@cuda
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 5e-5), (F64, 1e-11)])
def test_cuda_gives_what_the_processor_gives(gradient, dtype, atol):
    found = []
    for device in ("cpu", "cuda"):
        u = logits(3, 1, 40, 31, dtype=dtype).to(device).requires_grad_()
        sigma = torch.tensor(2.0, dtype=dtype, device=device, requires_grad=True)
        c = torch.tensor([0.1, 0.5, 1.0], device=device)
        x = soft_threshold_dynamics(u, sigma=sigma, lambda2=1.0, c=c, gradient=gradient)
        assert x.device.type == device
        x.square().mean().backward()
        found.append([t.detach().cpu() for t in (x, 1e3 * u.grad, sigma.grad)])
    for cpu, gpu in zip(*found, strict=True):
        assert torch.allclose(cpu, gpu, atol=atol)


@cuda
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_cuda_layer_outside_autocast(gradient):
    layer = STDSigmoid(sigma=2.0, gradient=gradient).cuda()
    u = logits(2, 1, 32, 32, dtype=torch.float32).cuda()
    with torch.autocast("cuda", dtype=torch.float16):
        x = layer(u, torch.tensor([0.2, 0.9], device="cuda"))
    assert x.dtype == torch.float32
    assert torch.equal(x, layer(u, torch.tensor([0.2, 0.9], device="cuda")))


# --- inside other people's programs --------------------------------------------------------------


def test_far_taps_are_zeros_not_denormal_numbers():
    for dtype, tiny in ((torch.float32, 2.0**-126), (torch.float64, 2.0**-1022)):
        for sigma in (0.3, 0.5, 1.0, 3.0, 5.0):
            value = torch.tensor(sigma, dtype=dtype, requires_grad=True)
            taps = gaussian_matrix(128, value)
            assert not ((taps > 0) & (taps < tiny)).any()
            (gradient,) = torch.autograd.grad(taps[0].square().sum(), value, create_graph=True)
            assert math.isfinite(gradient.item())
            exact = np.exp(-0.5 * (np.arange(128) / sigma) ** 2)
            exact /= exact[0] + 2 * exact[1:].sum()
            rounding = {torch.float32: 1e-5, torch.float64: 1e-14}[dtype]
            assert np.allclose(taps[0].detach().numpy(), exact, rtol=rounding, atol=1e-18)


def test_the_layer_survives_pruning_parametrising_and_replicating():
    u, c = torch.randn(2, 1, 8, 8), torch.tensor([0.2, 0.9])
    expected = STDSigmoid(sigma=1.5)(u, c)

    pruned = STDSigmoid(sigma=1.5)
    prune.custom_from_mask(pruned, "raw_lambda2", torch.tensor(1.0))
    assert torch.equal(pruned(u, c), expected)

    class Doubled(torch.nn.Module):
        def forward(self, value):
            return 2 * value

    changed = STDSigmoid(sigma=1.5)
    parametrize.register_parametrization(changed, "raw_sigma", Doubled())
    raw = changed.parametrizations.raw_sigma.original
    assert changed.sigma.item() == pytest.approx(0.3 + math.log1p(math.exp(2 * raw.item())))
    assert changed(u, c).shape == u.shape and "sigma=" in repr(changed)

    original = STDSigmoid(sigma=1.5)
    replica = original._replicate_for_data_parallel()  # what nn.DataParallel does on each GPU
    for name, value in original.named_parameters():
        replica._parameters.pop(name, None)
        setattr(replica, name, value * 1.0)
    assert torch.equal(replica(u, c), expected)


def test_the_layer_is_built_and_printed_without_memory():
    with torch.device("meta"):
        std = STDSigmoid(learn_lambda1=True)
    assert std.raw_sigma.is_meta and "sigma=?" in repr(std)
    std = std.to_empty(device="cpu")
    std.load_state_dict(STDSigmoid(learn_lambda1=True, sigma=2.0).state_dict())
    assert std.sigma.item() == pytest.approx(2.0)


@pytest.mark.parametrize("gradient", ["unrolled", "implicit"])
def test_an_exported_layer_takes_images_of_any_size(gradient):
    std = STDSigmoid(sigma=1.5, gradient=gradient).eval()
    size = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    example = (torch.randn(2, 1, 24, 16), torch.rand(2))
    with torch.no_grad():
        program = torch.export.export(
            std, example, dynamic_shapes=(size, {0: size[0]}), strict=False
        ).module()
        for shape in ((3, 1, 20, 40), (5, 1, 17, 17)):
            u, c = torch.randn(shape), torch.rand(shape[0])
            assert torch.allclose(program(u, c), std(u, c), atol=1e-6)


@pytest.mark.parametrize("gradient", ["unrolled", "implicit"])
def test_onnx_takes_batches_and_images_of_any_size(gradient):
    std = STDSigmoid(sigma=1.5, gradient=gradient).eval()
    size = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    example = (torch.randn(2, 1, 24, 16), torch.rand(2))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program = torch.onnx.export(
            std, example, dynamo=True, dynamic_shapes=(size, {0: size[0]}), verbose=False
        )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [given.name for given in session.get_inputs()]
    for shape in ((3, 1, 20, 40), (5, 1, 17, 17)):
        u, c = torch.randn(shape), torch.rand(shape[0])
        (answer,) = session.run(None, dict(zip(names, (u.numpy(), c.numpy()), strict=True)))
        with torch.no_grad():
            assert np.allclose(answer, std(u, c), atol=1e-6)


def test_a_device_without_autocast_needs_none(monkeypatch):
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device: False)

    def refused(device, **given):
        raise RuntimeError("User specified an unsupported autocast device_type")

    monkeypatch.setattr(torch, "autocast", refused)
    u = torch.randn(1, 1, 8, 8)
    assert STDSigmoid()(u).shape == u.shape


# --- large images --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(256, 256), (2, 1, 300, 333), (3, 70, 513)])
@pytest.mark.parametrize("radius", [1, 7, 64])
def test_in_blocks_the_blur_is_that_of_the_whole_matrices(shape, radius):
    """Values and both gradients, on sizes that the blocks do not divide."""
    torch.manual_seed(0)
    field = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor(0.3 * radius + 0.4, dtype=torch.float64, requires_grad=True)
    rows, columns = (gaussian_matrix(size, sigma, radius) for size in shape[-2:])
    expected, found = rows @ field @ columns, gaussian_blur(field, sigma, radius)
    weight = torch.randn(shape, dtype=torch.float64)
    wanted, got = (
        torch.autograd.grad((x * weight).sum(), (field, sigma)) for x in (expected, found)
    )
    assert torch.allclose(found, expected, atol=1e-13)
    assert all(torch.allclose(a, b, atol=1e-11) for a, b in zip(got, wanted, strict=True))


def test_in_blocks_there_are_second_derivatives_and_vmap():
    torch.manual_seed(0)
    fields = torch.randn(2, 256, 3, dtype=torch.float64)
    sigma = torch.tensor(1.5, dtype=torch.float64)

    def blurred_twice_differentiated(blur):
        def squared(sigma):
            return (blur(fields, sigma) ** 2).sum()

        return torch.func.grad(torch.func.grad(squared))(sigma)

    def by_matrix(field, sigma):
        return gaussian_matrix(256, sigma, 5) @ field @ gaussian_matrix(3, sigma, 5)

    def by_blocks(field, sigma):
        return gaussian_blur(field, sigma, 5)

    wanted, got = map(blurred_twice_differentiated, (by_matrix, by_blocks))
    assert torch.allclose(got, wanted, rtol=1e-10)
    one_by_one = torch.stack([by_blocks(field, sigma) for field in fields])
    assert torch.allclose(torch.vmap(by_blocks, (0, None))(fields, sigma), one_by_one)
    assert torch.autograd.gradgradcheck(by_blocks, (fields[:1, :, :1].requires_grad_(), sigma))


def test_a_number_as_sigma_cuts_nothing_off_on_a_large_image():
    u = torch.randn(1, 300, 300)
    for gradient in ("unrolled", "implicit"):
        options = {"lambda2": 1.0, "c": 0.5, "gradient": gradient}
        learned = soft_threshold_dynamics(u, sigma=torch.tensor(3.0), **options)  # dense
        assert torch.allclose(soft_threshold_dynamics(u, sigma=3.0, **options), learned, atol=1e-6)
    energy = [std_energy(torch.sigmoid(u), u, sigma=s) for s in (3.0, torch.tensor(3.0))]
    assert torch.allclose(*energy)
