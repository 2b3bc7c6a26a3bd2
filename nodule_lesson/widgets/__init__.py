"""The live figures of the book, one call each; see `live.py` for how they work."""

from .boundary_length import boundary_length
from .collapse import collapse
from .ct_window import ct_window
from .detection_prior import detection_prior
from .dilated_taps import dilated_taps
from .eleven_lesions import eleven_lesions
from .feature_combination import feature_combination
from .fine_tuning import fine_tuning
from .prior_tradeoff import prior_tradeoff
from .segmentation_measures import segmentation_measures
from .sigma_gradient import sigma_gradient
from .sigmoid_energy import sigmoid_energy
from .slim_network import slim_network
from .std_explorer import std_explorer
from .threshold import threshold

__all__ = [
    "boundary_length",
    "collapse",
    "ct_window",
    "detection_prior",
    "dilated_taps",
    "eleven_lesions",
    "feature_combination",
    "fine_tuning",
    "prior_tradeoff",
    "segmentation_measures",
    "sigma_gradient",
    "sigmoid_energy",
    "slim_network",
    "std_explorer",
    "threshold",
]
