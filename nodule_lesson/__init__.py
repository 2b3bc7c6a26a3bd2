"""The package of the lesson *From a variational idea to a layer*.

It teaches and reproduces Zhang et al., arXiv 2410.20154. One module a topic; begin with
`nodule_lesson.std`. For teaching, not for clinical use.
"""

_OF_MODELS = ("build_model", "load_pretrained", "model_card", "summary")


def __getattr__(name):
    # When it is asked for, so that importing the package does not load all of PyTorch.
    if name in _OF_MODELS:
        from nodule_lesson.networks import registry as models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
