"""Answers to the exercises of book/transfer_learning.md, for test_exercises.py."""

import torch
from torch import nn


def fine_tune(features, wanted, start, rate, steps, moving):
    """torch's own gradient and optimiser; frozen weights in a tensor of their own."""
    x, y, w, moving = map(torch.from_numpy, (features, wanted, start, moving))
    own = nn.Parameter(w[moving])
    optimiser = torch.optim.SGD([own], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        ((x[:, moving] @ own + x[:, ~moving] @ w[~moving] - y) ** 2).mean().div(2).backward()
        optimiser.step()
    w[moving] = own.detach()
    return w


def statistics_after(mean, variance, batches, momentum):
    """Those of torch's layer."""
    layer = nn.BatchNorm1d(1, momentum=momentum, dtype=torch.float64)
    layer.running_mean.fill_(mean)
    layer.running_var.fill_(variance)
    for batch in batches:
        layer(torch.from_numpy(batch)[:, None])
    return layer.running_mean.item(), layer.running_var.item()


def honest(scores, patient):
    """Lesion by lesion."""
    chosen = []
    for lesion, mine in enumerate(patient):
        others = [k for k, name in enumerate(patient) if name != mine]
        means = [sum(row[k] for k in others) / len(others) for row in scores]
        chosen.append(scores[means.index(max(means))][lesion])
    return sum(chosen) / len(chosen)
