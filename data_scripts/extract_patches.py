"""Make a PatchSet from CT scans: `python -m nodule_lesson.data.extraction` under its former name.

python data_scripts/extract_patches.py SCANS OUT
"""

import sys

from nodule_lesson.data.extraction.__main__ import main
from nodule_lesson.data.sources import fetch

if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
