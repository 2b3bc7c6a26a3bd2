"""Who computes which run: this machine, in several processes, or a Dask cluster.

Pre-training comes first, once for all rows that share it; then every run by itself. A finished run
is a file, so a grid that was interrupted goes on where it stopped.
"""

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm.auto import tqdm

from nodule_lesson.experiments import data as sets
from nodule_lesson.experiments import results, run
from nodule_lesson.files import difference


def carry_out(runs, source, out, work, workers=1, scheduler=None):
    """Carry out the runs that have no file yet, and return how many that were.

    runs: of one profile and one data set. source: what `data.load` takes. out: the folder of
    results files. work: a folder for pre-trained weights, seen by all who compute. workers:
    processes here, one thread each. scheduler: the address of a Dask scheduler, instead; its
    workers have one thread each, and see source and work under the same paths. Raises ValueError
    in the end if runs have failed; the others have their files.
    """
    out = Path(out)
    profile = runs[0].profile
    if str(source) == "simulated":
        source = sets.simulated(profile.patients)  # here, once: a Dask worker has no children
    data = _data(str(source), profile.side)
    folder = out / f"{runs[0].data}-{profile.name}"
    _keep_lesions(folder, data)
    left = [one for one in runs if not is_done(one, folder)]
    there = len(runs) - len(left)
    print(f"{len(runs)} runs: {there} there already, {len(left)} to do.", file=sys.stderr)
    first = {}
    for one in left:
        if one.row.pretrained:
            first.setdefault(run.pretrain_path(one, data, work), one)
    first = [one for path, one in first.items() if not path.exists()]
    map_unordered = _on_cluster(scheduler) if scheduler else _here(workers)
    place = (str(source), str(Path(work).absolute()), workers == 1 and not scheduler)
    for _ in tqdm(
        map_unordered(_pretrain, first, *place), "pre-training", len(first), disable=not first
    ):
        pass  # what has failed fails again, and is told, with its runs
    failed = []
    for one, result, error in tqdm(
        map_unordered(_execute, left, *place), "runs", len(left), unit="run", disable=not left
    ):
        if error is not None:
            failed.append(f"{one.name}: {error}")
            continue
        results.write(result, folder / f"{one.name}.json")
        run.checkpoint_of(one, data, work).remove()
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(left)} runs failed, the others are in {folder}; checkpoints "
            f"are in {work}.\n" + "\n".join(failed)
        )
    return len(left)


def is_done(one, folder):
    """Whether a run has its file. Raises ValueError if that file is of another configuration."""
    path = folder / f"{one.name}.json"
    if not path.exists():
        return False
    found, wanted = results.configuration(path), one.configuration
    if found != wanted:
        raise ValueError(
            f"{path.name} is of another configuration ({difference(found, wanted)}): "
            "move it away, or choose another folder."
        )
    return True


def _keep_lesions(folder, data):
    """lesions.json, once; another file must be of the same data."""
    lesions = {
        "checksums": data.checksums,
        "sources": data.sources,
        "small": run.lesion_table(data.small),
        "large": run.lesion_table(data.large),
    }
    results.keep_once(lesions, folder / "lesions.json")


@lru_cache(maxsize=1)
def _data(source, side):
    return sets.load(source, side)


def _pretrain(one, source, work, progress):
    return _tried(run.pretrain, one, source, work, progress)


def _execute(one, source, work, progress):
    return _tried(run.execute, one, source, work, progress)


def _tried(function, one, source, work, progress):
    """(run, result, None), or (run, None, what is wrong): one bad run does not stop the grid."""
    try:
        return one, function(one, _data(source, one.profile.side), work, progress), None
    except ValueError as error:  # a loss that is no number, a checkpoint of other code
        return one, None, str(error)


def _here(workers):
    def map_unordered(function, jobs, *place):
        if workers == 1:
            yield from (function(one, *place) for one in jobs)
            return
        # Spawned, not forked: torch's threads do not survive a fork.
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
            waiting = [pool.submit(function, one, *place) for one in jobs]
            try:
                for future in as_completed(waiting):
                    yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    return map_unordered


def _one_thread():
    torch.set_num_threads(1)


def _alone(one, function, *place):
    """On a Dask worker. Two runs in one process would draw from the same random numbers."""
    from dask.distributed import get_worker

    if get_worker().state.nthreads > 1:
        raise ValueError("workers must have one thread each: dask worker ... --nthreads 1.")
    _one_thread()
    return function(one, *place)


def _on_cluster(address):
    """Dask gives a run whose worker died to another one by itself."""
    from dask.distributed import Client
    from dask.distributed import as_completed as completed

    def map_unordered(function, jobs, *place):
        with Client(address) as client:
            given = ([value] * len(jobs) for value in (function, *place))
            waiting = client.map(_alone, jobs, *given)
            for future in completed(waiting):
                yield future.result()

    return map_unordered
