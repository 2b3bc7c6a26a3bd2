"""Reading CT, held to SimpleITK reading the same volume whole."""

import locale
import re
import shutil
import tracemalloc
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from nodule_lesson.ct import AIR, Scan, resample

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


def write_dicom(folder, image, *, skip=(), **tags):
    """A CT series as SimpleITK writes one: a slice a file, HU behind a rescale intercept."""
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
        }
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


def test_real_dicom_slices(real_data, tmp_path):
    for name in ("01.dcm", "02.dcm", "03.dcm"):
        shutil.copy(real_data / "dicom" / name, tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    whole = sitk.GetArrayFromImage(sitk.ReadImage(names))
    found = Scan.open(tmp_path)
    np.testing.assert_array_equal(found.load(), whole)
    assert found.load().min() < -500  # HU, not stored values


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
    lines = path.read_text().splitlines()
    lines = [f"{key} = {value}" if line.startswith(f"{key} =") else line for line in lines]
    path.write_text("\n".join(lines) + "\n")
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
    (tmp_path / "text.mhd").write_text("hello")
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
    lines = (tmp_path / "scan.mhd").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("CompressedDataSize")]
    (tmp_path / "scan.mhd").write_text("\n".join(lines) + "\n")
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
    text = re.sub("CompressedDataSize = .*", "CompressedDataSize = -many", path.read_text())
    path.write_text(text)
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
