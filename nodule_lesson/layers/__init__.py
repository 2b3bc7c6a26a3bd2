"""Soft threshold dynamics beyond the lesson's one image: classes, volumes, millimetres, priors.

`nodule_lesson.std` is the layer that the book explains. This folder has the same layer for a
reader's own network: several classes, volumes, a Gaussian of another width on each axis, and
priors of the same family. Logits always have a batch and a channel axis here, so that no shape
means two things. For teaching and research, not for clinical use.
"""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "softmax": "STDSoftmax std_softmax std_softmax_energy",
        "sigmoid": "STDSigmoidNd std_sigmoid_nd std_sigmoid_nd_energy",
        "priors": "std_with_volume std_star_shaped",
    },
)
