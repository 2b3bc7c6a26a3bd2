"""The paper's network, the networks it is compared with, their blocks, and trained networks."""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "registry": "MODELS PRETRAINED build_model load_pretrained model_card summary",
        "detection_guided": "SLIM DetectionGuidedNet Output",
        "drawing": "draw_architecture trace",
        "freezing": "freeze",
    },
)
