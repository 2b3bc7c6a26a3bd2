"""Soft threshold dynamics of one object in an image or a volume, with a sigma of each axis.

The energy and the iteration are those of `nodule_lesson.std`, and so are the numbers for an image
with one sigma. What is new is K: a Gaussian along two or three axes, of its own width on each, or
of one width in mm where the spacing of the pixels is known, and a weight per pixel.
"""

import torch

from nodule_lesson.checking import (
    broadcastable_c,
    check_unit_interval,
    checked_c,
    checked_iterations,
    checked_number,
    checked_parameter,
)
from nodule_lesson.layers.arguments import (
    broadcastable_weight,
    check_channels,
    check_logits,
    checked_weight,
)
from nodule_lesson.layers.gaussian import SeparableGaussian, checked_widths
from nodule_lesson.layers.iteration import Sigmoid, last_logits
from nodule_lesson.layers.spatial import SpatialLayer
from nodule_lesson.std import _without_autocast


def _checked_weights(u, lambda1, lambda2, epsilon):
    return (
        checked_parameter("lambda1", lambda1, u, positive=False),
        checked_parameter("lambda2", lambda2, u, positive=False),
        checked_parameter("epsilon", epsilon, u, positive=True),
    )


def std_sigmoid_nd_energy(
    x,
    u,
    *,
    sigma,
    spacing=None,
    lambda1=1.0,
    lambda2=0.0,
    c=1.0,
    epsilon=1.0,
    radius=None,
    edge_weight=None,
):
    """The energy of the paper's Eq. (4), one number per sample, shape (N,): a plain sum.

    x: a field in [0, 1] of u's shape. Other arguments, and errors: as in `std_sigmoid_nd`.
    """
    check_logits(u, "one")
    check_channels("x", x, "one")
    check_unit_interval("x", x, u)
    widths = checked_widths(u, sigma, spacing, radius)
    lambda1, lambda2, epsilon = _checked_weights(u, lambda1, lambda2, epsilon)
    c = checked_c(c, u)
    blur = SeparableGaussian(u.shape[2:], widths, weight=checked_weight(edge_weight, u))
    entropy = torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    density = -u * x + epsilon * entropy + lambda1 * x * blur(1 - x) + lambda2 * (1 - c) * x
    return density.flatten(1).sum(1)


def std_sigmoid_nd(
    u,
    *,
    sigma,
    spacing=None,
    lambda1=1.0,
    lambda2=0.0,
    c=1.0,
    epsilon=1.0,
    iterations=10,
    radius=None,
    gradient="unrolled",
    edge_weight=None,
):
    """x after `iterations` steps of the paper's Eq. (5), derived form, on images or volumes.

        x = std_sigmoid_nd(torch.randn(1, 1, 24, 64, 64), sigma=1.5, spacing=(2.5, 0.7, 0.7))
        x = std_sigmoid_nd(torch.randn(4, 1, 64, 64), sigma=(1.0, 2.0))

    u: logits (N, 1, H, W) of images or (N, 1, D, H, W) of volumes, float32 or float64; the batch
    axis and the channel axis are never left out. Returns x in [0, 1] of u's shape.
    sigma: standard deviation of the Gaussian, one number or one per axis, in pixels, or in mm
    where `spacing` gives the mm per pixel of each axis. Both are in the order of u's axes;
    SimpleITK's GetSpacing() is in the opposite one.
    edge_weight: w in [0, 1] for each pixel, u's shape: w K w replaces K, and a boundary costs w^2
    of its price there. Small w belongs where the image has an edge.
    The other arguments and the errors are those of `nodule_lesson.std.soft_threshold_dynamics`;
    radius is in pixels, on every axis.
    """
    check_logits(u, "one")
    widths = checked_widths(u, sigma, spacing, radius)
    lambda1, lambda2, epsilon = _checked_weights(u, lambda1, lambda2, epsilon)
    c, weight = checked_c(c, u), checked_weight(edge_weight, u)
    steps = checked_iterations(iterations)
    z = _logits(u, widths, lambda1, lambda2, epsilon, c, weight, steps, gradient)
    return torch.sigmoid(z)


def _logits(u, widths, lambda1, lambda2, epsilon, c, weight, iterations, gradient):
    """The argument of the last sigmoid."""

    def system():
        blur = SeparableGaussian(u.shape[2:], widths, 2 * lambda1 / epsilon, weight)
        rows = blur.of_ones(u)
        return (u - lambda2 * (1 - c)) / epsilon - rows / 2, blur, rows

    condition = "lambda1 ||K||_inf < 2 epsilon"
    cut = any(radius is not None for _, radius in widths)
    return last_logits(u, system, Sigmoid(), iterations, gradient, condition, epsilon, cut)


class STDSigmoidNd(SpatialLayer):
    """The sigmoid at the end of a network for images or volumes, regularised: the paper's Eq. (5).

        layer = STDSigmoidNd(sigma=1.5, spacing=(2.5, 0.7, 0.7))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(layer.logits(u), mask)

    sigma, spacing, lambda1, lambda2, epsilon, iterations, radius, gradient: `std_sigmoid_nd`.
    sigma, lambda1 and lambda2 are learned where their `learn_` flag says so, kept positive by a
    softplus (sigma at least 0.3 pixels on the finest axis); else they are fixed buffers. epsilon
    is fixed: multiplying u, lambda1, lambda2 and epsilon by one factor changes nothing. The floor
    of a learned sigma and its learning rate are in pixels; `layer.sigma` is in the unit that sigma
    was given in.

    `forward(u, c=None, edge_weight=None)` gives x, `logits` the argument of the last sigmoid, for
    losses. c is the classifier's probability, one number or one per sample, detached here; None
    means no prior. Runs in float32 (float64 for float64 input), outside autocast.
    """

    def __init__(
        self,
        sigma=1.0,
        spacing=None,
        lambda1=1.0,
        lambda2=1.0,
        epsilon=1.0,
        iterations=10,
        radius=None,
        gradient="unrolled",
        learn_sigma=True,
        learn_lambda2=True,
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
        lambda2 = checked_number("lambda2", lambda2, positive=False)
        self.add_number("lambda2", lambda2, 1e-6, learn_lambda2)

    @property
    def lambda2(self):
        """Weight of the detection prior, a 0-d tensor."""
        return self.number("lambda2")

    def logits(self, u, c=None, edge_weight=None):
        """The argument of the last sigmoid, for losses that must not saturate."""
        check_channels("u", u, "one")
        with _without_autocast(u.device.type):
            u = u if u.dtype == torch.float64 else u.float()
            # The values of u and c are not checked: that would synchronise a GPU at every step.
            c = broadcastable_c(1.0 if c is None else c, u).detach()
            weight = broadcastable_weight(edge_weight, u)
            values = [self.number(name).to(u) for name in ("lambda1", "lambda2", "epsilon")]
            widths = self.widths(u)
            return _logits(u, widths, *values, c, weight, self.iterations, self.gradient)

    def forward(self, u, c=None, edge_weight=None):
        return torch.sigmoid(self.logits(u, c, edge_weight))

    def extra_repr(self):
        names = ("lambda1", "lambda2", "epsilon")
        return self.described(sigma=self.sigma, **{name: self.number(name) for name in names})
