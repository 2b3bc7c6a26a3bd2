"""The CPU time of a training step of the slim networks on one core, in three variants.

A step has ten 64 x 64 crops: forward, the paper's Eq. (7), backward, Adam. Each round takes all
variants in turn: PyTorch's usual memory layout with its own dilated depthwise convolution; the
same in channels_last; and channels_last with `blocks.DepthwiseConv`, as in the experiments.

    OMP_NUM_THREADS=1 python benchmarks/step_speed.py --out book/results/step_speed.json
"""

import argparse
import statistics
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from nodule_lesson import build_model
from nodule_lesson.experiments.grid import PROFILES, ROWS, model_options
from nodule_lesson.files import write_json
from nodule_lesson.networks.blocks import DepthwiseConv
from nodule_lesson.provenance import provenance, seconds
from nodule_lesson.training.losses import multitask_loss

BATCH, SIDE, WARMUP_ROUNDS = 10, 64, 2
NETWORKS = ("unet", "resunet", "backbone", "proposed")
VARIANTS = {
    "plain": (torch.contiguous_format, False),
    "channels last": (torch.channels_last, False),
    "as trained": (torch.channels_last, True),
}


def trainer(name, layout, ours):
    """A function that makes one step. ours: whether with `blocks.DepthwiseConv`."""
    torch.manual_seed(0)
    row, profile = ROWS[name], PROFILES["night"]
    model = build_model(row.model, profile.width, **model_options(row, profile))
    model.to(memory_format=layout).train()
    adam = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-8, foreach=True)
    images = torch.rand(BATCH, 1, SIDE, SIDE)
    masks, has_nodule = (images > 0.95).float(), torch.ones(BATCH)
    pytorchs = mock.patch.object(DepthwiseConv, "forward", nn.Conv2d.forward)

    def step():
        with nullcontext() if ours else pytorchs:
            loss = multitask_loss(model(images), masks, has_nodule)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return step


def measure(name, rounds):
    steps = {variant: trainer(name, *settings) for variant, settings in VARIANTS.items()}
    times = {variant: [] for variant in steps}
    for number in range(rounds + WARMUP_ROUNDS):
        for variant, step in steps.items():
            start = seconds()
            step()
            if number >= WARMUP_ROUNDS:
                times[variant].append(seconds() - start)
    medians = {variant: statistics.median(values) for variant, values in times.items()}
    return {
        "network": name,
        **{f"{variant}_images_a_second": round(BATCH / t, 1) for variant, t in medians.items()},
        "ratio": round(medians["plain"] / medians["as trained"], 2),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for name in NETWORKS:
        rows.append(measure(name, options.rounds))
        print(rows[-1], flush=True)
    if options.out:
        result = {
            "what": "Training images per second on one core: medians of interleaved steps.",
            "batch": BATCH,
            "side": SIDE,
            "rows": rows,
            "provenance": provenance(f"python benchmarks/step_speed.py --rounds {options.rounds}"),
        }
        write_json(options.out, result)


if __name__ == "__main__":
    main()
