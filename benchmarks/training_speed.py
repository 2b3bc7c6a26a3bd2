"""Images per second in training: `fit` compared with a plain loop.

The plain loop is the usual one: a DataLoader that flips and stacks slices on the CPU, a copy to
the device, 32 bits, a forward and a backward pass, Adam, and the loss read at every step. `fit`
draws and flips its batches on the device, and on CUDA uses a fused Adam and reads the losses every
ten steps; there it is also measured in 16 bits, and compiled. Each round takes every contender
once with the same network, so that other work on the machine affects all of them equally.

    python benchmarks/training_speed.py --out book/results/training_speed.json

On a CPU this measures the cost of the loop itself. The aim of five times the plain loop is for a
GPU, and was not measured, since no GPU was available. On one: --network "width 64" --side 128.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nodule_lesson.files import write_json
from nodule_lesson.networks.detection_guided import SLIM, DetectionGuidedNet
from nodule_lesson.provenance import provenance, seconds
from nodule_lesson.training.fitting import READ_EVERY, Batches, best_device, best_precision, fit
from nodule_lesson.training.losses import multitask_loss

BATCH, SLICES = 10, 500
WARMUP_STEPS = READ_EVERY  # the first steps of a loop allocate memory and are not timed
PLAIN = "a plain loop"
NETWORKS = {"slim": SLIM, "width 64": {}}


class Slices(Dataset):
    """One slice at a time, flipped at random, as a Dataset usually is."""

    def __init__(self, images, masks, has_nodule):
        self.data, self.random = (images, masks, has_nodule), np.random.default_rng(0)

    def __len__(self):
        return len(self.data[0])

    def __getitem__(self, row):
        image, mask, has_nodule = (tensor[row] for tensor in self.data)
        for axis in (-1, -2):
            if self.random.random() < 0.5:
                image, mask = image.flip(axis), mask.flip(axis)
        return image, mask, has_nodule


def slices(side):
    """Discs in noise, since the content does not matter here."""
    random = torch.Generator().manual_seed(0)
    axis = torch.arange(side) - side / 2
    disc = (axis[:, None] ** 2 + axis**2 < (side / 10) ** 2).float()
    has_nodule = (torch.arange(SLICES) % 2).float()
    masks = disc * has_nodule[:, None, None, None]
    return 0.5 * masks + torch.rand(SLICES, 1, side, side, generator=random) / 2, masks, has_nodule


def plain(model, data, steps, device, clock):
    """Train in the usual loop; returns {step: clock after it}."""
    workers = 4 if device.type == "cuda" else 0  # with one thread, workers would only compete
    loader = DataLoader(
        Slices(*data),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-8)
    model.to(memory_format=torch.contiguous_format).train()
    losses, times = [], {}
    while len(losses) < steps:
        for batch in loader:
            images, masks, has_nodule = (tensor.to(device) for tensor in batch)
            loss = multitask_loss(model(images), masks, has_nodule)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            times[len(losses)] = clock()
            if len(losses) == steps:
                break
    return times


def ours(model, data, steps, device, clock, **options):
    """Train with the package's `fit`; returns {step: clock after it}."""
    times = {}
    fit(
        model,
        Batches(*(tensor.to(device) for tensor in data), size=BATCH),
        multitask_loss,
        steps=steps,
        watch=lambda step, loss: times.__setitem__(step, clock()),
        progress=False,
        **options,
    )
    return times


def contenders(device):
    """{name: (loop, its options)} for this device."""
    loops = {PLAIN: (plain, {}), "fit, 32 bits": (ours, {})}
    if device.type == "cuda":
        precision = best_precision(device)
        loops[f"fit, {precision}"] = (ours, {"precision": precision})
        loops[f"fit, {precision}, compiled"] = (ours, {"precision": precision, "compiled": True})
    return loops


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=30, help="of a loop in a round, timed (30)")
    parser.add_argument("--rounds", type=int, default=9, help="of all contenders (9)")
    parser.add_argument("--network", choices=NETWORKS, default="slim")
    parser.add_argument("--side", type=int, default=64, help="of a slice, in pixels (64)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.rounds < 1:
        parser.error("--steps and --rounds must be at least 1.")
    device = best_device()
    clock = time.perf_counter
    if device.type == "cpu":
        torch.set_num_threads(1)
        clock = seconds
    torch.manual_seed(0)
    model = DetectionGuidedNet(**NETWORKS[options.network]).to(device)
    data, steps = slices(options.side), WARMUP_STEPS + options.steps
    speeds = {name: [] for name in contenders(device)}
    for _ in range(options.rounds):
        for name, (loop, loop_options) in contenders(device).items():
            times = loop(model, data, steps, device, clock, **loop_options)
            speeds[name].append(BATCH * options.steps / (times[steps] - times[WARMUP_STEPS]))
    medians = {name: statistics.median(by_round) for name, by_round in speeds.items()}
    rows = [
        {
            "contender": name,
            "images_a_second": round(medians[name], 2),
            "times_plain": round(medians[name] / medians[PLAIN], 3),
            "rounds": [round(speed, 2) for speed in by_round],
        }
        for name, by_round in speeds.items()
    ]
    for row in rows:
        print(
            f"{row['contender']:22} {row['images_a_second']:9.1f} images/s, "
            f"{row['times_plain']:.2f} times the plain loop"
        )
    command = f"--steps {options.steps} --rounds {options.rounds}"
    if (options.network, options.side) != ("slim", 64):
        command += f' --network "{options.network}" --side {options.side}'
    made_by = provenance(f"python benchmarks/training_speed.py {command}")
    cuda = device.type == "cuda"
    made_by["clock"] = made_by["clock"] if device.type == "cpu" else "wall time"
    result = {
        "what": "Images a second of a training: fit beside a plain loop, by rounds.",
        "setting": {
            "device": torch.cuda.get_device_name() if cuda else device.type,
            "network": options.network,
            "side": options.side,
            "batch": BATCH,
            "steps": options.steps,
            "rounds": options.rounds,
            "seed": 0,
        },
        "rows": rows,
        "provenance": made_by,
    }
    if options.out is not None:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
