"""Losses, batches, one loop with all that a long training needs, and its checkpoints."""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "fitting": "Batches LossPlot best_device best_precision fit",
        "losses": "dice_loss multitask_loss",
        "checkpoints": "Checkpoint",
    },
)
