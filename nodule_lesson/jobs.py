"""Many jobs of one kind in the processes of this machine or on a Dask cluster.

    for job, result in unordered(function, jobs, workers=2):
        ...

The pairs come in the order in which the jobs end. The result of a job whose process was killed is
KILLED; the other jobs continue.
"""

import os
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

KILLED = "its process was killed, perhaps for want of memory: fewer workers need less"


def cores():
    """The number of cores that this process may use; a container may allow fewer than all."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on a Mac, nor on Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def unordered(function, jobs, *, workers=1, scheduler=None, setup=None):
    """Yield (job, function(job)) for all jobs, in the order in which they end.

    workers: processes on this machine; with 1 everything runs in the present process. setup: a
    function that each new process calls first. scheduler: the address of a Dask scheduler, to use
    its workers instead. An error of `function` ends the iteration. Raises ValueError if Dask is
    not installed, OSError if there is no scheduler at that address.
    """
    if scheduler:
        yield from _on_cluster(function, jobs, scheduler)
    elif workers == 1:
        yield from ((job, function(job)) for job in jobs)
    else:
        yield from _in_processes(function, jobs, workers, setup)


def check_scheduler(address):
    """Raise the errors of `unordered` for this address, before there are any jobs."""
    with _client(address):
        pass


def _in_processes(function, jobs, workers, setup):
    def new_pool():
        # Spawned, not forked: the threads of torch and SimpleITK do not survive a fork.
        return ProcessPoolExecutor(1, get_context("spawn"), initializer=setup)

    # Each process has its own pool: a killed one breaks its pool, which identifies its job.
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
    finally:  # after Ctrl+C no new job is started
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

        # Dask gives the job of a lost worker to another worker, a limited number of times.
        futures = {client.submit(function, job, pure=False): job for job in jobs}
        for future in distributed.as_completed(futures):
            killed = isinstance(future.exception(), distributed.KilledWorker)
            yield futures[future], KILLED if killed else future.result()
