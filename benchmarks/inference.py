"""Milliseconds of the networks for one crop on a CPU, by network, side and threads.

It is the wall time of a forward pass in evaluation mode, the median over rounds. Each round takes
every case once, so that other work on the machine affects all of them equally.

    python benchmarks/inference.py --out book/results/inference.json
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from tqdm import tqdm

from nodule_lesson import build_model, load_pretrained
from nodule_lesson.files import write_json
from nodule_lesson.provenance import provenance

SIDES, THREADS = (64, 128), (1, 2)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=40, help="rounds (40)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    models = {
        "slim": load_pretrained("slim"),
        "slim-plain": load_pretrained("slim-plain"),
        "proposed, width 64": build_model("proposed").eval(),
    }
    cases = [(name, side, n) for name in models for side in SIDES for n in THREADS]
    times = {case: [] for case in cases}
    with torch.inference_mode():
        for round_ in tqdm(range(options.repeats + 2), unit="round"):
            for name, side, threads in cases:
                if name.startswith("proposed") and round_ > 12:
                    continue  # each takes a second
                torch.set_num_threads(threads)
                image = torch.rand(1, 1, side, side)
                start = time.perf_counter()
                models[name](image)
                if round_ >= 2:  # the first rounds allocate memory
                    times[name, side, threads].append(1000 * (time.perf_counter() - start))
    rows = [
        {
            "network": name,
            "side": side,
            "threads": threads,
            "median_ms": round(statistics.median(milliseconds), 2),
            "quartiles_ms": [round(q, 2) for q in statistics.quantiles(milliseconds, n=4)[::2]],
            "runs": len(milliseconds),
        }
        for (name, side, threads), milliseconds in times.items()
    ]
    for row in rows:
        print(
            f"{row['network']:20} {row['side']:4} {row['threads']} threads "
            f"{row['median_ms']:8.2f} ms ({row['quartiles_ms'][0]} to {row['quartiles_ms'][1]})"
        )
    made_by = provenance(f"python benchmarks/inference.py --repeats {options.repeats}")
    made_by |= {"threads": "by row", "clock": "wall time"}
    result = {
        "what": "Milliseconds of a forward pass for one crop on a CPU.",
        "rows": rows,
        "provenance": made_by,
    }
    if options.out is not None:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
