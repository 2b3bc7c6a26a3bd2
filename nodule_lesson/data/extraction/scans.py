"""Extract many scans: distribute them over processes, keep finished parts, join them to a set."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

import SimpleITK as sitk
from tqdm.auto import tqdm

from nodule_lesson.data import contours
from nodule_lesson.data.ct import Scan, Upright
from nodule_lesson.data.ct.scan import ENDINGS
from nodule_lesson.data.patches import PatchSet
from nodule_lesson.data.sources.fetch import only_one
from nodule_lesson.data.sources.fetch.common import digest
from nodule_lesson.files import write_whole
from nodule_lesson.jobs import KILLED, cores, unordered

from .crops_of_scan import crops
from .outlines import (
    listed_nodules,
    outlined_in_lidc,
    outlined_in_mask,
    outlined_in_volumes,
    with_listed_patient,
    with_patient,
)

# Folders whose volumes are not scans: simulated readers' outlines, and LUNA16's masks of lungs.
MASK_FOLDERS = ("readers", "seg-lungs-LUNA16")
MASK = "_mask"  # what the name of a scan's own mask adds to the name of the scan

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
    "masks": {
        "source": "scans of one's own, with masks",
        "licence": "unknown",
        "citation": "unknown",
    },
}


def find_scans(folder, outlines="readers"):
    """The scans in a folder: .mhd files as in LUNA16, and folders of DICOM slices (.dcm).

    outlines="masks": instead the scans of any format that have a mask beside them, `extract`.
    Raises FileNotFoundError if there is no folder, ValueError if it contains no scan, and for a
    mask without a scan.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder.")
    if outlines == "masks":
        return _scans_with_masks(folder)
    scans = set()
    for path in folder.rglob("*"):
        names = path.relative_to(folder).parts
        # A killed run and macOS leave files whose names begin with a dot.
        if any(name in MASK_FOLDERS or name[0] == "." for name in names):
            continue
        if path.suffix.lower() in (".mhd", ".dcm"):
            scans.add(path if path.suffix.lower() == ".mhd" else path.parent)
    if not scans:
        raise ValueError(f"{folder} holds no scan, neither .mhd files nor .dcm slices.")
    return sorted(scans)


def _scans_with_masks(folder):
    """The scans NAME.nii.gz, or NAME of DICOM slices, that have a NAME_mask.nii.gz beside them."""
    scans = []
    for mask in folder.rglob(f"*{MASK}.*"):
        hidden = any(part[0] == "." for part in mask.relative_to(folder).parts)
        name = _without_ending(mask)
        if hidden or name in (mask.name, MASK) or not name.endswith(MASK):
            continue
        name = name.removesuffix(MASK)
        found = [mask.with_name(name + ending) for ending in ("", *ENDINGS)]
        found = [path for path in found if path.exists()]
        if len(found) != 1:
            raise ValueError(
                f"{mask} must have one scan beside it, a folder {name} of DICOM slices or "
                f"{name} with one of the endings {', '.join(ENDINGS)}, found {len(found)}."
            )
        scans += found
    if not scans:
        raise ValueError(f"{folder} holds no mask: no file such as NAME{MASK}.nii.gz.")
    if twice := {scan for scan in scans if scans.count(scan) > 1}:
        raise ValueError(f"{min(twice)} has two masks beside it: keep one of them.")
    return sorted(scans)


def _without_ending(path):
    """The name of a scan or mask without the ending of its format."""
    endings = sorted(ENDINGS, key=len, reverse=True)  # .nii.gz before .nii
    ending = next((e for e in endings if path.name.lower().endswith(e)), "")
    return path.name[: len(path.name) - len(ending)]


def _mask_of(path):
    """The mask beside a scan, or None."""
    masks = [path.with_name(f"{_without_ending(path)}{MASK}{ending}") for ending in ENDINGS]
    return next((mask for mask in masks if mask.is_file()), None)


def _named_by_folder(scan, folder):
    """The scan with names from its place: the patient's folder, and its path as its series."""
    place = scan.path.relative_to(folder)
    series = place.with_name(_without_ending(scan.path)).as_posix()
    patient = place.parts[0] if len(place.parts) > 1 else scan.patient or series
    return replace(scan, series=series, patient=patient)


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

    folder: scans as in LUNA16 (subset*/SERIES.mhd), or DICOM (PATIENT/SERIES/*.dcm). size:
    voxels per side. outlines: "readers" for the volumes of simulated scans, "lidc" for the
    contours of LIDC's database, "masks" for CT scans and masks of your own, see below; database:
    that file, or None for the installed one (`contours.open_lidc`). workers: processes, None for
    one per core. scheduler: the address of a Dask scheduler, to use its workers instead; they
    must see the same disk.

    "masks" wants a folder per patient, FOLDER/PATIENT, with a scan of any format that `Scan.open`
    reads, NAME.nii.gz or a folder NAME of DICOM slices, and beside it its mask, NAME_mask.nii.gz:
    the same voxels, in any order of axes; 0, and a number above 0 in each nodule. If there is one
    such number, connected parts are nodules, else each number is one. A scan that lies in FOLDER
    itself is a patient of its own. Crops are `Upright`, and `slice` counts from the feet.

    Finished scans stay in OUT.parts: a second call processes only scans that are missing, that
    failed, or whose files have changed. Of two calls at the same time the second waits for the
    first. A series that is in two places is not used, since it is unknown which one is right.
    Returns the opened PatchSet; its `info["parameters"]["not_used"]` lists [scan, nodule, reason].
    Raises ValueError if no scan gives a crop, if `out` was made with other arguments, or if
    nodules.csv is not a valid table; OSError if a list, the database or the cluster is missing,
    the disk fails or a process is killed.
    """
    if outlines not in _ORIGIN:
        raise ValueError(f'outlines must be "readers", "lidc" or "masks", found {outlines!r}.')
    # Absolute, since the workers of a cluster were started in another folder.
    folder, out = Path(folder).absolute(), Path(out).absolute()
    parts = out.with_name(out.name + ".parts")
    recipe = {"size": size, "outlines": outlines}
    scans = find_scans(folder, outlines)
    # Fail early: every scan needs the list, or the database.
    if outlines == "lidc":
        with contours.open_lidc(database) as lidc:
            database = lidc.path.absolute()
        recipe["database_sha256"] = digest(database, "sha256")
    elif outlines == "readers":
        listed_nodules(folder)
    parts.mkdir(parents=True, exist_ok=True)
    with only_one(out):
        _check_recipe(out, parts, recipe)
        jobs = [(path, folder, parts, size, outlines, database) for path in scans]
        to_do = [job for job in jobs if not _is_finished(*job[:3])]
        if len(to_do) < len(jobs):
            print(f"{len(jobs) - len(to_do)} of {len(jobs)} scans were finished before.")
        outcomes = unordered(
            partial(_apply, extract_scan),
            to_do,
            workers=min(workers or cores(), max(len(to_do), 1)),
            scheduler=scheduler if to_do else None,
            setup=_start_process,
        )
        if to_do:
            outcomes = tqdm(outcomes, total=len(to_do), unit="scan", desc="extracting")
        failed = {job[0]: reason for job, reason in outcomes if reason}
        killed = [path.name for path, reason in failed.items() if reason is KILLED]
        if killed and not scheduler:  # Dask has tried each scan several times: report it
            raise ChildProcessError(
                f"{len(killed)} of {len(to_do)} scans are missing ({killed[0]}): {KILLED}. The "
                "others are finished; call it again to continue."
            )
        return _join(out, jobs, failed, recipe)


def extract_scan(path, folder, parts, size, outlines, database=None):
    """Write the part of one scan: PARTS/KEY, a PatchSet, and PARTS/KEY.json, its report.

    Returns None, or the reason why the scan could not be used.
    """
    try:
        scan = Scan.open(path)
        if outlines == "masks":
            scan = _named_by_folder(scan, folder)
        inputs = _inputs(path, folder, scan.series)
        if outlines == "lidc":
            scan = with_patient(scan, database)
            nodules, obstacles, unused = outlined_in_lidc(scan, database)
        elif outlines == "masks":
            scan = Upright(scan)
            nodules, obstacles, unused = outlined_in_mask(scan, _mask_of(path))
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
    # The report is written last: if it exists, the part is complete.
    write_whole(_report(path, folder, parts), json.dumps(report).encode())
    return None


def _relative(path, folder):
    """The path of a scan relative to the folder; "." if the folder itself is the scan."""
    return Path(path).relative_to(folder).as_posix()


def _key(path, folder):
    """A file name for a scan's part, unique for its path."""
    relative = _relative(path, folder).replace("%", "%25").replace("_", "%5F")
    return relative.replace("/", "_") if relative != "." else Path(path).name


def _report(path, folder, parts):
    """The path of the report of a finished scan."""
    return Path(parts) / f"{_key(path, folder)}.json"


def _inputs(path, folder, series):
    """A checksum of a scan's inputs: its files by size and time, and its rows of nodules.csv.

    Like `make` it compares times: reading all voxels again would take as long as the extraction.
    """
    folder = Path(folder)
    files = _files(Path(path)) | _files(folder / "readers" / f"{series}.mhd")
    if mask := _mask_of(Path(path)):
        files |= _files(mask)
    stats = [(_relative(file, folder), file.stat()) for file in sorted(files)]
    inputs = [[file, stat.st_size, stat.st_mtime_ns] for file, stat in stats]
    table = folder / "nodules.csv"
    lines = table.read_text("utf-8-sig", "replace").splitlines() if table.is_file() else []
    inputs += [line for line in lines if series in line or line == lines[0]]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _files(path):
    """The existing files of a volume: DICOM slices, or a header and the file that it names."""
    if path.is_dir():
        return {file for file in path.iterdir() if file.is_file()}
    if not path.is_file():
        return set()
    with open(path, "rb") as file:
        head = file.read(100_000)
    named = re.search(rb"^ElementDataFile\s*[=:]([^\r\n]*)", head, re.MULTILINE)
    voxels = path.parent / os.fsdecode(named[1].strip()) if named else path
    return {path, voxels} if voxels.is_file() else {path}


def _is_finished(path, folder, parts):
    """Whether a scan's part exists and was made from its present files."""
    report = _report(path, folder, parts)
    if not report.is_file():
        return False
    report = json.loads(report.read_text(encoding="utf-8"))
    return report.get("inputs") == _inputs(path, folder, report["scan"])


def unfinished(folder, out, outlines="readers"):
    """The scans in `folder` that `extract` to `out` has not finished."""
    folder, out = Path(folder).absolute(), Path(out).absolute()
    parts = out.with_name(out.name + ".parts")
    return [path for path in find_scans(folder, outlines) if not _is_finished(path, folder, parts)]


def _check_recipe(out, parts, recipe):
    """Raise ValueError if `out` or its parts were made with another recipe."""
    path = parts / "recipe.json"
    if not path.exists():
        write_whole(path, json.dumps(recipe).encode())
    elif (earlier := json.loads(path.read_text(encoding="utf-8"))) != recipe:
        raise ValueError(f"{parts} was made with {earlier}, wanted {recipe}: name another folder.")
    if out.exists():
        source = PatchSet.open(out, verify=False).info["source"]
        wanted = _ORIGIN[recipe["outlines"]]["source"]
        if source != wanted:
            raise ValueError(f"{out} holds {source}, wanted {wanted}: name another folder.")


def _start_process():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that started this one
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the processes share the cores


def _apply(function, job):
    return function(*job)


def _join(out, jobs, failed, recipe):
    """Join the parts of all scans to the set `out`, report the scans without one; returns the set.

    An existing set with the same content is kept.
    """
    reports, scans_of_series = {}, defaultdict(list)
    for path, folder, parts, *_ in jobs:
        scan = _relative(path, folder)
        if path in failed:
            reports[scan] = {"scan": scan, "not_used": [["", failed[path]]], "part": None}
            continue
        report = json.loads(_report(path, folder, parts).read_text(encoding="utf-8"))
        part = parts / _key(path, folder) if report["slices"] else None
        reports[scan] = report | {"part": part}
        scans_of_series[report["scan"]].append(scan)
    for series, scans in scans_of_series.items():
        if len(scans) > 1:
            reason = f"series {series} is in {' and '.join(scans)}: keep one of them"
            for scan in scans:
                reports[scan] = {"scan": scan, "not_used": [["", reason]], "part": None}
    used = [report["part"] for report in reports.values() if report["part"]]
    sets = [PatchSet.open(part, verify=False) for part in used]
    not_used = [
        [report["scan"], *pair] for report in reports.values() for pair in report["not_used"]
    ]
    contents = json.dumps([[part.info["arrays"], part.info["slices_sha256"]] for part in sets])
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
    # An earlier set is removed only when the new one is complete.
    new, old = (out.with_name(out.name + ending) for ending in (".new", ".old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    PatchSet.join(new, sets, parameters=parameters, **_ORIGIN[recipe["outlines"]])
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    result = PatchSet.open(out, verify=False)
    has_nodule = result.slices["has_nodule"]
    nodules = len({*zip(result.slices["scan"], result.slices["nodule"], strict=True)})
    print(
        f"{len(result)} slices of {nodules} nodules in {len(sets)} scans: {has_nodule.sum()} with "
        f"a nodule, {(~has_nodule).sum()} without."
    )
    return result
