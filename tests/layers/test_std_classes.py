"""nodule_lesson.layers.softmax against numpy and scipy, the mathematics, and the sigmoid."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.linalg import toeplitz
from scipy.optimize import minimize
from scipy.special import rel_entr, softmax, xlogy

from nodule_lesson.layers import STDSoftmax, std_softmax, std_softmax_energy
from nodule_lesson.std import soft_threshold_dynamics

GRADIENTS = ("unrolled", "implicit")
F64 = torch.float64


# --- the same things with dense matrices of numpy ------------------------------------------------


def dense_kernel(sizes, sigmas, radius=None):
    """K as one matrix over all pixels, from the Gaussian's formula."""
    kernel = np.eye(1)
    for size, sigma in zip(sizes, sigmas, strict=True):
        reach = size - 1 if radius is None else radius
        taps = np.exp(-0.5 * (np.arange(max(reach, size - 1) + 1) / sigma) ** 2)
        taps[reach + 1 :] = 0
        taps /= taps[0] + 2 * taps[1:].sum()
        kernel = np.kron(kernel, toeplitz(taps[:size]))
    return kernel


def numpy_iteration(u, kernel, lambda1, epsilon=1.0, iterations=10, tensions=None):
    """u: (K, pixels). The slope of the boundary is written out, K1 and all."""
    x = softmax(u, axis=0)
    for _ in range(iterations):
        x = softmax((u - lambda1 * numpy_slope(x, kernel, tensions)) / epsilon, axis=0)
    return x


def numpy_slope(x, kernel, tensions=None):
    if tensions is None:
        return (1 - x) @ kernel - x @ kernel
    return 2 * tensions @ x @ kernel


def numpy_energy(x, u, kernel, lambda1, epsilon=1.0, tensions=None):
    length = (x * ((1 - x) @ kernel)).sum()
    if tensions is not None:
        length = sum(
            tensions[k, m] * x[k] @ kernel @ x[m] for k in range(len(x)) for m in range(len(x))
        )
    return -(u * x).sum() + epsilon * xlogy(x, x).sum() + lambda1 * length


def logits(*shape, seed=0, scale=2.0, dtype=F64):
    return torch.as_tensor(scale * np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


def flat(field):
    """(1, K, *sizes) as (K, pixels) in numpy."""
    return field[0].flatten(1).numpy()


# Potts (all pairs alike), a line of classes, and one pair that is cheap.
LINE = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
CHEAP = np.array([[0, 1, 1.0], [1, 0, 0.2], [1, 0.2, 0]])

quick = settings(deadline=None, max_examples=25)
fields = hnp.arrays(
    np.float64,
    st.tuples(st.just(1), st.integers(2, 4), *[st.integers(1, 4)] * 2, st.integers(1, 3)).flatmap(
        lambda s: st.sampled_from([s, s[:4]])
    ),
    elements=st.floats(-4, 4),
).map(torch.from_numpy)
sigmas, epsilons = st.floats(0.3, 5), st.floats(0.5, 2)
radii = st.one_of(st.none(), st.integers(0, 3))


# --- the iteration and its energy ----------------------------------------------------------------


@quick
@given(fields, st.data(), st.floats(0, 3), epsilons, st.integers(0, 8), radii)
def test_iteration_and_energy_are_those_of_numpy(u, data, lambda1, epsilon, iterations, radius):
    sizes = u.shape[2:]
    sigma = data.draw(st.tuples(*[sigmas] * len(sizes)))
    kernel = dense_kernel(sizes, sigma, radius)
    run = dict(sigma=sigma, lambda1=lambda1, epsilon=epsilon, radius=radius)
    x = std_softmax(u, iterations=iterations, **run)
    expected = numpy_iteration(flat(u), kernel, lambda1, epsilon, iterations)
    np.testing.assert_allclose(flat(x), expected, atol=1e-11)
    energy = std_softmax_energy(x, u, **run)
    assert energy.shape == (1,)
    expected = numpy_energy(flat(x), flat(u), kernel, lambda1, epsilon)
    assert energy.item() == pytest.approx(expected, abs=1e-9)


@quick
@given(fields, sigmas, st.floats(0, 4), epsilons, radii)
def test_two_classes_are_the_sigmoid_with_twice_lambda1(u, sigma, lambda1, epsilon, radius):
    if u.ndim == 5:  # the sigmoid of the lesson has images alone
        u = u[..., 0]
    u = u[:, :2]
    run = dict(sigma=sigma, epsilon=epsilon, radius=radius)
    x = std_softmax(u, lambda1=lambda1, **run)
    expected = soft_threshold_dynamics(u[:, 1] - u[:, 0], lambda1=2 * lambda1, **run)
    assert torch.allclose(x[:, 1], expected, atol=1e-12)
    assert torch.allclose(x.sum(1), torch.ones(()).double())


@pytest.mark.parametrize("sizes", [(4, 5), (3, 2, 4)])
def test_a_constant_over_the_classes_changes_nothing_even_at_the_border(sizes):
    """The reason why K1, which is below 1 there, may be left out of the logits."""
    u, shift = logits(2, 3, *sizes), logits(2, 1, *sizes, seed=1)
    run = dict(sigma=2.0, lambda1=0.9)
    assert torch.allclose(std_softmax(u + shift, **run), std_softmax(u, **run), atol=1e-13)


@quick
@given(fields, sigmas, st.floats(0, 3), epsilons, st.one_of(st.none(), st.just(1)), st.booleans())
def test_descent_identity(u, sigma, lambda1, epsilon, radius, weighted):
    """With every tap K is positive definite; cut, lambda1 <= epsilon is enough."""
    lambda1 = lambda1 if radius is None else min(lambda1, epsilon)
    kernel = dense_kernel(u.shape[2:], [sigma] * (u.ndim - 2), radius)
    run = dict(sigma=sigma, lambda1=lambda1, epsilon=epsilon, radius=radius)
    if weighted:
        weight = torch.sigmoid(logits(1, 1, *u.shape[2:], seed=5))
        run["edge_weight"] = weight
        kernel = weight.numpy().reshape(-1, 1) * kernel * weight.numpy().ravel()
    for t in range(4):
        x, y = (std_softmax(u, iterations=t + s, **run) for s in (0, 1))
        fall = (std_softmax_energy(x, u, **run) - std_softmax_energy(y, u, **run)).item()
        d = flat(y - x)
        identity = epsilon * rel_entr(flat(x), flat(y)).sum() + lambda1 * (d @ kernel * d).sum()
        assert fall == pytest.approx(identity, abs=1e-9)
        assert identity >= -1e-12


@pytest.mark.parametrize("classes, tensions", [(3, None), (4, LINE), (3, CHEAP)])
def test_minimiser_of_scipy_finds_the_same_point(classes, tensions):
    u = logits(1, classes, 2, 3, seed=3)
    kernel, lambda1, epsilon = dense_kernel((2, 3), (1.0, 0.6)), 0.3, 0.8
    run = dict(sigma=(1.0, 0.6), lambda1=lambda1, epsilon=epsilon, tensions=tensions)
    best = std_softmax(u, iterations=400, **run)

    def energy(z):  # over logits, so that the sum of 1 holds by itself
        return numpy_energy(
            softmax(z.reshape(classes, 6), axis=0), flat(u), kernel, lambda1, epsilon, tensions
        )

    found = minimize(energy, np.zeros(6 * classes), method="L-BFGS-B", options={"ftol": 1e-15})
    np.testing.assert_allclose(softmax(found.x.reshape(classes, 6), axis=0), flat(best), atol=2e-4)
    lowest = std_softmax_energy(best, u, **run).item()
    assert lowest <= found.fun + 1e-9 and found.fun == pytest.approx(lowest, abs=1e-6)


@quick
@given(fields, sigmas, st.floats(0, 0.9), epsilons, radii, st.data())
def test_contraction_in_the_sup_norm(u, sigma, ratio, epsilon, radius, data):
    """Two maps of numpy, two steps of ours: the factor is lambda1 ||K||_inf / epsilon."""
    kernel = dense_kernel(u.shape[2:], [sigma] * (u.ndim - 2), radius)
    lambda1 = ratio * epsilon
    factor = ratio * kernel.sum(1).max()
    starts = [
        softmax(data.draw(hnp.arrays(np.float64, flat(u).shape, elements=st.floats(-9, 9))), 0)
        for _ in range(2)
    ]
    ends = [
        softmax((flat(u) - lambda1 * numpy_slope(x, kernel)) / epsilon, axis=0) for x in starts
    ]
    assert np.abs(ends[0] - ends[1]).max() <= factor * np.abs(starts[0] - starts[1]).max() + 1e-14
    end = std_softmax(
        u, sigma=sigma, lambda1=lambda1, epsilon=epsilon, radius=radius, iterations=9
    )
    after = std_softmax(
        u, sigma=sigma, lambda1=lambda1, epsilon=epsilon, radius=radius, iterations=500
    )
    assert (end - after).abs().max() <= factor**9 + 1e-12


def test_the_bound_is_sharp():
    """One pixel, two likely classes of many: beyond lambda1 = epsilon there are two answers."""
    pair = [torch.tensor([s, -s, -60.0]).double().reshape(1, 3, 1, 1) for s in (1e-3, -1e-3)]
    below, above = ([std_softmax(u, sigma=1.0, lambda1=q, iterations=4000) for u in pair]
                    for q in (0.99, 1.2))  # fmt: skip
    assert (below[0] - below[1]).abs().max() < 0.2
    assert (above[0] - above[1]).abs().max() > 0.6


def test_one_pixel_by_hand():
    u = [0.3, -1.0, 2.0]
    x = [math.exp(v) for v in u]
    x = [v / sum(x) for v in x]
    for _ in range(5):
        e = [math.exp((v + 2 * 0.4 * p) / 0.7) for v, p in zip(u, x, strict=True)]
        x = [v / sum(e) for v in e]
    field = torch.tensor(u, dtype=F64).reshape(1, 3, 1, 1)
    for gradient in GRADIENTS:
        found = std_softmax(
            field, sigma=1.0, lambda1=0.4, epsilon=0.7, iterations=5, gradient=gradient
        )
        assert found.flatten().tolist() == pytest.approx(x, abs=1e-14)


# --- classes that are charged differently --------------------------------------------------------


@pytest.mark.parametrize("tensions", [LINE, CHEAP])
@pytest.mark.parametrize("sizes", [(3, 4), (2, 3, 2)])
def test_tensions_in_energy_and_iteration(tensions, sizes):
    u = logits(1, len(tensions), *sizes)
    kernel = dense_kernel(sizes, [1.2] * len(sizes))
    x = std_softmax(u, sigma=1.2, lambda1=0.7, iterations=6, tensions=tensions)
    expected = numpy_iteration(flat(u), kernel, 0.7, iterations=6, tensions=tensions)
    np.testing.assert_allclose(flat(x), expected, atol=1e-13)
    run = dict(sigma=1.2, lambda1=0.7, tensions=tensions)
    previous = math.inf
    for t in range(8):
        x = std_softmax(u, iterations=t, **run)
        energy = std_softmax_energy(x, u, **run).item()
        assert energy == pytest.approx(
            numpy_energy(flat(x), flat(u), kernel, 0.7, tensions=tensions), abs=1e-10
        )
        assert energy <= previous + 1e-12
        previous = energy


def test_equal_tensions_are_none():
    u = logits(2, 4, 5, 3)
    potts = 1 - torch.eye(4, dtype=F64)
    for gradient in GRADIENTS:
        run = dict(sigma=1.0, lambda1=0.8, gradient=gradient)
        assert torch.allclose(std_softmax(u, tensions=potts, **run), std_softmax(u, **run))
    x = std_softmax(u, sigma=1.0)
    found = std_softmax_energy(x, u, sigma=1.0, tensions=potts)
    assert torch.allclose(found, std_softmax_energy(x, u, sigma=1.0))


def test_tensions_that_would_let_the_energy_rise_are_refused():
    """1, 1 and 5 are not conditionally negative definite, and the energy does rise."""
    bad = np.array([[0, 5, 1.0], [5, 0, 1], [1, 1, 0]])
    u = torch.zeros(1, 3, 4, 4).double()
    with pytest.raises(ValueError, match="conditionally negative definite"):
        std_softmax(u, sigma=1.0, tensions=bad)
    # One pixel, where the first two classes have the same logit: the map overshoots.
    u, kernel = np.array([[0.0], [0.0], [-22.0]]), np.eye(1)
    steps = [numpy_iteration(u, kernel, 8.0, iterations=t, tensions=bad) for t in range(12)]
    energies = [numpy_energy(x, u, kernel, 8.0, tensions=bad) for x in steps]
    assert max(np.diff(energies)) > 1e-3


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient, iterations", [("unrolled", 4), ("implicit", 80)])
@pytest.mark.parametrize("shape", [(2, 3, 2, 3), (1, 2, 2, 2, 3)])
@pytest.mark.parametrize("radius, tensions", [(None, None), (1, None), (None, "line")])
def test_gradcheck(gradient, iterations, shape, radius, tensions):
    """u, each sigma, lambda1, epsilon and the weight against finite differences."""
    tensions = LINE[: shape[1], : shape[1]] if tensions else None
    values = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (0.9, 0.7, 1.4, 0.3, 0.9)]
    weight = torch.sigmoid(logits(shape[0], 1, *shape[2:])).requires_grad_()

    def function(u, weight, *values):
        return std_softmax(
            u, sigma=values[: len(shape) - 2], lambda1=values[3], epsilon=values[4],
            edge_weight=weight, iterations=iterations, radius=radius, gradient=gradient,
            tensions=tensions,
        )  # fmt: skip

    assert torch.autograd.gradcheck(function, (logits(*shape).requires_grad_(), weight, *values))


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("dtype, rtol", [(F64, 1e-10), (torch.float32, 5e-5)])
def test_implicit_gradient_is_the_limit_of_the_unrolled_one(ratio, dtype, rtol):
    found = []
    for gradient, kind in (("implicit", dtype), ("unrolled", F64)):
        u = logits(2, 4, 7, 6).to(kind).requires_grad_()
        values = [torch.tensor(v, dtype=kind, requires_grad=True) for v in (1.3, ratio, 1.0)]
        sigma, lambda1, epsilon = values
        x = std_softmax(
            u, sigma=sigma, lambda1=lambda1, epsilon=epsilon, iterations=900, gradient=gradient
        )
        x.backward(logits(2, 4, 7, 6, seed=7).to(kind))
        found.append([tensor.grad.double() for tensor in (u, *values)])
    for implicit, unrolled in zip(*found, strict=True):
        assert (implicit - unrolled).abs().max() <= rtol * unrolled.abs().max().clamp_min(1e-6)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_samples_do_not_see_their_neighbours(gradient):
    u, g = logits(3, 3, 4, 5), logits(3, 3, 4, 5, seed=1)
    u[1] *= 300
    g[2] *= 1e8

    def solve(u, g):
        u = u.clone().requires_grad_()
        x = std_softmax(u, sigma=1.5, lambda1=0.8, iterations=20, gradient=gradient)
        x.backward(g)
        return x.detach(), u.grad

    x, slope = solve(u, g)
    for i in range(3):
        alone, slope_alone = solve(u[i : i + 1], g[i : i + 1])
        assert torch.allclose(alone[0], x[i], atol=1e-14)
        assert torch.allclose(slope_alone[0], slope[i], rtol=1e-9, atol=1e-12)


def test_implicit_keeps_no_steps_and_refuses_where_it_must():
    u = logits(1, 3, 12, 12).requires_grad_()
    kept = {}
    for iterations in (5, 50):
        total = []

        def pack(tensor, total=total):
            total.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            x = std_softmax(u, sigma=1.0, iterations=iterations, gradient="implicit")
        kept[iterations] = sum(total)
    assert kept[5] == kept[50] > 0
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(x.sum(), u, create_graph=True)


# --- a long axis, in blocks ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2, 300, 5), (1, 2, 5, 270), (1, 2, 260, 2, 3)])
def test_blocks_are_the_whole_matrices(shape):
    u = logits(*shape)
    sizes = shape[2:]
    run = dict(lambda1=0.4, radius=4, iterations=3)
    sigma = torch.tensor(1.3, dtype=F64, requires_grad=True)
    kernel = dense_kernel(sizes, [1.3] * len(sizes), 4)
    x = std_softmax(u, sigma=sigma, **run)
    expected = numpy_iteration(flat(u), kernel, 0.4, iterations=3)
    np.testing.assert_allclose(flat(x.detach()), expected, atol=1e-12)
    slope = torch.autograd.grad((x * logits(*shape, seed=2)).sum(), sigma)[0].item()
    higher, lower = (
        (std_softmax(u, sigma=1.3 + h, **run) * logits(*shape, seed=2)).sum().item()
        for h in (1e-6, -1e-6)
    )
    assert slope == pytest.approx((higher - lower) / 2e-6, rel=1e-5)


def test_a_number_as_sigma_cuts_nothing_off():
    u = logits(1, 3, 300, 40, dtype=torch.float32)
    found = [std_softmax(u, sigma=s) for s in (3.0, torch.tensor(3.0))]
    assert torch.allclose(*found, atol=1e-6)


# --- millimetres ---------------------------------------------------------------------------------


def test_spacing_turns_millimetres_into_pixels():
    u = logits(1, 3, 4, 6, 5)
    mm = std_softmax(u, sigma=1.5, spacing=(2.5, 0.7, 0.5))
    pixels = std_softmax(u, sigma=(0.6, 1.5 / 0.7, 3.0))
    assert torch.allclose(mm, pixels, atol=1e-14)
    each = std_softmax(u, sigma=(2.5, 0.7, 1.0), spacing=(2.5, 0.7, 0.5))
    assert torch.allclose(each, std_softmax(u, sigma=(1.0, 1.0, 2.0)), atol=1e-14)
    for spacing in (np.array([2.5, 0.7, 0.5]), torch.tensor([2.5, 0.7, 0.5]).double()):
        assert torch.allclose(std_softmax(u, sigma=1.5, spacing=spacing), mm)
    one = torch.tensor([0.6, 1.5 / 0.7, 3.0])
    assert torch.allclose(std_softmax(u, sigma=one), mm, atol=1e-6)


# --- the layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 6, 7), (1, 4, 3, 5, 6)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, F64])
def test_layer_is_the_function(shape, dtype):
    u = logits(*shape).to(dtype)
    layer = STDSoftmax(sigma=1.5, lambda1=0.7, epsilon=0.9, iterations=6)
    x = layer(u)
    assert x.shape == shape and x.dtype == (F64 if dtype == F64 else torch.float32)
    expected = std_softmax(u.double(), sigma=1.5, lambda1=0.7, epsilon=0.9, iterations=6)
    assert torch.allclose(x.double(), expected, atol=2e-6)
    assert torch.equal(torch.softmax(layer.logits(u), 1), x)
    assert {name for name, _ in layer.named_parameters()} == {"raw_sigma"}


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_layer_in_mm_learns_every_number(gradient):
    spacing = (2.5, 0.7, 0.7)
    for sigma, shape in ((1.5, ()), ((2.0, 1.0, 1.5), (3,))):
        layer = STDSoftmax(
            sigma=sigma, spacing=spacing, lambda1=0.6, gradient=gradient, learn_lambda1=True
        ).double()
        layer.iterations = 60
        assert layer.raw_sigma.shape == shape
        assert layer.sigma.tolist() == pytest.approx(sigma, rel=1e-6)
        names, values = zip(*layer.named_parameters(), strict=True)
        u = logits(1, 3, 2, 3, 3)
        expected = std_softmax(
            u, sigma=sigma, spacing=spacing, lambda1=0.6, iterations=60, gradient=gradient
        )
        assert torch.allclose(layer(u), expected, atol=1e-6)

        def function(u, *values, layer=layer, names=names):
            given = dict(zip(names, values, strict=True))
            return torch.func.functional_call(layer, given, (u,))

        inputs = [u.requires_grad_(), *(v.detach().clone().requires_grad_() for v in values)]
        assert torch.autograd.gradcheck(function, inputs)


def test_wild_steps_leave_everything_positive():
    for direction in (-1.0, 1.0):
        layer = STDSoftmax(sigma=(1.0, 2.0), learn_lambda1=True)
        optimiser = torch.optim.SGD(layer.parameters(), lr=1e3)
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, -direction)
        optimiser.step()
        assert (layer.sigma >= 0.3).all() and layer.lambda1 > 0
        assert torch.isfinite(layer(logits(1, 3, 5, 5, dtype=torch.float32))).all()


def test_layer_outside_autocast_saved_and_built_without_memory():
    layer = STDSoftmax(sigma=(1.0, 2.0), tensions=CHEAP)
    u = logits(1, 3, 6, 8, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(u), layer(u.float()))
    other = STDSoftmax(sigma=(3.0, 3.0), tensions=1 - np.eye(3))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(u), layer(u))
    assert "sigma=(1, 2)" in repr(layer) and "learned: sigma" in repr(layer)
    with torch.device("meta"):
        assert "sigma=?" in repr(STDSoftmax())


def test_fixed_numbers_are_buffers():
    layer = STDSoftmax(lambda1=0.0, learn_sigma=False)
    u = logits(1, 3, 6, 8, dtype=torch.float32)
    assert not list(layer.parameters()) and "none" in repr(layer)
    assert torch.allclose(layer(u), torch.softmax(u, 1), atol=1e-6)


# --- what is refused -----------------------------------------------------------------------------

U = torch.zeros(2, 3, 4, 5)
V = torch.zeros(1, 2, 3, 4, 5)


def run(**given):
    return std_softmax(**({"u": U, "sigma": 1.0} | given))


REFUSED = [
    (lambda: run(u=U[:, :1]), ValueError, "u must have the shape (N, K, H, W)", "(2, 1, 4, 5)"),
    (lambda: run(u=U[0]), ValueError, "u must have the shape (N, K, H, W)", "(3, 4, 5)"),
    (lambda: run(u=U[..., :0]), ValueError, "u must have the shape", "(2, 3, 4, 0)"),
    (lambda: run(u=V[None]), ValueError, "u must have the shape", "(1, 1, 2, 3, 4, 5)"),
    (lambda: run(u=U.long()), TypeError, "u must be a floating-point", "int64"),
    (lambda: run(u=U.half()), TypeError, "u must be float32 or float64", "float16"),
    (lambda: run(u=U / 0), ValueError, "u must be finite", "NaN"),
    (lambda: run(sigma=(1.0, 2.0, 3.0)), ValueError, "sigma must be one number or", "3"),
    (lambda: run(sigma=(1.0, 0.0)), ValueError, "sigma must be positive", "0.0"),
    (lambda: run(sigma=None), TypeError, "sigma must be a number", "NoneType"),
    (lambda: run(sigma="1"), TypeError, "sigma must be a number", "str"),
    (lambda: run(sigma=torch.ones(1, 2)), ValueError, "sigma must be one number", "(1, 2)"),
    (lambda: run(spacing=(1.0, 1.0, 1.0)), ValueError, "spacing must have 2 numbers", "3"),
    (lambda: run(spacing=0.7), TypeError, "spacing must be a sequence", "float"),
    (lambda: run(spacing=(0.7, -1)), ValueError, "spacing must be positive", "-1"),
    (lambda: run(lambda1=-1), ValueError, "lambda1 must be zero or more", "-1"),
    (lambda: run(epsilon=0), ValueError, "epsilon must be positive", "0"),
    (lambda: run(iterations=1.0), TypeError, "iterations must be an integer", "float"),
    (lambda: run(radius=-1), ValueError, "radius must be zero or more", "-1"),
    (lambda: run(gradient="exact"), ValueError, "gradient must be", "exact"),
    (lambda: run(gradient="implicit", iterations=0), ValueError, "at least 1 iteration", "0"),
    (lambda: run(gradient="implicit", lambda1=2.0, u=torch.zeros(1, 2, 31, 31)), ValueError,
     "needs lambda1 ||K||_inf < epsilon", "2 >= 1"),
    (lambda: run(gradient="implicit", lambda1=2.0, u=torch.zeros(1, 4, 31, 31), tensions=LINE),
     ValueError, "times the largest eigenvalue of -tensions < epsilon", ">= 1"),
    (lambda: run(edge_weight=torch.ones(2, 3, 4, 5)), ValueError,
     "edge_weight must have the shape (2, 1, 4, 5)", "(2, 3, 4, 5)"),
    (lambda: run(edge_weight=2 * torch.ones(2, 1, 4, 5)), ValueError,
     "edge_weight must lie in [0, 1]", "2"),
    (lambda: run(edge_weight=0.5), TypeError, "edge_weight must be a tensor", "float"),
    (lambda: run(tensions=np.eye(3)), ValueError, "tensions must be symmetric with zeros", "an"),
    (lambda: run(tensions=np.triu(np.ones((3, 3)), 1)), ValueError, "tensions must be symm", "an"),
    (lambda: run(tensions=LINE), ValueError, "tensions must have the shape (3, 3)", "(4, 4)"),
    (lambda: run(tensions=-CHEAP), ValueError, "tensions must be zero or more", "-1"),
    (lambda: std_softmax_energy(U, U, sigma=1.0), ValueError, "x must add up to 1", "1"),
    (lambda: std_softmax_energy(U - 1, U, sigma=1.0), ValueError, "x must lie in [0, 1]", "-1"),
    (lambda: STDSoftmax(sigma=0.3), ValueError, "learned sigma must start above 0.3", "0.3"),
    (lambda: STDSoftmax(sigma=(1.0, 2.0, 3.0, 4.0)), ValueError, "an image has 2 axes", "4"),
    (lambda: STDSoftmax(sigma=(1.0, 2.0), spacing=(1.0, 1.0, 1.0)), ValueError,
     "spacing must have 2 numbers", "3"),
    (lambda: STDSoftmax(spacing=0.7), TypeError, "spacing must be a sequence", "float"),
    (lambda: STDSoftmax(spacing=(1.0,)), ValueError, "an image has 2 axes", "1"),
    (lambda: STDSoftmax(sigma=0.2, spacing=(2.0, 0.7)), ValueError,
     "learned sigma must start above 0.3 pixels", "0.28"),
    (lambda: STDSoftmax(gradient="both"), ValueError, "gradient must be", "both"),
    (lambda: STDSoftmax(sigma=(1.0, 2.0))(V), ValueError, "are for 2 axes", "3"),
    (lambda: STDSoftmax(tensions=CHEAP)(U[:, :2]), ValueError, "are for 3 classes", "2"),
    (lambda: STDSoftmax()(U[:, :1]), ValueError, "u must have the shape", "(2, 1, 4, 5)"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, wanted, found", REFUSED)
def test_refusals(call, kind, wanted, found):
    with pytest.raises(kind) as error:
        call()
    message = str(error.value)
    assert wanted in message and found in message.split(wanted)[1], message
    assert message.endswith(".") and not re.search(r"[.!?] +[A-Z]", message), message
