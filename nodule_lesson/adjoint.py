"""The linear equation behind an implicit gradient, solved by conjugate gradients."""

import math

import torch


def solve(g, half, half_transposed, operator, low, high, axes):
    """w with w = g + S S' A w, for each sample separately.

    half, half_transposed: v -> S v and v -> S' v, where S S' is the (symmetric) derivative of the
    activation; operator: v -> A v, symmetric. With w = g + S y the equation becomes
    (1 - S' A S) y = S' A g, symmetric, with eigenvalues from `low` > 0 to `high`. They bound the
    number of steps beforehand, and the error by the residual: with |S|^2 <= 1/2 it is below
    sqrt(2) tolerance |w| where |residual| <= low tolerance |g|. axes: those that belong to one
    sample. None, no gradient, stays None. Raises RuntimeError where second derivatives are asked
    for.
    """
    if g is None:
        return None
    if torch.is_grad_enabled():
        raise RuntimeError(
            "the implicit gradient has first derivatives only (create_graph=False)."
        )

    def dot(a, b):
        return (a * b).sum(axes, keepdim=True)

    tolerance = 1e-6 if g.dtype == torch.float32 else 1e-14
    rate = (math.sqrt(high / low) - 1) / (math.sqrt(high / low) + 1)
    steps = math.ceil(math.log(tolerance / 2) / math.log(rate)) if rate > 0 else 1
    tiny = torch.finfo(g.dtype).tiny
    residual = half_transposed(operator(g))
    y = torch.zeros_like(residual)
    direction, square = residual.clone(), dot(residual, residual)
    enough = (low * tolerance) ** 2 * dot(g, g)
    for _ in range(steps):
        if (square <= enough).all():
            break
        image = direction - half_transposed(operator(half(direction)))
        length = square / dot(direction, image).clamp_min(tiny)
        y.addcmul_(length, direction)
        residual.addcmul_(length, image, value=-1)
        previous, square = square, dot(residual, residual)
        direction.mul_(square / previous.clamp_min(tiny)).add_(residual)
    return g + half(y)
