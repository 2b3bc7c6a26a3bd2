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


class Batches:
    """Endless batches of (images, masks, has_nodule), every slice once before any comes again.

    images, masks: (N, 1, H, W) tensors. has_nodule: (N,) of the same device, on which the batches
    are cut and flipped. size: slices a batch. seed: of the order and the flips. flip: each slice,
    and its mask with it, left to right and top to bottom with probability one half each.
    Raises ValueError for counts that differ, or a size below 1.
    """

    def __init__(self, images, masks, has_nodule, size=10, seed=0, flip=True):
        if not len(images) == len(masks) == len(has_nodule):
            raise ValueError(
                "images, masks and has_nodule must be equally many, found "
                f"{len(images)}, {len(masks)} and {len(has_nodule)}."
            )
        self.data, self.flip = (images, masks, has_nodule), flip
        self.rows = shuffled(len(images), size, seed)
        self.coins = np.random.default_rng([1, seed])

    def __iter__(self):
        return self

    def __next__(self):
        rows = torch.from_numpy(next(self.rows)).to(self.data[0].device)
        images, masks, has_nodule = (part.index_select(0, rows) for part in self.data)
        if self.flip:
            for axis in (-1, -2):
                turned = torch.from_numpy(self.coins.random(len(rows)) < 0.5).to(rows.device)
                turned = turned[:, None, None, None]
                images = torch.where(turned, images.flip(axis), images)
                masks = torch.where(turned, masks.flip(axis), masks)
        return images, masks, has_nodule


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
    watch=None,
    label="training",
    progress=True,
):
    """Train a model in place with Adam, one step a batch, and return the losses.

    model: any module; it is left in training mode. batches: an iterable of (images, masks,
    has_nodule), at least `steps` of them; tensors on the model's device. loss: a function of
    (model(images), masks, has_nodule) that returns a 0-d tensor. schedule: None for a constant
    learning rate, or a function from the optimiser to one of torch.optim.lr_scheduler, stepped
    after every batch. parameters: what is trained, as Adam takes it: tensors, or groups such as
    {"params": [...], "lr": 1e-2}; None for all of the model's. watch: called after
    every step as watch(step, loss), from 1 on. label, progress: the words beside
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
            if watch:
                watch(len(losses), losses[-1])
    if len(losses) < steps:
        raise ValueError(f"the batches ran out: {len(losses)} found, {steps} steps are wanted.")
    return losses
