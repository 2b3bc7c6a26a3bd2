"""Download LUNA16 from Zenodo: CT volumes with nodules, 66.3 GB of zips in all, CC BY 4.0.

    python data_scripts/download_luna16.py --subsets 0,1

fetches subsets 0 and 1 (about 7 GB and 89 scans each) and annotations.csv to luna16/, checks every
md5 and unpacks. Before it starts it prints how much it will fetch; the same command continues
after an interruption. Then data_scripts/extract_patches.py makes a PatchSet of it.
"""

import argparse
import os
import sys

from nodule_lesson.data.sources import fetch, luna16

# The variable gives tests and mirrors another address.
ZENODO = os.environ.get("NODULE_LESSON_ZENODO", luna16.ZENODO)


def subset_list(text):
    """[0, 1] for "0,1"."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers like 0,1 are wanted, found {text!r}") from None


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subsets", type=subset_list, default=[0], help="of 0 to 9; default: 0")
    parser.add_argument("--out", default="luna16", help="folder; default: luna16")
    parser.add_argument("--list", action="store_true", help="list Zenodo's files, fetch nothing")
    parser.add_argument("--keep-zips", action="store_true", help="keep the zips when unpacked")
    options = parser.parse_args(arguments)
    if options.list:
        for record in luna16.RECORDS:
            print(f"Zenodo record {record}, {luna16.LICENCE}")
            for name, file in luna16.files_of_record(record, zenodo=ZENODO).items():
                print(f"  {name:24} {fetch.readable(file['size']):>8}  md5 {file['md5']}")
        return 0
    failed = luna16.download(
        options.subsets, options.out, keep_zips=options.keep_zips, zenodo=ZENODO
    )
    if failed:
        raise OSError(
            f"not complete: {', '.join(failed)}; run the same command again to continue."
        )
    return 0


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
