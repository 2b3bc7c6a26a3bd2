"""z <- b + A a(z) with a sigmoid or a softmax a, and its two gradients.

It is the iteration of `nodule_lesson.std` with the activation and the operator left open.
"""

import torch

from nodule_lesson import adjoint


class Sigmoid:
    """Each pixel decides between the object and the rest."""

    def __call__(self, z):
        return torch.sigmoid(z)

    # A row of the derivative, diag(x (1 - x)), adds up to at most 1 / (2 `times`), here 1 / 4.
    times = 2

    def halves(self, z):
        """v -> S v and v -> S' v with S S' the derivative at z."""
        x = torch.sigmoid(z)
        root = torch.sqrt(x * (1 - x))
        return (lambda v: root * v), (lambda v: root * v)


class Softmax:
    """Each pixel chooses among classes, axis 1; the probabilities add up to 1."""

    def __call__(self, z):
        return torch.softmax(z, 1)

    # Row k of the derivative, diag(x) - x x', adds up to 2 x_k (1 - x_k) <= 1 / 2, without signs.
    times = 1

    def halves(self, z):
        """The same: with p = sqrt(x), a unit vector, S = diag(p) (1 - p p')."""
        root = torch.sqrt(torch.softmax(z, 1))

        def rest(v):
            return v - root * (root * v).sum(1, keepdim=True)

        return (lambda v: root * rest(v)), (lambda v: rest(root * v))


def last_logits(u, system, activation, iterations, gradient, condition, epsilon, cut):
    """z after `iterations` steps from z = u.

    system: a function that returns b, v -> A v, and a field whose maximum is the norm of A, called
    once with and once without gradients where the gradient is implicit. The map contracts where
    that norm is below 2 `times`; `condition` says so in words, for the error. cut: whether taps
    of K are cut off, so that A may have negative eigenvalues.
    """
    if gradient not in ("unrolled", "implicit"):
        raise ValueError(f'gradient must be "unrolled" or "implicit", found {gradient!r}.')
    # The implicit form has the same value, so an exported program needs only this one.
    if gradient == "unrolled" or torch.compiler.is_compiling():
        constant, operator, _ = system()
        z = u
        for _ in range(iterations):
            z = constant + operator(activation(z))
        return z
    if iterations < 1:
        raise ValueError(f"an implicit gradient needs at least 1 iteration, found {iterations}.")
    with torch.no_grad():
        constant, fixed, rows = system()
        contraction = rows.max().item() / (2 * activation.times)
        if contraction >= 1:
            limit = activation.times * epsilon.item()
            raise ValueError(
                f"an implicit gradient needs {condition}, found "
                f"{contraction * limit:.4g} >= {limit:.4g}."
            )
        z = u
        for _ in range(iterations - 1):
            z = constant + fixed(activation(z))
        x = activation(z)
    constant, operator, _ = system()
    z = constant + operator(x)
    if z.requires_grad:
        half, half_transposed = activation.halves(z.detach())
        low, high = 1 - contraction, 1 + contraction if cut else 1
        axes = tuple(range(1, z.ndim))

        def solve(g):
            return adjoint.solve(g, half, half_transposed, fixed, low, high, axes)

        z.register_hook(solve)
    return z
