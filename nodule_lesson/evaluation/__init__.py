"""Measures of a segmentation, averages that say what they leave out, statistics, and a floor."""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "measures": "assd dice hausdorff_distance iou precision sensitivity summarise",
    },
)
