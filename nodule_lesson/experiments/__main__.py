"""Run the experiments: python -m nodule_lesson.experiments --table 3 --profile laptop."""

import argparse
import json
import os
import sys
from pathlib import Path

import torch

from nodule_lesson.data.demo import cache_folder
from nodule_lesson.experiments import evidence, grid, paper, schedule
from nodule_lesson.experiments.results import read, results_folder
from nodule_lesson.jobs import cores


class Parser(argparse.ArgumentParser):
    """A parser whose help ends with the profiles, rows and stages."""

    def format_help(self):
        return f"{super().format_help()}\n{guide()}"


def main(arguments=None):
    parser = Parser(
        prog="python -m nodule_lesson.experiments",
        description="Train and score the rows of Tables 1 to 3 and more. Finished runs are kept: "
        "call it again to continue.",
    )
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument("--table", help="1, 2, 3, extra or all (default)")
    selection.add_argument("--rows", nargs="+", metavar="ROW", help="rows by name, see below")
    selection.add_argument(
        "--stage", choices=grid.STAGES, help="a part of the evidence, with its own profile"
    )
    parser.add_argument(
        "--profile", choices=grid.PROFILES, help="how large and how long (default: laptop)"
    )
    parser.add_argument(
        "--data", default="simulated", help="simulated, or a folder of PatchSets (README)"
    )
    parser.add_argument("--out", type=Path, help="folder for results (default: book/results)")
    parser.add_argument(
        "--work", type=Path, help="folder for pre-trained weights (default: cache)"
    )
    computers = parser.add_mutually_exclusive_group()
    computers.add_argument(
        "--workers", type=_at_least_one, default=1, help="processes of one thread each"
    )
    computers.add_argument("--scheduler", help="address of a Dask scheduler, to use its workers")
    options = parser.parse_args(arguments)
    if options.stage and options.profile:
        parser.error("argument --profile: not allowed with argument --stage, which has its own")
    if options.stage and (options.data == "simulated") != _is_simulated(options.stage):
        wanted = "simulated" if _is_simulated(options.stage) else "a folder"
        parser.error(f"argument --data: stage {options.stage} wants {wanted}")
    for name in options.rows or ():
        if name not in grid.ROWS:
            parser.error(f"argument --rows: {name!r} is none of these:\n{rows_by_table()}")
    profile = options.profile or "laptop"
    table = options.table or "all"
    table = int(table) if table.isdigit() else table
    if options.workers == 1 and not torch.cuda.is_available():
        if "OMP_NUM_THREADS" not in os.environ:  # torch itself reads it
            torch.set_num_threads(cores())
    name = "simulated" if options.data == "simulated" else Path(options.data).resolve().name
    try:
        if options.stage:
            runs = grid.runs_of_stage(options.stage)
        else:
            runs = grid.runs(table, profile, name, options.rows)
        out = options.out or results_folder()
        work = options.work or cache_folder() / "pretrained"
        schedule.carry_out(runs, options.data, out, work, options.workers, options.scheduler)
        if options.stage:
            show_stage(grid.STAGES[options.stage], out)
        else:
            show(runs, name, profile, out)
    except OSError as error:  # a folder, a disk, a network
        where = "" if error.filename is None else f"{error.filename}: "
        parser.exit(2, f"error: {where}{error.strerror or error}\n")
    except (ValueError, ModuleNotFoundError) as error:
        parser.exit(2, f"error: {error}\n")


def _is_simulated(stage):
    return grid.STAGES[stage].data == "simulated"


def _at_least_one(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, found {text!r}")
    return int(text)


def show(runs, name, profile, out):
    """Print the summary of each row, in the order of the grid."""
    results = read(name, profile, out, traced=False)
    print(f"{'row':24} runs  Dice, large test      missed   Dice, small test")
    for row in dict.fromkeys(run.row.name for run in runs):
        large, small = (results.summary_row(row, test) for test in ("large", "small"))
        mean, low, high = large["dice"]
        interval = f"({low:.3f}, {high:.3f})" if low == low else "(no interval)"  # one patient
        print(
            f"{row:24} {large['runs']:4}  {mean:.3f} {interval:14}  "
            f"{large['missed'][0]:6.1%}   {small['dice'][0]:.3f}"
        )
    size = grid.PROFILES[profile]
    if profile == "demo":
        print(
            f"\n{size.scratch_steps} steps on crops of {size.side} x {size.side} pixels: these "
            "numbers prove that everything runs, and say nothing of the networks."
        )


def show_stage(stage, out):
    """Print the rows of a stage beside the paper's Dice, and the decisions of the protocol."""
    results = evidence.read(stage.data, stage.profile, out, traced=False)
    printed = {
        row: paper.TABLES[table][name][paper.MEASURES.index("dice")]
        for table, rows in paper.ROWS.items()
        for name, row in rows.items()
    }
    rows = [results.summary_row(row) for row in stage.rows if row in results.rows]
    tests = [test for test in ("small", "large", "external") if test in rows[0]]
    print(f"{'row':38} paper  runs  train  " + "  ".join(f"{test:>21}" for test in tests))
    for row in rows:
        paper_dice = f"{printed[row['row']]:.3f}" if row["row"] in printed else "  -  "
        learnt = " " if row["learnt"] else "*"
        print(
            f"{row['row']:38} {paper_dice}  {row['runs']:4}  {row['train']:.3f}{learnt} "
            + "  ".join(_interval(row[test]) for test in tests)
        )
    print(f"* below {evidence.LEARNT:g} on its own training lesions: it has not learnt")
    if stage.data != "real":
        return
    for decision in results.primary():
        if decision.difference is not None:
            print(
                f"{decision.row} - {decision.other}: {_interval(decision.difference)}, "
                f"p {decision.p:.3f} (Holm), {decision.verdict}"
            )


def _interval(value):
    """The text of a mean and its interval. value: `Crossed` or (mean, low, high)."""
    mean, low, high = value if isinstance(value, tuple) else (value.mean, value.low, value.high)
    return f"{mean:.3f} " + (f"({low:.3f}, {high:.3f})" if low == low else "(one training)")


# --- the end of the help -------------------------------------------------------------------------


def guide():
    """Profiles, rows and stages, as text."""
    profiles = "\n".join(
        f"  {name:8} {_profile_text(profile)}" for name, profile in grid.PROFILES.items()
    )
    stages = "\n".join(f"  {name:8} {_stage_text(name)}" for name in grid.STAGES)
    return (
        f"profiles:\n{profiles}\n\n"
        f'rows, each of them in quotes, as in --rows "unet, pre-trained" proposed:\n'
        f"{rows_by_table()}\n\n"
        f"stages:\n{stages}\n"
    )


def rows_by_table():
    """The names of all rows, one per line, since some have commas and spaces."""
    groups = {f"table {table}": names for table, names in grid.TABLES.items()}
    groups["extra"] = grid.rows_of("extra")
    listed = {name for names in groups.values() for name in names}
    groups["only in stages"] = [name for name in grid.ROWS if name not in listed]
    return "\n".join(
        f"  {title}:\n" + "\n".join(f'    "{name}"' for name in names)
        for title, names in groups.items()
    )


def _profile_text(profile):
    if profile.epochs is None:
        steps = (
            f"{profile.scratch_steps:,} steps, or {profile.pretrain_steps:,} of pre-training and "
            f"{profile.steps:,} more"
        )
    else:
        steps = f"{profile.epochs} epochs, after {profile.pretrain_steps:,} steps of pre-training"
    counts = [(profile.seeds, "seed"), (profile.clinics, "clinic"), (profile.folds or 1, "fold")]
    runs = [_plural(count, noun) for count, noun in counts if count > 1]
    texts = [f"crops of {profile.side} x {profile.side}, networks of width {profile.width}", steps]
    texts += [" x ".join(runs)] if runs else []
    texts += ["only to see that everything runs"] if profile.name == "demo" else []
    return "; ".join([*texts, _measured_time(profile.name)])


def _plural(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _measured_time(profile):
    """How long the book's own runs took."""
    files = results_folder().glob(f"*-{profile}/*-seed*.json")
    sources = [json.loads(file.read_text(encoding="utf-8"))["provenance"] for file in files]
    if not sources:
        return "time not measured"
    seconds = [source["seconds"] for source in sources]
    devices = sorted(
        {f"{source['device']}, {_plural(source['threads'], 'thread')}" for source in sources}
    )
    return (
        f"{min(seconds):.0f} to {max(seconds):.0f} s per run "
        f"({len(sources)} runs on {', '.join(devices)})"
    )


def _stage_text(name):
    stage, runs = grid.STAGES[name], grid.runs_of_stage(name)
    return (
        f"{len(stage.rows)} rows in the profile {stage.profile}, {len(runs)} runs on "
        f"{stage.data} data"
    )


if __name__ == "__main__":
    sys.exit(main())
