"""K on images and volumes: a Gaussian along each axis, of its own width on each."""

import math

import numpy as np
import torch

from nodule_lesson import bands
from nodule_lesson.checking import checked_number, checked_parameter, checked_radius
from nodule_lesson.std import _gaussian_matrix, _smallest_exponent


def per_axis(name, value, axes):
    """A list of numbers or 0-d tensors, one per axis, from one number or a sequence of them."""
    if isinstance(value, (tuple, list)) or (
        isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 1
    ):
        if len(value) != axes:
            raise ValueError(
                f"{name} must be one number or one per axis, {axes} of them, found {len(value)}."
            )
        return list(value)
    return [value] * axes


def checked_spacing(spacing, axes):
    """A tuple of positive numbers, one per axis in the order of the tensor's axes; None as 1s.

    axes None: any number of them.
    """
    if spacing is None:
        return (1.0,) * axes
    if not isinstance(spacing, (tuple, list, np.ndarray, torch.Tensor)):
        found = type(spacing).__name__
        raise TypeError(f"spacing must be a sequence, mm per axis, found {found}.")
    if axes is not None and len(spacing) != axes:
        raise ValueError(f"spacing must have {axes} numbers, one per axis, found {len(spacing)}.")
    return tuple(checked_number("spacing", value, positive=True) for value in spacing)


def checked_widths(u, sigma, spacing, radius):
    """[(standard deviation in pixels as a 0-d tensor, radius or None)], one pair per axis of u.

    sigma: one number or one per axis, in pixels, or with a spacing in mm. radius None stands for
    every tap; where sigma is a number, those that are 0 anyway are left out.
    """
    sizes = u.shape[2:]
    sigmas = per_axis("sigma", sigma, len(sizes))
    spacing = checked_spacing(spacing, len(sizes))
    radius = checked_radius(radius)
    widths = []
    for size, value, mm in zip(sizes, sigmas, spacing, strict=True):
        checked = checked_parameter("sigma", value, u, positive=True) / mm
        reach = radius
        if radius is None and not torch.is_tensor(value):
            reach = math.ceil(float(value) / mm * math.sqrt(-2 * _smallest_exponent(u.dtype)))
            reach = reach if reach < size - 1 else None
        widths.append((checked, reach))
    return widths


class SeparableGaussian:
    """`factor` K for fields (N, ..., *sizes): a Toeplitz matrix along each of the last axes.

    Outside the image the field is 0. With a weight w, one number per pixel, it is w K w, which is
    symmetric as K is, and positive semidefinite where K is. Narrow matrices on long axes are
    applied block by block (`nodule_lesson.bands`).
    """

    def __init__(self, sizes, widths, factor=1, weight=None):
        # An exported program must work for all sizes, so it must not depend on these.
        exported = torch.compiler.is_compiling()
        self.weight = weight
        self.along = []
        for size, (sigma, radius) in zip(sizes, widths, strict=True):
            narrow = not exported and radius is not None and bands.is_narrow(size, radius)
            length = bands.BLOCK + 2 * radius if narrow else size
            self.along.append((_gaussian_matrix(length, sigma, radius), radius, narrow))
        matrix, *others = self.along[0]
        self.along[0] = (factor * matrix, *others)

    def __call__(self, field):
        if self.weight is not None:
            return self.weight * self._blurred(self.weight * field)
        return self._blurred(field)

    def _blurred(self, field):
        last = len(self.along) - 1
        for axis, (matrix, radius, narrow) in enumerate(self.along):
            if axis == last:
                field = bands.times(field, matrix, radius) if narrow else field @ matrix
                continue
            # The axes behind this one are one axis of columns for the product.
            behind = field.shape[axis - last :]
            columns = field.flatten(axis - last)
            if narrow:
                columns = bands.times_from_left(matrix, columns, radius)
            else:
                columns = matrix.expand(*columns.shape[:-2], -1, -1) @ columns
            field = columns.unflatten(-1, behind)
        return field

    def of_ones(self, u):
        """K 1 for fields like u, smaller near the border: (1, 1, *sizes), or as w K w."""
        return self(u.new_ones(1, 1, *u.shape[2:]))
