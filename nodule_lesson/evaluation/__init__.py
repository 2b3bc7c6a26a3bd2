"""Measures of a segmentation and their averages, statistics, and classical methods."""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "measures": "assd by_class dice hausdorff_distance iou precision sensitivity summarise "
        "surface_dice",
        "comparison": "compare read_records",
    },
)
