"""Run the experiments: python -m nodule_lesson.experiments --table 3 --profile laptop."""

import argparse
import os
import sys
from pathlib import Path

import torch

from nodule_lesson.demo import cache_folder
from nodule_lesson.experiments import grid, schedule
from nodule_lesson.experiments.results import read, results_folder


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m nodule_lesson.experiments",
        description="Tables 1 to 3, and what they lack. Run again, it goes on where it stopped.",
    )
    parser.add_argument("--table", default="all", help="1, 2, 3, extra or all (default)")
    parser.add_argument("--rows", nargs="+", help="some rows by name, instead of a table")
    parser.add_argument(
        "--stage", choices=grid.STAGES, help="a part of the evidence, instead of all these"
    )
    parser.add_argument("--profile", default="laptop", choices=grid.PROFILES)
    parser.add_argument(
        "--data", default="simulated", help="simulated, or a folder of PatchSets (README)"
    )
    parser.add_argument("--out", type=Path, help="where results go (default: book/results)")
    parser.add_argument("--work", type=Path, help="where pre-trained weights go (default: cache)")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--scheduler", help="address of a Dask scheduler")
    options = parser.parse_args(arguments)
    table = int(options.table) if options.table.isdigit() else options.table
    if options.workers == 1 and not torch.cuda.is_available():
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    name = "simulated" if options.data == "simulated" else Path(options.data).resolve().name
    try:
        if options.stage:
            runs = grid.runs_of_stage(options.stage)
        else:
            runs = grid.runs(table, options.profile, name, options.rows)
        out = options.out or results_folder()
        work = options.work or cache_folder() / "pretrained"
        schedule.carry_out(runs, options.data, out, work, options.workers, options.scheduler)
        if not options.stage:
            show(runs, name, options.profile, out)
    except (ValueError, FileNotFoundError) as error:
        parser.exit(2, f"error: {error}\n")


def show(runs, name, profile, out):
    """Print the rows, in the order of the grid."""
    results = read(name, profile, out, traced=False)
    print(f"{'row':24} runs  Dice, large test      missed   Dice, small test")
    for row in dict.fromkeys(run.row.name for run in runs):
        large, small = (results.line(row, test) for test in ("large", "small"))
        mean, low, high = large["dice"]
        print(
            f"{row:24} {large['runs']:4}  {mean:.3f} ({low:.3f}, {high:.3f})  "
            f"{large['missed'][0]:6.1%}   {small['dice'][0]:.3f}"
        )


if __name__ == "__main__":
    sys.exit(main())
