"""Answers to the exercises of book/training_the_model.md, for test_exercises.py."""

import torch
from torch import nn

from nodule_lesson.training.losses import dice_loss


def step(model, optimiser, loss, images, masks):
    """Gradients by torch.autograd.grad, moved with the rate that the optimiser names."""
    model.train()
    value = loss(model(images), masks)
    weights = list(model.parameters())
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(value, weights), strict=True):
            weight -= optimiser.param_groups[0]["lr"] * slope
    return value.item()


def rates(first, decay, every, epochs):
    """torch's schedule."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=first)
    scheduler, rates = torch.optim.lr_scheduler.StepLR(optimiser, every, decay), []
    for _ in range(epochs):
        rates.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return rates


def pull(p, area, pixels, smooth):
    """torch's gradient, slice size by slice size."""
    slopes = []
    for size in area.astype(int):
        chance = torch.tensor(p, dtype=torch.float64, requires_grad=True)
        mask = (torch.arange(pixels) < size).double()[None]
        dice_loss(chance.expand(1, pixels), mask, smooth).backward()
        slopes.append(chance.grad.item())
    return slopes
