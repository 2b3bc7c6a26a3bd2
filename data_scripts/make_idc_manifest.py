"""Write data_scripts/idc_manifest.csv, the series of LUNA16's patients in the Data Commons.

    pip download --no-deps idc-index-data            # 79 MB, the Commons' index, CC BY
    python data_scripts/make_idc_manifest.py --index idc_index_data-*.whl --luna16 FOLDER

FOLDER holds LUNA16's annotations.csv and seriesuids.csv. The patients with the most nodules per
byte come first, so that the first N rows are a good selection of N. It needs pyarrow and fetches
nothing. The manifest is committed: run this again only for a longer one.
"""

import argparse
import csv
import io
import sys
import zipfile
from collections import Counter
from pathlib import Path

from nodule_lesson.data.sources import fetch, idc
from nodule_lesson.files import write_whole

PARQUET = "idc_index_data/idc_index.parquet"
COLUMNS = {  # of the index: of the manifest
    "PatientID": "patient",
    "SeriesInstanceUID": "series",
    "crdc_series_uuid": "uuid",
    "instanceCount": "files",
    "series_size_MB": "megabytes",  # of 1,000,000 bytes, exact
    "aws_bucket": "bucket",
    "license_short_name": "licence",
}


def read_index(path):
    """The CT series of LIDC-IDRI in idc-index-data's wheel: a list of dicts."""
    from pyarrow import parquet

    with zipfile.ZipFile(path) as wheel:
        table = parquet.read_table(
            io.BytesIO(wheel.read(PARQUET)),
            columns=list(COLUMNS),
            filters=[("collection_id", "=", "lidc_idri"), ("Modality", "=", "CT")],
        )
    return table.rename_columns(list(COLUMNS.values())).to_pylist()


def choose(index, annotations, series, patients):
    """The rows of the manifest: one series per patient, those with most nodules per byte first."""
    nodules = Counter(row["seriesuid"] for row in annotations)
    rows = []
    for row in index:
        if row["series"] in series and row["bucket"] == idc.BUCKET.split("/")[2].split(".")[0]:
            row["bytes"] = round(row["megabytes"] * 1e6)
            row["nodules"] = nodules[row["series"]]
            rows.append({name: row[name] for name in idc.COLUMNS})
    rows.sort(key=lambda row: (-row["nodules"] / row["bytes"], row["patient"]))
    best = {}
    for row in rows:
        best.setdefault(row["patient"], row)
    return list(best.values())[:patients]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True, help="the wheel of idc-index-data")
    parser.add_argument("--luna16", required=True, type=Path, help="folder of LUNA16's lists")
    parser.add_argument("--patients", type=int, default=100, help="default: 100")
    parser.add_argument("--out", default=Path(__file__).with_name("idc_manifest.csv"), type=Path)
    options = parser.parse_args()
    series = set((options.luna16 / "seriesuids.csv").read_text(encoding="utf-8").split())
    with open(options.luna16 / "annotations.csv", newline="", encoding="utf-8") as file:
        annotations = list(csv.DictReader(file))
    rows = choose(read_index(options.index), annotations, series, options.patients)
    text = io.StringIO()
    writer = csv.DictWriter(text, idc.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(options.out, text.getvalue().encode())
    for count in (10, 20, len(rows)):
        size = fetch.readable(sum(row["bytes"] for row in rows[:count]))
        nodules = sum(row["nodules"] for row in rows[:count])
        print(f"{min(count, len(rows))} patients: {nodules} nodules, {size}")


if __name__ == "__main__":
    sys.exit(fetch.one_line_errors(main))
