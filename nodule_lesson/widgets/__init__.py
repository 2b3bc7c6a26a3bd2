"""The live figures of the book, one call each; see `live.py` for how they work."""

from .boundary_length import boundary_length
from .ct_window import ct_window
from .detection_prior import detection_prior
from .sigma_gradient import sigma_gradient
from .sigmoid_energy import sigmoid_energy
from .std_explorer import std_explorer

__all__ = [
    "boundary_length",
    "ct_window",
    "detection_prior",
    "sigma_gradient",
    "sigmoid_energy",
    "std_explorer",
]
