"""Exercises of the chapter *Training the model*."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson.chapters.exercise import Exercise


def _start():
    """A small network as an evaluation has left it, and three batches."""
    with torch.random.fork_rng():
        torch.manual_seed(20154)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 1, 1)
        ).double()
        images = torch.rand(3, 4, 1, 6, 6, dtype=torch.float64)
        masks = (torch.rand(3, 4, 1, 6, 6) < 0.3).double()
        for p in model.parameters():
            p.grad = torch.rand_like(p)  # of an earlier step
    return model.eval(), list(zip(images, masks, strict=True))


def _three_steps(function):
    """Losses of three calls, then weights and running means: all that a step changes.

    A loss that is no number is returned alone: of a tensor, NaN. The error of torch that says that
    the weights have moved too early is returned as infinity.
    """
    model, batches = _start()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for images, masks in batches:
        try:
            loss = function(model, optimiser, F.binary_cross_entropy_with_logits, images, masks)
        except RuntimeError as error:
            if "inplace operation" not in str(error):
                raise
            return np.inf
        if torch.is_tensor(loss):
            return np.nan
        if isinstance(loss, np.ndarray):
            loss = loss[()]  # a number, where the array has no axes
        if not np.isscalar(loss) or isinstance(loss, str):
            return loss
        losses.append(loss)
    state = [p.detach().flatten() for p in model.parameters()] + [model[1].running_mean]
    return np.concatenate([losses, torch.cat(state).numpy()])


def _step(*order, item=True):
    """A step made of the named parts, in this order."""

    def step(model, optimiser, loss, images, masks):
        for part in order:
            if part == "train":
                model.train()
            elif part == "loss":
                value = loss(model(images), masks)
            elif part == "zero":
                optimiser.zero_grad()
            elif part == "backward":
                value.backward()
            elif part == "step":
                optimiser.step()
        return value.item() if item else value

    return step


_STILL = "backward, then step, with no zero_grad between them."

# function(model, optimiser, loss, images, masks) -> the loss, a number; one step of training. The
# model comes in evaluation mode, the optimiser with gradients of an earlier step. The function is
# called three times; losses, weights and running means are looked at.
step = Exercise(
    ask=_three_steps,
    right=_step("train", "loss", "zero", "backward", "step"),
    mistakes={
        "the weights move before their gradient is known: backward, then step.":
            _step("train", "loss", "step", "backward"),
        "this returns a tensor, which keeps the whole step in memory: return value.item(), a "
        "number.": _step("train", "loss", "zero", "backward", "step", item=False),
        "the gradients of all steps add up: zero_grad is missing.":
            _step("train", "loss", "backward", "step"),
        f"the weights never move: {_STILL}": _step("train", "loss"),
        f"the weights never move, and the network stays in evaluation mode: {_STILL}":
            _step("loss"),
        "every step uses the gradient of the one before: step comes before backward.":
            _step("step", "train", "loss", "zero", "backward"),
        "the network stays in evaluation mode, as it came: batch normalisation neither uses nor "
        "learns the statistics of the batch. Call model.train() first.":
            _step("loss", "zero", "backward", "step"),
        "the network stays in evaluation mode, and zero_grad is missing.":
            _step("loss", "backward", "step"),
    },
)  # fmt: skip


def _listed(rate):
    return lambda first, decay, every, epochs: [
        rate(first, decay, every, k) for k in range(epochs)
    ]


# function(first, decay, every, epochs) -> the learning rate of each epoch, a list: `first` in
# epoch 0, times `decay` after every `every` epochs.
rates = Exercise(
    ask=(0.004, 0.7, 3, 11),
    right=_listed(lambda f, d, n, k: f * d ** (k // n)),
    mistakes={
        "the rate falls in every epoch; it stays for `every` of them. Use whole division, //.":
            _listed(lambda f, d, n, k: f * d ** (k / n)),
        "this multiplies by decay in every epoch.": _listed(lambda f, d, n, k: f * d**k),
        "one epoch early: epochs count from 0, so the first fall comes after `every` of them.":
            _listed(lambda f, d, n, k: f * d ** ((k + 1) // n)),
        "the first rate falls at once: epoch 0 has `first` itself.":
            _listed(lambda f, d, n, k: f * d ** (k // n + 1)),
        "this takes `decay` away; it multiplies.": _listed(lambda f, d, n, k: f - d * (k // n)),
        "this multiplies by decay times the number of falls; it multiplies once for each fall.":
            _listed(lambda f, d, n, k: f * d * (k // n) if k >= n else f),
        "this falls once and never again.": _listed(lambda f, d, n, k: f * d if k >= n else f),
        "this multiplies by 1 - decay.": _listed(lambda f, d, n, k: f * (1 - d) ** (k // n)),
        "this grows: it divides by decay.": _listed(lambda f, d, n, k: f / d ** (k // n)),
    },
    tolerance=1e-9,
)  # fmt: skip


def _slope(p, area, pixels, smooth, double=2):
    """The derivative of 1 - (double p area + smooth) / (p pixels + area + smooth)."""
    above, below = double * p * area + smooth, p * pixels + area + smooth
    return -(double * area * below - above * pixels) / below**2


# function(p, area, pixels, smooth) -> dL/dp of the Dice loss of one slice. Every one of `pixels`
# pixels has the probability p, `area` of them belong to a nodule: an array of areas, one of them
# 0.
pull = Exercise(
    ask=(0.2, np.array([0.0, 20.0, 45.0, 300.0]), 4096, 2.0),
    right=_slope,
    mistakes={
        "the sign: this is the derivative of Dice; the loss is 1 minus it.":
            lambda p, a, n, s: -_slope(p, a, n, s),
        "this takes the denominator for a constant; the sum of p moves with p, too.":
            lambda p, a, n, s: -2 * a / (p * n + a + s),
        "this is the derivative with respect to the logit: without p (1 - p), please.":
            lambda p, a, n, s: _slope(p, a, n, s) * p * (1 - p),
        "the denominator of a quotient's derivative is a square.":
            lambda p, a, n, s: _slope(p, a, n, s) * (p * n + a + s),
        "this leaves out s.": lambda p, a, n, s: _slope(p, a, n, 0),
        "the sum of p runs over all pixels, those of the nodule included.":
            lambda p, a, n, s: _slope(p, a, n - a, s),
        "the overlap counts twice in Dice.": lambda p, a, n, s: _slope(p, a, n, s, double=1),
        "this is the derivative per pixel: divide by nothing, p is common to all.":
            lambda p, a, n, s: _slope(p, a, n, s) / n,
        "this is the loss, not its derivative.":
            lambda p, a, n, s: 1 - (2 * p * a + s) / (p * n + a + s),
    },
    tolerance=1e-9,
)  # fmt: skip
