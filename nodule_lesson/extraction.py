"""From scans with their readers' outlines to a PatchSet, as the paper describes it.

Every crop is centred on a nodule, 128 x 128 voxels in the plane; it takes all slices in which a
reader outlined the nodule, and as many empty neighbours above and below, so that the classes
balance. One nodule a crop, and no voxel in two crops: a crop that would hold another nodule is
moved aside, and where that does not help, the nodule is reported and not used.

One scan is one piece of work, done by the processes of this machine or by a Dask cluster. What is
finished stays in the folder OUT.parts, so an interrupted run goes on where it stopped, and a scan
that cannot be used stops nothing: it is reported with its reason.
"""

import csv
import functools
import json
import multiprocessing
import os
import shutil
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm.auto import tqdm

from . import contours
from .ct import Scan
from .fetch import only_one, write_whole
from .patches import COLUMNS, PatchSet

MARGIN = 4  # voxels between a nodule and the edge of its crop, at least
STEP = 8  # voxels, by which a crop is moved aside
READERS = 3  # of LIDC's four must have outlined a nodule, as in LUNA16's list


@dataclass(frozen=True)
class Nodule:
    """One nodule as its readers outlined it.

    name: its id within the scan. type: one of the five, or "". diameter: mm, or nan. first: the
    (slice, row, column) of the first voxel of `bits`, (slices, rows, columns) uint8 with bit r set
    where reader r outlined it; the box holds every outlined voxel and no empty border.
    """

    name: str
    type: str
    diameter: float
    first: tuple
    bits: np.ndarray

    @property
    def last(self):
        """One past the last (slice, row, column)."""
        return tuple(f + n for f, n in zip(self.first, self.bits.shape, strict=True))

    @property
    def readers(self):
        """How many readers outlined it."""
        return int(np.bitwise_or.reduce(self.bits, axis=None)).bit_count()


# --- one scan ------------------------------------------------------------------------------------


def crops(scan, nodules, obstacles=(), *, size=128):
    """The crops of one scan, and the nodules without one.

    scan: a `ct.Scan`. nodules: each `Nodule` of it. obstacles: nodules that must be in no crop.
    size: voxels a side. Returns (images, masks, readers, slices), stacks and columns as
    `PatchSet.write` takes them, or None where there is no crop, and a list of (nodule's name,
    reason). Large nodules choose their place first.
    """
    boxes, unused, columns = [], [], {name: [] for name in COLUMNS}
    images, masks, readers = [], [], []
    for nodule in sorted(nodules, key=lambda one: -np.count_nonzero(one.bits)):
        others = [one for one in (*nodules, *obstacles) if one is not nodule]
        box = _place(scan, nodule, others, boxes, size)
        if isinstance(box, str):
            unused.append((nodule.name, box))
            continue
        boxes.append(box)
        first, depth = box[0], box[1][0] - box[0][0]
        image, _ = scan.region(first, (depth, size, size))
        bits = np.zeros(image.shape, np.uint8)
        inner = [
            slice(a - f, b - f) for a, b, f in zip(nodule.first, nodule.last, first, strict=True)
        ]
        bits[tuple(inner)] = nodule.bits
        images.append(image)
        readers.append(bits)
        masks.append(contours.consensus(bits, nodule.readers))
        for k in range(depth):
            row = {
                "patient": scan.patient or scan.series,
                "scan": scan.series,
                "nodule": nodule.name,
                "slice": first[0] + k,
                "row_mm": scan.spacing[1],
                "column_mm": scan.spacing[2],
                "type": nodule.type,
                "diameter": nodule.diameter,
                "has_nodule": bool(bits[k].any()),
            }
            for name in COLUMNS:
                columns[name].append(row[name])
    if not images:
        return None, unused
    stacks = (np.concatenate(stack) for stack in (images, masks, readers))
    return (*stacks, columns), unused


def _place(scan, nodule, others, boxes, size):
    """The box (first, last) of a nodule's crop, or the reason why there is none."""
    extent = nodule.bits.shape
    if max(extent[1:]) > size - 2 * MARGIN:
        return f"{max(extent[1:])} voxels wide, too large for a crop of {size}"
    if not all(
        0 <= a and b <= n for a, b, n in zip(nodule.first, nodule.last, scan.size, strict=True)
    ):
        return "its outline leaves the volume"
    middle = [(a + b) // 2 - size // 2 for a, b in zip(nodule.first, nodule.last, strict=True)]
    shifts = range(-(size // 2), size // 2 + 1, STEP)
    for down, right in sorted(
        ((a, b) for a in shifts for b in shifts), key=lambda s: s[0] ** 2 + s[1] ** 2
    ):
        row, column = middle[1] + down, middle[2] + right
        inside = (
            row + MARGIN <= nodule.first[1]
            and nodule.last[1] <= row + size - MARGIN
            and column + MARGIN <= nodule.first[2]
            and nodule.last[2] <= column + size - MARGIN
        )
        if not inside:
            continue
        taken = [(one.first, one.last) for one in others] + boxes
        corner, end = (row, column), (row + size, column + size)
        low, high = _depth(scan, nodule, corner, end, taken)
        if low is not None:
            return (low, *corner), (high, *end)
    return "another nodule is in every crop that holds it"


def _depth(scan, nodule, corner, end, taken):
    """First slice and one past the last: the nodule's own, and as many empty ones around."""
    blocked = {
        k
        for first, last in taken
        if all(
            f < e and c < e2 for f, e, c, e2 in zip(first[1:], end, corner, last[1:], strict=True)
        )
        for k in range(first[0], last[0])
    }
    low, high = nodule.first[0], nodule.last[0]
    if blocked & set(range(low, high)):
        return None, None
    wanted = high - low
    while wanted:
        above = low - 1 >= 0 and low - 1 not in blocked
        below = high < scan.size[0] and high not in blocked
        if not (above or below):
            break
        # Turn by turn, so that the nodule stays in the middle where the scan allows.
        if above and (not below or nodule.first[0] - low <= high - nodule.last[0]):
            low -= 1
        else:
            high += 1
        wanted -= 1
    return low, high


# --- whose outlines ------------------------------------------------------------------------------


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


def outlined_in_volumes(scan, folder):
    """The nodules of a simulated scan, from readers/SERIES.mhd and nodules.csv beside it.

    Returns (nodules, obstacles, unused): each `Nodule` to use, those that must only not be in
    another's crop, and pairs of (name, reason).
    """
    with open(Path(folder) / "nodules.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["seriesuid"] == scan.series]
    volume = Scan.open(Path(folder) / "readers" / f"{scan.series}.mhd")
    if volume.size != scan.size:
        raise ValueError(f"{volume.path} has {volume.size} voxels, its scan has {scan.size}.")
    bits = volume.load().astype(np.uint8)
    outlined = sitk.GetImageFromArray((bits > 0).astype(np.uint8))
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(outlined, True))
    owners, unused = {}, []
    for row in rows:
        index = scan.to_index([float(row[f"coord{axis}"]) for axis in "XYZ"])
        label = _nearest_label(labels, index, scan.spacing, float(row["diameter_mm"]))
        if label is None:
            unused.append((row["nodule"], "no reader's outline is where the list has it"))
        else:
            owners.setdefault(label, []).append(row)
    nodules, obstacles = [], []
    for label, rows in owners.items():
        places = [np.flatnonzero((labels == label).any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
        box = tuple(slice(place[0], place[-1] + 1) for place in places)
        found = Nodule(
            name=rows[0]["nodule"],
            type=rows[0]["type"],
            diameter=float(rows[0]["diameter_mm"]),
            first=tuple(int(place[0]) for place in places),
            bits=np.where(labels[box] == label, bits[box], 0).astype(np.uint8),
        )
        if len(rows) == 1:
            nodules.append(found)
        else:
            obstacles.append(found)
            unused += [(row["nodule"], "its outline touches another nodule's") for row in rows]
    return nodules, obstacles, unused


def _nearest_label(labels, index, spacing, diameter):
    """The label nearest to a voxel, at most a diameter away; None where there is none."""
    reach = [int(np.ceil(diameter / mm)) for mm in spacing]
    low = [max(0, i - r) for i, r in zip(index, reach, strict=True)]
    box = tuple(slice(a, max(0, i + r + 1)) for a, i, r in zip(low, index, reach, strict=True))
    there = np.argwhere(labels[box])
    if not len(there):
        return None
    away = (there + low - np.array(index)) * spacing
    k, i, j = there[(away**2).sum(1).argmin()]
    return int(labels[box][k, i, j])


def _lidc(database):
    return _lidc_of_thread(database, threading.get_ident())


# A worker of Dask may have many threads, and SQLite refuses a connection that another one opened.
@functools.cache
def _lidc_of_thread(database, thread):
    return contours.open_lidc(database)


def outlined_in_lidc(scan, database=None):
    """The nodules of a scan of LIDC-IDRI, as `outlined_in_volumes` gives them.

    database: see `contours.open_lidc`. Used are nodules with at least `READERS` outlines, all of
    them where something bright is (`contours.misplaced`); the others are obstacles. Bit r is the
    nodule's reader r: LIDC does not say who is who from nodule to nodule. The diameter is that of
    a disc as large as the largest slice of the consensus.
    """
    lidc = _lidc(database)
    row = lidc.scan(scan.series)
    nodules, obstacles, unused = [], [], []
    for number, group in enumerate(contours.cluster(row, lidc.annotations(row)), start=1):
        voxels = [_voxels(scan, annotation) for annotation in group]
        voxels = [found for found in voxels if len(found)]
        if not voxels:
            continue
        name, everywhere = str(number), np.concatenate(voxels)
        first, last = everywhere.min(0), everywhere.max(0) + 1
        bits = np.zeros(last - first, np.uint8)
        for reader, found in enumerate(voxels[:8]):
            bits[tuple((found - first).T)] |= 1 << reader
        agreed = contours.consensus(bits, min(len(voxels), 8)).sum((1, 2)).max()
        area = agreed * scan.spacing[1] * scan.spacing[2]
        nodule = Nodule(
            name=name,
            type=contours.nodule_type(group),
            diameter=2 * float(np.sqrt(area / np.pi)) if agreed else float("nan"),
            first=tuple(map(int, first)),
            bits=bits,
        )
        if len(voxels) < READERS:
            obstacles.append(nodule)
        elif not (scan.contains(first) and scan.contains(last - 1)):
            unused.append((name, "its outline leaves the volume"))
        elif faults := contours.misplaced(scan, voxels):
            obstacles.append(nodule)
            unused.append((name, next(iter(faults.values()))))
        else:
            nodules.append(nodule)
    return nodules, obstacles, unused


def _voxels(scan, annotation):
    """The voxels that one reader outlined: (n, 3) of (slice, row, column)."""
    found = [np.empty((0, 3), np.int64)]
    for z in {contour.z for contour in annotation.contours}:
        points = np.concatenate([c.points for c in annotation.contours if c.z == z])
        column, row = points.min(0)
        shape = (points.max(0) - points.min(0) + 1)[::-1]
        inside = np.argwhere(annotation.mask(z, tuple(shape), (column, row)))
        k, *_ = scan.to_index((*scan.origin[:2], z))
        found.append(np.column_stack([np.full(len(inside), k), inside + (row, column)]))
    return np.concatenate(found)


# --- many scans ----------------------------------------------------------------------------------


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
            # LUNA16's headers name no patient, and one of its patients has two scans.
            scan = replace(scan, patient=_lidc(database).scan(scan.series).patient)
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
