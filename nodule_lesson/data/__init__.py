"""Scans, their outlines and crops, public sources of them, and simulated patients."""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "ct": "Scan",
        "patches": "COLUMNS PatchSet folds normalise split",
        "demo": "open_demo",
        "extraction": "extract",
        "phantom": "simulate_patches simulate_scan write_scans",
    },
)
