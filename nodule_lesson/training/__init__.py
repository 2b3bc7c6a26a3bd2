"""Losses, batches, a bare training loop and one for long trainings, and checkpoints."""

from nodule_lesson.lazy import attributes

__getattr__, __dir__, __all__ = attributes(
    __name__,
    {
        "fitting": "Batches LossPlot best_device best_precision fit",
        "loop": "train update_weights",
        "losses": "dice_loss multitask_loss",
        "checkpoints": "Checkpoint",
    },
)
