"""Who computes which run: this machine, in several processes, or a Dask cluster.

Pre-training is done once for all rows that share it, beside the runs that need none; the others
follow. A finished run is a file, so a grid that was interrupted goes on where it stopped.
"""

import sys
import traceback
from functools import lru_cache, partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments import results, runner, scoring
from nodule_lesson.files import difference, make_folder
from nodule_lesson.jobs import KILLED, check_scheduler, cores, unordered


def carry_out(runs, source, out, work, workers=1, scheduler=None):
    """Carry out the runs that have no file yet, and return how many that were.

    runs: of one profile and one data set. source: what `data.load` takes. out: the folder of
    results files. work: a folder for pre-trained weights, seen by all who compute. workers:
    processes here, one thread each. scheduler: the address of a Dask scheduler, instead; its
    workers have one thread each, and see source and work under the same paths. Raises ValueError
    in the end if runs have failed; the others have their files. OSError, before anything is
    computed, where out or work cannot be written or nobody answers at that address.
    """
    out, work = Path(out), Path(work).absolute()
    profile = runs[0].profile
    folder = out / f"{runs[0].data}-{profile.name}"
    left = [run for run in runs if not is_done(run, folder)]
    there = len(runs) - len(left)
    print(f"{len(runs)} runs: {there} there already, {len(left)} to do.", file=sys.stderr)
    if not left:
        return 0
    make_folder(folder)
    make_folder(work)
    if scheduler:
        check_scheduler(scheduler)
    failed = _carry_out(left, source, folder, work, workers, scheduler)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(left)} runs failed, the others are in {folder}; checkpoints "
            f"are in {work}.\n" + "\n".join(failed)
        )
    return len(left)


def _carry_out(left, source, folder, work, workers, scheduler):
    """Compute these runs and write their files; returns the failures in words."""
    profile = left[0].profile
    clinics = {run.clinic: run for run in left}
    if str(source) == "simulated":  # here, once: a Dask worker has no children
        parts = dict.fromkeys(part for number in clinics for part in sets.parts_of(number))
        source = sets.simulated(profile.patients, cores(), parts)
    for run in clinics.values():
        _keep_lesions(folder, run, _data(str(source), run.profile, run.clinic))
    first = {}
    for run in left:
        if run.row.pretrained:
            data = _data(str(source), run.profile, run.clinic)
            first.setdefault(runner.pretrain_path(run, data, work), run)
    first = [run for path, run in first.items() if not path.exists()]
    # In this process alone, each training shows a bar of its own.
    bars = workers == 1 and not scheduler
    function = partial(_tried, source=str(source), work=str(work), progress=bars)
    if scheduler:
        function = partial(_on_worker, function)
    # Runs that wait for no weights keep all workers busy while others pre-train.
    waits = [run for run in left if run.row.pretrained]
    at_once = [("pretrain", run) for run in first]
    at_once += [("execute", run) for run in left if not run.row.pretrained]
    failed = []
    with tqdm(total=len(first) + len(left), desc="runs", unit="run") as bar:
        for jobs in (at_once, [("execute", run) for run in waits]):
            for (task, run), outcome in unordered(
                function, jobs, workers=workers, scheduler=scheduler, setup=_one_thread
            ):
                bar.update()
                result, error = (None, KILLED) if outcome is KILLED else outcome
                if task == "pretrain":
                    continue  # a failure is reported with the runs that need the weights
                if error is not None:
                    failed.append(f"{run.name}: {error}")
                    continue
                results.write(result, folder / f"{run.name}.json")
                data = _data(str(source), run.profile, run.clinic)
                runner.checkpoint_of(run, data, work).remove()
    return failed


def is_done(run, folder):
    """Whether a run has its file. Raises ValueError if that file is of another configuration."""
    path = folder / f"{run.name}.json"
    if not path.exists():
        return False
    try:
        found, wanted = results.configuration(path), run.configuration
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path.name} is not a whole results file ({error}): move it away."
        ) from None
    if found != wanted:
        raise ValueError(
            f"{path.name} is of another configuration ({difference(found, wanted)}): "
            "move it away, or choose another folder."
        )
    return True


def _keep_lesions(folder, run, data):
    """lesions.json of a clinic, once; another file must be of the same data."""
    tables = {name: scoring.lesion_table(slices) for name, slices in data.tests.items()}
    if run.profile.clinics > 1:  # who was trained on decides what leaks
        tables["train"] = scoring.lesion_table(data.clinic)
    lesions = {"checksums": data.checksums, "sources": data.sources, **tables}
    results.keep_once(lesions, folder / results.lesions_file(run.configuration))


@lru_cache(maxsize=3)
def _data(source, profile, clinic):
    return sets.load(source, profile.side, clinic=clinic, most=profile.slices_of_a_lesion)


def _tried(job, source, work, progress):
    """(result, error): one bad run does not stop the grid."""
    task, run = job
    function = {"pretrain": runner.pretrain, "execute": runner.execute}[task]
    try:
        data = _data(source, run.profile, run.clinic)
        return function(run, data, work, progress), None
    except ValueError as error:  # a loss that is no number, a checkpoint of other code
        return None, str(error)
    except Exception as error:  # a full disk, memory, a fault of ours: to be seen in full
        traceback.print_exc()
        return None, f"{type(error).__name__}: {error}"


def _one_thread():
    torch.set_num_threads(1)


def _on_worker(function, job):
    """On a Dask worker. Two runs in one process would draw from the same random numbers."""
    from dask.distributed import get_worker

    if get_worker().state.nthreads > 1:
        raise ValueError("workers must have run thread each: dask worker ... --nthreads 1.")
    _one_thread()
    return function(job)
