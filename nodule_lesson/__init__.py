"""The package of the lesson *From a variational idea to a layer*.

It teaches and reproduces Zhang et al., arXiv 2410.20154. Begin with `nodule_lesson.std`; around it
are four folders, `data`, `networks`, `training` and `evaluation`. For teaching, not for clinical
use.
"""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "std": "STDSigmoid soft_threshold_dynamics",
        "data": "PatchSet open_demo",
        "networks": "build_model load_pretrained summary",
        "training": "fit",
        "evaluation": "dice hausdorff_distance assd",
    },
)
