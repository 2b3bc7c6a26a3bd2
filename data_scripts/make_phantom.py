"""Make simulated CT scans with lung nodules, in LUNA16's own layout.

A scan takes 1 to 5 seconds and 3 to 8 MB on disk (clinic_like: 15 MB). Nothing is downloaded.
Complete scans are kept, so that an interrupted run can be continued. Licence of the result:
CC BY 4.0; half of the nodules have shapes of LIDC-IDRI outlines (CC BY 3.0).
"""

import argparse
import sys
from pathlib import Path

from nodule_lesson.data.phantom import DOMAINS, write_scans
from nodule_lesson.data.sources import fetch
from nodule_lesson.jobs import cores


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the scans")
    parser.add_argument("--domain", choices=DOMAINS, default="luna_like")
    parser.add_argument("--scans", type=int, help="default: 20, or all 7 of clinic_like")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=cores(), help="default: all cores")
    options = parser.parse_args()
    scans = options.scans or DOMAINS[options.domain]["patients"] or 20
    try:
        rows = write_scans(options.out, options.domain, scans, options.seed, options.workers)
    except RuntimeError as error:  # SimpleITK on a full disk, a pool that lost a process
        raise OSError(f"{options.out}: {str(error).strip().splitlines()[-1]}") from error
    print(f"{scans} scans with {len(rows)} nodules: {options.out}")


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
