"""Spread the runs over the processes of this machine or over a Dask cluster.

Each pre-training is done once for all rows that share it, at the same time as the runs that need
none; the other runs follow. A finished run is a file, so that an interrupted grid continues with
the runs that have no file.
"""

import sys
import traceback
from functools import lru_cache, partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from nodule_lesson.experiments import data as datasets
from nodule_lesson.experiments import results, runner, scoring
from nodule_lesson.files import difference, make_folder
from nodule_lesson.jobs import KILLED, check_scheduler, cores, unordered


def carry_out(runs, source, out, work, workers=1, scheduler=None):
    """Carry out the runs that have no file yet, and return their number.

    runs: of one profile and one data set. source: the first argument of `data.load`. out: the
    folder of results files. work: a folder for pre-trained weights that all workers can see.
    workers: processes on this machine, one thread each. scheduler: the address of a Dask
    scheduler, to use its workers instead; they have one thread each, and see source and work under
    the same paths. Raises ValueError at the end if runs have failed; the others have their files.
    Raises OSError, before anything is computed, if out or work cannot be written or no scheduler
    answers at that address.
    """
    out, work = Path(out), Path(work).absolute()
    profile = runs[0].profile
    folder = out / f"{runs[0].data}-{profile.name}"
    to_do = [run for run in runs if not is_done(run, folder)]
    done = len(runs) - len(to_do)
    print(f"{len(runs)} runs: {done} there already, {len(to_do)} to do.", file=sys.stderr)
    if not to_do:
        return 0
    make_folder(folder)
    make_folder(work)
    if scheduler:
        check_scheduler(scheduler)
    failures = _carry_out(to_do, source, folder, work, workers, scheduler)
    if failures:
        raise ValueError(
            f"{len(failures)} of {len(to_do)} runs failed, the others are in {folder}; "
            f"checkpoints are in {work}.\n" + "\n".join(failures)
        )
    return len(to_do)


def _carry_out(runs, source, folder, work, workers, scheduler):
    """Compute these runs and write their files; returns one sentence for each failure."""
    profile = runs[0].profile
    clinics = {run.clinic: run for run in runs}
    if str(source) == "simulated":  # simulate here: Dask workers may not start processes
        names = dict.fromkeys(name for number in clinics for name in datasets.set_names(number))
        source = datasets.simulated(profile.patients, cores(), names)
    for run in clinics.values():
        _keep_lesions(folder, run, _data(str(source), run.profile, run.clinic))
    by_weights = {}
    for run in runs:
        if run.row.pretrained:
            data = _data(str(source), run.profile, run.clinic)
            by_weights.setdefault(runner.pretrain_path(run, data, work), run)
    # Runs that need no pre-trained weights keep all workers busy while others pre-train.
    first_jobs = [("pretrain", run) for path, run in by_weights.items() if not path.exists()]
    first_jobs += [("execute", run) for run in runs if not run.row.pretrained]
    second_jobs = [("execute", run) for run in runs if run.row.pretrained]
    # Each training shows a progress bar only if everything is computed in this process.
    progress = workers == 1 and not scheduler
    function = partial(_attempt, source=str(source), work=str(work), progress=progress)
    if scheduler:
        function = partial(_on_worker, function)
    failures = []
    with tqdm(total=len(first_jobs) + len(second_jobs), desc="runs", unit="run") as bar:
        for jobs in (first_jobs, second_jobs):
            for (task, run), outcome in unordered(
                function, jobs, workers=workers, scheduler=scheduler, setup=_one_thread
            ):
                bar.update()
                result, error = (None, KILLED) if outcome is KILLED else outcome
                if task == "pretrain":
                    continue  # a failure is reported with the runs that need the weights
                if error is not None:
                    failures.append(f"{run.name}: {error}")
                    continue
                results.write(result, folder / f"{run.name}.json")
                data = _data(str(source), run.profile, run.clinic)
                runner.checkpoint_of(run, data, work).remove()
    return failures


def is_done(run, folder):
    """Whether the results file of a run exists.

    Raises ValueError if it is damaged or of another configuration.
    """
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
    """Write lesions.json of a clinic; if it exists, it must be of the same data."""
    tables = {name: scoring.lesion_table(slices) for name, slices in data.tests.items()}
    if run.profile.clinics > 1:  # the training patients tell in which lesions a test leaks
        tables["train"] = scoring.lesion_table(data.clinic)
    lesions = {"checksums": data.checksums, "sources": data.sources, **tables}
    results.keep_once(lesions, folder / results.lesions_file(run.configuration))


@lru_cache(maxsize=3)
def _data(source, profile, clinic):
    return datasets.load(source, profile.side, clinic=clinic, most=profile.slices_of_a_lesion)


def _attempt(job, source, work, progress):
    """Do one job; returns (result, error), so that one bad run does not stop the grid."""
    task, run = job
    function = {"pretrain": runner.pretrain, "execute": runner.execute}[task]
    try:
        data = _data(source, run.profile, run.clinic)
        return function(run, data, work, progress), None
    except ValueError as error:  # a loss that is nan, a checkpoint of other code
        return None, str(error)
    except Exception as error:  # a full disk, too little memory, a fault of ours: show it all
        traceback.print_exc()
        return None, f"{type(error).__name__}: {error}"


def _one_thread():
    torch.set_num_threads(1)


def _on_worker(function, job):
    """Do a job on a Dask worker.

    Raises ValueError for a worker with several threads: two runs in one process would draw from
    the same random numbers.
    """
    from dask.distributed import get_worker

    if get_worker().state.nthreads > 1:
        raise ValueError("workers must have one thread each: dask worker ... --nthreads 1.")
    _one_thread()
    return function(job)
