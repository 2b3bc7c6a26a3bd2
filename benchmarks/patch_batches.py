"""Time random batches from PatchSets of a thousand, ten and a hundred thousand slices.

They are written to a temporary folder (33 kB per slice, 3.6 GB in all, removed at the end) and
measured in turn in one process. There are two clocks: CPU time excludes other work on the machine,
wall time includes it, and also the waiting for the disk. --out writes the numbers as JSON.

A remaining difference need not come from the number of slices: a thousand slices, 33 MB, may fit
into a processor's last cache, which is faster than memory, and no larger set does. So "copy" times
only `array[rows]` of the same bytes, and there is a set of ten thousand slices in between.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from nodule_lesson.data.patches import COLUMNS, PatchSet
from nodule_lesson.provenance import provenance

SIZE, BATCH, SEED = 128, 10, 0
SLICES = [1000, 10_000, 100_000]


def write_noise(path, count):
    """A set of `count` copies of one slice, a disc in noise; reading them costs the same."""
    rng = np.random.default_rng(SEED)
    image = rng.integers(0, 256, (SIZE, SIZE), np.uint8)
    row, column = np.ogrid[:SIZE, :SIZE]
    mask = (row - SIZE / 2) ** 2 + (column - SIZE / 2) ** 2 < 100
    unknown = [None] * count
    slices = {name: unknown for name in COLUMNS}
    slices["patient"] = [f"patient-{k // 15}" for k in range(count)]
    slices["slice"], slices["has_nodule"] = range(count), [1] * count
    shape = (count, SIZE, SIZE)
    return PatchSet.write(
        path,
        np.broadcast_to(image, shape),
        np.broadcast_to(mask, shape),
        slices,
        source="noise",
        licence="CC0",
        citation="none",
    )


def batches(patch_set, count, rng):
    """`count` random batches by `PatchSet.batch`."""
    for _ in range(count):
        patch_set.batch(rng.integers(0, len(patch_set), BATCH))


def copied(patch_set, count, rng):
    """The reading of `PatchSet.batch` without its computations."""
    images, masks = (array.view(np.ndarray) for array in (patch_set.images, patch_set.masks))
    for _ in range(count):
        rows = rng.integers(0, len(patch_set), BATCH)
        images[rows], masks[rows]


def loaded(patch_set, count, rng):
    """The same through a DataLoader, in this process."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    data = patch_set.dataset()
    sampler = RandomSampler(data, True, num_samples=count * BATCH, generator=generator)
    for _ in DataLoader(data, batch_size=BATCH, sampler=sampler):
        pass


WAYS = {"copy": copied, "batch": batches, "DataLoader": loaded}


def measure(patch_sets, rounds, count):
    """Microseconds per batch, medians over rounds in which the sets take turns."""
    rng = np.random.default_rng(SEED)
    cells = [(way, patch_set) for way in WAYS for patch_set in patch_sets]
    times = {(way, len(patch_set)): [] for way, patch_set in cells}
    for turn in range(rounds + 1):
        for way, patch_set in cells[:: -1 if turn % 2 else 1]:
            cpu, wall = time.process_time(), time.perf_counter()
            WAYS[way](patch_set, count, rng)
            durations = time.process_time() - cpu, time.perf_counter() - wall
            if turn:  # the first round warms up
                times[way, len(patch_set)].append(durations)
    rows = []
    for (way, slices), durations in times.items():
        cpu, wall = (
            1e6 * statistics.median(by_round) / count for by_round in zip(*durations, strict=True)
        )
        row = {"way": way, "slices": slices, "cpu_us": round(cpu, 1), "wall_us": round(wall, 1)}
        rows.append(row)
    return rows


def ratios(rows):
    """The time of each larger set divided by that of the smallest."""
    sizes = sorted({row["slices"] for row in rows})
    by = {(row["way"], row["slices"]): row for row in rows}
    return [
        {
            "way": way,
            "slices": count,
            "cpu": round(by[way, count]["cpu_us"] / by[way, sizes[0]]["cpu_us"], 3),
            "wall": round(by[way, count]["wall_us"] / by[way, sizes[0]]["wall_us"], 3),
        }
        for way in WAYS
        for count in sizes[1:]
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--slices", nargs="+", type=int, default=SLICES, help="of each set")
    parser.add_argument("--rounds", type=int, default=11, help="timed rounds (11)")
    parser.add_argument("--batches", type=int, default=500, help="batches a round (500)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        patch_sets = []
        for count in options.slices:
            start = time.perf_counter()
            written = write_noise(Path(folder) / str(count), count)
            middle = time.perf_counter()
            patch_sets.append(PatchSet.open(written.path))
            end = time.perf_counter()
            print(
                f"{count:7} slices: written in {middle - start:.1f} s, "
                f"opened and verified in {end - middle:.1f} s",
                flush=True,
            )
        rows = measure(patch_sets, options.rounds, options.batches)
    for row in rows:
        print("{way:12} {slices:7} slices  {cpu_us:7.1f} us CPU  {wall_us:7.1f} us".format(**row))
    compared = ratios(rows)
    for row in compared:
        text = "{way:12} {slices:7} slices / the fewest: CPU time {cpu:.3f}, wall time {wall:.3f}"
        print(text.format(**row))
    command = (
        f"--slices {' '.join(map(str, options.slices))} --rounds {options.rounds} "
        f"--batches {options.batches}"
    )
    result = {
        "what": "Microseconds for a random batch of a PatchSet: medians of interleaved rounds.",
        "setting": {
            "batch": BATCH,
            "height": SIZE,
            "width": SIZE,
            "seed": SEED,
            "rounds": options.rounds,
            "batches": options.batches,
            "pages": "warm: all sets were read once by PatchSet.open",
        },
        "provenance": provenance(f"python benchmarks/patch_batches.py {command}", ("numpy",))
        | {"clock": "CPU time and wall time"},
        "rows": rows,
        "ratios": compared,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
