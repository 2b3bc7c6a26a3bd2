"""data.patches: what is written comes back, what is damaged does not open, who is where.

The references are naive loops, plain numpy and Python's own csv, json and hashlib.
"""

import csv
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.utils.data import DataLoader

from nodule_lesson.data.patches import COLUMNS, PatchSet, folds, normalise, split

ORIGIN = {"source": "noise", "licence": "CC0", "citation": "nobody"}
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
quick = settings(deadline=None, max_examples=30)


def table(has_nodule, rows_a_patient=6, rows_a_nodule=3):
    count = range(len(has_nodule))
    return {
        "patient": [f"patient-{i // rows_a_patient}" for i in count],
        "scan": [f"scan-{i // rows_a_patient}" for i in count],
        "nodule": [str(i // rows_a_nodule) for i in count],
        "slice": list(count),
        "row_mm": [0.7 + 0.01 * i for i in count],
        "column_mm": [None if i % 5 == 0 else 0.65 for i in count],
        "type": ["ggo" if i % 2 else "" for i in count],
        "diameter": [float("nan") if i % 3 == 0 else 4.5 + i for i in count],
        "has_nodule": list(has_nodule),
    }


def content(count=24, height=10, width=8, dtype=np.int16, seed=0):
    rng = np.random.default_rng(seed)
    masks = rng.random((count, height, width)) < 0.2
    masks &= (np.arange(count) % 2 == 0)[:, None, None]
    low, high = (-1000, 1000) if np.dtype(dtype).kind == "i" else (0, 2000)
    limits = np.iinfo(dtype)
    shape = (count, height, width)
    images = rng.integers(max(low, limits.min), min(high, limits.max), shape).astype(dtype)
    readers = masks * rng.integers(1, 16, shape)
    return images, masks, table(masks.any((1, 2))), readers


def write(path, readers=True, **arguments):
    images, masks, slices, bits = content(**arguments)
    return PatchSet.write(path, images, masks, slices, readers=bits if readers else None, **ORIGIN)


@pytest.fixture
def patch_set(tmp_path):
    return write(tmp_path / "set")


def same_slices(first, second):
    assert list(first) == list(second)
    for name in first:
        assert first[name].dtype.kind == second[name].dtype.kind
        np.testing.assert_array_equal(first[name], second[name])


# --- there and back ------------------------------------------------------------------------------


@quick
@given(data=st.data(), dtype=st.sampled_from(INTEGERS), order=st.sampled_from("<>"))
def test_any_integers_come_back(tmp_path_factory, data, dtype, order):
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
    images = data.draw(hnp.arrays(np.dtype(dtype).newbyteorder(order), shape))
    masks = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    bits = data.draw(st.none() | hnp.arrays(np.uint8, shape))
    cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"))
    slices = table(masks.any((1, 2)))
    slices["type"] = data.draw(st.lists(cells, min_size=shape[0], max_size=shape[0]))
    millimetres = st.none() | st.floats(0, 1e9, exclude_min=True)
    slices["row_mm"] = data.draw(st.lists(millimetres, min_size=shape[0], max_size=shape[0]))
    path = tmp_path_factory.mktemp("any") / "set"
    written = PatchSet.write(path, images, masks, slices, readers=bits, **ORIGIN)
    opened = PatchSet.open(path)
    assert len(opened) == shape[0] and opened.info == written.info
    np.testing.assert_array_equal(opened.images, images)
    assert opened.images.dtype == np.dtype(dtype) and isinstance(opened.images, np.memmap)
    np.testing.assert_array_equal(opened.masks, masks)
    if bits is None:
        assert opened.readers is None
    else:
        np.testing.assert_array_equal(opened.readers, bits)
    same_slices(opened.slices, written.slices)
    assert opened.slices["type"].tolist() == slices["type"]
    expected = [np.nan if value is None else value for value in slices["row_mm"]]
    np.testing.assert_array_equal(opened.slices["row_mm"], expected)


def test_the_folder_can_be_read_without_us(patch_set):
    images, masks, slices, readers = content()
    for file, array in {"images": images, "masks": masks, "readers": readers}.items():
        np.testing.assert_array_equal(np.load(patch_set.path / f"{file}.npy"), array)
    info = json.loads((patch_set.path / "dataset.json").read_text(encoding="utf-8"))
    assert {key: info[key] for key in ORIGIN} == ORIGIN and "nodule-lesson" in info["made_by"]
    for file, entry in info["arrays"].items():
        array = np.load(patch_set.path / file)
        assert entry["sha256"] == hashlib.sha256(array.tobytes("C")).hexdigest()
        assert (entry["dtype"], tuple(entry["shape"])) == (array.dtype.name, array.shape)
    data = (patch_set.path / "slices.csv").read_bytes()
    assert info["slices_sha256"] == hashlib.sha256(data).hexdigest()
    rows = list(csv.DictReader(data.decode().splitlines()))
    assert list(rows[0]) == list(COLUMNS) == list(slices)
    assert [row["column_mm"] for row in rows[:2]] == ["", "0.65"]
    assert [row["has_nodule"] for row in rows] == [str(int(m.any())) for m in masks]
    assert not [p for p in patch_set.path.parent.iterdir() if p != patch_set.path]


def test_further_columns_keep_their_kind(tmp_path):
    images, masks, slices, _ = content()
    count = np.arange(len(images))
    slices["thickness_mm"], slices["n_readers"] = count / 4, count
    slices["code"], slices["contrast"] = [f"00{i}" for i in count], count % 2 == 0
    PatchSet.write(tmp_path / "set", images, masks, slices, parameters={"a": (1,)}, **ORIGIN)
    opened = PatchSet.open(tmp_path / "set")
    for name, kind in {
        "thickness_mm": "f",
        "n_readers": "i",
        "code": "U",
        "contrast": "b",
    }.items():
        assert opened.slices[name].dtype.kind == kind
        np.testing.assert_array_equal(opened.slices[name], slices[name])
    assert opened.info["parameters"] == {"a": [1]}


def test_the_docstring_has_every_column_and_what_unknown_is_in_it(tmp_path):
    images, masks, slices, _ = content(count=3)
    for name, kind in COLUMNS.items():
        line = next(x for x in PatchSet.write.__doc__.split("- ") if f'"{name}"' in x)
        may_be_unknown = 'None, nan and "" mean unknown' in " ".join(line.split())
        assert may_be_unknown == (kind in ("text", "number") and name != "patient"), name
        for number, unknown in enumerate((None, float("nan"), "")):
            changed = slices | {name: [unknown, *list(slices[name])[1:]]}
            path = tmp_path / f"{name}{number}"
            if not may_be_unknown:
                with pytest.raises(ValueError, match=name):
                    PatchSet.write(path, images, masks, changed, **ORIGIN)
                continue
            found = PatchSet.write(path, images, masks, changed, **ORIGIN).slices[name][0]
            assert found == "" if kind == "text" else np.isnan(found)


def test_join_is_concatenation(tmp_path):
    parts = [write(tmp_path / f"part{k}", count=3 + k, seed=k) for k in range(3)]
    joined = PatchSet.join(tmp_path / "all", parts, parameters={"parts": 3}, **ORIGIN)
    opened = PatchSet.open(tmp_path / "all")
    for name in ("images", "masks", "readers"):
        expected = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(opened, name), expected)
    for name in COLUMNS:
        expected = np.concatenate([part.slices[name] for part in parts])
        np.testing.assert_array_equal(joined.slices[name], expected)
    same_slices(joined.slices, opened.slices)


def test_join_does_not_hold_its_parts_open(tmp_path):
    resource = pytest.importorskip("resource", reason="only POSIX limits open files so")
    parts = []
    for k in range(60):
        write(tmp_path / f"part{k}", count=2, seed=k)
        parts.append(PatchSet.open(tmp_path / f"part{k}"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Room for fewer files than three a part.
    held = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 40, hard))
    try:
        assert len(PatchSet.join(tmp_path / "all", parts, **ORIGIN)) == 120
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("other", [{"height": 9}, {"dtype": np.uint8}, {"readers": False}])
def test_parts_that_differ_are_not_joined(tmp_path, other):
    parts = [write(tmp_path / "a"), write(tmp_path / "b", **other)]
    with pytest.raises(ValueError, match="must agree in size, type, columns and readers"):
        PatchSet.join(tmp_path / "all", parts, **ORIGIN)
    with pytest.raises(ValueError, match="found none"):
        PatchSet.join(tmp_path / "all", [], **ORIGIN)
    assert not (tmp_path / "all").exists()


# --- what is refused, and leaves nothing behind --------------------------------------------------


def with_column(name, value):
    def change(arguments):
        arguments["slices"][name][1] = value

    return change


def with_array(name, value):
    def change(arguments):
        arguments[name] = value(arguments[name])

    return change


def without_column(arguments):
    del arguments["slices"]["patient"]


REFUSED = {
    "float images": (TypeError, "images must hold integers", with_array("images", np.float32)),
    "flat images": (ValueError, "shape", with_array("images", np.ravel)),
    "no slices": (ValueError, "shape", with_array("images", lambda a: a[:0])),
    "fewer masks": (ValueError, "one shape", with_array("masks", lambda a: a[1:])),
    "a mask of 2": (ValueError, "0..1, found 0 to 2", with_array("masks", lambda a: 2 * a)),
    "a mask of 256": (ValueError, "0..1", with_array("masks", lambda a: 256 * a)),
    "negative bits": (ValueError, "0..255", with_array("readers", lambda a: -a)),
    "an outline where no nodule is": (ValueError, "row 2", with_array("masks", np.ones_like)),
    "an empty source": (ValueError, "source", with_array("source", lambda text: " ")),
    "a licence that is no text": (ValueError, "licence", with_array("licence", lambda text: 3)),
    "parameters of numpy": (
        TypeError,
        "JSON",
        with_array("parameters", lambda _: {"a": np.zeros(3)}),
    ),
    "a table that is a list": (TypeError, "dict of columns", with_array("slices", list)),
    "a column too few": (ValueError, "lack the columns patient", without_column),
    "no patient": (ValueError, "patient", with_column("patient", None)),
    "an unknown slice": (
        ValueError,
        "slice must hold integer: '' is unknown",
        with_column("slice", ""),
    ),
    "a slice of nan": (
        ValueError,
        "slice must hold integer: nan is unknown",
        with_column("slice", float("nan")),
    ),
    "no slice": (
        ValueError,
        "slice must hold integer: None is unknown",
        with_column("slice", None),
    ),
    "an unknown nodule": (ValueError, "unknown it cannot be", with_column("has_nodule", "")),
    "half a slice": (ValueError, "slice must hold integer", with_column("slice", 1.5)),
    "no number": (ValueError, "row_mm must hold number", with_column("row_mm", "wide")),
    "no length": (ValueError, "row_mm must be positive", with_column("row_mm", -0.7)),
    "an infinite diameter": (ValueError, "diameter", with_column("diameter", float("inf"))),
    "perhaps": (ValueError, "has_nodule", with_column("has_nodule", 2)),
    "two lines": (ValueError, "not one line", with_column("type", "a\nb")),
    "one value": (ValueError, "one value per slice", lambda a: a["slices"].update(slice=[1])),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_and_leaves_nothing(tmp_path, case):
    error, message, change = REFUSED[case]
    images, masks, slices, readers = content(count=4)
    masks[1] = False
    arguments = {
        "images": images,
        "masks": masks.astype(np.int64),
        "slices": slices | {"has_nodule": [1, 0, 1, 0] if "outline" not in case else [1, 1, 0, 0]},
        "readers": readers.astype(np.int64),
        "parameters": None,
        **ORIGIN,
    }
    change(arguments)
    with pytest.raises(error, match=message) as found:
        PatchSet.write(tmp_path / "set", **arguments)
    assert str(found.value).endswith(".") and "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["set", "file", "empty folder", "broken link"])
def test_nothing_is_written_over(tmp_path, there):
    path = tmp_path / "target"
    if there == "set":
        write(path, seed=1)
    elif there == "file":
        path.write_text("precious", encoding="utf-8")
    elif there == "empty folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match="exists"):
        write(path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_target_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "set"

    def late(*arguments, rename=os.rename):
        monkeypatch.undo()
        write(path, seed=7)
        rename(*arguments)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(FileExistsError, match="appeared"):
        write(path)
    np.testing.assert_array_equal(PatchSet.open(path).images, content(seed=7)[0])
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_patches import write
left = int(sys.argv[2])
def killing(name, real):
    def call(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    return call
os.fsync, os.rename = killing("fsync", os.fsync), killing("rename", os.rename)
from pathlib import Path
write(Path(sys.argv[1]))
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process as POSIX does")
def test_killed_anywhere_it_leaves_nothing_that_opens(tmp_path):
    # Steps: three arrays, the table, dataset.json, the folder, the rename, the folder above.
    code = KILLED.format(tests=str(Path(__file__).parent))
    for step in (0, 4, 5, 6):
        folder = tmp_path / str(step)
        folder.mkdir()
        run = subprocess.run([sys.executable, "-c", code, folder / "set", str(step)])
        assert run.returncode == -signal.SIGKILL
        left = list(folder.iterdir())
        assert left and not (folder / "set").exists()
        for path in left:
            with pytest.raises(ValueError, match="never finished"):
                PatchSet.open(path)
        write(folder / "set")  # what is left behind is in nobody's way
        PatchSet.open(folder / "set")


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_an_interrupted_write_cleans_up(tmp_path, monkeypatch, error):
    calls = []

    def fails(handle):
        calls.append(handle)
        if len(calls) == 3:
            raise error

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(type(error)):
        write(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


# --- what does not open --------------------------------------------------------------------------


def info_with(path, change):
    file = path / "dataset.json"
    info = json.loads(file.read_text(encoding="utf-8"))
    change(info)
    file.write_text(json.dumps(info), encoding="utf-8")


def resigned(path, file, array):
    """Another array in a set's folder, with a header and a checksum that are right."""
    array = np.ascontiguousarray(array)
    np.save(path / file, array)
    entry = {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }
    info_with(path, lambda info: info["arrays"].update({file: entry}))


def retabled(path, change):
    """Another slices.csv, with a checksum that is right."""
    rows = list(csv.reader((path / "slices.csv").read_text(encoding="utf-8").splitlines()))
    rows = change(rows)
    text = "".join(",".join(row) + "\n" for row in rows)
    (path / "slices.csv").write_text(text, encoding="utf-8")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    info_with(path, lambda info: info.update(slices_sha256=checksum))


def flip_byte(file, position=-3):
    def damage(path):
        data = bytearray((path / file).read_bytes())
        data[position] ^= 1
        (path / file).write_bytes(data)

    return damage


def cut_file(file, left):
    def damage(path):
        data = (path / file).read_bytes()
        (path / file).write_bytes(data[: left if left >= 0 else len(data) + left])

    return damage


class Pickled:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def with_pickle(path):
    np.save(path / "images.npy", np.array([Pickled()], object), allow_pickle=True)


def in_fortran_order(path):
    np.save(path / "images.npy", np.asfortranarray(np.load(path / "images.npy")))


def longer(path):
    with (path / "masks.npy").open("ab") as file:
        file.write(b"x")


def header(name, row=0):
    return lambda rows: [[*rows[0][:row], name, *rows[0][row + 1 :]], *rows[1:]]


def cell(column, value):
    column = list(COLUMNS).index(column)
    return lambda rows: [*rows[:2], [*rows[2][:column], value, *rows[2][column + 1 :]], *rows[3:]]


DAMAGED = {  # what happened: what the message says, how to do it
    "no folder": ("no dataset.json", shutil.rmtree),
    "no dataset.json": ("no dataset.json", lambda p: (p / "dataset.json").unlink()),
    "no images": ("images.npy is missing", lambda p: (p / "images.npy").unlink()),
    "no readers": ("readers.npy is missing", lambda p: (p / "readers.npy").unlink()),
    "no table": ("slices.csv is missing", lambda p: (p / "slices.csv").unlink()),
    "a flipped image byte": ("images.npy is damaged", flip_byte("images.npy")),
    "a flipped mask byte": ("masks.npy is damaged", flip_byte("masks.npy")),
    "a flipped bit of a reader": ("readers.npy is damaged", flip_byte("readers.npy")),
    "a flipped letter": ("slices.csv is damaged", flip_byte("slices.csv")),
    "a truncated array": ("images.npy is not a whole", cut_file("images.npy", -1)),
    "a truncated header": ("images.npy is not a whole", cut_file("images.npy", 20)),
    "an empty file": ("images.npy is not a whole", cut_file("images.npy", 0)),
    "a longer file": ("beyond its array", longer),
    "a pickle": ("images.npy is not a whole", with_pickle),
    "a zip": ("not a whole", lambda p: (p / "images.npy").write_bytes(b"PK\3\4" + b"x" * 99)),
    "Fortran order": ("C order", in_fortran_order),
    "half of dataset.json": ("cannot be read as JSON", cut_file("dataset.json", 100)),
    "a list": ("lacks", lambda p: (p / "dataset.json").write_text("[]", encoding="utf-8")),
    "no source": ("lacks source", lambda p: info_with(p, lambda i: i.pop("source"))),
    "no checksum": (
        "sha256 of masks.npy",
        lambda p: info_with(p, lambda i: i["arrays"]["masks.npy"].pop("sha256")),
    ),
    "masks not named": (
        "must name images.npy, masks.npy",
        lambda p: info_with(p, lambda i: i["arrays"].pop("masks.npy")),
    ),
    "a file elsewhere": (
        "must name",
        lambda p: info_with(p, lambda i: i["arrays"].update({"../x.npy": {}})),
    ),
    "another type": (
        "holds int16",
        lambda p: info_with(p, lambda i: i["arrays"]["images.npy"].update(dtype="uint16")),
    ),
    "objects": (
        "found object",
        lambda p: info_with(p, lambda i: i["arrays"]["images.npy"].update(dtype="object")),
    ),
    "a mask of 2": (
        "0 or 1, found 2",
        lambda p: resigned(p, "masks.npy", 2 * np.load(p / "masks.npy")),
    ),
    "masks of another count": (
        "one shape",
        lambda p: resigned(p, "masks.npy", np.load(p / "masks.npy")[1:]),
    ),
    "masks of 16 bit": (
        "uint8, found int16",
        lambda p: resigned(p, "masks.npy", np.load(p / "masks.npy").astype(np.int16)),
    ),
    "an outline without a nodule": (
        "row 1 has an outline",
        lambda p: resigned(p, "masks.npy", np.ones_like(np.load(p / "masks.npy"))),
    ),
    "a renamed column": ("columns patient, scan", lambda p: retabled(p, header("person"))),
    "a column twice": ("none twice", lambda p: retabled(p, header("scan", 8))),
    "a row too few": ("23 rows, and images.npy 24", lambda p: retabled(p, lambda r: r[:-1])),
    "a row too many": ("25 rows", lambda p: retabled(p, lambda r: [*r, r[-1]])),
    "a short row": (
        "not so in row 3",
        lambda p: retabled(p, lambda r: [*r[:2], r[2][:-1], *r[3:]]),
    ),
    "an empty table": ("must begin with", lambda p: retabled(p, lambda r: [])),
    "a number that is none": ("row_mm", lambda p: retabled(p, cell("row_mm", "wide"))),
    "no answer": ("has_nodule", lambda p: retabled(p, cell("has_nodule", ""))),
    "nobody": ("patient", lambda p: retabled(p, cell("patient", ""))),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_set_does_not_open(patch_set, damage):
    message, harm = DAMAGED[damage]
    harm(patch_set.path)
    with pytest.raises(ValueError, match=message) as found:
        PatchSet.open(patch_set.path)
    assert str(found.value).endswith(".") and "\n" not in str(found.value)


def test_without_verifying_only_what_costs_nothing_is_looked_at(patch_set):
    flip_byte("images.npy")(patch_set.path)
    assert len(PatchSet.open(patch_set.path, verify=False)) == 24
    cut_file("images.npy", -1)(patch_set.path)
    with pytest.raises(ValueError, match="not a whole"):
        PatchSet.open(patch_set.path, verify=False)


# --- normalisation, Eq. (6) ----------------------------------------------------------------------

stacks = st.sampled_from([*INTEGERS, "float32", "float64"]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements=(
            st.floats(-1000, 1000, width=32)
            if dtype.startswith("float")
            else st.integers(0 if dtype[0] == "u" else -128, 127)
        ),
    )
)


@quick
@given(stacks)
def test_normalise_is_equation_6_in_each_slice(images):
    result = normalise(images)
    assert result.dtype == np.float32 and result.shape == images.shape
    for index in np.ndindex(images.shape[:-2]):
        slice_ = images[index].astype(float)
        low, high = slice_.min(), slice_.max()
        expected = (slice_ - low) / (high - low) if high > low else np.zeros_like(slice_)
        np.testing.assert_allclose(result[index], expected, atol=1e-6)
        if high > low:
            assert result[index].min() == 0 and result[index].max() == 1
    tensor = normalise(torch.from_numpy(images.copy()))
    assert torch.is_tensor(tensor)
    np.testing.assert_array_equal(tensor.numpy(), result)


def test_normalise_does_not_overflow():
    images = np.array([[[-32768, 32767], [0, 1]]], np.int16)
    expected = (images.astype(float) + 32768) / 65535
    np.testing.assert_allclose(normalise(images), expected, atol=1e-7)


def test_normalise_with_given_limits_cuts_what_lies_beyond():
    images = np.array([[-1200, -1000, -600, 400, 3000]], np.int16)
    np.testing.assert_allclose(
        normalise(images, -1000, 400), [[0, 0, 400 / 1400, 1, 1]], rtol=1e-6
    )
    np.testing.assert_array_equal(normalise(images, 5, 5), np.zeros((1, 5)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.array([[1, np.nan]]),), ValueError, "finite"),
        ((np.array([1, 2]),), ValueError, "shape"),
        ((np.zeros((2, 0)),), ValueError, "shape"),
        ((np.array([["a"]]),), TypeError, "integers or floats"),
        ((np.zeros((2, 2)), 1), ValueError, "only one"),
        ((np.zeros((2, 2)), 2, 1), ValueError, "in order"),
        ((np.zeros((2, 2)), 0, np.inf), ValueError, "finite"),
    ],
)
def test_normalise_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        normalise(*arguments)


# --- arrays of one's own -------------------------------------------------------------------------


def test_arrays_become_a_set_and_what_is_left_out_is_unknown(tmp_path):
    images, masks, _, readers = content()
    names = [f"p{i // 6}" for i in range(24)]
    found = PatchSet.from_arrays(images, masks, patient=names, path=tmp_path / "set")
    opened = PatchSet.open(tmp_path / "set")
    np.testing.assert_array_equal(opened.images, images)
    np.testing.assert_array_equal(opened.masks, masks)
    assert opened.readers is None and opened.info == found.info
    assert opened.slices["patient"].tolist() == names
    assert opened.slices["slice"].tolist() == list(range(24))
    np.testing.assert_array_equal(opened.slices["has_nodule"], masks.any((1, 2)))
    for name in ("scan", "nodule", "type"):
        assert set(opened.slices[name]) == {""}
    for name in ("row_mm", "column_mm", "diameter"):
        assert np.isnan(opened.slices[name]).all()
    known = {"row_mm": 0.7, "column_mm": [0.6] * 24, "type": "ggo", "nodule": names}
    known |= {"slice": range(5, 29), "has_nodule": True, "diameter": 8, "scan": "one"}
    found = PatchSet.from_arrays(images, masks, patient="p", readers=readers, **known)
    np.testing.assert_array_equal(found.readers, readers)
    for name, values in known.items():
        expected = values if np.ndim(values) else [values] * 24
        assert found.slices[name].tolist() == list(expected)
    assert len(split(PatchSet.from_arrays(images, masks, patient=names), (0.5, 0.5))) == 2


def test_a_set_without_a_path_goes_when_nobody_needs_it():
    images, masks, *_ = content()
    found = PatchSet.from_arrays(images, masks, patient="p")
    path, view = found.path, found.dataset()
    expected = found.batch([0])[0][0]
    other = pickle.loads(pickle.dumps(found))
    assert torch.equal(other.batch([0])[0][0], expected)
    del found, other
    assert torch.equal(view[0][0], expected)  # the view still needs it
    del view
    assert not path.exists()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_taken_if_they_are_whole(dtype):
    images, masks, *_ = content()
    found = PatchSet.from_arrays(images.astype(dtype), masks.astype(dtype), patient="p")
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.masks, masks)
    assert found.images.dtype == np.int16
    large = PatchSet.from_arrays(images.astype(dtype) * 1000, masks, patient="p")
    np.testing.assert_array_equal(large.images, images.astype(int) * 1000)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": np.full((2, 4, 4), 0.5)}, "images must hold whole numbers, such as HU"),
        ({"images": np.full((2, 4, 4), np.nan)}, "images must hold whole numbers"),
        ({"masks": np.full((2, 4, 4), 0.5)}, "masks must hold whole numbers"),
        ({"masks": np.full((2, 4, 4), 255)}, "masks must lie in 0..1, found 255"),
        ({"images": np.zeros((2, 1, 4, 4), int)}, r"shape \(N, H, W\)"),
        ({"patient": ["a"]}, "column patient must have one value per slice"),
        ({"patient": ""}, "patient must not be empty"),
        ({"row_mm": -1}, "row_mm must be positive"),
    ],
)
def test_arrays_that_are_no_set(tmp_path, change, complaint):
    arguments = {"images": np.zeros((2, 4, 4), int), "masks": np.zeros((2, 4, 4), int)}
    arguments |= {"patient": "p", "path": tmp_path / "set"} | change
    with pytest.raises((TypeError, ValueError), match=complaint):
        PatchSet.from_arrays(**arguments)
    assert not (tmp_path / "set").exists()


# --- batches -------------------------------------------------------------------------------------


def naive_batch(patch_set, rows, limits=None, turned=None):
    """One slice at a time, in float64."""
    images, masks, answers = [], [], []
    for k, row in enumerate(rows):
        image = np.array(patch_set.images[row], float)
        low, high = limits or (image.min(), image.max())
        image = (image - low) / (high - low) if high > low else 0 * image
        mask = np.array(patch_set.masks[row], float)
        if turned is not None:
            for flip, sideways in zip((np.fliplr, np.flipud), turned[:, k], strict=True):
                image, mask = (flip(image), flip(mask)) if sideways else (image, mask)
        images.append(image[None])
        masks.append(mask[None])
        answers.append(float(mask.any()))
    return np.array(images), np.array(masks), np.array(answers)


@quick
@given(
    rows=st.lists(st.integers(0, 23), min_size=1, max_size=12),
    normalised=st.sampled_from(["slice", "dataset"]),
    seed=st.none() | st.integers(0, 99),
)
def test_a_batch_is_what_a_loop_makes(shared_set, rows, normalised, seed):
    limits = None
    if normalised == "dataset":
        limits = (float(shared_set.images.min()), float(shared_set.images.max()))
    turned = generator = None
    if seed is not None:
        generator = np.random.default_rng(seed)
        turned = np.random.default_rng(seed).random((2, len(rows))) < 0.5
    batch = shared_set.batch(rows, normalise=normalised, flip=generator)
    for found, expected in zip(batch, naive_batch(shared_set, rows, limits, turned), strict=True):
        assert found.dtype == torch.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.fixture(scope="module")
def shared_set(tmp_path_factory):
    images, masks, slices, readers = content()
    images[3] = 7  # a constant crop
    path = tmp_path_factory.mktemp("shared") / "set"
    return PatchSet.write(path, images, masks, slices, readers=readers, **ORIGIN)


def test_a_constant_crop_becomes_0(shared_set):
    assert not shared_set.batch([3])[0].any()


def test_flips_reach_all_four_positions_and_are_seeded(shared_set):
    rows = np.zeros(400, int)
    images, masks, _ = shared_set.batch(rows, flip=torch.Generator().manual_seed(0))
    again, _, _ = shared_set.batch(rows, flip=torch.Generator().manual_seed(0))
    assert torch.equal(images, again)
    plain, mask, _ = shared_set.batch([0])
    counts = []
    for axes in ((), (-1,), (-2,), (-2, -1)):
        here = (images == plain[0].flip(axes)).all((-1, -2, -3))
        assert (masks[here] == mask[0].flip(axes)).all()
        counts.append(int(here.sum()))
    assert sum(counts) == 400 and min(counts) > 60  # 100 expected, standard deviation 8.7


@pytest.mark.parametrize("rows", [torch.tensor([1, 2]), np.uint8([1, 2]), (1, 2), range(1, 3)])
def test_rows_in_any_clothes(shared_set, rows):
    assert torch.equal(shared_set.batch(rows)[0], shared_set.batch([1, 2])[0])


def test_an_empty_batch(shared_set):
    assert [tuple(part.shape) for part in shared_set.batch([])] == [
        (0, 1, 10, 8),
        (0, 1, 10, 8),
        (0,),
    ]


@pytest.mark.parametrize(
    ("rows", "error"),
    [([24], ValueError), ([-1], ValueError), ([0.5], TypeError), (3, ValueError)]
    + [(np.ones(24, bool), TypeError), (np.zeros((2, 2), int), ValueError)],
)
def test_rows_that_are_none(shared_set, rows, error):
    with pytest.raises(error, match="rows must"):
        shared_set.batch(rows)
    with pytest.raises(error, match="rows must"):
        shared_set.dataset(rows)


@pytest.mark.parametrize("window", [(-500, 250), [-500, 250.0], np.array([-500, 250])])
def test_a_window_cuts_and_scales(shared_set, window):
    rows = [3, 0, 7]
    images = shared_set.images[rows].astype(float)
    expected = np.clip((images + 500) / 750, 0, 1)
    found, masks, _ = shared_set.batch(rows, normalise=window)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    assert torch.equal(masks, shared_set.batch(rows)[1])
    assert torch.equal(shared_set.dataset(rows, normalise=window)[1][0], found[1])


@pytest.mark.parametrize(
    "wrong", ["volume", (400, -1000), (0, 0), (0, np.nan), (0, 1, 2), ("a", "b"), None, 5]
)
def test_a_normalisation_that_is_none(shared_set, wrong):
    for call in (shared_set.batch, shared_set.dataset):
        with pytest.raises(ValueError, match='"slice", a window .low, high. with low < high'):
            call([0], normalise=wrong)


# --- the torch Dataset ---------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", ["slice", "dataset"])
def test_the_dataset_is_the_batch_one_by_one(shared_set, normalised):
    rows = [5, 0, 17]
    data = shared_set.dataset(rows, normalise=normalised)
    batch = shared_set.batch(rows, normalise=normalised)
    assert len(data) == 3
    for index in range(3):
        for found, expected in zip(data[index], batch, strict=True):
            assert torch.equal(found, expected[index])
    loaded = next(iter(DataLoader(data, batch_size=3)))
    assert all(torch.equal(a, b) for a, b in zip(loaded, batch, strict=True))


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_give_every_slice_once(shared_set, context):
    loader = DataLoader(
        shared_set.dataset(normalise="dataset"),
        batch_size=5,
        num_workers=2,
        multiprocessing_context=context,
    )
    parts = [torch.cat(part) for part in zip(*loader, strict=True)]
    expected = shared_set.batch(range(24), normalise="dataset")
    assert all(torch.equal(a, b) for a, b in zip(parts, expected, strict=True))


def test_a_pickled_set_is_its_path_and_not_its_pixels(tmp_path):
    large = write(tmp_path / "large", count=24, height=128, width=128)
    large.batch([0])  # maps the arrays
    data = pickle.dumps(large)
    assert len(data) < 10_000 < large.images.nbytes
    assert torch.equal(pickle.loads(data).batch([1])[0], large.batch([1])[0])


def test_flips_differ_between_epochs_and_repeat_with_the_seed(shared_set):
    def epochs(workers, seed, torch_seed=0):
        data = shared_set.dataset(flip=True, seed=seed)
        generator = torch.Generator().manual_seed(torch_seed)
        loader = DataLoader(data, batch_size=6, num_workers=workers, generator=generator)
        return [torch.cat([images for images, _, _ in loader]) for _ in range(2)]

    for workers in (0, 2):
        first, second = epochs(workers, seed=1)
        assert not torch.equal(first, second)
        assert all(
            torch.equal(a, b) for a, b in zip(epochs(workers, 1), (first, second), strict=True)
        )
        assert not torch.equal(epochs(workers, seed=2)[0], first)


# --- splits --------------------------------------------------------------------------------------


@st.composite
def cohorts(draw):
    """Only the table of a set: patients with some nodules each, in any order of rows."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=5, max_size=25))
    patient = np.repeat([f"p{k}" for k in range(len(sizes))], sizes)
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(patient))
    nodule = np.array([str(k % 3) for k in range(len(patient))])
    has_nodule = np.random.default_rng(draw(st.integers(0, 99))).random(len(patient)) < 0.5
    slices = {"patient": patient, "scan": patient, "nodule": nodule, "has_nodule": has_nodule}
    return SimpleNamespace(slices={name: values[order] for name, values in slices.items()})


def check_parts(cohort, parts, keys):
    rows = np.concatenate(parts)
    assert sorted(rows) == list(range(len(cohort.slices["patient"])))  # all of them, each once
    groups = [set(zip(*(cohort.slices[key][part] for key in keys), strict=True)) for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups))  # nobody on two sides
    assert all(len(part) and (np.diff(part) > 0).all() for part in parts)


@quick
@given(cohorts(), st.integers(0, 9), st.sampled_from([(0.8, 0.2), (0.6, 0.2, 0.2), (1.0,)]))
def test_split_keeps_patients_together(cohort, seed, parts):
    found = split(cohort, parts, seed=seed)
    check_parts(cohort, found, ["patient"])
    for a, b in zip(found, split(cohort, parts, seed=seed), strict=True):
        np.testing.assert_array_equal(a, b)


@quick
@given(cohorts(), st.integers(0, 9), st.integers(2, 5))
def test_folds_keep_patients_together(cohort, seed, count):
    found = folds(cohort, count, seed=seed)
    assert len(found) == count
    check_parts(cohort, found, ["patient"])


@quick
@given(cohorts(), st.integers(0, 9))
def test_by_lesion_keeps_lesions_together_and_warns(cohort, seed):
    with pytest.warns(UserWarning, match='by="lesion" leaks.*one patient') as found:
        parts = split(cohort, by="lesion", seed=seed)
    assert found[0].filename == __file__  # points at who asked
    check_parts(cohort, parts, ["patient", "scan", "nodule"])


def test_by_patient_does_not_warn_and_by_lesion_does_leak():
    patient = np.repeat(["a", "b", "c", "d", "e", "f", "g"], 24)
    nodule = np.tile(np.repeat([str(k) for k in range(8)], 3), 7)
    slices = {"patient": patient, "scan": patient, "nodule": nodule}
    cohort = SimpleNamespace(slices={**slices, "has_nodule": np.arange(168) % 2 == 0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train, test = split(cohort)
    assert not set(patient[train]) & set(patient[test])
    with pytest.warns(UserWarning, match="leaks"):
        train, test = split(cohort, by="lesion")
    assert set(patient[train]) & set(patient[test])
    with pytest.warns(UserWarning, match="leaks"):
        assert len(folds(cohort, by="lesion")) == 5


@pytest.mark.parametrize("parts", [(0.8, 0.2), (0.98, 0.01, 0.01)])
def test_no_part_stays_empty(parts):
    patient = np.repeat([f"p{k}" for k in range(len(parts))], 50)  # each too large for the least
    cohort = SimpleNamespace(
        slices={"patient": patient, "has_nodule": np.ones(len(patient), bool)}
    )
    assert [len(part) for part in split(cohort, parts)] == [50] * len(parts)


def test_many_patients_are_dealt_as_asked():
    rng = np.random.default_rng(3)
    sizes = rng.integers(2, 60, 280)
    patient = np.repeat([f"p{k}" for k in range(280)], sizes)
    share = np.repeat(rng.random(280), sizes)  # patients differ in how many slices have a nodule
    has_nodule = rng.random(len(patient)) < share
    cohort = SimpleNamespace(slices={"patient": patient, "has_nodule": has_nodule})
    for seed in range(5):
        for wanted, parts in (
            ((0.8, 0.2), split(cohort, seed=seed)),
            ([0.2] * 5, folds(cohort, seed=seed)),
        ):
            for fraction, part in zip(wanted, parts, strict=True):
                assert len(part) / len(patient) == pytest.approx(fraction, rel=0.08)
                assert has_nodule[part].mean() == pytest.approx(has_nodule.mean(), abs=0.03)
    first, second = (set(patient[split(cohort, seed=seed)[1]]) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: split(s, (0.8, 0.3)), "sum to 1"),
        (lambda s: split(s, (1.2, -0.2)), "positive"),
        (lambda s: split(s, ()), "sum to 1"),
        (lambda s: split(s, (float("nan"), 0.5)), "positive"),
        (lambda s: split(s, by="slice"), '"patient" or "lesion"'),
        (lambda s: folds(s), "5 parts need as many patients, found 4"),
        (lambda s: folds(s, 1), "at least 2"),
        (lambda s: folds(s, 2.0), "at least 2"),
    ],
)
def test_splits_that_make_no_sense(shared_set, call, message):
    with pytest.raises(ValueError, match=message):
        call(shared_set)
