"""Scale intensities to [0, 1]: by the paper's Eq. (6), or by a window."""

from numbers import Real

import numpy as np
import torch


def normalise(images, low=None, high=None):
    """The paper's Eq. (6): (I - I_min) / (I_max - I_min), float32 in [0, 1].

    images: (..., H, W), an array or a tensor; the result is of the same kind. By default I_min
    and I_max are those of each slice. If low and high are given, they are used instead, and the
    result is clipped to [0, 1]: `normalise(hu, -1000, 400)` is a window. Where I_max = I_min the
    equation is 0/0: the slice becomes 0. Raises TypeError for other types, ValueError for values
    that are not finite or high < low.
    """
    tensor = torch.is_tensor(images)
    array = images.detach().cpu().numpy() if tensor else np.asarray(images)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"images must be integers or floats, found {array.dtype}.")
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"images must have the shape (..., H, W), found {array.shape}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("images must be finite, found nan or infinity.")
    if (low is None) != (high is None):
        raise ValueError("low and high come together, found only one of them.")
    if low is not None and not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"low and high must be finite and in order, found {low} and {high}.")
    result = stretch(array, low, high)
    return torch.from_numpy(result).to(images.device) if tensor else result


def limits(how):
    """The intensities that become 0 and 1: the last two arguments of `normalise`.

    how: "slice" for the lowest and the highest of each slice, (None, None); or a window (low,
    high). Raises ValueError for anything else.
    """
    if isinstance(how, str):
        if how == "slice":
            return None, None
    elif np.shape(how) == (2,) and all(isinstance(number, Real) for number in how):
        low, high = map(float, how)
        if np.isfinite([low, high]).all() and low < high:
            return low, high
    raise ValueError(
        'normalise must be "slice", a window (low, high) with low < high, or where there is a '
        f'PatchSet "dataset", found {how!r}.'
    )


def stretch(array, low=None, high=None):
    """`normalise` for a numpy array, without checks of its values."""
    clip = low is not None
    if not clip:
        low, high = array.min((-2, -1), keepdims=True), array.max((-2, -1), keepdims=True)
    # 16-bit integers and their differences are exact in float32; larger ones need float64.
    exact = np.float32 if array.dtype.kind in "iu" and array.dtype.itemsize <= 2 else np.float64
    low = np.asarray(low, exact)
    width = np.asarray(high, exact) - low
    result = array.astype(exact)
    result -= low
    result /= np.where(width > 0, width, np.inf)
    if clip:
        np.clip(result, 0, 1, out=result)
    return result.astype(np.float32, copy=False)
