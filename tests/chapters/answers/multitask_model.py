"""Answers to the exercises of book/multitask_model.md, for test_exercises.py."""

import functools

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet, Output
from nodule_lesson.training.losses import dice_loss, multitask_loss


def eq7(z, y, v, w, a, b):
    """The package's loss."""
    z, y, v, w = (torch.as_tensor(part) for part in (z, y, v, w))
    output = Output(torch.sigmoid(z)[:, None], z[:, None], z[:, None], torch.sigmoid(v), v)
    return multitask_loss(output, y[:, None], w, a, b)


@functools.cache
def _shapes_in_a_network(width, side):
    net, shapes = DetectionGuidedNet(**{**SLIM, "width": width}).eval(), {}
    for name, part in net.named_children():
        part.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: output.shape[1:]})
        )
    with torch.no_grad():
        net(torch.zeros(1, 1, side, side))
    return shapes


def shapes(name, width, side):
    """Seen in a network."""
    shape = _shapes_in_a_network(width, side)[name]
    return shape[0], shape[-1]


def unit_parameters(inputs, outputs, stride):
    """Layer by layer."""
    layers = [
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, inputs, 3, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.Conv2d(outputs, outputs, 3, bias=False),
    ]
    if inputs != outputs or stride != 1:
        layers.append(nn.Conv2d(inputs, outputs, 1, bias=False))
    return sum(p.numel() for layer in layers for p in layer.parameters())


def _saturated_loss(least):
    def cross_entropy(z, y):
        p = np.clip(expit(z), least, 1 - least)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    def loss(z, y, v, w, a, b):
        dice = dice_loss(*map(torch.as_tensor, (expit(z), y))).item()
        return dice + a * cross_entropy(z, y) + b * cross_entropy(v, w)

    return loss


FAULTY = [
    ("eq7", "wrong for large ones", _saturated_loss(0)),
    ("eq7", "(or was clipped)", _saturated_loss(1e-12)),
]
