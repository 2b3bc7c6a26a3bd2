"""Checks of the arguments of the layer.

Each raises TypeError or ValueError with one sentence that names the argument. Functions that do
not begin with `check_` also return the argument in the form that the computation needs.
"""

import math
from numbers import Integral, Real

import torch


def check_shape(name, field):
    """A floating-point tensor (H, W), (N, H, W) or (N, 1, H, W)."""
    if not torch.is_tensor(field) or not field.is_floating_point():
        found = field.dtype if torch.is_tensor(field) else type(field).__name__
        raise TypeError(f"{name} must be a floating-point tensor, found {found}.")
    single_channel = field.ndim == 4 and field.shape[1] == 1
    if not (field.ndim in (2, 3) or single_channel) or 0 in field.shape[-2:]:
        raise ValueError(
            f"{name} must have the shape (H, W), (N, H, W) or (N, 1, H, W), "
            f"found {tuple(field.shape)}."
        )


def check_field(name, field):
    """The same, float32 or float64, without NaN or infinity."""
    check_shape(name, field)
    if field.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, found {field.dtype}.")
    if not torch.isfinite(field).all():
        raise ValueError(f"{name} must be finite, found NaN or infinity.")


def check_unit_interval(name, x, u):
    """Values in [0, 1], with the shape and the type of u."""
    if x.shape != u.shape:
        raise ValueError(f"{name} must have u's shape {tuple(u.shape)}, found {tuple(x.shape)}.")
    if x.dtype != u.dtype:
        raise TypeError(f"{name} must have u's type {u.dtype}, found {x.dtype}.")
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(f"{name} must lie in [0, 1], found {_range(x)}.")


def _range(values):
    return f"values from {float(values.min()):.4g} to {float(values.max()):.4g}"


def checked_parameter(name, value, like, *, positive):
    """A finite number, positive or at least 0, as a 0-d tensor of the type and device of like."""
    checked_number(name, value, positive=positive)
    value = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    checked_number(name, value, positive=positive)  # once more, since 1e-50 is 0 in float32
    return value


def checked_number(name, value, *, positive):
    """A finite number or 0-d tensor, positive or at least 0, as a Python number."""
    if not isinstance(value, (Real, torch.Tensor)):
        raise TypeError(f"{name} must be a number or a 0-d tensor, found {type(value).__name__}.")
    if torch.is_tensor(value) and value.ndim != 0:
        raise ValueError(f"{name} must be one number, found the shape {tuple(value.shape)}.")
    number = value.item() if torch.is_tensor(value) else float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        wanted = "positive" if positive else "zero or more"
        raise ValueError(f"{name} must be {wanted} and finite, found {number}.")
    return number


def checked_parameters(u, sigma, lambda1, lambda2, epsilon):
    """The four parameters as 0-d tensors with the type and device of u."""
    return (
        checked_parameter("sigma", sigma, u, positive=True),
        checked_parameter("lambda1", lambda1, u, positive=False),
        checked_parameter("lambda2", lambda2, u, positive=False),
        checked_parameter("epsilon", epsilon, u, positive=True),
    )


def checked_c(c, u):
    """c in [0, 1], one number or one per sample of u, in a shape that broadcasts with u."""
    c = broadcastable_c(c, u)
    if not bool(((c >= 0) & (c <= 1)).all()):
        raise ValueError(f"c must lie in [0, 1], found {_range(c)}.")
    return c


def broadcastable_c(c, u):
    """The same without a check of the values, for which a GPU would have to be synchronised."""
    try:
        c = torch.as_tensor(c, dtype=u.dtype, device=u.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"c must be one number or one per sample, found {type(c).__name__}."
        ) from None
    samples = 1 if u.ndim == 2 else u.shape[0]
    if c.ndim == 0:
        return c
    if c.shape != (samples,):
        raise ValueError(
            f"c must be one number or one per sample, shape ({samples},), found {tuple(c.shape)}."
        )
    return c.reshape(()) if u.ndim == 2 else c.reshape(samples, *[1] * (u.ndim - 1))


def checked_iterations(iterations):
    """An integer of at least 0."""
    if not isinstance(iterations, Integral) or isinstance(iterations, bool):
        raise TypeError(f"iterations must be an integer, found {type(iterations).__name__}.")
    if iterations < 0:
        raise ValueError(f"iterations must be zero or more, found {iterations}.")
    return int(iterations)


def checked_radius(radius):
    """An integer of at least 0, or None."""
    if radius is None:
        return None
    if not isinstance(radius, Integral) or isinstance(radius, bool):
        raise TypeError(f"radius must be an integer or None, found {type(radius).__name__}.")
    if radius < 0:
        raise ValueError(f"radius must be zero or more, found {radius}.")
    return int(radius)
