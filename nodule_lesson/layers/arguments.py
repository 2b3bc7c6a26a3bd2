"""Checks of the arguments that images, volumes and classes add; see `nodule_lesson.checking`."""

import torch

SHAPES = {
    "one": "(N, 1, H, W) or (N, 1, D, H, W)",
    "classes": "(N, K, H, W) or (N, K, D, H, W) with K of at least 2 classes",
}


def check_channels(name, field, channels):
    """A floating-point tensor of an image or a volume with "one" channel or with "classes"."""
    if not torch.is_tensor(field) or not field.is_floating_point():
        found = field.dtype if torch.is_tensor(field) else type(field).__name__
        raise TypeError(f"{name} must be a floating-point tensor, found {found}.")
    right = field.ndim in (4, 5) and 0 not in field.shape[2:]
    if not right or (field.shape[1] < 2 if channels == "classes" else field.shape[1] != 1):
        raise ValueError(
            f"{name} must have the shape {SHAPES[channels]}, found {tuple(field.shape)}."
        )


def check_logits(u, channels):
    """The same, float32 or float64, without NaN or infinity."""
    check_channels("u", u, channels)
    if u.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"u must be float32 or float64, found {u.dtype}.")
    if not torch.isfinite(u).all():
        raise ValueError("u must be finite, found NaN or infinity.")


def check_sums_to_one(x):
    """Probabilities of classes, whose sum over axis 1 is 1 up to rounding."""
    error = (x.sum(1) - 1).abs().max().item()
    if error > 1e-4:
        raise ValueError(f"x must add up to 1 over its classes, found a sum {error:.4g} off.")


def broadcastable_weight(edge_weight, u):
    """A weight per pixel, (N, 1, *sizes) as u's, of u's type; None stays None."""
    if edge_weight is None:
        return None
    if not torch.is_tensor(edge_weight):
        found = type(edge_weight).__name__
        raise TypeError(f"edge_weight must be a tensor, found {found}.")
    wanted = (u.shape[0], 1, *u.shape[2:])
    if edge_weight.shape != wanted:
        raise ValueError(
            f"edge_weight must have the shape {tuple(wanted)}, one number per pixel, "
            f"found {tuple(edge_weight.shape)}."
        )
    return edge_weight.to(u)


def checked_weight(edge_weight, u):
    """The same, in [0, 1]."""
    edge_weight = broadcastable_weight(edge_weight, u)
    if edge_weight is not None and not ((edge_weight >= 0) & (edge_weight <= 1)).all():
        low, high = edge_weight.min().item(), edge_weight.max().item()
        raise ValueError(
            f"edge_weight must lie in [0, 1], found values from {low:.4g} to {high:.4g}."
        )
    return edge_weight
