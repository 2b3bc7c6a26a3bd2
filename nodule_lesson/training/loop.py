"""The bare training loop in PyTorch.

`nodule_lesson.training.fit` makes the same steps, with the same `update_weights`, and adds what a
long training needs: a schedule, 16 bits, several processes, checkpoints and logs.
"""

import math
from itertools import islice


def train(model, batches, loss, optimiser, steps):
    """Train a model in place, one step per batch; return the loss of each.

    batches: an iterable of (images, masks, has_nodule). loss: a function of
    (model(images), masks, has_nodule) that returns a 0-d tensor. Makes fewer
    steps if the batches run out. Raises ValueError for a loss that is not
    finite; the weights are then those before that step.
    """
    model.train()
    losses = []
    for images, masks, has_nodule in islice(batches, steps):
        value = loss(model(images), masks, has_nodule)
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            where = f"at step {len(losses)} of {steps}"
            raise ValueError(f"the loss became {losses[-1]} {where}.")
        update_weights(optimiser, value)
    return losses


def update_weights(optimiser, value):
    """Make one step of the optimiser, to lower `value`, a batch's loss."""
    optimiser.zero_grad()
    value.backward()
    optimiser.step()
