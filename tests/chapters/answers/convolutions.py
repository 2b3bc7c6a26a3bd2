"""Answers to the exercises of book/convolutions.md, for test_exercises.py."""

import numpy as np
import torch
from torch import nn

from nodule_lesson.networks.blocks import DepthwiseSeparableConv, conv3x3


def separable_costs(kernel, inputs, outputs, height, width, stride):
    """Counted in the layers."""
    weights, products = [], []
    for layer in (
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        DepthwiseSeparableConv(inputs, outputs, kernel, stride),
    ):
        image = torch.zeros(1, inputs, height, width)
        weights.append(sum(p.numel() for p in layer.parameters()))
        products.append(0)
        for part in layer if isinstance(layer, nn.Sequential) else [layer]:
            image = part(image)
            products[-1] += part.weight.numel() * image.shape[-2:].numel()
    return weights + products


def largest_rate(n):
    """By trying: a convolution of ones with ones counts its products with the map."""
    passing = []
    for rate in range(1, n + 1):
        convolution = conv3x3(1, 1, dilation=rate)
        nn.init.ones_(convolution.weight)
        if convolution(torch.ones(1, 1, n, n)).sum() >= 9 * n * n / 2:
            passing.append(rate)
    return max(passing)


def receptive_field(layers):
    """Where the gradient of one output is not zero."""
    stack = nn.Sequential(
        *(nn.Conv2d(1, 1, k, s, d * (k // 2), d, bias=False).double() for k, s, d in layers)
    )
    for weight in stack.parameters():
        nn.init.ones_(weight)
    image = torch.ones(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    output = stack(image)
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, middle, middle], image)
    rows = np.flatnonzero(gradient[0, 0].sum(1))
    return rows[-1] - rows[0] + 1
