"""Many scans: processes here or on a cluster, parts that stay, and the set that they make."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections import defaultdict
from functools import partial
from pathlib import Path

import SimpleITK as sitk
from tqdm.auto import tqdm

from nodule_lesson.data import contours
from nodule_lesson.data.ct import Scan
from nodule_lesson.data.patches import PatchSet
from nodule_lesson.data.sources.fetch import only_one
from nodule_lesson.data.sources.fetch.common import digest
from nodule_lesson.files import write_whole
from nodule_lesson.jobs import KILLED, cores, unordered

from .crops_of_scan import crops
from .outlines import (
    listed_nodules,
    outlined_in_lidc,
    outlined_in_volumes,
    with_listed_patient,
    with_patient,
)

# Folders of volumes that are no scans: simulated readers, and the lungs that LUNA16 comes with.
MASKS = ("readers", "seg-lungs-LUNA16")

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
    """The scans in a folder: .mhd files as LUNA16 has them, and folders of DICOM slices (.dcm).

    Raises FileNotFoundError where there is no folder, ValueError where no scan is in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder.")
    found = set()
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        # A name with a dot in front is of a run that was killed, or of macOS.
        if any(name in MASKS or name[0] == "." for name in inside):
            continue
        if path.suffix.lower() in (".mhd", ".dcm"):
            found.add(path if path.suffix.lower() == ".mhd" else path.parent)
    if not found:
        raise ValueError(f"{folder} holds no scan, neither .mhd files nor .dcm slices.")
    return sorted(found)


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
    workers: processes, None for one per core. scheduler: the address of a Dask cluster, whose
    workers see the same disk, instead of processes here.

    Finished scans stay in OUT.parts, and a second call does only what is missing, failed before
    or was made of files that have changed since. Two at the same time wait for each other. A
    series in two places is not used: which one is right, nobody says. Returns the opened PatchSet,
    its `info["parameters"]["not_used"]` a list of [scan, nodule, reason]. Raises ValueError where
    no scan gives a crop, `out` was made in another way, or nodules.csv is not a table; OSError
    where a list, the database or the cluster is missing, the disk fails or a process is killed.
    """
    if outlines not in _ORIGIN:
        raise ValueError(f'outlines must be "readers" or "lidc", found {outlines!r}.')
    # Absolute: the workers of a cluster were started in another folder.
    folder, out = Path(folder).absolute(), Path(out).absolute()
    parts = out.with_name(out.name + ".parts")
    recipe = {"size": size, "outlines": outlines}
    scans = find_scans(folder)
    # Fail early: every scan needs the list, or the database.
    if outlines == "lidc":
        with contours.open_lidc(database) as lidc:
            database = lidc.path.absolute()
        recipe["database_sha256"] = digest(database, "sha256")
    else:
        listed_nodules(folder)
    parts.mkdir(parents=True, exist_ok=True)
    with only_one(out):
        _same_recipe(out, parts, recipe)
        jobs = [(path, folder, parts, size, outlines, database) for path in scans]
        waiting = [job for job in jobs if not _is_finished(*job[:3])]
        if len(waiting) < len(jobs):
            print(f"{len(jobs) - len(waiting)} of {len(jobs)} scans were finished before.")
        extracted = unordered(
            partial(_apply, extract_scan),
            waiting,
            workers=min(workers or cores(), max(len(waiting), 1)),
            scheduler=scheduler if waiting else None,
            setup=_start_process,
        )
        if waiting:
            extracted = tqdm(extracted, total=len(waiting), unit="scan", desc="extracting")
        failed = {job[0]: reason for job, reason in extracted if reason}
        killed = [path.name for path, reason in failed.items() if reason is KILLED]
        if killed and not scheduler:  # Dask has tried a scan several times: it is reported
            raise ChildProcessError(
                f"{len(killed)} of {len(waiting)} scans are missing ({killed[0]}): {KILLED}. The "
                "others are finished, and the same call goes on from there."
            )
        return _join(out, jobs, failed, recipe)


def extract_scan(path, folder, parts, size, outlines, database=None):
    """One scan's part: PARTS/KEY, a PatchSet, and PARTS/KEY.json. Returns None, or a reason.

    The reason says why a scan could not be used: it is for the report, and stops nothing.
    """
    try:
        scan = Scan.open(path)
        inputs = _inputs(path, folder, scan.series)
        if outlines == "lidc":
            scan = with_patient(scan, database)
            nodules, obstacles, unused = outlined_in_lidc(scan, database)
        else:
            scan = with_listed_patient(scan, folder)
            nodules, obstacles, unused = outlined_in_volumes(scan, folder)
        arrays, crowded = crops(scan, nodules, obstacles, size=size)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    part = Path(parts) / _key(path, folder)
    shutil.rmtree(part, ignore_errors=True)
    if arrays:
        images, masks, readers, slices = arrays
        PatchSet.write(part, images, masks, slices, readers=readers, **_ORIGIN[outlines])
    report = {"scan": scan.series, "inputs": inputs, "slices": len(arrays[0]) if arrays else 0}
    report["not_used"] = [list(pair) for pair in [*unused, *crowded]]
    # Last, so that what it stands for is whole.
    write_whole(_report(path, folder, parts), json.dumps(report).encode())
    return None


def _place(path, folder):
    """Where a scan lies in the folder; "." where the folder is one."""
    return Path(path).relative_to(folder).as_posix()


def _key(path, folder):
    """A name for a scan's part, another one for each place."""
    place = _place(path, folder).replace("%", "%25").replace("_", "%5F")
    return place.replace("/", "_") if place != "." else Path(path).name


def _report(path, folder, parts):
    """The file that stands for a scan that is finished."""
    return Path(parts) / f"{_key(path, folder)}.json"


def _inputs(path, folder, series):
    """A checksum of what a scan's part is made of: files by size and time, lines of a list.

    By time, as `make` does: to read all voxels again would take as long as the extraction.
    """
    folder = Path(folder)
    files = _files(Path(path)) | _files(folder / "readers" / f"{series}.mhd")
    stats = [(_place(file, folder), file.stat()) for file in sorted(files)]
    found = [[place, stat.st_size, stat.st_mtime_ns] for place, stat in stats]
    table = folder / "nodules.csv"
    lines = table.read_text("utf-8-sig", "replace").splitlines() if table.is_file() else []
    found += [line for line in lines if series in line or line == lines[0]]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _files(path):
    """The files of a volume that are there: DICOM slices, or a header and what it names."""
    if path.is_dir():
        return {file for file in path.iterdir() if file.is_file()}
    if not path.is_file():
        return set()
    named = re.search(rb"^ElementDataFile\s*[=:]([^\r\n]*)", path.read_bytes(), re.MULTILINE)
    voxels = path.parent / os.fsdecode(named[1].strip()) if named else path
    return {path, voxels} if voxels.is_file() else {path}


def _is_finished(path, folder, parts):
    """Whether a scan's part is there, and was made of the files that are there."""
    report = _report(path, folder, parts)
    if not report.is_file():
        return False
    report = json.loads(report.read_text(encoding="utf-8"))
    return report.get("inputs") == _inputs(path, folder, report["scan"])


def unfinished(folder, out):
    """The scans in `folder` that `extract` to `out` has still to do."""
    folder, out = Path(folder).absolute(), Path(out).absolute()
    parts = out.with_name(out.name + ".parts")
    return [path for path in find_scans(folder) if not _is_finished(path, folder, parts)]


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


def _start_process():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that started this one
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the processes share the cores


def _apply(function, job):
    return function(*job)


def _join(out, jobs, failed, recipe):
    reports, places = {}, defaultdict(list)
    for path, folder, parts, *_ in jobs:
        place = _place(path, folder)
        if path in failed:
            reports[place] = {"scan": place, "not_used": [["", failed[path]]], "part": None}
            continue
        report = json.loads(_report(path, folder, parts).read_text(encoding="utf-8"))
        part = parts / _key(path, folder) if report["slices"] else None
        reports[place] = report | {"part": part}
        places[report["scan"]].append(place)
    for series, several in places.items():
        if len(several) > 1:
            reason = f"series {series} is in {' and '.join(several)}: keep one of them"
            for place in several:
                reports[place] = {"scan": place, "not_used": [["", reason]], "part": None}
    sets = [PatchSet.open(one["part"], verify=False) for one in reports.values() if one["part"]]
    not_used = [[one["scan"], *pair] for one in reports.values() for pair in one["not_used"]]
    contents = json.dumps([[one.info["arrays"], one.info["slices_sha256"]] for one in sets])
    parameters = {
        **recipe,
        "scans": len(jobs),
        "not_used": not_used,
        "parts_sha256": hashlib.sha256(contents.encode()).hexdigest(),
    }
    for scan, nodule, reason in not_used:
        print(f"not used: {scan}{' ' + nodule if nodule else ''}: {reason}")
    if not sets:
        raise ValueError(f"none of {len(jobs)} scans gave a crop; the reasons are listed above.")
    if out.exists() and PatchSet.open(out, verify=False).info["parameters"] == parameters:
        print(f"{out} is up to date: {sum(map(len, sets))} slices.")
        return PatchSet.open(out)
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
