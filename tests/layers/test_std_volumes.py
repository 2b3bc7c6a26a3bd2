"""Volumes and a sigma per axis, against scipy and against the layer of the lesson."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter
from scipy.special import expit, rel_entr, xlogy

from nodule_lesson.layers import STDSigmoidNd, std_sigmoid_nd, std_sigmoid_nd_energy
from nodule_lesson.std import STDSigmoid, soft_threshold_dynamics, std_energy

GRADIENTS = ("unrolled", "implicit")
F64 = torch.float64


def scipy_blur(field, sigma, radius=None, weight=1.0):
    radius = tuple(n - 1 for n in field.shape) if radius is None else radius
    blurred = gaussian_filter(weight * field, sigma, mode="constant", cval=0.0, radius=radius)
    return weight * blurred


def numpy_energy(x, u, sigma, lambda1, lambda2, c, epsilon, radius=None, weight=1.0):
    entropy = xlogy(x, x).sum() + xlogy(1 - x, 1 - x).sum()
    length = (x * scipy_blur(1 - x, sigma, radius, weight)).sum()
    return -(u * x).sum() + epsilon * entropy + lambda1 * length + lambda2 * (1 - c) * x.sum()


def numpy_iteration(u, sigma, lambda1, lambda2, c, epsilon, iterations, radius=None, weight=1.0):
    x = expit(u)
    for _ in range(iterations):
        shift = lambda1 * scipy_blur(1 - 2 * x, sigma, radius, weight) + lambda2 * (1 - c)
        x = expit((u - shift) / epsilon)
    return x


def logits(*shape, seed=0, dtype=F64):
    return torch.as_tensor(2 * np.random.default_rng(seed).standard_normal(shape), dtype=dtype)


quick = settings(deadline=None, max_examples=25)
sizes = st.lists(st.integers(1, 5), min_size=2, max_size=3).map(tuple)
fields = sizes.flatmap(lambda s: hnp.arrays(np.float64, s, elements=st.floats(-4, 4)))
unit = st.floats(0, 1)


def drawn(data, u):
    """Settings of an iteration on the field u of numpy: ours, and scipy's."""
    weight = data.draw(st.one_of(st.none(), hnp.arrays(np.float64, u.shape, elements=unit)))
    common = dict(
        sigma=data.draw(st.tuples(*[st.floats(0.3, 5)] * u.ndim)),
        lambda1=data.draw(st.floats(0, 4)), lambda2=data.draw(st.floats(0, 3)),
        c=data.draw(unit), epsilon=data.draw(st.floats(0.5, 2)),
        radius=data.draw(st.one_of(st.none(), st.integers(0, 3))),
    )  # fmt: skip
    ours = common | {
        "edge_weight": None if weight is None else torch.from_numpy(weight)[None, None]
    }
    return ours, common | {"weight": 1.0 if weight is None else weight}


@quick
@given(fields, st.data(), st.integers(0, 8))
def test_iteration_and_energy_are_those_of_scipy(u, data, iterations):
    ours, scipys = drawn(data, u)
    field = torch.from_numpy(u)[None, None]
    x = std_sigmoid_nd(field, iterations=iterations, **ours)
    expected = numpy_iteration(u, iterations=iterations, **scipys)
    np.testing.assert_allclose(x[0, 0], expected, atol=1e-11)
    energy = std_sigmoid_nd_energy(x, field, **ours)
    assert energy.item() == pytest.approx(numpy_energy(expected, u, **scipys), abs=1e-8)


@quick
@given(fields, st.data())
def test_descent_identity(u, data):
    """Also with a weight: w K w is symmetric, and positive semidefinite where K is."""
    ours, scipys = drawn(data, u)
    if ours["radius"] is not None:
        ours["lambda1"] = scipys["lambda1"] = min(ours["lambda1"], 2 * ours["epsilon"])
    field = torch.from_numpy(u)[None, None]
    steps = [std_sigmoid_nd(field, iterations=t, **ours) for t in range(5)]
    for before, after in zip(steps[:-1], steps[1:], strict=True):
        energies = [std_sigmoid_nd_energy(x, field, **ours).item() for x in (before, after)]
        x, y = before[0, 0].numpy(), after[0, 0].numpy()
        kl = (rel_entr(x, y) + rel_entr(1 - x, 1 - y)).sum()
        blurred = scipy_blur(y - x, scipys["sigma"], scipys["radius"], scipys["weight"])
        fall = ours["epsilon"] * kl + ours["lambda1"] * ((y - x) * blurred).sum()
        assert energies[0] - energies[1] == pytest.approx(fall, abs=1e-8)
        assert fall >= -1e-12


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("radius", [None, 2])
def test_on_images_it_is_the_layer_of_the_lesson(gradient, radius):
    u, c = logits(3, 1, 7, 12), torch.tensor([0.1, 0.6, 1.0], dtype=F64)
    run = dict(sigma=1.4, lambda1=0.9, lambda2=0.8, c=c, epsilon=0.9, radius=radius)
    slopes = []
    for function in (std_sigmoid_nd, soft_threshold_dynamics):
        leaf = u.clone().requires_grad_()
        x = function(leaf, iterations=8, gradient=gradient, **run)
        x.square().sum().backward()
        slopes.append((x.detach(), leaf.grad))
    for a, b in zip(*slopes, strict=True):
        assert torch.allclose(a, b, atol=1e-13)
    x = slopes[0][0]
    assert torch.allclose(std_sigmoid_nd_energy(x, u, **run), std_energy(x, u, **run))


def test_a_slice_between_nothing_is_an_image():
    """With a tiny sigma across the slices each of them is smoothed by itself."""
    u = logits(1, 1, 4, 6, 5)
    x = std_sigmoid_nd(u, sigma=(0.05, 1.5, 1.5), lambda1=0.8)
    expected = soft_threshold_dynamics(u[0, 0], sigma=1.5, lambda1=0.8)
    assert torch.allclose(x[0, 0], expected, atol=1e-14)
    lone = logits(2, 1, 1, 6, 5)
    flat = std_sigmoid_nd(lone, sigma=1.5, lambda1=0.8)
    assert torch.allclose(flat[:, 0, 0], soft_threshold_dynamics(lone[:, 0, 0], sigma=1.5,
                                                                 lambda1=0.8))  # fmt: skip


def test_axes_are_interchangeable():
    u = logits(2, 1, 4, 6, 5)
    x = std_sigmoid_nd(u, sigma=(0.7, 1.5, 3.0), lambda2=1.0, c=0.3)
    turned = std_sigmoid_nd(u.permute(0, 1, 4, 2, 3), sigma=(3.0, 0.7, 1.5), lambda2=1.0, c=0.3)
    assert torch.allclose(turned, x.permute(0, 1, 4, 2, 3), atol=1e-14)


def test_a_ball_in_mm_stays_a_ball():
    """On voxels of 1 x 1 x 3 mm a sigma in mm shrinks all directions alike; one in pixels not."""
    spacing = (3.0, 1.0, 1.0)
    z, y, x = (torch.arange(n).double() * mm for n, mm in zip((14, 42, 42), spacing, strict=True))
    z, y, x = z - z.mean(), y - y.mean(), x - x.mean()
    distance = torch.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    u = (1.2 * (12 - distance)).clamp(-1.2, 1.2)[None, None]

    def extents(**given):
        mask = std_sigmoid_nd(u, lambda1=1.9, iterations=60, **given)[0, 0]
        # Sub-voxel radius along an axis: half of the sum of x over a line through the middle.
        along_z = mask[:, 20:22, 20:22].mean((1, 2)).sum().item() * 3 / 2
        along_x = mask[6:8, 20:22].mean((0, 1)).sum().item() / 2
        return along_z - along_x

    assert abs(extents(sigma=3.0, spacing=spacing)) < 0.5 * abs(extents(sigma=3.0))


@pytest.mark.parametrize("gradient, iterations", [("unrolled", 4), ("implicit", 80)])
@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (1, 1, 2, 3, 2)])
@pytest.mark.parametrize("radius", [None, 1])
def test_gradcheck(gradient, iterations, shape, radius):
    values = [1.1, 0.8, 1.6, 1.0, 0.6, 0.9]
    values = [torch.tensor(v, dtype=F64, requires_grad=True) for v in values]
    weight = torch.sigmoid(logits(*shape, seed=3)).requires_grad_()

    def function(u, weight, *values):
        return std_sigmoid_nd(
            u, sigma=values[: len(shape) - 2], lambda1=values[3], lambda2=values[4], c=0.3,
            epsilon=values[5], edge_weight=weight, iterations=iterations, radius=radius,
            gradient=gradient,
        )  # fmt: skip

    assert torch.autograd.gradcheck(function, (logits(*shape).requires_grad_(), weight, *values))


@pytest.mark.parametrize("dtype, rtol", [(F64, 1e-10), (torch.float32, 5e-5)])
def test_implicit_gradient_is_the_limit_of_the_unrolled_one(dtype, rtol):
    found = []
    for gradient, kind in (("implicit", dtype), ("unrolled", F64)):
        u = logits(2, 1, 5, 6, 4).to(kind).requires_grad_()
        sigma = torch.tensor([0.8, 1.5, 2.0], dtype=kind, requires_grad=True)
        x = std_sigmoid_nd(u, sigma=sigma, lambda1=1.6, iterations=900, gradient=gradient)
        x.backward(logits(2, 1, 5, 6, 4, seed=7).to(kind))
        found.append([u.grad.double(), sigma.grad.double()])
    for implicit, unrolled in zip(*found, strict=True):
        assert (implicit - unrolled).abs().max() <= rtol * unrolled.abs().max()


def test_an_edge_weight_makes_the_boundary_cheap_where_it_is_small():
    """A speck whose four neighbours lie behind an edge stays; the same speck in the open goes."""
    u = torch.full((1, 1, 21, 21), -2.0, dtype=F64)
    u[..., 10, 5] = u[..., 10, 15] = 1.5
    weight = torch.ones_like(u)
    weight[..., 10, 15] = 0.1
    x = std_sigmoid_nd(u, sigma=1.5, lambda1=1.9, iterations=40, edge_weight=weight)
    assert x[0, 0, 10, 15] > 0.5 > x[0, 0, 10, 5]


# --- the layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_layer_is_the_function(dtype):
    u, c = logits(2, 1, 3, 5, 6).to(dtype), torch.tensor([0.2, 0.9])
    weight = torch.rand(2, 1, 3, 5, 6)
    layer = STDSigmoidNd(sigma=1.5, spacing=(2.5, 0.7, 0.7), lambda2=2.0, iterations=6)
    x = layer(u, c, weight)
    assert x.dtype == (F64 if dtype == F64 else torch.float32) and x.shape == u.shape
    expected = std_sigmoid_nd(
        u.double(), sigma=1.5, spacing=(2.5, 0.7, 0.7), lambda2=2.0, c=c, iterations=6,
        edge_weight=weight,
    )  # fmt: skip
    assert torch.allclose(x.double(), expected, atol=2e-6)
    assert torch.equal(torch.sigmoid(layer.logits(u, c, weight)), x)
    assert {name for name, _ in layer.named_parameters()} == {"raw_sigma", "raw_lambda2"}
    assert "sigma=1.5" in repr(layer) and "learned: sigma, lambda2" in repr(layer)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_layer_on_images_is_the_layer_of_the_lesson(gradient):
    u, c = logits(2, 1, 8, 6, dtype=torch.float32), torch.tensor([0.2, 0.9])
    slopes = []
    for kind in (STDSigmoid, STDSigmoidNd):
        layer = kind(sigma=2.0, lambda1=0.8, lambda2=1.5, gradient=gradient, learn_lambda1=True)
        layer(u, c).square().sum().backward()
        slopes.append({name: p.grad for name, p in layer.named_parameters()})
    assert slopes[0].keys() == slopes[1].keys()
    for name, slope in slopes[0].items():
        assert torch.allclose(slope, slopes[1][name], rtol=1e-4)


def test_layer_learns_sigma_on_each_axis_and_c_gets_no_gradient():
    layer = STDSigmoidNd(sigma=(0.8, 1.5, 1.5), gradient="implicit")
    c = torch.tensor([0.4], requires_grad=True)
    layer(logits(1, 1, 4, 6, 6, dtype=torch.float32), c).square().sum().backward()
    assert layer.raw_sigma.grad.shape == (3,) and (layer.raw_sigma.grad != 0).all()
    assert c.grad is None and layer.raw_lambda2.grad != 0
    without = STDSigmoidNd(sigma=(0.8, 1.5, 1.5), learn_sigma=False, learn_lambda2=False)
    assert not list(without.parameters())
    u = logits(1, 1, 4, 6, 6, dtype=torch.float32)
    assert torch.allclose(without(u), layer(u), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 9, 7), (1, 1, 4, 6, 5)])
def test_exported_layers_take_other_sizes(shape):
    layer = STDSigmoidNd(sigma=1.5, gradient="implicit").eval()
    u = torch.randn(2, *shape[1:])
    size = {axis: torch.export.Dim(f"size{axis}") for axis in range(len(shape)) if axis != 1}
    with torch.no_grad():
        program = torch.export.export(layer, (u,), dynamic_shapes=(size,), strict=False).module()
        other = torch.randn(3, 1, *(n + 3 for n in shape[2:]))
        assert torch.allclose(program(other), layer(other), atol=1e-6)


U = torch.zeros(2, 1, 3, 4, 5)
REFUSED = [
    (dict(u=U[:, 0]), ValueError, "u must have the shape (N, 1, H, W)", "(2, 3, 4, 5)"),
    (dict(u=U[0, 0]), ValueError, "u must have the shape (N, 1, H, W)", "(3, 4, 5)"),
    (dict(u=U[0, 0, 0]), ValueError, "u must have the shape (N, 1, H, W)", "(4, 5)"),
    (dict(u=U.expand(2, 2, 3, 4, 5)), ValueError, "u must have the shape", "(2, 2, 3, 4, 5)"),
    (dict(u=U.int()), TypeError, "u must be a floating-point tensor", "int32"),
    (dict(sigma=(1.0, 2.0)), ValueError, "sigma must be one number or one per axis", "2"),
    (dict(spacing=(1.0, 2.0)), ValueError, "spacing must have 3 numbers", "2"),
    (dict(spacing=2.0), TypeError, "spacing must be a sequence", "float"),
    (dict(lambda1=-1.0), ValueError, "lambda1 must be zero or more", "-1"),
    (dict(lambda2=-1.0), ValueError, "lambda2 must be zero or more", "-1"),
    (dict(epsilon=0.0), ValueError, "epsilon must be positive", "0"),
    (dict(c=1.5), ValueError, "c must lie in [0, 1]", "1.5"),
    (dict(c=torch.ones(3)), ValueError, "c must be one number or one per sample", "(3,)"),
    (dict(edge_weight=U[:, 0]), ValueError, "edge_weight must have the shape", "(2, 3, 4, 5)"),
    (dict(gradient="implicit", lambda1=8.0), ValueError, "lambda1 ||K||_inf < 2 epsilon", ">= 2"),
]  # fmt: skip


@pytest.mark.parametrize("given_, kind, wanted, found", REFUSED)
def test_refusals(given_, kind, wanted, found):
    with pytest.raises(kind) as error:
        std_sigmoid_nd(**({"u": U, "sigma": 1.0} | given_))
    message = str(error.value)
    assert wanted in message and found in message.split(wanted)[1], message
    assert message.endswith(".") and not re.search(r"[.!?] +[A-Z]", message), message
