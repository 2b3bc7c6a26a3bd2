"""Soft threshold dynamics: a sigmoid that knows how long its boundary is.

The sigmoid minimises an energy, Eq. (1) of Zhang et al. (arXiv 2410.20154). Adding a boundary
length, Eq. (2), and a detection prior, Eq. (4), gives

    E(x) = -<u, x> + epsilon <x, ln x> + epsilon <1 - x, ln(1 - x)>
           + lambda1 <x, K(1 - x)> + lambda2 (1 - c) <1, x>,            0 <= x <= 1,

and a few steps of a fixed-point iteration bring it down, Eq. (5) in its derived form:

    x_0 = Sig(u),    x_{t+1} = Sig((u - lambda1 K(1 - 2 x_t) - lambda2 (1 - c)) / epsilon).

Sig is the logistic function and K the convolution with a Gaussian of standard deviation sigma
pixels; outside the image the convolved field is 0. The paper's first version prints x_t instead of
u; `printed_iteration` is that map, kept so that the lesson can compare the two.
"""

import contextlib
import math
from numbers import Integral

import torch

from nodule_lesson import adjoint, bands
from nodule_lesson.checking import (
    broadcastable_c,
    check_field,
    check_shape,
    check_unit_interval,
    checked_c,
    checked_iterations,
    checked_number,
    checked_parameter,
    checked_parameters,
    checked_radius,
)
from nodule_lesson.positive import PositiveNumbers

# --- the Gaussian operator K ------------------------------------------------------------------


def gaussian_matrix(size, sigma, radius=None):
    """Toeplitz matrix G of a one-dimensional Gaussian, so that K f = G_H f G_W.

    size: number of pixels. sigma: standard deviation in pixels, a number or a 0-d tensor.
    radius: taps further than this are cut; None keeps all `size - 1` of them, and only then is T
    positive definite for every sigma. Taps are exp(-i^2 / (2 sigma^2)) for |i| <= radius, divided
    by their sum. Returns a symmetric (size, size) tensor, differentiable in sigma.
    Raises ValueError for sigma <= 0, size < 1 or radius < 0, TypeError for other types.
    """
    if not isinstance(size, Integral) or size < 1:
        raise ValueError(f"size must be an integer of at least 1, found {size!r}.")
    like = sigma if torch.is_tensor(sigma) else torch.empty((), dtype=torch.get_default_dtype())
    sigma = checked_parameter("sigma", sigma, like, positive=True)
    return _gaussian_matrix(size, sigma, checked_radius(radius))


def _gaussian_matrix(size, sigma, radius):
    radius = size - 1 if radius is None else radius
    position = torch.arange(size, dtype=sigma.dtype, device=sigma.device)
    offset = torch.arange(-radius, radius + 1, dtype=sigma.dtype, device=sigma.device)
    distance = (position[:, None] - position[None, :]).abs()
    exponent = -0.5 * (distance / sigma) ** 2
    # Far taps would be denormal numbers, which slow processors down: they and their gradients are
    # set to 0. The limit is half the range of exponents, so that products with x are normal, too.
    outside = (distance > radius) | (exponent < _smallest_exponent(sigma.dtype))
    taps = torch.exp(exponent.masked_fill(outside, -math.inf))
    return taps / torch.exp(-0.5 * (offset / sigma) ** 2).sum()


def _smallest_exponent(dtype):
    return 0.5 * math.log(torch.finfo(dtype).tiny)


def gaussian_blur(field, sigma, radius=None):
    """K f: the field convolved with a Gaussian, as if the field were 0 outside the image.

    field: (..., H, W), float32 or float64. sigma, radius: as in `gaussian_matrix`.
    Returns a tensor of the same shape, differentiable in the field and in sigma.
    """
    if not torch.is_tensor(field) or field.dtype not in (torch.float32, torch.float64):
        found = field.dtype if torch.is_tensor(field) else type(field).__name__
        raise TypeError(f"field must be a float32 or float64 tensor, found {found}.")
    if field.ndim < 2 or 0 in field.shape[-2:]:
        raise ValueError(f"field must have the shape (..., H, W), found {tuple(field.shape)}.")
    checked_sigma = checked_parameter("sigma", sigma, field, positive=True)
    radius = _effective_radius(sigma, field, checked_radius(radius))
    return _Blur(field, checked_sigma, radius)(field)


class _Blur:
    """`factor` K for fields like this one: G_H f G_W, with both matrices computed once.

    On a large image with a radius the matrices are narrow bands, and the products are computed
    block by block.
    """

    def __init__(self, field, sigma, radius, factor=1):
        self.radius = radius
        height, width = field.shape[-2:]
        # An exported program must work for all sizes, so it must not depend on this one.
        exported = torch.compiler.is_compiling()
        self.narrow = [
            not exported and radius is not None and bands.is_narrow(size, radius)
            for size in (height, width)
        ]
        sizes = [
            bands.BLOCK + 2 * radius if narrow else size
            for size, narrow in zip((height, width), self.narrow, strict=True)
        ]
        rows = _gaussian_matrix(sizes[0], sigma, radius)
        same = not exported and sizes[0] == sizes[1]
        self.columns = rows if same else _gaussian_matrix(sizes[1], sigma, radius)
        self.rows = factor * rows

    def __call__(self, field):
        return self.from_right(self.from_left(field))

    def from_left(self, field):
        if self.narrow[0]:
            return bands.times_from_left(self.rows, field, self.radius)
        # expand() gives one matrix per sample without a copy. With a single matrix, matmul would
        # fold the batch into it and transpose the fields.
        return self.rows.expand(*field.shape[:-2], -1, -1) @ field

    def from_right(self, field):
        if self.narrow[1]:
            return bands.times(field, self.columns, self.radius)
        return field @ self.columns

    def of_ones(self, field):
        """K 1, the blur of a field of ones, which is smaller near the border: (H, W)."""
        height, width = field.shape[-2:]
        column, row = field.new_ones(height, 1), field.new_ones(1, width)
        return self.from_left(column) * self.from_right(row)


def _effective_radius(sigma, field, radius):
    """`radius`; for None the radius beyond which all taps are 0 anyway, if sigma is a number.

    The value of a learned sigma is not read, since that would synchronise a GPU at every step.
    """
    if radius is not None or torch.is_tensor(sigma):
        return radius
    radius = math.ceil(sigma * math.sqrt(-2 * _smallest_exponent(field.dtype)))
    return radius if radius < min(field.shape[-2:]) - 1 else None


# --- the energy ---------------------------------------------------------------------------------


def std_energy(x, u, *, sigma, lambda1=1.0, lambda2=0.0, c=1.0, epsilon=1.0, radius=None):
    """The energy E(x) of the paper's Eq. (4), one number per sample; its Eq. (2) with lambda2 = 0.

    x, u: (H, W), (N, H, W) or (N, 1, H, W), the same shape, x in [0, 1]; a plain sum over the
    pixels, with 0 ln 0 = 0. c: a number in [0, 1] or one per sample. Returns a 0-d tensor for an
    (H, W) input, else shape (N,). Raises ValueError or TypeError for input of another kind.
    """
    check_field("u", u)
    check_field("x", x)
    check_unit_interval("x", x, u)
    parameters = checked_parameters(u, sigma, lambda1, lambda2, epsilon)
    radius = _effective_radius(sigma, u, checked_radius(radius))
    sigma, lambda1, lambda2, epsilon = parameters
    c = checked_c(c, u)
    blur = _Blur(u, sigma, radius)
    entropy = torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    length = x * blur(1 - x)
    density = -u * x + epsilon * entropy + lambda1 * length + lambda2 * (1 - c) * x
    return density.sum() if u.ndim == 2 else density.flatten(1).sum(1)


# --- the iteration -------------------------------------------------------------------------------


def soft_threshold_dynamics(
    u,
    *,
    sigma,
    lambda1=1.0,
    lambda2=0.0,
    c=1.0,
    epsilon=1.0,
    iterations=10,
    radius=None,
    gradient="unrolled",
):
    """x after `iterations` steps of the paper's Eq. (5), derived form: a regularised sigmoid of u.

    u: logits, (H, W), (N, H, W) or (N, 1, H, W), float32 or float64. Three dimensions are always
    a batch of N images, each blurred by itself: not classes (C, H, W), not a volume (D, H, W).
    sigma (pixels), lambda1, lambda2, epsilon: numbers or 0-d tensors. c: a number in [0, 1] or one
    per sample, shape (N,). Returns x in [0, 1] of u's shape; zero iterations give Sig(u).

    gradient="unrolled" differentiates the steps that were run. gradient="implicit" runs the same
    steps, keeps one in memory, and differentiates the fixed point that they approach (first
    derivatives only); it raises ValueError where lambda1 ||K||_inf >= 2 epsilon, since the map
    need not contract there. Other ValueErrors and TypeErrors name the argument that is off.
    """
    check_field("u", u)
    parameters = checked_parameters(u, sigma, lambda1, lambda2, epsilon)
    radius = _effective_radius(sigma, u, checked_radius(radius))
    c = checked_c(c, u)
    steps = checked_iterations(iterations)
    return torch.sigmoid(_logits(u, *parameters, c, steps, radius, gradient))


def iterates(
    u,
    *,
    start=None,
    sigma,
    lambda1=1.0,
    lambda2=0.0,
    c=1.0,
    epsilon=1.0,
    iterations=10,
    radius=None,
):
    """The list x_0 .. x_T that `soft_threshold_dynamics` runs through.

    start: a field in [0, 1] of u's shape, or one number, that replaces x_0 = Sig(u). Starting
    from 0 and from 1 brackets every fixed point. Other arguments: `soft_threshold_dynamics`.
    """
    check_field("u", u)
    parameters = checked_parameters(u, sigma, lambda1, lambda2, epsilon)
    if start is None:
        x = torch.sigmoid(u)
    else:
        x = torch.as_tensor(start, dtype=u.dtype, device=u.device)
        x = x.expand_as(u) if x.ndim == 0 else x
        check_unit_interval("start", x, u)
    radius = _effective_radius(sigma, u, checked_radius(radius))
    step = _step(u, *parameters, checked_c(c, u), radius)
    fields = [x]
    for _ in range(checked_iterations(iterations)):
        fields.append(torch.sigmoid(step(fields[-1])))
    return fields


def printed_iteration(
    u, *, sigma, lambda1=1.0, lambda2=0.0, c=1.0, epsilon=1.0, iterations=10, radius=None
):
    """The paper's Eq. (5) as arXiv v1 prints it, with x_t where the derivation has u.

    It forgets its input: for lambda1 = epsilon = 1 it contracts by 3/4 per step to one fixed point
    that does not depend on u. Arguments and result: `soft_threshold_dynamics`.
    """
    check_field("u", u)
    parameters = checked_parameters(u, sigma, lambda1, lambda2, epsilon)
    c, radius = checked_c(c, u), _effective_radius(sigma, u, checked_radius(radius))
    # The printed map is the derived one with the current x instead of u.
    step = _step(torch.zeros_like(u), *parameters, c, radius)
    epsilon = parameters[-1]
    x = torch.sigmoid(u)
    for _ in range(checked_iterations(iterations)):
        x = torch.sigmoid(x / epsilon + step(x))
    return x


def _step(u, sigma, lambda1, lambda2, epsilon, c, radius):
    """x -> (u - lambda1 K(1 - 2x) - lambda2 (1 - c)) / epsilon, the argument of the next sigmoid.

    With A = (2 lambda1 / epsilon) K it is (u - lambda2 (1 - c)) / epsilon - A 1 / 2 + A x, since K
    is linear: all that does not change is computed once.
    """
    blur = _Blur(u, sigma, radius, factor=2 * lambda1 / epsilon)
    constant = (u - lambda2 * (1 - c)) / epsilon - blur.of_ones(u) / 2
    return lambda x: constant + blur(x)


def _logits(u, sigma, lambda1, lambda2, epsilon, c, iterations, radius, gradient):
    """The argument of the last sigmoid: its sigmoid is x after `iterations` steps."""
    # The implicit form has the same value, so an exported program needs only this one.
    if gradient == "unrolled" or (gradient == "implicit" and torch.compiler.is_compiling()):
        step = _step(u, sigma, lambda1, lambda2, epsilon, c, radius)
        z = u
        for _ in range(iterations):
            z = step(torch.sigmoid(z))
        return z
    if gradient == "implicit":
        return _implicit_logits(u, sigma, lambda1, lambda2, epsilon, c, iterations, radius)
    raise ValueError(f'gradient must be "unrolled" or "implicit", found {gradient!r}.')


# --- the implicit gradient ----------------------------------------------------------------------


def _implicit_logits(u, sigma, lambda1, lambda2, epsilon, c, iterations, radius):
    """Same value as unrolling; the gradient is that of the fixed point z = step(Sig(z)).

    Only the last step is recorded. A hook turns the gradient g that arrives at z into the
    solution w of the adjoint equation w = g + D A w, with D = x (1 - x) = S^2 and A = 2 lambda1 K
    / epsilon; the recorded step then carries w on to u and to the parameters.
    """
    if iterations < 1:
        raise ValueError(f"an implicit gradient needs at least 1 iteration, found {iterations}.")
    step = _step(u, sigma, lambda1, lambda2, epsilon, c, radius)
    with torch.no_grad():
        blur = _Blur(u, sigma, radius, factor=2 * lambda1 / epsilon)
        contraction = blur.of_ones(u).max().item() / 4  # lambda1 ||K||_inf / (2 epsilon)
        if contraction >= 1:
            bound = 2 * epsilon.item()
            raise ValueError(
                "an implicit gradient needs lambda1 ||K||_inf < 2 epsilon, found "
                f"{contraction * bound:.4g} >= {bound:.4g}."
            )
        z = u
        for _ in range(iterations - 1):
            z = step(torch.sigmoid(z))
        x = torch.sigmoid(z)
    z = step(x)
    if z.requires_grad:
        root = torch.sigmoid(z.detach())
        root = torch.sqrt(root * (1 - root))
        # K is positive definite; truncated by a radius it may have negative eigenvalues.
        low = 1 - contraction
        high = 1 if radius is None else 1 + contraction

        def half(v):
            return root * v

        z.register_hook(lambda g: adjoint.solve(g, half, half, blur, low, high, axes=(-2, -1)))
    return z


# --- the layer ----------------------------------------------------------------------------------


class STDSigmoid(PositiveNumbers):
    """The sigmoid at the end of a segmentation network, regularised: the paper's Eq. (5), derived.

    sigma (pixels), lambda1, lambda2, epsilon: initial values. Those named by a `learn_` flag are
    parameters kept positive by a softplus (sigma at least 0.3 pixels: below, a pixel grid gives
    it no gradient); the others are fixed buffers. lambda1 and epsilon are fixed by default:
    multiplying u, lambda1, lambda2 and epsilon by one factor changes nothing in the end, so all of
    them cannot be learned at once. Runs in float32 (float64 for float64 input), outside autocast.

    `forward(u, c=None)` on (H, W), (N, H, W) or (N, 1, H, W) gives x of the same shape; (N, H, W)
    is a batch of images, neither classes nor a volume. c is the classifier's probability, one
    number or one per sample, detached here; None means no prior.
    """

    # Lower bounds of learned values; a softplus alone would underflow to 0.
    FLOORS = {"sigma": 0.3, "lambda1": 1e-6, "lambda2": 1e-6, "epsilon": 0.01}

    def __init__(
        self,
        sigma=1.0,
        lambda1=1.0,
        lambda2=1.0,
        epsilon=1.0,
        iterations=10,
        radius=None,
        gradient="unrolled",
        learn_sigma=True,
        learn_lambda2=True,
        learn_lambda1=False,
        learn_epsilon=False,
    ):
        super().__init__()
        if gradient not in ("unrolled", "implicit"):
            raise ValueError(f'gradient must be "unrolled" or "implicit", found {gradient!r}.')
        self.iterations = checked_iterations(iterations)
        self.radius = checked_radius(radius)
        self.gradient = gradient
        values = {"sigma": sigma, "lambda1": lambda1, "lambda2": lambda2, "epsilon": epsilon}
        learned = (learn_sigma, learn_lambda1, learn_lambda2, learn_epsilon)
        for (name, floor), learn in zip(self.FLOORS.items(), learned, strict=True):
            value = checked_number(name, values[name], positive=name in ("sigma", "epsilon"))
            self.add_number(name, value, floor, learn)

    @property
    def sigma(self):
        """Standard deviation of the Gaussian in pixels, a 0-d tensor."""
        return self.number("sigma")

    @property
    def lambda1(self):
        """Weight of the boundary length, a 0-d tensor."""
        return self.number("lambda1")

    @property
    def lambda2(self):
        """Weight of the detection prior, a 0-d tensor."""
        return self.number("lambda2")

    @property
    def epsilon(self):
        """Weight of the entropy, a 0-d tensor."""
        return self.number("epsilon")

    def logits(self, u, c=None):
        """The argument of the last sigmoid, for losses that must not saturate."""
        check_shape("u", u)
        with _without_autocast(u.device.type):
            u = u if u.dtype == torch.float64 else u.float()
            # The values of u and c are not checked: that would synchronise a GPU at every step.
            c = broadcastable_c(1.0 if c is None else c, u).detach()
            values = [getattr(self, name).to(u) for name in ("sigma", "lambda1", "lambda2")]
            values.append(self.epsilon.to(u))
            return _logits(u, *values, c, self.iterations, self.radius, self.gradient)

    def forward(self, u, c=None):
        return torch.sigmoid(self.logits(u, c))

    def extra_repr(self):
        return self.described(**{name: self.number(name) for name in self.FLOORS})


def _without_autocast(device_type):
    """A context without autocast; torch 2.4 has no autocast for some devices, such as Apple's."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()
