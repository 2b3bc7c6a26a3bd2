"""Time a region of a large scan against the whole, and the extraction of one such scan.

A raw volume of 512 x 512 x 300 voxels with four outlined nodules is written to a temporary folder
(240 MB, removed at the end). Random regions of 128 x 128 x 12 and the whole are read in turn. The
extraction is `extraction.extract_scan` in one process; LUNA16 would take 888 times as long on one
core. The disk's cache is warm. --out writes the numbers as JSON.
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nodule_lesson.data.ct import Scan
from nodule_lesson.data.extraction import extract_scan
from nodule_lesson.provenance import provenance

SHAPE, REGION, SEED = (300, 512, 512), (12, 128, 128), 0
NODULES = [(60, 150, 150), (120, 300, 380), (180, 200, 350), (240, 380, 130)]
RADIUS, LUNA16_SCANS = 9, 888


def write_scan(folder):
    """The volume in LUNA16's layout, with one reader's outlines beside it."""
    (folder / "subset0").mkdir()
    (folder / "readers").mkdir()
    random = np.random.default_rng(SEED)
    hu = random.integers(-950, -750, SHAPE, dtype=np.int16)
    bits = np.zeros(SHAPE, np.uint8)
    box = np.indices((2 * RADIUS + 1,) * 3) - RADIUS
    ball = (box**2).sum(0) <= RADIUS**2
    for centre in NODULES:
        place = tuple(slice(c - RADIUS, c + RADIUS + 1) for c in centre)
        hu[place][ball] = 30
        bits[place][ball] = 1
    for array, where in ((hu, "subset0"), (bits, "readers")):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.7, 0.7, 1.25))
        sitk.WriteImage(image, str(folder / where / "large.mhd"))
    scan = Scan.open(folder / "subset0" / "large.mhd")
    with open(folder / "nodules.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow("seriesuid nodule patient type diameter_mm coordX coordY coordZ".split())
        for number, centre in enumerate(NODULES, start=1):
            writer.writerow(["large", number, "p", "isolated", 12.6, *scan.to_world(centre)])
    return scan


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    times = {"region": [], "whole": [], "extraction": []}

    def measure(name, work, count=1):
        start = time.perf_counter()
        for _ in range(count):
            work()
        times[name].append((time.perf_counter() - start) / count)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_scan(folder).path
        random = np.random.default_rng(SEED)
        last_first = np.subtract(SHAPE, REGION)

        def region():
            Scan.open(path).region(random.integers(0, last_first), REGION)

        def extraction():
            _, reason = extract_scan(path, folder, folder / "out.parts", 128, "readers")
            if reason:
                raise OSError(reason)

        for _ in range(options.repeats):
            measure("region", region, 10)
            measure("whole", Scan.open(path).load)
        for _ in range(3):
            measure("extraction", extraction)
    medians = {name: statistics.median(values) for name, values in times.items()}
    result = {
        "what": "Seconds to read a region and the whole of a CT volume, and to extract its crops.",
        "setting": {"shape": SHAPE, "region": REGION, "nodules": len(NODULES)},
        "seconds": times,
        "ratio": medians["whole"] / medians["region"],
        "hours_for_luna16_on_one_core": medians["extraction"] * LUNA16_SCANS / 3600,
        "provenance": provenance("python benchmarks/ct_regions.py", ("SimpleITK",))
        | {"clock": "wall time"},
    }
    for name, value in medians.items():
        print(f"{name:10s} {1000 * value:8.1f} ms")
    print(f"whole / region: {result['ratio']:.0f}")
    print(f"{LUNA16_SCANS} scans on one core: {result['hours_for_luna16_on_one_core']:.1f} hours")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
