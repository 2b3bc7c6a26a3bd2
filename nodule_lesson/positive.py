"""Numbers of a layer that stay positive while they are learned."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class PositiveNumbers(nn.Module):
    """A module with numbers that are parameters, kept above a floor by a softplus, or buffers."""

    def __init__(self):
        super().__init__()
        self.floors = {}

    def add_number(self, name, value, floor, learned, unit=""):
        """value: a number or a tuple of them. It is learned, or fixed at what it is.

        Raises ValueError, with the unit, where it is learned and not above the floor.
        """
        if not learned:
            self.register_buffer(f"fixed_{name}", torch.tensor(value))
            return
        values = value if isinstance(value, tuple) else (value,)
        if min(values) <= floor:
            raise ValueError(
                f"a learned {name} must start above {floor}{unit}, found {min(values)}{unit}."
            )
        raw = [one - floor + math.log(-math.expm1(floor - one)) for one in values]
        raw = torch.tensor(raw if isinstance(value, tuple) else raw[0])
        self.register_parameter(f"raw_{name}", nn.Parameter(raw))
        self.floors[name] = floor

    def number(self, name):
        """The value now, a 0-d tensor, or (axes,) where there is one per axis."""
        # By name, not from _parameters: a pruned, parametrised or replicated module has no entry.
        if name in self.floors:
            return self.floors[name] + F.softplus(getattr(self, f"raw_{name}"))
        return getattr(self, f"fixed_{name}")

    def described(self, **values):
        """The text of repr(): numbers, and which of them are learned; "?" without memory."""
        shown = ", ".join(f"{name}={_rounded(value)}" for name, value in values.items())
        return (
            f"{shown}, iterations={self.iterations}, learned: {', '.join(self.floors) or 'none'}"
        )


def _rounded(value):
    if value.is_meta:
        return "?"
    numbers = ", ".join(f"{one:.4g}" for one in value.reshape(-1).tolist())
    return f"({numbers})" if value.ndim else numbers
