"""Training: one loop, short enough to read before it is run.

The paper trains with Adam, learning rate 1e-3, weight decay 1e-8, batches of 10 and random flips.
The loop knows neither where the slices come from nor what is minimised: it takes any iterable of
batches, as `PatchSet.batch` makes them, and any loss of (output, masks, has_nodule).
"""

import math
from itertools import islice
from numbers import Integral

import numpy as np
import torch
from tqdm.auto import tqdm


def shuffled(count, size, seed=0):
    """Endless batches of row numbers: every row once before any comes again.

    count: number of rows, at least 1. size: rows a batch, at least 1; a batch may reach over the
    end of one round into the next, so all have this size. seed: an integer or a numpy Generator.
    Yields integer arrays of the shape (size,). Raises ValueError for other counts and sizes.
    """
    for name, value in (("count", count), ("size", size)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, found {value!r}.")
    return _shuffled(count, size, np.random.default_rng(seed))


def _shuffled(count, size, random):
    waiting = np.empty(0, dtype=np.int64)
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield waiting[:size]
        waiting = waiting[size:]


def fit(
    model,
    batches,
    loss,
    *,
    steps,
    learning_rate=1e-3,
    weight_decay=1e-8,
    schedule=None,
    parameters=None,
    label="training",
    progress=True,
):
    """Train a model in place with Adam, one step a batch, and return the losses.

    model: any module; it is left in training mode. batches: an iterable of (images, masks,
    has_nodule), at least `steps` of them; tensors on the model's device. loss: a function of
    (model(images), masks, has_nodule) that returns a 0-d tensor. schedule: None for a constant
    learning rate, or a function from the optimiser to one of torch.optim.lr_scheduler, stepped
    after every batch. parameters: what is trained, as Adam takes it: tensors, or groups such as
    {"params": [...], "lr": 1e-2}; None for all of the model's. label, progress: the words beside
    the progress bar, and whether there is one. On the CPU the same weights, batches and random
    state of torch give the same bits.

    Returns the list of the `steps` losses. Raises ValueError where steps is not a positive
    integer, where the batches run out, and where a loss is not finite: the weights are then those
    before that step.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps must be an integer of at least 1, found {steps!r}.")
    optimiser = torch.optim.Adam(
        model.parameters() if parameters is None else parameters,
        lr=learning_rate,
        weight_decay=weight_decay,
        foreach=True,
    )
    scheduler = schedule(optimiser) if schedule else None
    losses = []
    model.train()
    with tqdm(total=steps, desc=label, unit="step", disable=not progress) as bar:
        for images, masks, has_nodule in islice(batches, steps):
            value = loss(model(images), masks, has_nodule)
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                raise ValueError(
                    f"the loss became {losses[-1]} at step {len(losses)} of {steps}, a number is "
                    "wanted: look at that batch, or lower the learning rate "
                    f"({optimiser.param_groups[0]['lr']:g})."
                )
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            if scheduler:
                scheduler.step()
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
    if len(losses) < steps:
        raise ValueError(f"the batches ran out: {len(losses)} found, {steps} steps are wanted.")
    return losses
