"""Reading CT, held to SimpleITK reading the same volume whole."""

import locale
import re
import shutil
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from nodule_lesson.data.ct import AIR, Scan, resample

SIZE = (7, 20, 30)  # slices, rows, columns
SPACING = (2.5, 0.7, 0.6)
ORIGIN = (-100.5, 80.25, -300.0)
TURNED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)  # as in fourteen scans of LUNA16


def volume(direction=None, seed=0):
    array = np.random.default_rng(seed).integers(-1024, 1500, SIZE).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    if direction:
        image.SetDirection(direction)
    return array, image


def write_dicom(folder, image, *, skip=(), odd=None, **tags):
    """A CT series as SimpleITK writes one: a slice a file, HU behind a rescale intercept.

    tags: of all slices. odd: of one slice, {number: {tag: value}}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = locale.setlocale(locale.LC_ALL)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetDepth()):
        if k in skip:
            continue
        one = image[:, :, k]
        place = image.TransformIndexToPhysicalPoint((0, 0, k))
        axes = image.GetDirection()
        series = {
            "0008|0060": "CT",
            "0010|0020": "LIDC-IDRI-0001",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0008|0018": f"1.2.3.4.{k}",
            "0020|0013": str(k),
            "0020|0032": "\\".join(f"{x:.4f}" for x in place),
            "0020|0037": "\\".join(str(axes[i]) for i in (0, 3, 6, 1, 4, 7)),
            "0028|1052": "-1024",
            "0028|1053": "1",
            **tags,
            **(odd or {}).get(k, {}),
        }
        if "0028|0030" in series:  # the writer asks the image
            one.SetSpacing((*map(float, series["0028|0030"].split("\\")[::-1]), 1.0))
        for key, value in series.items():
            one.SetMetaData(key, value)
        # Names against the order of the slices: only their positions tell it.
        writer.SetFileName(str(folder / f"{99 - k:02d}.dcm"))
        writer.Execute(one)
    locale.setlocale(locale.LC_ALL, before)  # GDCM sets "C" to write, and leaves it so
    return folder


@pytest.fixture(scope="module", params=["raw", "zraw", "turned", "mha", "dicom"])
def scan(request, tmp_path_factory):
    """A scan in each format, and the same one as SimpleITK holds it."""
    folder = tmp_path_factory.mktemp(request.param)
    array, image = volume(TURNED if request.param == "turned" else None)
    if request.param == "dicom":
        return Scan.open(write_dicom(folder / "series", image)), image, array
    path = folder / ("1.2.mha" if request.param == "mha" else "1.2.mhd")
    sitk.WriteImage(image, str(path), useCompression=request.param == "zraw")
    return Scan.open(path), image, array


def test_the_header(scan):
    found, image, _ = scan
    assert found.size == SIZE
    np.testing.assert_allclose(found.spacing, SPACING, atol=1e-4)
    np.testing.assert_allclose(found.origin, ORIGIN, atol=1e-4)
    assert found.direction == pytest.approx(image.GetDirection())
    assert found.streamed != (
        found.path.suffix == ".mhd" and found.path.with_suffix(".zraw").exists()
    )


def test_the_whole_volume(scan):
    found, _, array = scan
    loaded = found.load()
    assert loaded.dtype == np.int16
    np.testing.assert_array_equal(loaded, array)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_region_is_a_cut_of_the_padded_volume(scan, data):
    found, _, array = scan
    first = [data.draw(st.integers(-12, n + 12)) for n in SIZE]
    size = [data.draw(st.integers(1, n + 8)) for n in SIZE]
    region, inside = found.region(first, size, pad=-77)
    reach = 80
    padded = np.pad(array, reach, constant_values=-77)
    there = np.pad(np.ones(SIZE, bool), reach)
    box = tuple(slice(f + reach, f + reach + s) for f, s in zip(first, size, strict=True))
    np.testing.assert_array_equal(region, padded[box])
    np.testing.assert_array_equal(inside, there[box])
    assert region.dtype == np.int16


@given(index=st.tuples(*(st.integers(-5, n + 5) for n in SIZE)))
@settings(max_examples=40, deadline=None)
def test_the_way_to_the_world_and_back(scan, index):
    found, image, _ = scan
    world = found.to_world(index)
    np.testing.assert_allclose(
        world, image.TransformContinuousIndexToPhysicalPoint([float(i) for i in index[::-1]]),
        atol=1e-3,
    )  # fmt: skip
    assert found.to_index(world) == tuple(index)
    assert found.contains(index) == all(0 <= i < n for i, n in zip(index, SIZE, strict=True))


def test_a_turned_scan_is_not_world_minus_origin_over_spacing(tmp_path):
    _, image = volume(TURNED)
    sitk.WriteImage(image, str(tmp_path / "scan.mhd"))
    found = Scan.open(tmp_path / "scan.mhd")
    world = found.to_world((3, 5, 11))
    wrong = (np.array(world) - ORIGIN) / SPACING[::-1]
    assert found.to_index(world) == (3, 5, 11)
    assert wrong[0] == pytest.approx(-11, abs=1e-4)


def test_dicom_slices_are_ordered_by_place_and_know_their_patient(tmp_path):
    array, image = volume()
    found = Scan.open(write_dicom(tmp_path / "series", image))
    assert [file.name for file in found.files] == [f"{99 - k:02d}.dcm" for k in range(SIZE[0])]
    assert (found.patient, found.series) == ("LIDC-IDRI-0001", found.series)
    region, _ = found.region((2, 3, 4), (2, 5, 6))
    np.testing.assert_array_equal(region, array[2:4, 3:8, 4:10])


def test_reading_leaves_the_locale_alone(tmp_path):
    before = locale.setlocale(locale.LC_ALL)
    Scan.open(write_dicom(tmp_path / "series", volume()[1])).load()
    assert locale.setlocale(locale.LC_ALL) == before


@pytest.mark.parametrize(("step", "digits"), [(0.625, 2), (0.625, 1), (0.45, 1)])
def test_a_slice_is_where_its_own_rounded_position_says(tmp_path, step, digits):
    """A count of steps as long as the median of the rounded ones drifts: by 3 slices of 400."""
    n = 120
    rounded = np.round(-312.6 + step * np.arange(n), digits)
    image = sitk.GetImageFromArray(np.arange(n * 4, dtype=np.int16).reshape(n, 2, 2))
    odd = {k: {"0020|0032": f"-10\\20\\{z:.{digits}f}"} for k, z in enumerate(rounded)}
    found = Scan.open(write_dicom(tmp_path, image, odd=odd))
    assert found.size == (n, 2, 2)
    assert [found.to_index((-9, 20, z)) for z in rounded] == [(k, 0, 1) for k in range(n)]
    back = [found.to_world((k, 0, 1)) for k in range(n)]
    np.testing.assert_allclose(back, [(-9, 20, z) for z in rounded], atol=1e-9)
    # Between two slices linear, outside by the mean step, and the way there is the way back.
    mean = (rounded[-1] - rounded[0]) / (n - 1)
    for k in (-3.2, 0.25, 17.75, 118.4, 122.1):
        z = found.to_world((k, 0, 1))[2]
        inside = np.interp(k, np.arange(n), rounded)
        assert z == pytest.approx(inside + mean * (k - np.clip(k, 0, n - 1)), abs=1e-9)
        assert found.to_index((-10, 20, z))[0] == round(k)
    np.testing.assert_array_equal(found.region((50, 0, 0), (1, 2, 2))[0].ravel(), range(200, 204))


@pytest.mark.parametrize("kept", [(0, 2, 3), (0, 1, 3, 4), (0, 1, 2, 3, 4, 6), (0, 1, 3, 5, 6)])
@pytest.mark.parametrize("step", [0.5, 2.5])
def test_few_slices_of_which_one_is_missing(tmp_path, kept, step):
    _, image = volume()
    image.SetSpacing((0.6, 0.7, step))
    skip = set(range(SIZE[0])) - set(kept)
    with pytest.raises(ValueError, match=f"uneven slices, {step:.2f} to {2 * step:.2f} mm"):
        Scan.open(write_dicom(tmp_path, image, skip=skip))


def test_real_dicom_slices(real_data, tmp_path):
    for name in ("01.dcm", "02.dcm", "03.dcm"):
        shutil.copy(real_data / "dicom" / name, tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    whole = sitk.GetArrayFromImage(sitk.ReadImage(names))
    found = Scan.open(tmp_path)
    np.testing.assert_array_equal(found.load(), whole)
    assert found.load().min() < -500  # HU, not stored values
    # One of them lost its end: the two that are left would make a volume, too.
    data = (real_data / "dicom" / "03.dcm").read_bytes()
    (tmp_path / "03.dcm").chmod(0o644)
    (tmp_path / "03.dcm").write_bytes(data[:-100])
    with pytest.raises(ValueError, match=r"03\.dcm is no DICOM image that can be read"):
        Scan.open(tmp_path)


def test_resampling_only_on_request(tmp_path):
    array, image = volume()
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), 3.0)
    sitk.WriteImage(sitk.Cast(smooth, sitk.sitkInt16), str(tmp_path / "scan.mhd"))
    found = Scan.open(tmp_path / "scan.mhd")
    same, spacing = resample(found, found.spacing)
    np.testing.assert_array_equal(same, found.load())
    finer, spacing = resample(found, (1.25, 0.7, 0.6))
    assert finer.shape == (14, 20, 30) and spacing == (1.25, 0.7, 0.6)
    np.testing.assert_array_equal(finer[::2], found.load())
    between = (found.load()[:-1].astype(float) + found.load()[1:]) / 2
    np.testing.assert_allclose(finer[1:-1:2], between, atol=0.51)


# --- what is wrong is said -----------------------------------------------------------------------


def written(tmp_path):
    _, image = volume()
    sitk.WriteImage(image, str(tmp_path / "scan.mhd"))
    return tmp_path / "scan.mhd"


def change(path, key, value):
    lines = path.read_text(encoding="utf-8").splitlines()
    lines = [f"{key} = {value}" if line.startswith(f"{key} =") else line for line in lines]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("ElementSpacing", "0.6 nan 2.5", "positive spacings"),
        ("ElementSpacing", "0.6 0 2.5", "positive spacings"),
        ("ElementSpacing", "0.6 -0.7 2.5", "positive spacings"),
        ("ElementSpacing", "0.6 0.7", "positive spacings"),
        ("DimSize", "512 512 99999999", "no scan is so large"),
        ("DimSize", "9000 9000 9000", "no scan is so large"),
        ("DimSize", "30 20", "three dimensions"),
        ("DimSize", "30 20 0", "three dimensions"),
        ("DimSize", "30 20 8", "truncated"),
        ("ElementNumberOfChannels", "1", None),
    ],
)
def test_headers_that_no_scan_has(tmp_path, key, value, complaint):
    path = change(written(tmp_path), key, value)
    if complaint is None:
        assert Scan.open(path).size == SIZE
        return
    with pytest.raises(ValueError, match=complaint) as caught:
        Scan.open(path)
    assert "\n" not in str(caught.value) and path.name.split(".")[0] in str(caught.value)


FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": " ".join(map(str, ORIGIN)),
    "ElementSpacing": " ".join(map(str, SPACING[::-1])),
    "DimSize": " ".join(map(str, SIZE[::-1])),
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def by_hand(folder, voxels, *, sign=" = ", end="\n", **fields):
    """A MetaImage written by hand: its header, then its voxels in it or where it says."""
    fields = {**FIELDS, **fields}
    name = fields.pop("ElementDataFile")
    lines = [
        f"{key}{sign}{value}{end}" for key, value in {**fields, "ElementDataFile": name}.items()
    ]
    local = name.lower() == "local"
    path = folder / "scan.mhd"
    path.write_bytes("".join(lines).encode() + (voxels if local else b""))
    if not local:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(voxels)
    return path


@pytest.mark.parametrize("yes", ["True", "TRUE", "T", "t", "1"])
@pytest.mark.parametrize("name", ["LOCAL", "scan.zraw"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_compressed_voxels_whose_length_nobody_says(tmp_path, yes, name, order):
    array, _ = volume()
    voxels = zlib.compress(array.astype(f"{order}i2").tobytes())
    fields = {"CompressedData": yes, "BinaryDataByteOrderMSB": str(order == ">")}
    path = by_hand(tmp_path, voxels, ElementDataFile=name, **fields)
    np.testing.assert_array_equal(Scan.open(path).load(), array)


@pytest.mark.parametrize(
    "name",
    [
        "Local",
        "local",
        "scané.raw",
        "Å.raw",
        "肺 1.raw",
        "a b.raw",
        "voxels/scan.raw",
        "./scan.raw",
    ],
)
def test_where_the_voxels_may_be(tmp_path, name):
    array, _ = volume()
    (tmp_path / "フォルダ").mkdir()
    path = by_hand(tmp_path / "フォルダ", array.tobytes(), ElementDataFile=name)
    found = Scan.open(path)
    np.testing.assert_array_equal(found.load(), array)
    np.testing.assert_array_equal(found.region((2, 3, 4), (2, 5, 6))[0], array[2:4, 3:8, 4:10])


def test_the_other_ways_to_write_a_header(tmp_path):
    array, _ = volume()
    named = by_hand(tmp_path, array.tobytes()).rename(tmp_path / "SCAN.MHD")
    np.testing.assert_array_equal(Scan.open(named).load(), array)
    big = array.astype(">i2").tobytes()
    for voxels, spelling in [
        (array.tobytes(), {"sign": ": "}),
        (array.tobytes(), {"sign": "=", "end": "\r\n"}),
        (array.tobytes(), {"Comment": "DimSize = 1 1 1"}),
        (big, {"BinaryDataByteOrderMSB": "T"}),
        (b"x" * 99 + array.tobytes(), {"HeaderSize": "99", "ElementDataFile": "scan.raw"}),
        (b"x" * 99 + array.tobytes(), {"HeaderSize": "-1", "ElementDataFile": "scan.raw"}),
    ]:
        found = Scan.open(by_hand(tmp_path, voxels, **spelling))
        np.testing.assert_array_equal(found.load(), array)
        np.testing.assert_allclose(found.spacing, SPACING)
        np.testing.assert_allclose(found.origin, ORIGIN)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"ElementDataFile": "LIST"}, "one file, found LIST"),
        ({"ElementDataFile": "slice%d.raw 0 6 1"}, "one file, found slice%d"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "right angles, found the matrix 0 0 0"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0.4 0.9"}, "right angles, found the matrix 1 0 0"),
        ({"TransformMatrix": "2 0 0 0 2 0 0 0 2"}, "length 1 at right angles"),
        ({"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}, "9 finite numbers as its TransformMatrix"),
        ({"Offset": "nan 0 0"}, "3 finite numbers as its Offset"),
        ({"Offset": "left 0 0"}, "3 finite numbers as its Offset"),
        ({"Offset": "1 2"}, "3 finite numbers as its Offset"),
        ({"Position": "0 0 0"}, "one of Offset, Position, Origin"),
        ({"NDims": "2"}, "three dimensions, found 2"),
        ({"NDims": "4"}, "three dimensions, found 4"),
        ({"CompressedData": "Yes"}, "True or False as its CompressedData, found Yes"),
        ({"BinaryData": "False"}, "must have binary voxels"),
        ({"ElementByteOrderMSB": "True"}, "two orders of bytes"),
        ({"ElementType": "MET_UCHAR"}, "longer than its header says: 8,400 bytes found, 4,200"),
        ({"ElementType": "MET_FLOAT"}, "truncated: 8,400 bytes found, 16,800"),
        ({"ElementType": "MET_STRING"}, "ElementType of MetaImage's, found MET_STRING"),
        ({"ElementNumberOfChannels": "2"}, "one number per voxel, found 2"),
        ({"ElementToIntensityFunctionSlope": "2"}, "1 as its ElementToIntensityFunctionSlope"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, "0 as its ElementToIntensityFunctionO"),
        ({"Modality": "MET_MOD_MR"}, "must be CT, found the modality MET_MOD_MR"),
        ({"HeaderSize": "99"}, "must have no HeaderSize"),
        ({"HeaderSize": "many", "ElementDataFile": "a.raw"}, "HeaderSize that no reader .* many"),
        ({"Comment": "a\nDimSize = 30 20 6"}, "says twice what its DimSize is"),
    ],
)
def test_fields_that_would_be_guessed_at(tmp_path, fields, complaint):
    path = by_hand(tmp_path, volume()[0].tobytes(), **fields)
    with pytest.raises(ValueError, match=complaint) as caught:
        Scan.open(path)
    assert "\n" not in str(caught.value) and str(tmp_path / "scan.mhd") in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_numbers(tmp_path, bad, compressed):
    """They became 0 HU, which is water."""
    array = volume()[0].astype(np.float32)
    array[2, 3, 4] = bad
    voxels = zlib.compress(array.tobytes()) if compressed else array.tobytes()
    fields = {"ElementType": "MET_FLOAT", "CompressedData": str(compressed)}
    found = Scan.open(by_hand(tmp_path, voxels, **fields))
    with pytest.raises(ValueError, match="no finite numbers"):
        found.region((2, 3, 4), (1, 1, 1))


def test_voxels_that_are_missing_or_cut_off(tmp_path):
    path = written(tmp_path)
    raw = path.with_suffix(".raw")
    data = raw.read_bytes()
    raw.write_bytes(data[:-1])
    with pytest.raises(ValueError, match="truncated"):
        Scan.open(path)
    raw.unlink()
    with pytest.raises(FileNotFoundError, match=r"scan\.raw, which is not there"):
        Scan.open(path)
    with pytest.raises(FileNotFoundError, match="neither a file nor a folder"):
        Scan.open(tmp_path / "nothing.mhd")
    (tmp_path / "text.mhd").write_text("hello", encoding="utf-8")
    with pytest.raises(ValueError, match="not the header of a MetaImage"):
        Scan.open(tmp_path / "text.mhd")


def test_a_compressed_volume_that_is_cut_off(tmp_path):
    _, image = volume()
    sitk.WriteImage(image, str(tmp_path / "scan.mhd"), useCompression=True)
    data = (tmp_path / "scan.zraw").read_bytes()
    (tmp_path / "scan.zraw").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=f"truncated: {len(data) // 2:,} bytes"):
        Scan.open(tmp_path / "scan.mhd")


@pytest.mark.parametrize("ending", ["mhd", "mha"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[-3:],
        lambda data: data[:-4] + bytes(4),
        lambda data: data[:-4],
        lambda data: bytes(len(data)),
        lambda data: zlib.compress(zlib.decompress(data)[:-1]),
        lambda data: zlib.compress(zlib.decompress(data) + b"0"),
    ],
    ids=["cut", "torn", "checksum", "no checksum", "zeros", "short", "long"],
)
def test_compressed_voxels_that_are_damaged(tmp_path, ending, damage):
    _, image = volume()
    path = tmp_path / f"scan.{ending}"
    sitk.WriteImage(image, str(path), useCompression=True)
    file = path if ending == "mha" else path.with_suffix(".zraw")
    head, local, data = file.read_bytes().rpartition(b"LOCAL\n")
    file.write_bytes(head + local + damage(data))
    # A header that does not say how long they are.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(x for x in lines if not x.startswith(b"CompressedDataSize")))
    found = Scan.open(path)
    with pytest.raises(OSError, match="damaged or cut off"):
        found.region((0, 0, 0), (1, 2, 3))


def test_voxels_made_to_fill_the_memory(tmp_path):
    """A small file that inflates to 500 times what its header says: only so much is inflated."""
    _, image = volume()
    sitk.WriteImage(image, str(tmp_path / "scan.mhd"), useCompression=True)
    wanted = image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
    (tmp_path / "scan.zraw").write_bytes(zlib.compress(bytes(500 * wanted)))
    lines = (tmp_path / "scan.mhd").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("CompressedDataSize")]
    (tmp_path / "scan.mhd").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = Scan.open(tmp_path / "scan.mhd")
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match=f"not the {wanted:,} bytes"):
            found.region((0, 0, 0), (1, 2, 3))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20 * wanted


def test_a_compressed_size_that_is_no_number(tmp_path):
    _, image = volume()
    path = tmp_path / "scan.mhd"
    sitk.WriteImage(image, str(path), useCompression=True)
    text = re.sub(
        "CompressedDataSize = .*", "CompressedDataSize = -many", path.read_text(encoding="utf-8")
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="whole CompressedDataSize, found -many"):
        Scan.open(path)


def test_folders_that_are_no_ct_series(tmp_path):
    _, image = volume()
    with pytest.raises(ValueError, match="one DICOM series, found none"):
        Scan.open(tmp_path)
    with pytest.raises(ValueError, match="uneven slices"):
        Scan.open(write_dicom(tmp_path / "gap", image, skip=(3,)))
    with pytest.raises(ValueError, match="modality MR"):
        Scan.open(write_dicom(tmp_path / "mr", image, **{"0008|0060": "MR"}))
    folder = write_dicom(tmp_path / "double", image)
    twin = sitk.ReadImage(str(folder / "96.dcm"))
    for key in ("0020|000e", "0020|0032", "0020|0037", "0008|0060"):
        assert twin.HasMetaDataKey(key)
    shutil.copy(folder / "96.dcm", folder / "again.dcm")
    with pytest.raises(ValueError, match="two slices at"):
        Scan.open(folder)
    both = write_dicom(tmp_path / "both", image)
    other = write_dicom(tmp_path / "other", image, **{"0020|000e": "9.9.9"})
    for file in other.iterdir():
        shutil.copy(file, both / f"other-{file.name}")
    with pytest.raises(ValueError, match="one DICOM series, found 2"):
        Scan.open(both)


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        ({"0020|0037": "0\\1\\0\\-1\\0\\0"}, "differ in orientation"),
        ({"0020|0037": "0.999\\0.035\\0\\-0.035\\0.999\\0"}, "differ in orientation"),
        ({"0028|0030": "0.7\\0.61"}, "differ in pixel size"),
        ({"0010|0020": "LIDC-IDRI-0002"}, "differ in patient"),
        ({"0020|000d": "1.2.9"}, "differ in study"),
        ({"0020|0052": "1.2.9"}, "differ in frame of reference"),
        ({"0008|0060": "MR"}, "found the modality MR"),
        ({"0020|000e": "1.2.9"}, "one DICOM series, found 2"),
        ({"0028|1054": "MGML"}, "must be in HU, found the rescale type MGML"),
    ],
)
@pytest.mark.parametrize("number", [0, 3])
def test_one_slice_that_is_not_of_the_volume(tmp_path, tags, complaint, number):
    folder = write_dicom(tmp_path / "series", volume()[1], odd={number: tags})
    with pytest.raises(ValueError, match=complaint) as caught:
        Scan.open(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize("size", [(-1, 0, 0), (0, -1, 0)], ids=["columns", "rows"])
@pytest.mark.parametrize("number", [0, 3])
def test_one_slice_with_fewer_pixels(tmp_path, size, number):
    image = volume()[1]
    folder = write_dicom(tmp_path / "series", image)
    smaller = sitk.Extract(
        image, [n + less for n, less in zip(image.GetSize(), size, strict=True)]
    )
    name = f"{99 - number:02d}.dcm"
    shutil.copy(write_dicom(tmp_path / "smaller", smaller) / name, folder / name)
    with pytest.raises(ValueError, match="differ in number of rows and columns") as caught:
        Scan.open(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("position", "complaint"),
    [
        ("-99.5\\80.25\\-292.5", r"up to 1\.00 mm aside"),
        ("-100.5\\80\\-292.5", r"up to 0\.25 mm aside"),
        ("-100.5\\80.25\\-292.25", "uneven slices, 2.25 to 2.75 mm"),
        ("-100.5\\80.25\\nan", "a position of 3 numbers"),
    ],
)
def test_one_slice_that_is_out_of_line(tmp_path, position, complaint):
    folder = write_dicom(tmp_path, volume()[1], odd={3: {"0020|0032": position}})
    with pytest.raises(ValueError, match=complaint):
        Scan.open(folder)


@pytest.mark.parametrize("axes", [b"1\\0\\0\\1\\0\\0", b"2\\0\\0\\0\\2\\0", b"0\\0\\0\\0\\0\\0"])
def test_axes_that_no_slice_has(tmp_path, axes):
    file = write_dicom(tmp_path, volume()[1]) / "96.dcm"
    file.write_bytes(file.read_bytes().replace(b"1\\0\\0\\0\\1\\0", axes))
    with pytest.raises(
        ValueError, match=r"96\.dcm must have two axes of length 1 at a right angle"
    ):
        Scan.open(tmp_path)


def test_a_tilted_gantry(tmp_path):
    """The couch moves along z, the slices lean: row 10 of slice 0 lies under row 20 of slice 7."""
    places = {k: {"0020|0032": f"-100.5\\{80.25 + k}\\{-300 + 2.5 * k}"} for k in range(SIZE[0])}
    folder = write_dicom(tmp_path / "positions", volume()[1], odd=places)
    with pytest.raises(ValueError, match=r"6\.00 mm aside .* gantry was tilted"):
        Scan.open(folder)
    leaning = f"1\\0\\0\\0\\{np.cos(0.2):.6f}\\{-np.sin(0.2):.6f}"
    folder = write_dicom(tmp_path / "axes", volume()[1], **{"0020|0037": leaning})
    with pytest.raises(ValueError, match="gantry was tilted"):
        Scan.open(folder)


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:300],
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "cut", "one byte", "header", "zeros"],
)
def test_a_slice_that_cannot_be_read_is_not_dropped(tmp_path, number, damage):
    folder = write_dicom(tmp_path / "series", volume()[1])
    (folder / "outlines.xml").write_text("beside LIDC's slices", encoding="utf-8")
    (folder / ".99.dcm").write_text("of macOS", encoding="utf-8")
    assert Scan.open(folder).size == SIZE
    file = folder / f"{99 - number:02d}.dcm"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"{file.name} is no DICOM image that can be read"):
        Scan.open(folder)
    for other in sorted(folder.glob("[!.]*.dcm")):  # names as a scanner gives them
        other.rename(folder / f"1.2.3.{other.stem}")
    with pytest.raises(ValueError, match=rf"1\.2\.3\.{file.stem} is no DICOM image"):
        Scan.open(folder)


def without(file, element):
    """Take an element (group, number) out of a DICOM file, found by its own bytes."""
    data = file.read_bytes()
    start = data.index(struct.pack("<HH", *element), 132)
    (length,) = struct.unpack("<I", data[start + 4 : start + 8])  # implicit, as SimpleITK writes
    file.write_bytes(data[:start] + data[start + 8 + length :])


@pytest.mark.parametrize(
    ("element", "complaint"),
    [
        ((0x28, 0x1052), "must have a rescale intercept"),
        ((0x28, 0x1053), "must have a rescale slope"),
        ((0x20, 0x0032), "must have a position"),
        ((0x20, 0x0037), "must have an orientation"),
        ((0x28, 0x0030), "must have a pixel size"),
    ],
)
def test_slices_that_do_not_say_what_is_needed(tmp_path, element, complaint):
    folder = write_dicom(tmp_path, volume()[1])
    without(folder / "96.dcm", element)
    with pytest.raises(ValueError, match=complaint):
        Scan.open(folder)


def test_numbers_that_are_turned_round_for_display(tmp_path):
    array, image = volume()
    file = write_dicom(tmp_path, image) / "96.dcm"
    file.write_bytes(file.read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0] != array[3]).mean() > 0.99
    with pytest.raises(ValueError, match=r"96\.dcm must be MONOCHROME2, found MONOCHROME1"):
        Scan.open(tmp_path)


def test_many_frames_in_one_file(tmp_path):
    _, image = volume()
    for key, value in {"0008|0060": "CT", "0028|1052": "-1024", "0028|1053": "1"}.items():
        image.SetMetaData(key, value)
    before = locale.setlocale(locale.LC_ALL)
    sitk.WriteImage(image, str(tmp_path / "all.dcm"))
    locale.setlocale(locale.LC_ALL, before)
    with pytest.raises(ValueError, match="must hold one slice, found 7 frames"):
        Scan.open(tmp_path)


@pytest.mark.parametrize(
    ("first", "size", "complaint"),
    [
        ((0, 0), (1, 1, 1), "first must be three"),
        ((0, 0, 0.5), (1, 1, 1), "first must be three"),
        ((0, 0, 0), (1, 1, 0), "size must be at least 1"),
    ],
)
def test_regions_that_are_none(tmp_path, first, size, complaint):
    with pytest.raises(ValueError, match=complaint):
        Scan.open(written(tmp_path)).region(first, size)


def test_points_that_are_none_and_air_outside(tmp_path):
    found = Scan.open(written(tmp_path))
    for bad in ((1, 2), (1, 2, float("nan"))):
        with pytest.raises(ValueError, match="three finite numbers"):
            found.to_index(bad)
    region, inside = found.region((100, 0, 0), (2, 3, 4))
    assert (region == AIR).all() and not inside.any()
    with pytest.raises(ValueError, match="positive millimetres"):
        resample(found, (1, 0, 1))
