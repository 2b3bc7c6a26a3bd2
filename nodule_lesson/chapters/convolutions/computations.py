"""What the chapter on convolutions computes for its figures: gradients on their way back."""

import numpy as np
import torch
from torch import nn

from nodule_lesson.networks import SLIM, blocks, build_model

# --- back through a pile of units --------------------------------------------------------------


def _without_sum(unit, x):
    return unit.residual(x)


def _post_activation(unit, x):
    """The first design: convolution, normalisation, ReLU, twice; the last ReLU after the sum."""
    (norm1, _, conv1), (norm2, _, conv2) = unit.residual
    return torch.relu(x + norm2(conv2(torch.relu(norm1(conv1(x))))))


# What a unit does with its input, and whether its normalisations work.
STEPS = {
    "no sum": (_without_sum, True),
    "no sum, no normalisation": (_without_sum, False),
    "sum, then ReLU": (_post_activation, True),
    "sum (the package's unit)": (blocks.ResidualUnit.__call__, True),
}


def gradients_through_units(draws=5):
    """Size of the gradient before 24 units and after each of them, relative to the last one.

    Returns the geometric means of that many draws of the weights, (25,), by the names of STEPS.
    """
    return {
        name: np.exp(np.mean([np.log(sizes(*step, seed)) for seed in range(draws)], axis=0))
        for name, step in STEPS.items()
    }


def sizes(step, normalise, seed, depth=24, channels=16):
    """Size of the gradient before and after each unit of one pile: a list, relative to the last.

    step(unit, x): what a unit does with its input. normalise: whether its normalisations work.
    """
    torch.manual_seed(seed)
    states = [torch.randn(8, channels, 16, 16, dtype=torch.float64, requires_grad=True)]
    for _ in range(depth):
        unit = blocks.ResidualUnit(channels, channels, separable=False).double()
        unit.train(normalise)  # in evaluation a fresh normalisation does nothing
        states.append(step(unit, states[-1]))
    push = torch.randn_like(states[-1])
    gradients = torch.autograd.grad((states[-1] * push).sum(), states)
    return [float(gradient.norm() / gradients[-1].norm()) for gradient in gradients]


# --- what a pixel sees -------------------------------------------------------------------------


def settled(run, side=128):
    """A function of a seed for `run` on a slim network whose normalisations have seen one batch.

    run(net, image) gives a map of the network. side: that of the images in the batch, in pixels.
    The function makes a network with fresh weights, and returns one of an image, (1, 1, H, W).
    """

    def make(seed):
        net = build_model("backbone+combination", **SLIM)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 1.0
        with torch.no_grad():
            run(net.train(), torch.randn(2, 1, side, side))
        net.eval()
        return lambda image: run(net, image)

    return make


def reached(field):
    """Which pixels have any influence, (R, R) booleans, within the extent R of a square field."""
    places = np.flatnonzero(field.sum(0))
    extent = slice(places[0], places[-1] + 1)
    return field[extent, extent] > 0
