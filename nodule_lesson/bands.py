"""Products with a narrow Toeplitz matrix, block by block: a Gaussian on a large image.

A symmetric Toeplitz matrix T with a band of `radius` numbers on either side needs 2 radius + 1
multiplications per number; a dense product needs as many as the matrix has rows. Each block of
BLOCK numbers of the result depends on a window of BLOCK + 2 radius numbers of the field, by the
same matrix in all blocks: the BLOCK columns in the middle of T for a field as long as a window.
"""

import torch
from torch.nn import functional as F

BLOCK = 64


def is_narrow(size, radius):
    """Whether products by blocks are faster for a matrix of `size` rows."""
    return 1 <= radius <= BLOCK and size >= 4 * BLOCK


def times(field, matrix, radius):
    """field @ T, field (..., H, W); matrix: T for a window, (BLOCK + 2 radius,) * 2."""
    return _Product.apply(field, matrix[:, radius : radius + BLOCK], -1)


def times_from_left(matrix, field, radius):
    """T @ field, the same along the other axis."""
    return _Product.apply(field, matrix[:, radius : radius + BLOCK], -2)


class _Product(torch.autograd.Function):
    """T applied along an axis; strip: the columns of T, (BLOCK + 2 radius, BLOCK).

    T is symmetric: its product with the gradient is the gradient of its product. PyTorch would
    find the same by scattering every window, at three times the price.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(field, strip, axis):
        if axis == -1:
            blocks = _windows(field, len(strip), axis) @ strip
            return blocks.flatten(-2)[..., : field.shape[-1]]
        blocks = strip.mT @ _windows(field, len(strip), axis).mT
        return blocks.flatten(-3, -2)[..., : field.shape[-2], :]

    @staticmethod
    def setup_context(ctx, inputs, output):
        field, strip, ctx.axis = inputs
        ctx.save_for_backward(field, strip)

    @staticmethod
    def backward(ctx, gradient):
        field, strip = ctx.saved_tensors
        to_field = to_strip = None
        if ctx.needs_input_grad[0]:
            to_field = _Product.apply(gradient, strip, ctx.axis)
        if ctx.needs_input_grad[1]:
            windows = _windows(field, len(strip), ctx.axis)
            blocks = _windows(gradient, BLOCK, ctx.axis)
            if ctx.axis == -1:
                to_strip = windows.flatten(0, -2).mT @ blocks.flatten(0, -2)
            else:
                to_strip = (windows.mT @ blocks).flatten(0, -3).sum(0)
        return to_field, to_strip, None


def _windows(field, length, axis):
    """A view of windows of this length, BLOCK apart, on their own as the last axis; 0 outside."""
    radius = (length - BLOCK) // 2
    pad = (radius, radius - (field.shape[axis] % -BLOCK))
    return F.pad(field, pad if axis == -1 else (0, 0, *pad)).unfold(axis, length, BLOCK)
