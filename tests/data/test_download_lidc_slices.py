"""data_scripts/download_lidc_slices.py: a made-up folder, faults in it, a stand-in for Kaggle.

On the real folder (NODULE_REAL_DATA) the result is compared with arrays that were made of the same
slices by another program.
"""

import csv
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nodule_lesson.data.patches import PatchSet
from nodule_lesson.data.sources import fetch, lidc_slices

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "download_lidc_slices.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("download_lidc_slices", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(folder, numbers, readers, seed, side=32):
    """A nodule folder: pictures, and masks of the readers; returns images and votes."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (len(numbers), side, side), np.uint8)
    outlined = rng.random((len(readers), len(numbers), side, side)) < 0.4
    outlined *= np.array(readers, bool)[:, None, None, None]
    for name, stack in {
        "images": images,
        **{f"mask-{r}": m for r, m in enumerate(outlined)},
    }.items():
        (folder / name).mkdir(parents=True)
        for number, picture in zip(numbers, stack, strict=True):
            pixels = picture if name == "images" else 255 * picture.astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"slice-{number}.png")
    return images, outlined


@pytest.fixture
def pictures(tmp_path):
    """Two patients; slice-10 comes after slice-9, and one nodule has a reader who saw nothing."""
    top = tmp_path / "LIDC-IDRI-slices"
    nodules = {
        ("P-1", "nodule-0"): draw(top / "P-1/nodule-0", range(8, 11), [1, 1, 1, 1], 0),
        ("P-1", "nodule-2"): draw(top / "P-1/nodule-2", range(2), [1, 1, 1, 0], 1),
        ("P-1", "nodule-10"): draw(top / "P-1/nodule-10", [5], [1, 0, 0, 0], 2),
        ("P-2", "nodule-0"): draw(top / "P-2/nodule-0", range(3), [1, 1, 0, 1], 3),
    }
    return SimpleNamespace(top=top, nodules=nodules, out=tmp_path / "out")


def convert(pictures):
    patch_set, skipped = lidc_slices.convert(pictures.top, pictures.out)
    return PatchSet.open(patch_set.path), dict(skipped)


# --- good folders --------------------------------------------------------------------------------


def test_slices_bits_and_consensus(pictures):
    patch_set, skipped = convert(pictures)
    assert not skipped and len(patch_set) == 9
    slices = patch_set.slices
    assert slices["patient"].tolist() == ["P-1"] * 6 + ["P-2"] * 3
    nodules = ["nodule-0"] * 3 + ["nodule-2"] * 2 + ["nodule-10"] + ["nodule-0"] * 3
    assert slices["nodule"].tolist() == nodules
    assert slices["slice"].tolist() == [8, 9, 10, 0, 1, 5, 0, 1, 2]
    assert slices["n_readers"].tolist() == [4] * 3 + [3] * 2 + [1] + [3] * 3
    for name in ("row_mm", "column_mm", "diameter"):
        assert np.isnan(slices[name]).all()
    row = 0
    for images, outlined in pictures.nodules.values():
        readers = outlined.any((1, 2, 3)).sum()  # who outlined this nodule at all
        for k, image in enumerate(images):
            np.testing.assert_array_equal(patch_set.images[row], image)
            for reader in range(4):
                bit = (patch_set.readers[row] >> reader) & 1
                np.testing.assert_array_equal(bit, outlined[reader, k])
            votes = outlined[:, k].sum(0)
            expected = votes >= max(1, np.ceil(readers / 2))
            np.testing.assert_array_equal(patch_set.masks[row], expected)
            row += 1


def test_disagreement_is_no_negative(pictures):
    # Slice 9: each reader outlines another pixel. Slice 10: nobody outlines anything.
    for reader in range(4):
        folder = pictures.top / f"P-1/nodule-0/mask-{reader}"
        alone = np.zeros((32, 32), np.uint8)
        alone[reader, reader] = 255
        Image.fromarray(alone).save(folder / "slice-9.png")
        Image.fromarray(0 * alone).save(folder / "slice-10.png")
    patch_set, skipped = convert(pictures)
    assert patch_set.masks[:2].any((1, 2)).tolist() == [True, False]
    assert patch_set.slices["has_nodule"].all() and patch_set.slices["slice"][:3].tolist() == [
        8,
        9,
        0,
    ]
    assert skipped == {"P-1/nodule-0/slice-10": "nobody outlined anything in it"}


def test_other_files_and_the_folder_above_do_not_matter(pictures):
    (pictures.top / "P-1/nodule-0/images/.DS_Store").write_bytes(b"x")
    (pictures.top / "P-1/nodule-0/images/slice-a.png").write_bytes(b"x")
    (pictures.top / "readme.txt").write_text("x", encoding="utf-8")
    assert len(lidc_slices.find_nodules(pictures.top.parent)) == 4
    assert len(convert(pictures)[0]) == 9


def test_real_slices_equal_the_arrays_of_another_program(real_data, tmp_path):
    patch_set, skipped = lidc_slices.convert(real_data / "LIDC-IDRI-slices", tmp_path / "set")
    assert not skipped and len(patch_set) == 108
    found = {
        (patient, nodule, int(number)): row
        for row, (patient, nodule, number) in enumerate(
            zip(*(patch_set.slices[name] for name in ("patient", "nodule", "slice")), strict=True)
        )
    }
    compared = set()
    for name in ("lidc_pretrain", "lidc_clinic"):
        with np.load(real_data / f"{name}.npz") as arrays:
            images, bits = arrays["images"], arrays["masks_bits"]
        with (real_data / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            for k, line in enumerate(csv.DictReader(file)):
                row = found.get((line["patient"], line["nodule"], int(line["slice"])))
                if row is None:
                    continue
                np.testing.assert_array_equal(patch_set.images[row], images[k])
                np.testing.assert_array_equal(patch_set.readers[row], bits[k])
                assert patch_set.slices["n_readers"][row] == int(line["n_readers"])
                votes = np.unpackbits(bits[k][None], axis=0).sum(0)
                half = (votes > 0) & (votes >= int(line["n_readers"]) / 2)
                np.testing.assert_array_equal(patch_set.masks[row], half)
                assert patch_set.slices["has_nodule"][row] == bits[k].any()
                compared.add(row)
    # The arrays keep nodules of three readers and more of LUNA16's patients, the folder has all.
    assert len(compared) == 100
    assert (patch_set.slices["n_readers"][[*set(found.values()) - compared]] < 3).all()


# --- faults --------------------------------------------------------------------------------------


def truncated(nodule):
    data = (nodule / "images/slice-1.png").read_bytes()
    (nodule / "images/slice-1.png").write_bytes(data[: len(data) // 2])


def saved_as(mode, where="images/slice-1.png"):
    def harm(nodule):
        pixels = np.arange(1024, dtype=np.int32).reshape(32, 32)
        picture = Image.fromarray((pixels % 256).astype(np.uint8))
        if mode == "I;16":
            picture = Image.fromarray((pixels * 50).astype(np.uint16))
        elif mode != "L":
            picture = picture.convert(mode)
        picture.save(nodule / where)

    return harm


def of_side(side, where):
    return lambda nodule: Image.new("L", (side, side)).save(nodule / where)


def absurd_header(nodule):
    path = nodule / "images/slice-1.png"
    data = bytearray(path.read_bytes())
    data[16:24] = b"\0\0\x7f\xff" * 2  # width and height, 32767 each; the checksum is off too
    path.write_bytes(data)


def no_outlines(nodule):
    for path in nodule.glob("mask-*/*.png"):
        Image.new("L", (32, 32)).save(path)


def number_twice(where):
    """slice-1.png and slice-01.png, or mask-1 and mask-01."""

    def harm(nodule):
        path = nodule / where
        copy = path.with_name(path.name.replace("-1", "-01"))
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)

    return harm


def other_size(nodule):
    shutil.rmtree(nodule)
    draw(nodule, range(3), [1, 1], 9, side=16)


FAULTS = {  # what is wrong: what the reason says, how to do it
    "a truncated picture": ("images/slice-1.png is not a whole PNG", truncated),
    "an empty picture": (
        "not a whole PNG",
        lambda nodule: (nodule / "mask-0/slice-1.png").write_bytes(b""),
    ),
    "an HTML page": (
        "not a whole PNG",
        lambda nodule: (nodule / "images/slice-1.png").write_text(
            "<html>Sorry</html>", encoding="utf-8"
        ),
    ),
    "an absurd header": ("images/slice-1.png", absurd_header),
    "colour": ("8-bit grey, mode L, found mode RGB", saved_as("RGB")),
    "a palette": ("found mode P", saved_as("P", "mask-1/slice-1.png")),
    "16 bits": ("found mode I;16", saved_as("I;16")),
    "a mask of many greys": ("mask-1/slice-1.png has more", saved_as("L", "mask-1/slice-1.png")),
    "a mask of another size": (
        "mask-2/slice-0.png must be 32 x 32 as its image, found 16 x 16",
        of_side(16, "mask-2/slice-0.png"),
    ),
    "an image of another size": ("one size", of_side(16, "images/slice-1.png")),
    "a missing mask": (
        "mask-3 lacks slice-2.png",
        lambda nodule: (nodule / "mask-3/slice-2.png").unlink(),
    ),
    "a missing picture": (
        "images lacks slice-2.png",
        lambda nodule: (nodule / "images/slice-2.png").unlink(),
    ),
    "no pictures": ("no slice-j.png", lambda nodule: shutil.rmtree(nodule / "images")),
    "no masks": (
        "found none",
        lambda nodule: [shutil.rmtree(path) for path in nodule.glob("mask-*")],
    ),
    "a slice twice": (
        "images/slice-01.png and images/slice-1.png have one number",
        number_twice("images/slice-1.png"),
    ),
    "a mask's slice twice": ("mask-2/slice-01.png and", number_twice("mask-2/slice-1.png")),
    "a reader twice": ("mask-01 and nodule-0/mask-1 have one number", number_twice("mask-1")),
    "a ninth reader": ("mask-7 are possible", lambda nodule: (nodule / "mask-8").mkdir()),
    "an empty folder": (
        "no slice-j.png",
        lambda nodule: [shutil.rmtree(path) for path in nodule.iterdir()],
    ),
    "no outline": ("no reader outlined anything", no_outlines),
    "another crop": ("its crops are 16 x 16, most are 32 x 32", other_size),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_nodule_is_named_and_the_others_go_on(pictures, fault):
    reason, harm = FAULTS[fault]
    harm(pictures.top / "P-2/nodule-0")
    patch_set, skipped = convert(pictures)
    assert list(skipped) == ["P-2/nodule-0"] and reason in skipped["P-2/nodule-0"]
    assert len(patch_set) == 6
    recorded = patch_set.info["parameters"]["skipped"]
    assert recorded == [{"name": "P-2/nodule-0", "reason": skipped["P-2/nodule-0"]}]
    for row, image in enumerate(pictures.nodules["P-1", "nodule-0"][0]):
        np.testing.assert_array_equal(patch_set.images[row], image)


COPIES = ["P-1 (1)", "P-1 - Copy", "P-1 copy", "P-1 2", "Copy of P-1"]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_no_other_patient(pictures, copy):
    """It would be on both sides of a split, and the same slices would count twice."""
    wanted, _ = convert(pictures)
    shutil.copytree(pictures.top / "P-1", pictures.top / copy)
    shutil.copytree(pictures.top / "P-2/nodule-0", pictures.top / "P-2/nodule-0 (1)")
    pictures.out = pictures.out.with_name("again")
    patch_set, skipped = convert(pictures)
    np.testing.assert_array_equal(patch_set.images, wanted.images)
    np.testing.assert_array_equal(patch_set.slices["patient"], wanted.slices["patient"])
    assert {*skipped} == {
        *(f"{copy}/nodule-{k}" for k in (0, 2, 10)),
        "P-2/nodule-0 (1)",
    }


def test_two_folders_with_nodules_are_not_mixed(pictures):
    shutil.copytree(pictures.top / "P-1", pictures.top.parent / "old")
    with pytest.raises(ValueError, match="nodules of its own .* and LIDC-IDRI-slices"):
        lidc_slices.find_nodules(pictures.top.parent)
    assert len(lidc_slices.find_nodules(pictures.top)) == 4


def test_nothing_left_is_an_error_and_nothing_is_written(pictures):
    for path in pictures.top.glob("*/*"):
        shutil.rmtree(path / "images")
    with pytest.raises(ValueError, match="no nodule that can be used; P-1/nodule-0: images"):
        lidc_slices.convert(pictures.top, pictures.out)
    assert [path.name for path in pictures.out.parent.iterdir()] == ["LIDC-IDRI-slices"]


def test_a_folder_without_nodules(tmp_path):
    with pytest.raises(ValueError, match="must hold folders PATIENT/nodule-k"):
        lidc_slices.find_nodules(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        lidc_slices.find_nodules(tmp_path / "nowhere")


# --- the script ----------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True
    )


def test_the_script_says_what_it_does(pictures):
    truncated(pictures.top / "P-2/nodule-0")
    done = run(pictures.out, "--from", pictures.top)
    assert done.returncode == 0, done.stderr
    assert "Nothing to fetch" in done.stdout and "4 nodules of 2 patients" in done.stdout
    assert done.stdout.index("CC BY 3.0") < done.stdout.index(
        "6 slices of 3 nodules of 1 patients"
    )
    assert "skipped P-2/nodule-0: images/slice-1.png is not a whole PNG" in done.stdout
    before = {path: path.read_bytes() for path in pictures.out.iterdir()}
    again = run(pictures.out, "--from", pictures.top)
    assert again.returncode == 1 and again.stderr.count("\n") == 1 and "exists" in again.stderr
    assert {path: path.read_bytes() for path in pictures.out.iterdir()} == before


def test_an_empty_folder_is_one_clear_line(tmp_path):
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "out", "--from", tmp_path / "empty")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help_says_what_how_much_and_which_licence():
    text = run("--help").stdout
    assert all(words in text for words in ("15,548 slices", "150 MB", "CC BY 3.0", "--from"))


def stand_in(monkeypatch, dataset_download):
    module = SimpleNamespace(dataset_download=dataset_download)
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kaggle_by_a_stand_in(script, pictures, monkeypatch, capsys):
    asked = []

    def dataset_download(handle):
        # kagglehub gives the folder of the version; the set's own folder is in it.
        said = capsys.readouterr().out
        assert "To fetch" in said and "150 MB" in said and "CC BY 3.0" in said
        asked.append(handle)
        return str(pictures.top.parent)

    stand_in(monkeypatch, dataset_download)
    script.main([str(pictures.out)])
    assert asked == ["zhangweiled/lidcidri"]
    assert len(PatchSet.open(pictures.out)) == 9
    with pytest.raises(FileExistsError):  # before anything is fetched
        script.main([str(pictures.out)])
    assert len(asked) == 1


def test_no_kagglehub_says_how_to_go_on(pictures, script, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # import raises ImportError
    with pytest.raises(OSError, match="pip install kagglehub.*--from"):
        script.main([str(pictures.out)])
    assert not pictures.out.exists()


@pytest.mark.parametrize("error", [RuntimeError("403 Forbidden"), OSError("connection reset")])
def test_a_failing_kaggle_is_one_line(pictures, script, monkeypatch, capsys, error):
    def dataset_download(handle):
        raise error

    stand_in(monkeypatch, dataset_download)
    assert fetch.one_line_errors(lambda: script.main([str(pictures.out)])) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(error) in said and "--from" in said
    assert not pictures.out.exists()


def test_a_full_disk_is_found_before_the_start(pictures, script, monkeypatch):
    usage = SimpleNamespace(total=10, used=10, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    stand_in(monkeypatch, lambda handle: pytest.fail("nothing is fetched on a full disk"))
    with pytest.raises(OSError, match="is free"):
        script.main([str(pictures.out)])
