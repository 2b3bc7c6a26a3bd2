"""Scans, outlines, crops, and where to get them; simulated patients where there are none."""

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
