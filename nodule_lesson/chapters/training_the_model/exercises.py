"""Checkers of the chapter *Training the model*."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson.chapters.verdict import verdict

RATE = 0.3


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


def _carried_out(function):
    """Losses of three calls, then weights and running means: one vector, or what was wrong."""
    model, batches = _start()
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    losses = []
    for images, masks in batches:
        loss = function(model, optimiser, F.binary_cross_entropy_with_logits, images, masks)
        if loss is None or torch.is_tensor(loss):
            return loss
        losses.append(float(loss))
    state = [p.detach().flatten() for p in model.parameters()] + [model[1].running_mean]
    return np.concatenate([losses, torch.cat(state).numpy()])


def _variant(*order):
    """A step made of the named parts, in this order; one that begins with "step" moves first."""

    def step(model, optimiser, loss, images, masks):
        if "train" in order:
            model.train()
        if order[:1] == ("step",):
            optimiser.step()
        value = loss(model(images), masks)
        for part in order[order[:1] == ("step",) :]:
            if part == "zero":
                optimiser.zero_grad()
            elif part == "backward":
                value.backward()
            elif part == "step":
                optimiser.step()
        return value.item()

    return step


def step(function):
    """function(model, optimiser, loss, images, masks) -> the loss, a number; one step of training.

    The model comes in evaluation mode, the optimiser with gradients of an earlier step. The
    checker calls it three times and looks at losses, weights and running means.
    """
    try:
        answer = _carried_out(function)
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        print("Not yet: the weights move before their gradient is known: backward, then step.")
        return False
    if torch.is_tensor(answer):
        print(
            "Not yet: this returns a tensor, which keeps the whole step in memory: return "
            "value.item(), a number."
        )
        return False
    still = "backward, then step, with no zero_grad between them."
    wrong = [
        ("the gradients of all steps add up: zero_grad is missing.",
         _variant("train", "backward", "step")),
        (f"the weights never move: {still}", _variant("train")),
        (f"the weights never move, and the network stays in evaluation mode: {still}",
         _variant()),
        ("every step uses the gradient of the one before: step comes before backward.",
         _variant("step", "train", "zero", "backward")),
        ("the network stays in evaluation mode, as it came: batch normalisation neither uses nor "
         "learns the statistics of the batch. Call model.train() first.",
         _variant("zero", "backward", "step")),
        ("the network stays in evaluation mode, and zero_grad is missing.",
         _variant("backward", "step")),
    ]  # fmt: skip
    right = _carried_out(_variant("train", "zero", "backward", "step"))
    return verdict(answer, right, [(hint, _carried_out(one)) for hint, one in wrong])


def rates(function):
    """function(first, decay, every, epochs) -> the learning rate of each epoch, a list.

    `first` in epoch 0, times `decay` after every `every` epochs.
    """
    first, decay, every, epochs = 0.004, 0.7, 3, 11
    answer = function(first, decay, every, epochs)
    k = np.arange(epochs)
    wrong = [
        ("the rate falls in every epoch; it stays for `every` of them. Use whole division, //.",
         first * decay ** (k / every)),
        ("this multiplies by decay in every epoch.", first * decay**k),
        ("one epoch early: epochs count from 0, so the first fall comes after `every` of them.",
         first * decay ** ((k + 1) // every)),
        ("the first rate falls at once: epoch 0 has `first` itself.",
         first * decay ** (k // every + 1)),
        ("this takes `decay` away; it multiplies.", first - decay * (k // every)),
        ("this multiplies by decay times the number of falls; it multiplies once for each fall.",
         np.where(k < every, first, first * decay * (k // every))),
        ("this falls once and never again.", np.where(k < every, first, first * decay)),
        ("this multiplies by 1 - decay.", first * (1 - decay) ** (k // every)),
        ("this grows: it divides by decay.", first / decay ** (k // every)),
    ]  # fmt: skip
    return verdict(answer, first * decay ** (k // every), wrong, tolerance=1e-9)


def pull(function):
    """function(p, area, pixels, smooth) -> dL/dp of the Dice loss of one slice.

    Every one of `pixels` pixels has the probability p, `area` of them belong to a nodule. The
    checker calls it with arrays of areas, one of them 0.
    """
    p, area, pixels, smooth = 0.2, np.array([0.0, 20.0, 45.0, 300.0]), 4096, 2.0
    answer = function(p, area.copy(), pixels, smooth)
    above, below = 2 * p * area + smooth, p * pixels + area + smooth
    right = -(2 * area * below - above * pixels) / below**2
    wrong = [
        ("the sign: this is the derivative of Dice; the loss is 1 minus it.", -right),
        ("this takes the denominator for a constant; the sum of p moves with p, too.",
         -2 * area / below),
        ("this is the derivative with respect to the logit: without p (1 - p), please.",
         right * p * (1 - p)),
        ("the denominator of a quotient's derivative is a square.", right * below),
        ("this leaves out s.",
         -(2 * area * (p * pixels + area) - 2 * p * area * pixels) / (p * pixels + area) ** 2),
        ("the sum of p runs over all pixels, those of the nodule included.",
         -(2 * area * (below - p * area) - above * (pixels - area)) / (below - p * area) ** 2),
        ("the overlap counts twice in Dice.",
         -(area * below - (p * area + smooth) * pixels) / below**2),
        ("this is the derivative per pixel: divide by nothing, p is common to all.",
         right / pixels),
        ("this is the loss, not its derivative.", 1 - above / below),
    ]  # fmt: skip
    return verdict(answer, right, wrong, tolerance=1e-9)
