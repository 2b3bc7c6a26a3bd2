"""Simulated scans on disk, in LUNA16's own layout, so that the same code reads both.

FOLDER/subset0/SERIES.mhd .raw   int16 HU
FOLDER/readers/SERIES.mhd .raw   uint8, same geometry, bit r where reader r drew
FOLDER/annotations.csv           LUNA16's columns, world millimetres
FOLDER/nodules.csv               also nodule, patient and type
FOLDER/dataset.json              domain, seed, source, licence
FOLDER/scans/SERIES.json         a scan's nodules; written last, so it marks a scan complete
"""

import csv
import io
import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm.auto import tqdm

from nodule_lesson.data.phantom.simulate import check_domain, simulate_scan
from nodule_lesson.files import write_whole

ANNOTATIONS = ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"]
NODULES = ["seriesuid", "nodule", "patient", "type", "diameter_mm", "coordX", "coordY", "coordZ"]
CITATION = (
    "nodule_lesson.phantom; shapes from LIDC-IDRI, Armato III et al., "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0"
)


def write_scans(folder, domain, scans, seed=0, workers=1):
    """Write the first `scans` patients of a domain into `folder`; scans that are complete stay.

    Raises ValueError for an unknown domain, more patients than it has, workers below 1, or a
    folder that holds other simulated scans.
    """
    options, folder = check_domain(domain), Path(folder)
    if not 1 <= scans <= (options["patients"] or np.inf):
        most = options["patients"] or "any number"
        raise ValueError(f"{domain} has 1 to {most} scans, found {scans}.")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, found {workers}.")
    recipe = {"domain": domain, "seed": seed, "parameters": options}
    info = recipe | {"source": "simulated", "licence": "CC BY 4.0", "citation": CITATION}
    text = json.dumps(info, indent=1) + "\n"
    there = folder / "dataset.json"
    if there.exists() and there.read_text(encoding="utf-8") != text:
        raise ValueError(f"{folder} holds other scans: choose a new folder, or the same recipe.")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(there, text.encode())
    for scratch in folder.glob("*/.part-*"):  # of a run that was killed
        shutil.rmtree(scratch, ignore_errors=True)
    jobs = [(folder, domain, number, seed) for number in range(1, scans + 1)]
    found = {}
    with tqdm(total=scans, unit="scan", desc=domain) as bar:
        for number, rows in _each(jobs, workers):
            found[number] = rows
            bar.update()
    rows = [row for number in sorted(found) for row in found[number]]
    for name, columns in (("annotations.csv", ANNOTATIONS), ("nodules.csv", NODULES)):
        lines = io.StringIO()
        writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(folder / name, lines.getvalue().encode())
    return rows


def _each(jobs, workers):
    if workers == 1:
        yield from (_job(job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for future in as_completed([pool.submit(_job, job) for job in jobs]):
            yield future.result()


def _job(job):
    folder, domain, number, seed = job
    marker = folder / "scans" / f"{domain}-{number}.json"
    if marker.exists():
        rows = json.loads(marker.read_text(encoding="utf-8"))
        if all(_size(folder / path) == size for path, size in rows["files"].items()):
            return number, rows["nodules"]
    scan = simulate_scan(domain, number, seed)
    files, nodules = write_scan(folder, scan)
    marker.parent.mkdir(exist_ok=True)
    write_whole(marker, (json.dumps({"files": files, "nodules": nodules}) + "\n").encode())
    return number, nodules


def _size(path):
    return path.stat().st_size if path.is_file() else None


def write_scan(folder, scan):
    """Write one scan's two volumes; returns ({path in `folder`: bytes}, rows of nodules.csv)."""
    import SimpleITK as sitk  # slow to import, and not needed to simulate

    folder, files = Path(folder), {}
    for name, array in (("subset0", scan.hu), ("readers", scan.readers)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(scan.spacing[::-1])
        if scan.flipped:  # as some LUNA16 scans: the same voxels, the axes turned about
            image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        sign = -1 if scan.flipped else 1
        extent = [n * mm / 2 for n, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
        image.SetOrigin((-sign * extent[0], -sign * extent[1], -extent[2]))
        (folder / name).mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".part-", dir=folder / name) as scratch:
            sitk.WriteImage(image, str(Path(scratch) / f"{scan.uid}.mhd"))
            for ending in ("raw", "mhd"):  # the header last: it promises the voxels
                file = f"{scan.uid}.{ending}"
                with (Path(scratch) / file).open("rb+") as written:
                    os.fsync(written.fileno())
                files[f"{name}/{file}"] = (Path(scratch) / file).stat().st_size
                os.replace(Path(scratch) / file, folder / name / file)
    rows = []
    for nodule in scan.nodules:
        world = image.TransformIndexToPhysicalPoint(nodule["index"][::-1])
        row = {"seriesuid": scan.uid, "patient": scan.patient, "diameter_mm": nodule["diameter"]}
        row |= {"nodule": nodule["nodule"], "type": nodule["type"]}
        row |= {f"coord{axis}": round(v, 6) for axis, v in zip("XYZ", world, strict=True)}
        rows.append(row)
    return files, rows
