"""Download LIDC-IDRI as small pictures and make a PatchSet: the smallest real data.

    python data_scripts/download_lidc_slices.py lidc-slices
    python data_scripts/download_lidc_slices.py lidc-slices --from FOLDER

The first command downloads the Kaggle set zhangweiled/lidcidri with kagglehub (`pip install
kagglehub`; no account is needed): about 15,548 slices of 875 patients, 128 x 128, 8-bit, an
estimated 150 MB in 78,000 small files, which kagglehub keeps in its own cache. The second fetches
nothing and takes a FOLDER of that layout, PATIENT/nodule-k/images/slice-j.png and
mask-r/slice-j.png. LIDC-IDRI is CC BY 3.0; the terms on the Kaggle page could not be read when
this was written.

Nodules with a damaged picture and slices without an outline are skipped and named. OUT is written
completely or not at all. The download was tested only with a substitute for kagglehub.
"""

import argparse
import sys
from pathlib import Path

from nodule_lesson.data.sources import fetch, lidc_slices


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the PatchSet; must not exist")
    parser.add_argument("--from", dest="folder", type=Path, help="a folder, instead of Kaggle")
    options = parser.parse_args(arguments)
    folder = options.folder
    if folder is None:
        print(
            f"To fetch from Kaggle: {lidc_slices.HANDLE}, about {lidc_slices.SLICES} slices of "
            f"{lidc_slices.PATIENTS} patients, {fetch.readable(lidc_slices.BYTES)} (an estimate)."
        )
        count = lidc_slices.SLICES
    else:
        nodules = lidc_slices.find_nodules(folder)
        patients = len({path.parent for path in nodules})
        count = sum(1 for path in nodules for _ in path.glob("images/*.png"))
        print(f"Nothing to fetch: {folder} has {len(nodules)} nodules of {patients} patients.")
    print(f"Licence: {lidc_slices.TERMS}.\nCite: {lidc_slices.CITATION}.", flush=True)
    lidc_slices.check_target(options.out, count)
    patch_set, skipped = lidc_slices.convert(folder or lidc_slices.download(), options.out)
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")
    skipped_nodules = sum("/slice-" not in name for name, _ in skipped)  # the others are slices
    disputed = int((~patch_set.masks.any((1, 2))).sum())
    nodules = set(zip(patch_set.slices["patient"], patch_set.slices["nodule"], strict=True))
    print(
        f"{len(patch_set)} slices of {len(nodules)} nodules of "
        f"{len(set(patch_set.slices['patient']))} patients in {patch_set.path}, "
        f"{skipped_nodules} nodules skipped; in {disputed} slices no pixel is shared by half of "
        "the readers."
    )


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
