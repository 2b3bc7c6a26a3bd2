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


def _logit(p):
    return np.log(p / (1 - p))


# function(loss, pixels, smooth) -> the logit that all pixels of an empty slice have if its Dice
# loss is `loss`, an array.
plateau = Exercise(
    ask=(np.array([0.9, 0.5, 0.1]), 256, 2.0),
    right=lambda loss, n, s: _logit(s * loss / (1 - loss) / n),
    mistakes={
        "this is the probability; the question is for its logit.":
            lambda loss, n, s: s * loss / (1 - loss) / n,
        "this takes Dice for the loss, which is 1 minus it.":
            lambda loss, n, s: _logit(s * (1 - loss) / loss / n),
        "the sign: a small probability has a negative logit.":
            lambda loss, n, s: -_logit(s * loss / (1 - loss) / n),
        "ln p is the logit for small p only: divide by 1 - p first.":
            lambda loss, n, s: np.log(s * loss / (1 - loss) / n),
        "the s is missing, or taken as 1.": lambda loss, n, s: _logit(loss / (1 - loss) / n),
        "the sum runs over all pixels: divide by their number.":
            lambda loss, n, s: np.log(s * loss / (1 - loss)),
        "the sum of the probabilities stands in the denominator as well: L = S/(S + s).":
            lambda loss, n, s: _logit(s * loss / n),
    },
    tolerance=1e-9,
)  # fmt: skip


# function(u, features, rate) -> the least number of Adam's steps, a whole number, in which a head
# w·f + b gets from the logit 0 to u < 0, where no weight moves by more than `rate` per step and
# the features f >= 0 stay as they are: an array.
steps = Exercise(
    ask=[(-8.3, np.array([0.4, 0.0, 0.7, 0.45]), 1e-3), (-3.0, np.array([2.0, 1.5]), 0.01)],
    right=lambda u, f, rate: np.ceil(-u / (rate * (1 + f.sum()))),
    mistakes={
        "the bias moves as well, by `rate` per step.":
            lambda u, f, rate: np.ceil(-u / (rate * f.sum())),
        "each weight moves the logit by the rate times its own feature: add all features.":
            (
                lambda u, f, rate: np.ceil(-u / rate),
                lambda u, f, rate: np.ceil(-u / (rate * (1 + f.max()))),
                lambda u, f, rate: np.ceil(-u / (rate * (1 + f.mean()))),
            ),
        "Adam's step is `rate` for each weight, not for all weights together: no root of squares.":
            lambda u, f, rate: np.ceil(-u / (rate * np.sqrt(1 + (f**2).sum()))),
        "this counts the weights; each acts in proportion to its feature.":
            lambda u, f, rate: np.ceil(-u / (rate * (1 + len(f)))),
        "round up: a step that is left out leaves the head short of u.":
            (
                lambda u, f, rate: -u / (rate * (1 + f.sum())),
                lambda u, f, rate: np.floor(-u / (rate * (1 + f.sum()))),
            ),
        "a number of steps is positive, and u is negative.":
            lambda u, f, rate: u / (rate * (1 + f.sum())),
    },
    tolerance=1e-9,
)  # fmt: skip
