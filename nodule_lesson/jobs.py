"""Many jobs of one kind, done by processes of this machine or by a Dask cluster.

    for job, result in unordered(function, jobs, workers=2):
        ...

Pairs come as the jobs end. A job whose process was killed has KILLED for its result, and the
others go on.
"""

import os
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

KILLED = "its process was killed, perhaps for want of memory: fewer workers need less"


def cores():
    """How many cores this process may use: a cluster or a container may allow fewer than all."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on a Mac, nor on Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def unordered(function, jobs, *, workers=1, scheduler=None, setup=None):
    """Yield (job, function(job)) for all jobs, in the order in which they end.

    workers: processes here; with 1 all happens in this one. setup: a function that each of them
    calls first. scheduler: the address of a Dask scheduler, instead. What `function` raises ends
    the iteration. Raises ValueError where Dask is not installed, OSError where nobody answers.
    """
    if scheduler:
        yield from _on_cluster(function, jobs, scheduler)
    elif workers == 1:
        yield from ((job, function(job)) for job in jobs)
    else:
        yield from _in_processes(function, jobs, workers, setup)


def check_scheduler(address):
    """Raise what `unordered` would raise for this address, before there are any jobs."""
    with _client(address):
        pass


def _in_processes(function, jobs, workers, setup):
    def new_pool():
        # Spawned, not forked: the threads of torch and SimpleITK do not survive a fork.
        return ProcessPoolExecutor(1, get_context("spawn"), initializer=setup)

    # A pool for each process: one that is killed breaks its pool, and so names its job.
    pools = [new_pool() for _ in range(min(workers, len(jobs)))]

    def submit(number, job):
        try:
            return pools[number].submit(function, job)
        except BrokenProcessPool:  # killed while it waited for a job
            pools[number] = new_pool()
            return pools[number].submit(function, job)

    waiting, free, running = iter(jobs), list(range(len(pools))), {}
    try:
        while True:
            for number, job in zip(list(free), waiting, strict=False):
                free.remove(number)
                running[submit(number, job)] = number, job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, job = running.pop(future)
                free.append(number)
                killed = isinstance(future.exception(), BrokenProcessPool)
                yield job, KILLED if killed else future.result()
    finally:  # after Ctrl+C, nothing new is begun
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _client(address):
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError(
            "a scheduler needs Dask, which is not installed: pip install 'nodule-lesson[cluster]'."
        ) from error
    return Client(address)


def _on_cluster(function, jobs, address):
    if not jobs:
        return
    with _client(address) as client:
        from dask import distributed

        # What a lost worker had in hand goes to another one, and so on, but not for ever.
        futures = {client.submit(function, job, pure=False): job for job in jobs}
        for future in distributed.as_completed(futures):
            killed = isinstance(future.exception(), distributed.KilledWorker)
            yield futures[future], KILLED if killed else future.result()
