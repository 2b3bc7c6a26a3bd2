"""Who computes which run: this machine, in several processes, or a Dask cluster.

Pre-training is done once for all rows that share it, beside the runs that need none; the others
follow. A finished run is a file, so a grid that was interrupted goes on where it stopped.
"""

import os
import sys
import traceback
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm.auto import tqdm

from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments import results
from nodule_lesson.experiments import runner as run
from nodule_lesson.files import difference, make_folder

KILLED = "the process that computed it was killed, perhaps for want of memory"


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
    left = [one for one in runs if not is_done(one, folder)]
    there = len(runs) - len(left)
    print(f"{len(runs)} runs: {there} there already, {len(left)} to do.", file=sys.stderr)
    if not left:
        return 0
    make_folder(folder)
    make_folder(work)
    alone = workers == 1 and not scheduler
    with _on_cluster(scheduler) if scheduler else _here(workers) as map_unordered:
        failed = _carry_out(left, source, folder, work, map_unordered, alone)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(left)} runs failed, the others are in {folder}; checkpoints "
            f"are in {work}.\n" + "\n".join(failed)
        )
    return len(left)


def _carry_out(left, source, folder, work, map_unordered, alone):
    """Compute these runs and write their files. alone: in this process, with bars of its own."""
    profile = left[0].profile
    clinics = {one.clinic: one for one in left}
    if str(source) == "simulated":  # here, once: a Dask worker has no children
        parts = dict.fromkeys(part for number in clinics for part in sets.parts_of(number))
        source = sets.simulated(profile.patients, cores(), parts)
    for one in clinics.values():
        _keep_lesions(folder, one, _data(str(source), one.profile, one.clinic))
    first = {}
    for one in left:
        if one.row.pretrained:
            data = _data(str(source), one.profile, one.clinic)
            first.setdefault(run.pretrain_path(one, data, work), one)
    first = [one for path, one in first.items() if not path.exists()]
    place = (str(source), str(work), alone)
    # Runs that wait for no weights keep all workers busy while others pre-train.
    waits = [one for one in left if one.row.pretrained]
    at_once = [("pretrain", one) for one in first]
    at_once += [("execute", one) for one in left if not one.row.pretrained]
    failed = []
    with tqdm(total=len(first) + len(left), desc="runs", unit="run") as bar:
        for jobs in (at_once, [("execute", one) for one in waits]):
            for task, one, result, error in map_unordered(_tried, jobs, *place):
                bar.update()
                if task == "pretrain":
                    continue  # what has failed fails again, and is told, with its runs
                if error is not None:
                    failed.append(f"{one.name}: {error}")
                    continue
                results.write(result, folder / f"{one.name}.json")
                data = _data(str(source), one.profile, one.clinic)
                run.checkpoint_of(one, data, work).remove()
    return failed


def cores():
    """How many cores this process may use: a cluster or a container may allow fewer than all."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on a Mac, nor on Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_done(one, folder):
    """Whether a run has its file. Raises ValueError if that file is of another configuration."""
    path = folder / f"{one.name}.json"
    if not path.exists():
        return False
    try:
        found, wanted = results.configuration(path), one.configuration
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


def _keep_lesions(folder, one, data):
    """lesions.json of a clinic, once; another file must be of the same data."""
    tables = {name: run.lesion_table(slices) for name, slices in data.tests.items()}
    if one.profile.clinics > 1:  # who was trained on decides what leaks
        tables["train"] = run.lesion_table(data.clinic)
    lesions = {"checksums": data.checksums, "sources": data.sources, **tables}
    results.keep_once(lesions, folder / results.lesions_file(one.configuration))


@lru_cache(maxsize=3)
def _data(source, profile, clinic):
    return sets.load(source, profile.side, clinic=clinic, most=profile.slices_of_a_lesion)


def _tried(job, source, work, progress):
    """(task, run, result, error): one bad run does not stop the grid."""
    task, one = job
    function = {"pretrain": run.pretrain, "execute": run.execute}[task]
    try:
        data = _data(source, one.profile, one.clinic)
        return task, one, function(one, data, work, progress), None
    except ValueError as error:  # a loss that is no number, a checkpoint of other code
        return task, one, None, str(error)
    except Exception as error:  # a full disk, memory, a fault of ours: to be seen in full
        traceback.print_exc()
        return task, one, None, f"{type(error).__name__}: {error}"


@contextmanager
def _here(workers):
    """A function that maps jobs in this process, or in several, of one thread each."""
    if workers == 1:
        yield lambda function, jobs, *place: (function(job, *place) for job in jobs)
        return

    def new_pool():
        # Spawned, not forked: torch's threads do not survive a fork.
        return ProcessPoolExecutor(1, get_context("spawn"), initializer=_one_thread)

    # A pool for each process: one that is killed breaks its pool, and so names its run.
    pools = [new_pool() for _ in range(workers)]

    def submit(number, *given):
        try:
            return pools[number].submit(*given)
        except BrokenProcessPool:  # killed while it waited for a job
            pools[number] = new_pool()
            return pools[number].submit(*given)

    def map_unordered(function, jobs, *place):
        jobs, free, running = iter(jobs), list(range(workers)), {}
        while True:
            for number, job in zip(list(free), jobs, strict=False):
                free.remove(number)
                running[submit(number, function, job, *place)] = number, job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, job = running.pop(future)
                free.append(number)
                if isinstance(future.exception(), BrokenProcessPool):
                    yield (*job, None, KILLED)
                else:
                    yield future.result()

    try:
        yield map_unordered
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _one_thread():
    torch.set_num_threads(1)


def _alone(job, function, *place):
    """On a Dask worker. Two runs in one process would draw from the same random numbers."""
    from dask.distributed import get_worker

    if get_worker().state.nthreads > 1:
        raise ValueError("workers must have one thread each: dask worker ... --nthreads 1.")
    _one_thread()
    return function(job, *place)


@contextmanager
def _on_cluster(address):
    """Dask gives a run whose worker died to another one by itself, some times."""
    from dask.distributed import Client, KilledWorker
    from dask.distributed import as_completed as completed

    with Client(address) as client:

        def map_unordered(function, jobs, *place):
            given = ([value] * len(jobs) for value in (function, *place))
            waiting = dict(zip(client.map(_alone, jobs, *given), jobs, strict=True))
            for future in completed(waiting):
                if isinstance(future.exception(), KilledWorker):
                    yield (*waiting[future], None, KILLED)
                else:
                    yield future.result()

        yield map_unordered
