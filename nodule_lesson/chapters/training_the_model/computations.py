"""What the chapter on training computes for a figure."""

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR

STAIRCASE = "× 0.75 every five of 50 epochs"


def learning_rates(steps=200):
    """The learning rate of each step with three of PyTorch's schedules, by name: arrays (steps,).

    steps: of the whole training, a multiple of 50, so that an epoch of the staircase has the same
    number of them.
    """
    return {
        "constant": np.full(steps, 1e-3),
        STAIRCASE: _traced(lambda adam: StepLR(adam, steps // 10, 0.75), steps, 1e-3),
        "one-cycle, as above": _traced(
            lambda adam: OneCycleLR(adam, 3e-3, total_steps=steps, pct_start=0.2), steps, 3e-3
        ),
    }


def _traced(schedule, steps, rate):
    """The learning rates that schedule(optimiser) gives."""
    adam = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler, rates = schedule(adam), []
    for _ in range(steps):
        rates.append(adam.param_groups[0]["lr"])
        adam.step()
        scheduler.step()
    return np.array(rates)
