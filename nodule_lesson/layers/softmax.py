"""Soft threshold dynamics of several classes: a softmax that knows how long its boundaries are.

The softmax of u / epsilon minimises sum_k -<u_k, x_k> + epsilon <x_k, ln x_k> over all fields
x_k >= 0 with sum_k x_k = 1. With a price on the boundary of each class the energy is

    E(x) = sum_k  -<u_k, x_k> + epsilon <x_k, ln x_k> + lambda1 <x_k, K(1 - x_k)>.

The last term is concave in x. Its slope is lambda1 (K1 - 2 K x_k), and K1, though smaller near
the border of the image, is one field for all classes, which a softmax over the classes does not
see. So the tangent in the place of that term leaves a softmax again:

    x_0 = softmax(u),    x_{t+1} = softmax_k((u_k + 2 lambda1 K x_k) / epsilon).

Every step lowers E, by epsilon KL(x_t || x_{t+1}) + lambda1 sum_k <d_k, K d_k> with
d = x_{t+1} - x_t. Where lambda1 ||K||_inf < epsilon the map contracts by that ratio and has one
fixed point, since a row of the softmax's derivative adds up to at most 1/2. Two classes give the
sigmoid of u_1 - u_0, with twice this lambda1, since a boundary is charged from both its sides.
(Liu, Wang and Tai 2022, doi 10.1007/s10851-022-01087-x.)
"""

import torch

from nodule_lesson.checking import (
    check_unit_interval,
    checked_iterations,
    checked_parameter,
)
from nodule_lesson.layers.arguments import (
    broadcastable_weight,
    check_channels,
    check_logits,
    check_sums_to_one,
    checked_weight,
)
from nodule_lesson.layers.gaussian import SeparableGaussian, checked_widths
from nodule_lesson.layers.iteration import Softmax, last_logits
from nodule_lesson.layers.spatial import SpatialLayer
from nodule_lesson.std import _without_autocast


def std_softmax_energy(
    x,
    u,
    *,
    sigma,
    spacing=None,
    lambda1=0.5,
    epsilon=1.0,
    radius=None,
    edge_weight=None,
    tensions=None,
):
    """The energy E(x), one number per sample, shape (N,): a plain sum over pixels and classes.

    x: probabilities of u's shape that add up to 1 over the classes. Other arguments, and errors:
    as in `std_softmax`.
    """
    check_logits(u, "classes")
    check_channels("x", x, "classes")
    check_unit_interval("x", x, u)
    check_sums_to_one(x)
    widths = checked_widths(u, sigma, spacing, radius)
    lambda1 = checked_parameter("lambda1", lambda1, u, positive=False)
    epsilon = checked_parameter("epsilon", epsilon, u, positive=True)
    tensions = checked_tensions(tensions, u)
    blur = SeparableGaussian(u.shape[2:], widths, weight=checked_weight(edge_weight, u))
    # With one tension for all pairs the others of x_k are 1 - x_k, in the image, 0 outside.
    others = 1 - x if tensions is None else _mixed(tensions, x)
    density = -u * x + epsilon * torch.xlogy(x, x) + lambda1 * x * blur(others)
    return density.flatten(1).sum(1)


def std_softmax(
    u,
    *,
    sigma,
    spacing=None,
    lambda1=0.5,
    epsilon=1.0,
    iterations=10,
    radius=None,
    gradient="unrolled",
    edge_weight=None,
    tensions=None,
):
    """x after `iterations` steps: a regularised softmax of u over the classes, axis 1.

        x = std_softmax(torch.randn(2, 4, 64, 64), sigma=2.0)
        x = std_softmax(torch.randn(1, 3, 24, 64, 64), sigma=1.5, spacing=(2.5, 0.7, 0.7))

    u: logits (N, K, H, W) of images or (N, K, D, H, W) of volumes, K >= 2, float32 or float64; the
    batch axis is never left out. Returns probabilities of u's shape.
    sigma: standard deviation of the Gaussian, one number or one per axis, in pixels, or in mm
    where `spacing` gives the mm per pixel of each axis. Both are in the order of u's axes;
    SimpleITK's GetSpacing() is in the opposite one.
    lambda1, epsilon: weights of boundary and entropy, numbers or 0-d tensors. lambda1 is half of
    what `soft_threshold_dynamics` calls so.
    iterations, radius, gradient: as in `nodule_lesson.std.soft_threshold_dynamics`; radius is in
    pixels, on every axis.
    edge_weight: w in [0, 1] for each pixel, (N, 1, H, W) or (N, 1, D, H, W): w K w replaces K, and
    a boundary costs w^2 of its price there. Small w belongs where the image has an edge.
    tensions: a symmetric (K, K) tensor s with zeros on its diagonal: the boundary between classes
    k and l costs s_kl times as much, sum_kl s_kl <x_k, K x_l> in the energy. It must be
    conditionally negative definite (v' s v <= 0 where v adds up to 0): else steps may raise E.

    Raises ValueError or TypeError for other shapes, types and values, and for gradient="implicit"
    where lambda1 ||K||_inf >= epsilon.
    """
    check_logits(u, "classes")
    widths = checked_widths(u, sigma, spacing, radius)
    lambda1 = checked_parameter("lambda1", lambda1, u, positive=False)
    epsilon = checked_parameter("epsilon", epsilon, u, positive=True)
    weight, tensions = checked_weight(edge_weight, u), checked_tensions(tensions, u)
    steps = checked_iterations(iterations)
    z = _logits(u, widths, lambda1, epsilon, weight, tensions, steps, gradient)
    return torch.softmax(z, 1)


def _logits(u, widths, lambda1, epsilon, weight, tensions, iterations, gradient):
    """The argument of the last softmax."""

    def system():
        blur = SeparableGaussian(u.shape[2:], widths, 2 * lambda1 / epsilon, weight)
        if tensions is None:
            return u / epsilon, blur, blur.of_ones(u)
        norm = blur.of_ones(u) * _largest_eigenvalue(-tensions)
        return u / epsilon, lambda x: -_mixed(tensions, blur(x)), norm

    condition = "lambda1 ||K||_inf < epsilon"
    if tensions is not None:
        condition = "lambda1 ||K||_inf times the largest eigenvalue of -tensions < epsilon"
    cut = any(radius is not None for _, radius in widths)
    return last_logits(u, system, Softmax(), iterations, gradient, condition, epsilon, cut)


def _mixed(tensions, x):
    """sum_l s_kl x_l for each class k."""
    return torch.einsum("kl,nl...->nk...", tensions, x)


def _centred(matrix):
    """P M P, where P takes the mean away: M for vectors whose sum is 0."""
    matrix = matrix - matrix.mean(0, keepdim=True)
    return matrix - matrix.mean(1, keepdim=True)


def _largest_eigenvalue(matrix):
    return torch.linalg.eigvalsh(_centred(matrix)).max()


def checked_tensions(tensions, u):
    """A symmetric, conditionally negative definite (K, K) tensor of u's type; None stays None."""
    if tensions is None:
        return None
    tensions = torch.as_tensor(tensions, dtype=u.dtype, device=u.device)
    classes = u.shape[1]
    if tensions.shape != (classes, classes):
        raise ValueError(
            f"tensions must have the shape ({classes}, {classes}), found {tuple(tensions.shape)}."
        )
    if not torch.equal(tensions, tensions.mT) or tensions.diagonal().any():
        raise ValueError(
            "tensions must be symmetric with zeros on the diagonal, found another matrix."
        )
    if tensions.min() < 0:
        raise ValueError(f"tensions must be zero or more, found {tensions.min().item():.4g}.")
    largest = _largest_eigenvalue(tensions).item()
    if largest > 1e-5 * tensions.max().item():
        raise ValueError(
            "tensions must be conditionally negative definite, or the energy may rise, found "
            f"v' s v = {largest:.4g} for a unit vector v that adds up to 0."
        )
    return tensions


class STDSoftmax(SpatialLayer):
    """The softmax at the end of a segmentation network of several classes, regularised.

        layer = STDSoftmax(sigma=1.5, spacing=(2.5, 0.7, 0.7))
        loss = torch.nn.functional.cross_entropy(layer.logits(u), labels)

    sigma, spacing, lambda1, epsilon, iterations, radius, gradient, tensions: `std_softmax`.
    sigma and lambda1 are learned where their `learn_` flag says so, kept positive by a softplus
    (sigma at least 0.3 pixels on the finest axis); else they are fixed buffers. epsilon is fixed:
    multiplying u, lambda1 and epsilon by one factor changes nothing. The floor of a learned sigma
    and its learning rate are in pixels; `layer.sigma` is in the unit that sigma was given in.

    `forward(u, edge_weight=None)` gives probabilities, `logits` the argument of the last softmax,
    for losses. Runs in float32 (float64 for float64 input), outside autocast.
    """

    def __init__(
        self,
        sigma=1.0,
        spacing=None,
        lambda1=0.5,
        epsilon=1.0,
        iterations=10,
        radius=None,
        gradient="unrolled",
        tensions=None,
        learn_sigma=True,
        learn_lambda1=False,
    ):
        super().__init__(
            sigma,
            spacing,
            lambda1,
            epsilon,
            iterations,
            radius,
            gradient,
            learn_sigma,
            learn_lambda1,
        )
        if tensions is not None:
            tensions = torch.as_tensor(tensions, dtype=torch.get_default_dtype())
            tensions = checked_tensions(tensions, tensions[None])
        self.register_buffer("tensions", tensions)

    def logits(self, u, edge_weight=None):
        """The argument of the last softmax, for losses, such as `cross_entropy`."""
        check_channels("u", u, "classes")
        tensions = self.tensions
        if tensions is not None and u.shape[1] != len(tensions):
            raise ValueError(
                f"the tensions of this layer are for {len(tensions)} classes, "
                f"found u with {u.shape[1]}."
            )
        with _without_autocast(u.device.type):
            u = u if u.dtype == torch.float64 else u.float()
            # Values are not checked: that would synchronise a GPU at every step.
            weight = broadcastable_weight(edge_weight, u)
            return _logits(
                u,
                self.widths(u),
                self.lambda1.to(u),
                self.epsilon.to(u),
                weight,
                None if tensions is None else tensions.to(u),
                self.iterations,
                self.gradient,
            )

    def forward(self, u, edge_weight=None):
        return torch.softmax(self.logits(u, edge_weight), 1)

    def extra_repr(self):
        return self.described(sigma=self.sigma, lambda1=self.lambda1, epsilon=self.epsilon)
