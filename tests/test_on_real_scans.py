"""The chapter *On real scans*: the counts that it reads, and what it promises."""

import csv
import json
from pathlib import Path

import pytest

from nodule_lesson.data.sources import idc

COUNTS = Path(__file__).parents[1] / "book" / "results" / "lidc_counts.json"

# --- the counts ---------------------------------------------------------------------------------


@pytest.fixture
def counts():
    return json.loads(COUNTS.read_text(encoding="utf-8"))


def test_the_counts_say_where_they_come_from(counts):
    source = counts["provenance"]
    assert "lidc_counts.py" in source["command"]
    for key in ("python", "system", "processor", "contours_py_sha256"):
        assert source[key], key
    assert all(len(digest) == 64 for digest in source["inputs_sha256"].values())
    assert "not for clinical use" in counts["what"]
    for cited in counts["data"]["sources"]:
        assert "doi:10." in cited["citation"] and cited["licence"].startswith("CC BY")
    text = json.dumps(counts)
    assert "NaN" not in text and "Infinity" not in text
    assert "/home" not in text and "/work" not in text and "/tmp" not in text


def test_the_counts_agree_with_each_other(counts):
    every, thin, luna = (
        [counts[key][readers] for readers in "1234"]
        for key in ("clusters", "clusters_of_at_most_3_mm", "luna16_clusters")
    )
    for some, more in ((luna, thin), (thin, every)):
        assert all(a < b for a, b in zip(some, more, strict=True))
    assert all(numbers == sorted(numbers, reverse=True) for numbers in (every, thin, luna))
    assert sum(counts["types"].values()) == counts["dice"]["nodules"] == luna[2]
    assert sorted(counts["dice"]["quartiles"]) == counts["dice"]["quartiles"]
    assert counts["slices_of_consensus"]["sum"] <= counts["slices"]["sum"]


def test_the_counts_are_the_published_ones(counts):
    """pylidc's own rule gives 2,651 nodules in all; LUNA16 has 888 scans and 1,186 nodules."""
    assert (counts["scans"], counts["luna16_scans"]) == (1018, 888)
    assert counts["clusters"]["1"] == 2651
    assert counts["luna16_clusters"]["3"] == counts["annotations_listed"] == 1186


def test_the_list_that_was_counted(counts, real_data):
    with (real_data / "luna16" / "annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == counts["annotations_listed"]
    assert len({row["seriesuid"] for row in rows}) == counts["scans_listed"]


# --- sizes and first lines that the chapter promises --------------------------------------------


def test_the_chapter_tells_the_manifest_s_size():
    root = Path(__file__).parents[1]
    chapter = (root / "book" / "on_real_scans.md").read_text(encoding="utf-8")
    with (root / "data_scripts" / "idc_manifest.csv").open(newline="") as file:
        ten = list(csv.DictReader(file))[:10]
    size = sum(int(row["bytes"]) for row in ten)
    files, nodules = (sum(int(row[key]) for row in ten) for key in ("files", "nodules"))
    assert size == idc.BYTES and "idc.BYTES" in chapter  # its table
    assert (
        f"10 patients, {nodules} nodules; to fetch: {size / 1e6:.0f} MB in {files} files"
        in chapter
    )
    for row in ten[:2]:
        assert f"{row['patient']}  {row['nodules']:>2} nodules  {row['files']:>4} files" in chapter
