"""Many scans: processes here or on a cluster, parts that stay, and the set that they make."""

import json
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import SimpleITK as sitk
from tqdm.auto import tqdm

from .. import contours
from ..ct import Scan
from ..fetch import only_one, write_whole
from ..patches import PatchSet
from .crops_of_scan import crops
from .outlines import outlined_in_lidc, outlined_in_volumes, with_patient

_ORIGIN = {
    "readers": {
        "source": "simulated scans (nodule_lesson.phantom)",
        "licence": "CC BY 4.0",
        "citation": "The nodule-lesson authors; shapes of nodules from LIDC-IDRI, "
        "doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0",
    },
    "lidc": {
        "source": "LIDC-IDRI, with its readers' contours",
        "licence": "CC BY 3.0",
        "citation": "S. G. Armato III et al., Data from LIDC-IDRI, The Cancer Imaging Archive "
        "(2015), doi:10.7937/K9/TCIA.2015.LO9QL9SX",
    },
}


def find_scans(folder):
    """The scans in a folder: .mhd files as LUNA16 lays them out, else folders of DICOM slices."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder.")
    found = sorted(p for p in folder.rglob("*.mhd") if p.parent.name != "readers")
    found = found or sorted({p.parent for p in folder.rglob("*.dcm")})
    # A name with a dot in front is of a run that was killed, or of macOS.
    found = [p for p in found if not any(x[0] == "." for x in p.relative_to(folder).parts)]
    if not found:
        raise ValueError(f"{folder} holds no scan, neither .mhd files nor .dcm slices.")
    return found


def extract(
    folder,
    out,
    *,
    size=128,
    outlines="readers",
    database=None,
    workers=None,
    scheduler=None,
):
    """Crops of all scans in `folder`, as a PatchSet in the folder `out`.

    folder: scans as LUNA16 lays them out (subset*/SERIES.mhd), or DICOM (PATIENT/SERIES/*.dcm).
    size: voxels a side. outlines: "readers" for the volumes of simulated scans, "lidc" for the
    contours of LIDC's database; database: that file, or None for the installed one (`contours`).
    workers: processes, None for one a core. scheduler: the address of a Dask cluster, whose
    workers see the same disk, instead of processes here.

    Finished scans stay in OUT.parts, and a second call does only what is missing or failed
    before. Two at the same time wait for each other. Returns the opened PatchSet, its
    `info["parameters"]["not_used"]` a list of [scan, nodule, reason]. Raises ValueError where no
    scan gives a crop, or `out` was made in another way; OSError where the database or the cluster
    is missing, the disk fails or a process is killed.
    """
    if outlines not in _ORIGIN:
        raise ValueError(f'outlines must be "readers" or "lidc", found {outlines!r}.')
    # Absolute: the workers of a cluster were started in another folder.
    folder, out = Path(folder).absolute(), Path(out).absolute()
    if outlines == "lidc":
        database = database and Path(database).absolute()
        contours.open_lidc(database).close()  # missing, it is missing for every scan
    parts = out.with_name(out.name + ".parts")
    recipe = {"size": size, "outlines": outlines}
    scans = find_scans(folder)
    parts.mkdir(parents=True, exist_ok=True)
    with only_one(out):
        _same_recipe(out, parts, recipe)
        jobs = [(path, folder, parts, size, outlines, database) for path in scans]
        waiting = [job for job in jobs if not _report(*job[:3]).is_file()]
        if len(waiting) < len(jobs):
            print(f"{len(jobs) - len(waiting)} of {len(jobs)} scans were finished before.")
        run = _on_cluster(waiting, scheduler) if scheduler else _here(waiting, workers)
        if waiting:
            run = tqdm(run, total=len(waiting), unit="scan", desc="extracting")
        failed = {path: reason for path, reason in run if reason}
        return _join(out, jobs, failed, recipe, news=len(failed) < len(waiting))


def extract_scan(path, folder, parts, size, outlines, database=None):
    """One scan's part: PARTS/KEY, a PatchSet, and PARTS/KEY.json. Returns (path, reason or None).

    The reason is that of a scan that could not be used: it is for the report, and stops nothing.
    """
    try:
        scan = Scan.open(path)
        if outlines == "lidc":
            scan = with_patient(scan, database)
            nodules, obstacles, unused = outlined_in_lidc(scan, database)
        else:
            nodules, obstacles, unused = outlined_in_volumes(scan, folder)
        arrays, crowded = crops(scan, nodules, obstacles, size=size)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return path, " ".join(str(error).split()) or type(error).__name__
    part = Path(parts) / _key(path, folder)
    shutil.rmtree(part, ignore_errors=True)
    if arrays:
        images, masks, readers, slices = arrays
        PatchSet.write(part, images, masks, slices, readers=readers, **_ORIGIN[outlines])
    report = {"scan": scan.series, "slices": len(arrays[0]) if arrays else 0}
    report["not_used"] = [list(pair) for pair in [*unused, *crowded]]
    # Last, so that what it stands for is whole.
    write_whole(_report(path, folder, parts), json.dumps(report).encode())
    return path, None


def _key(path, folder):
    """A name for a scan's part: where it lies in the folder."""
    inside = Path(path).relative_to(folder).parts or [Path(path).name]
    return "_".join(inside).removesuffix(".mhd")  # not with_suffix: a UID has dots of its own


def _report(path, folder, parts):
    """The file that stands for a scan that is finished."""
    return Path(parts) / f"{_key(path, folder)}.json"


def unfinished(folder, out):
    """The scans in `folder` that `extract` to `out` has still to do."""
    folder, out = Path(folder).absolute(), Path(out).absolute()
    parts = out.with_name(out.name + ".parts")
    return [path for path in find_scans(folder) if not _report(path, folder, parts).is_file()]


def _same_recipe(out, parts, recipe):
    """ValueError where `out` or its parts are something else than what this recipe makes."""
    path = parts / "recipe.json"
    if not path.exists():
        write_whole(path, json.dumps(recipe).encode())
    elif (found := json.loads(path.read_text(encoding="utf-8"))) != recipe:
        raise ValueError(f"{parts} was made with {found}, wanted {recipe}: name another folder.")
    if out.exists():
        there = PatchSet.open(out, verify=False)
        found, wanted = there.info["source"], _ORIGIN[recipe["outlines"]]["source"]
        if found != wanted:
            raise ValueError(f"{out} holds {found}, wanted {wanted}: name another folder.")


def _here(jobs, workers):
    if not jobs:
        return
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if count == 1:
        yield from (extract_scan(*job) for job in jobs)
        return
    # Fresh processes: a fork would inherit the threads of torch and SimpleITK half-way.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_start_process) as pool:
        try:
            for future in as_completed([pool.submit(extract_scan, *job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"one of {count} processes was killed, for want of memory perhaps: fewer workers "
                "need less, and the same call goes on from there."
            ) from error
        finally:  # after Ctrl+C, what has begun is finished, and nothing else is begun
            pool.shutdown(cancel_futures=True)


def _start_process():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that started this one
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the processes share the cores


def _on_cluster(jobs, scheduler):
    try:
        from dask import distributed
    except ImportError as error:
        raise ValueError(
            "a scheduler needs Dask, which is not installed: pip install 'nodule-lesson[cluster]'."
        ) from error
    with distributed.Client(scheduler) as client:
        # What a lost worker had in hand goes to another one.
        futures = {client.submit(extract_scan, *job, pure=False): job[0] for job in jobs}
        for future in distributed.as_completed(futures):
            try:
                yield future.result()
            except distributed.KilledWorker:  # ... and so on, but not for ever
                yield futures[future], "every worker that had it died, for want of memory perhaps"


def _join(out, jobs, failed, recipe, news):
    reports, sets = [], []
    for path, folder, parts, *_ in jobs:
        key = _key(path, folder)
        if path in failed:
            reports.append({"scan": key, "not_used": [["", failed[path]]]})
            continue
        report = json.loads(_report(path, folder, parts).read_text(encoding="utf-8"))
        reports.append(report)
        if report["slices"]:
            sets.append(PatchSet.open(parts / key, verify=False))
    not_used = [[one["scan"], *pair] for one in reports for pair in one["not_used"]]
    parameters = {**recipe, "scans": len(jobs), "not_used": not_used}
    for scan, nodule, reason in not_used:
        print(f"not used: {scan}{' ' + nodule if nodule else ''}: {reason}")
    if not sets:
        raise ValueError(f"none of {len(jobs)} scans gave a crop; the reasons are listed above.")
    if out.exists() and not news:
        before = PatchSet.open(out, verify=False)
        count = sum(map(len, sets))
        if before.info["parameters"] == parameters and len(before) == count:
            print(f"{out} is up to date: {count} slices.")
            return before
    # What was there goes when the new one is whole.
    new, old = (out.with_name(out.name + ending) for ending in (".new", ".old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    PatchSet.join(new, sets, parameters=parameters, **_ORIGIN[recipe["outlines"]])
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    result = PatchSet.open(out, verify=False)
    seen = result.slices["has_nodule"]
    nodules = len({*zip(result.slices["scan"], result.slices["nodule"], strict=True)})
    print(
        f"{len(result)} slices of {nodules} nodules in {len(sets)} scans: {seen.sum()} with a "
        f"nodule, {(~seen).sum()} without."
    )
    return result
