"""NIfTI and NRRD, MR and PET, crops and masks, held to SimpleITK and to numpy written by hand."""

import gzip
import itertools
import locale
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from nodule_lesson.data.ct import AIR, Scan
from nodule_lesson.data.ct.nifti import HEADER

SIZE = (5, 20, 30)  # slices, rows, columns
SPACING = (2.5, 0.7, 0.6)
ORIGIN = (-100.5, 80.25, -300.0)
ENDINGS = ("nii", "nii.gz", "nrrd", "mha")
# Each way in which the axes of an array may lie along those of the patient: 48 matrices.
AXES = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def oblique():
    """A rotation about an axis that is none of the patient's."""
    a, b = 0.3, -0.5
    about_z = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    return np.array(about_z) @ about_x


def volume(axes=None, dtype=np.int16, seed=0):
    array = np.random.default_rng(seed).integers(-1024, 1500, SIZE).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    image.SetDirection((np.eye(3) if axes is None else axes).ravel().tolist())
    return array, image


def place(index, axes):
    """Where a voxel (slice, row, column) is: the equation of the book, by hand."""
    return ORIGIN + axes @ (np.array(SPACING[::-1]) * index[::-1])


# --- both formats are read right -----------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("axes", [np.eye(3), AXES[7], AXES[30], oblique(), oblique() @ AXES[41]])
def test_voxels_are_where_they_were_written(tmp_path, ending, axes):
    array, image = volume(axes)
    path = tmp_path / f"one.two.{ending}"
    sitk.WriteImage(image, str(path))
    scan = Scan.open(path)
    assert scan.size == SIZE and scan.series == "one.two" and scan.modality == "CT"
    np.testing.assert_allclose(scan.spacing, SPACING, atol=1e-6)
    for index in ((0, 0, 0), (4, 19, 29), (2, 5, 17)):
        np.testing.assert_allclose(scan.to_world(index), place(index, axes), atol=1e-3)
        assert scan.to_index(place(index, axes)) == index
    np.testing.assert_array_equal(scan.load(), array)
    assert scan.load().dtype == np.int16
    region, _ = scan.region((1, 3, 4), (2, 5, 6))
    np.testing.assert_array_equal(region, array[1:3, 3:8, 4:10])
    assert scan.streamed == (ending in ("nii", "mha"))


def test_the_same_scan_in_every_format_has_one_geometry(tmp_path):
    _, image = volume(oblique())
    scans = []
    for ending in ENDINGS:
        sitk.WriteImage(image, str(tmp_path / f"scan.{ending}"))
        scans.append(Scan.open(tmp_path / f"scan.{ending}"))
    for scan in scans:
        np.testing.assert_allclose(scan.direction, scans[0].direction, atol=1e-6)
        np.testing.assert_allclose(scan.origin, scans[0].origin, atol=1e-4)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd"])
def test_types_of_voxels(tmp_path, dtype, ending):
    array = np.arange(100, dtype=dtype).reshape(4, 5, 5)
    image = sitk.GetImageFromArray(array)
    sitk.WriteImage(image, str(tmp_path / f"scan.{ending}"))
    np.testing.assert_array_equal(Scan.open(tmp_path / f"scan.{ending}").load(), array)


def test_a_single_slice(tmp_path):
    array, image = volume()
    for ending in ("nii", "nii.gz", "nrrd"):
        sitk.WriteImage(image[:, :, 2:3], str(tmp_path / f"scan.{ending}"))
        scan = Scan.open(tmp_path / f"scan.{ending}")
        np.testing.assert_array_equal(scan.load(), array[2:3])
        np.testing.assert_allclose(
            scan.to_world((0, 0, 0)), place((2, 0, 0), np.eye(3)), atol=1e-4
        )


# --- NIfTI: what the header says -----------------------------------------------------------------

SHORT, FLOAT, BYTE = "<h", "<f", "B"


def nifti(folder, *changes, ending="nii", axes=None):
    """A NIfTI file, of which numbers are changed: (byte, format, values). And its array."""
    array, image = volume(oblique() if axes is None else axes)
    path = folder / "scan.nii"
    sitk.WriteImage(image, str(path))
    data = bytearray(path.read_bytes())
    for start, kind, *values in changes:
        struct.pack_into(kind, data, start, *values)
    if ending == "nii.gz":
        path = folder / "scan.nii.gz"
        data = gzip.compress(data)
    path.write_bytes(data)
    return path, array


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (2, 4)])
def test_either_form_gives_the_place(tmp_path, ending, codes):
    """The other one is empty, or both say the same."""
    empty = {0: (256, "<6f", *[0.0] * 6), 1: (280, "<12f", *[0.0] * 12)}
    changes = [empty[k] for k in range(2) if codes[k] == 0]
    path, array = nifti(tmp_path, (252, "<2h", *codes), *changes, ending=ending)
    scan = Scan.open(path)
    for index in ((0, 0, 0), (4, 19, 29)):
        np.testing.assert_allclose(scan.to_world(index), place(index, oblique()), atol=1e-3)
    np.testing.assert_array_equal(scan.load(), array)


@pytest.mark.parametrize("axes", AXES)
def test_the_quaternion_alone_in_all_positions(tmp_path, axes):
    path, _ = nifti(tmp_path, (252, "<2h", 1, 0), axes=oblique() @ axes)
    index = (4, 3, 29)
    where = place(index, oblique() @ axes)
    np.testing.assert_allclose(Scan.open(path).to_world(index), where, atol=1e-3)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_slope_and_intercept(tmp_path, ending):
    path, array = nifti(tmp_path, (112, "<2f", 2.0, -24.0), ending=ending)
    np.testing.assert_array_equal(Scan.open(path).load(), 2 * array - 24)
    for slope in (0.0, np.nan):  # the standard: nothing is scaled
        path, array = nifti(tmp_path, (112, "<2f", slope, slope), ending=ending)
        np.testing.assert_array_equal(Scan.open(path).load(), array)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_bytes_in_the_other_order_and_an_extension(tmp_path, ending):
    path, array = nifti(tmp_path)
    header = np.frombuffer(path.read_bytes(), HEADER, 1)
    big = bytearray(path.read_bytes()[:352])
    numbers = header.astype(HEADER.newbyteorder(">"))
    numbers["vox_offset"] = 352 + 16
    big[:348] = numbers.tobytes()  # the fields between are 0 here, but for those named
    data = bytes(big) + bytes(16) + array.astype(">i2").tobytes()
    path = tmp_path / f"big.{ending}"
    path.write_bytes(gzip.compress(data) if ending == "nii.gz" else data)
    np.testing.assert_array_equal(Scan.open(path).load(), array)


def test_one_volume_of_a_fourth_dimension_of_one(tmp_path):
    path, array = nifti(tmp_path, (40, "<8h", 4, 30, 20, 5, 1, 1, 1, 1))
    np.testing.assert_array_equal(Scan.open(path).load(), array)


SHEARED = (-0.6, 0.2, 0, 0, 0, -0.7, 0, 0, 0, 0, 2.5, 0)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            [(40, "<8h", 4, 30, 20, 1, 5, 1, 1, 1)],
            "three dimensions, found 4 with 30 x 20 x 1 x 5",
        ),
        ([(40, "<8h", 5, 30, 20, 1, 1, 5, 1, 1)], "three dimensions, found 5"),
        ([(40, "<8h", 2, 30, 20, 5, 1, 1, 1, 1)], "three dimensions, found 2"),
        ([(40, "<8h", 3, 30, -20, 5, 1, 1, 1, 1)], "three dimensions, found 3 with 30 x -20"),
        ([(40, "<8h", 3, 30000, 20, 5, 1, 1, 1, 1)], "no scan is so large"),
        ([(268, "<3f", 9.0, 9.0, 9.0)], "its qform and its sform differ by up to [1-9]"),
        ([(280, "<12f", *SHEARED)], "its qform and its sform differ"),
        ([(252, "<2h", 0, 1), (280, "<12f", *SHEARED)], "right angles, found the steps"),
        ([(252, "<2h", 0, 0)], "qform_code and sform_code are 0"),
        ([(252, "<2h", 1, 0), (80, "<3f", 0.6, np.nan, 2.5)], "finite sizes and places"),
        ([(252, "<2h", 1, 0), (80, "<3f", 0.6, 0.0, 2.5)], "positive spacings"),
        ([(252, "<2h", 0, 1), (80, "<3f", 0.6, 0.7, 1.0)], "understood in two ways"),
        ([(123, "B", 1)], "lengths in mm, found the unit 1"),
        ([(123, "B", 3)], "lengths in mm, found the unit 3"),
        ([(70, "<h", 128)], "one plain number per voxel, found datatype 128"),
        ([(112, "<2f", 0.0, -1024.0)], "scl_inter of -1024, which SimpleITK adds"),
        ([(112, "<2f", 1.0, np.nan)], "finite scl_inter"),
        ([(108, "<f", 0.0)], "voxels behind byte 352"),
        ([(344, "4s", b"ni1\0")], "NIfTI-1 file that holds its voxels"),
        ([(0, "<i", 540)], "NIfTI-1 file that holds its voxels"),
    ],
)
def test_nifti_headers_that_are_refused(tmp_path, change, complaint, ending):
    path, _ = nifti(tmp_path, *change, ending=ending)
    with pytest.raises(ValueError, match=complaint) as caught:
        Scan.open(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_rounding_is_no_difference_of_the_forms(tmp_path):
    path, _ = nifti(tmp_path)
    place = struct.unpack_from("<3f", path.read_bytes(), 268)
    path, _ = nifti(tmp_path, (268, "<3f", place[0] + 0.05, *place[1:]))
    assert Scan.open(path).size == SIZE


def test_nifti_voxels_that_are_missing_or_damaged(tmp_path):
    """SimpleITK returns what memory holds, without a word."""
    path, _ = nifti(tmp_path)
    data = path.read_bytes()
    for wrong, complaint in ((data[:-1], "truncated"), (data + b"0", "longer than its header")):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=complaint):
            Scan.open(path)
    path = tmp_path / "scan.nii.gz"
    packed = gzip.compress(data)
    torn = packed[: len(packed) // 2] + bytes(8) + packed[len(packed) // 2 + 8 :]
    for wrong in (packed[:-40], packed[:-4], torn, gzip.compress(data[:-1])):
        path.write_bytes(wrong)
        # What is torn may be found when SimpleITK reads the header, all else with the voxels.
        with pytest.raises((OSError, ValueError), match="damaged or cut off|SimpleITK cannot"):
            Scan.open(path).load()
    path.write_bytes(gzip.compress(data + bytes(10_000_000)))
    with pytest.raises(OSError, match="not the 6,352 bytes"):
        Scan.open(path).load()
    for nothing in (b"", data[:100], packed[:30], b"text"):
        path.write_bytes(nothing)
        with pytest.raises(ValueError, match="begin with the header of a NIfTI-1 file"):
            Scan.open(path)


# --- NRRD: what the header says ------------------------------------------------------------------


def nrrd(folder, old=None, new=None, compressed=False):
    array, image = volume(oblique())
    path = folder / "scan.nrrd"
    sitk.WriteImage(image, str(path), useCompression=compressed)
    if old is not None:
        head, end, voxels = path.read_bytes().partition(b"\n\n")
        assert old.encode() in head
        path.write_bytes(head.replace(old.encode(), new.encode()) + end + voxels)
    return path, array


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
    ],
)
def test_spaces_of_nrrd(tmp_path, space, signs):
    path, array = nrrd(tmp_path, "left-posterior-superior", space)
    scan = Scan.open(path)
    for index in ((0, 0, 0), (4, 19, 29)):
        where = signs * place(index, oblique())
        np.testing.assert_allclose(scan.to_world(index), where, atol=1e-3)
    np.testing.assert_array_equal(scan.load(), array)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("left-posterior-superior", "scanner-xyz", "LPS, RAS or LAS, found scanner-xyz"),
        ("space: left-posterior-superior", "space dimension: 3", "LPS, RAS or LAS, found none"),
        ("dimension: 3", "dimension: 4", "three dimensions, found 4"),
        ("sizes: 30 20 5", "sizes: 30 20", "three dimensions, found 3 with 30 x 20"),
        ("sizes: 30 20 5", "sizes: 30 20 99999", "no scan is so large"),
        ("space origin", "origin", "1 times three finite numbers as its space origin"),
        ("kinds:", 'space units: "um" "um" "um"\nkinds:', 'in mm, found "um"'),
        ("kinds:", "data file: voxels.raw\nkinds:", "as they are, found the field data file"),
        ("kinds:", "old min: 0\nkinds:", "as they are, found the field old min"),
        ("kinds:", "sizes: 1 1 1\nkinds:", "says twice what its sizes is"),
        ("NRRD0004", "NARD0004", "does not begin with NRRD"),
        ("encoding: raw", "encoding: unheard", "SimpleITK cannot read"),
    ],
)
def test_nrrd_headers_that_are_refused(tmp_path, old, new, complaint):
    path, _ = nrrd(tmp_path, old, new)
    with pytest.raises(ValueError, match=complaint) as caught:
        Scan.open(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("directions", "complaint"),
    [
        ("(0.6,0,0) (0.2,0.7,0) (0,0,2.5)", "right angles"),
        ("(0.6,0,0) (0,0.7,0) (0,1,2.5)", "right angles"),
        ("(0.6,0,0) (0,0,0) (0,0,2.5)", "positive spacings"),
        ("(0.6,0,0) (0,nan,0) (0,0,2.5)", "finite numbers as its space directions"),
        ("none (0,0.7,0) (0,0,2.5)", "finite numbers as its space directions"),
    ],
)
def test_nrrd_axes_that_are_refused(tmp_path, directions, complaint):
    path, _ = nrrd(tmp_path)
    lines = path.read_bytes().split(b"\n")
    start = b"space directions:"
    lines = [start + b" " + directions.encode() if x.startswith(start) else x for x in lines]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=complaint):
        Scan.open(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_nrrd_voxels_that_are_missing(tmp_path, compressed):
    path, _ = nrrd(tmp_path, compressed=compressed)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(OSError, match="cannot be read"):
        Scan.open(path).load()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="header without an end"):
        Scan.open(path)


def test_a_file_of_no_format(tmp_path):
    (tmp_path / "slice.dcm").write_bytes(b"anything")
    with pytest.raises(
        ValueError, match=r"a folder of DICOM slices or end in \.mhd, \.mha, \.nii"
    ):
        Scan.open(tmp_path / "slice.dcm")


# --- MR and PET ----------------------------------------------------------------------------------


def write_series(folder, image, **tags):
    """A DICOM series, a slice a file; a list in tags has a value per slice."""
    folder.mkdir()
    before = locale.setlocale(locale.LC_ALL)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    axes = image.GetDirection()
    for k in range(image.GetDepth()):
        one = image[:, :, k]
        values = {
            "0010|0020": "somebody",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0008|0018": f"1.2.3.4.{k}",
            "0020|0032": "\\".join(
                f"{x:.4f}" for x in image.TransformIndexToPhysicalPoint((0, 0, k))
            ),
            "0020|0037": "\\".join(str(axes[i]) for i in (0, 3, 6, 1, 4, 7)),
        }
        values |= {key: v[k] if isinstance(v, list) else v for key, v in tags.items()}
        for key, value in values.items():
            one.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(one)
    locale.setlocale(locale.LC_ALL, before)  # GDCM sets "C" to write, and leaves it so
    return folder


def test_mr_and_pet_series_by_their_names(tmp_path):
    array, image = volume(dtype=np.int16)
    array, image = array + 2000, image + 2000
    mr = write_series(tmp_path / "mr", image, **{"0008|0060": "MR"})
    scan = Scan.open(mr, modality="MR")
    assert scan.modality == "MR" and scan.load().dtype == np.float32
    np.testing.assert_array_equal(scan.load(), array)
    # Each slice of a PET series has a slope of its own.
    slopes = np.arange(1, SIZE[0] + 1)
    array = slopes[:, None, None] * (array // 10)
    stored = sitk.GetImageFromArray(array.astype(np.int16))
    stored.CopyInformation(image)
    tags = {"0008|0060": "PT", "0028|1052": "0", "0028|1053": [str(slope) for slope in slopes]}
    pet = write_series(tmp_path / "pet", stored, **tags)
    scan = Scan.open(pet, modality="PET")
    np.testing.assert_array_equal(scan.load(), array)
    assert scan.load().dtype == np.float32
    for folder, right, wrong in ((mr, "MR", "CT"), (pet, "PT", "CT"), (mr, "MR", "PET")):
        with pytest.raises(ValueError, match=f"of a {wrong} series, found the modality {right}"):
            Scan.open(folder, modality=wrong)
    with pytest.raises(ValueError, match="one of CT, MR, PET, found 'PT'"):
        Scan.open(mr, modality="PT")


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_of_other_modalities_are_not_rounded_or_cut(tmp_path, ending):
    array = np.linspace(0, 90_000.5, 2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"pet.{ending}"))
    scan = Scan.open(tmp_path / f"pet.{ending}", modality="PET")
    np.testing.assert_array_equal(scan.load(), array)
    region, inside = scan.region((-1, 0, 0), (2, 3, 4))
    assert (region[0] == 0).all() and not inside[0].any() and region.dtype == np.float32
    as_ct = Scan.open(tmp_path / f"pet.{ending}")
    assert as_ct.load().max() == 32_767
    assert (as_ct.region((-1, 0, 0), (1, 3, 4))[0] == AIR).all()


# --- crops and masks -----------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [np.eye(3), AXES[30], oblique()])
def test_a_crop_has_the_point_in_its_middle(tmp_path, axes):
    array, image = volume(axes)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    scan = Scan.open(tmp_path / "scan.nii.gz")
    index = (3, 15, 4)
    crop, first = scan.crop(place(index, axes), (1, 9, 12))
    assert first == (3, 11, -2) and crop.shape == (1, 9, 12)
    assert crop[0, 4, 6] == array[index]
    assert (crop[:, :, :2] == AIR).all()  # outside the volume
    np.testing.assert_array_equal(crop[0, :, 2:], array[3, 11:20, :10])
    with pytest.raises(ValueError, match=r"must lie in .*scan\.nii\.gz, whose corners span"):
        scan.crop(place((-1, 0, 0), axes), (1, 4, 4))


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha"])
@pytest.mark.parametrize("of", ["nii.gz", "nrrd", "mha", "dicom"])
@pytest.mark.parametrize("axes", [AXES[13], oblique() @ AXES[30]])
def test_a_mask_lies_on_its_scan(tmp_path, ending, of, axes):
    """SimpleITK finds the marked voxels at the places that the scan gives them."""
    _, image = volume(axes)
    if of == "dicom":
        tags = {"0008|0060": "CT", "0028|1052": "-1024", "0028|1053": "1"}
        right_handed = axes * [1, 1, np.linalg.det(axes)]  # DICOM knows no other
        _, image = volume(right_handed)
        path = write_series(tmp_path / "series", image, **tags)
    else:
        path = tmp_path / f"scan.{of}"
        sitk.WriteImage(image, str(path))
    scan = Scan.open(path)
    mask = np.zeros(SIZE, int)
    marked = {(0, 0, 0): 1, (4, 19, 29): 2, (2, 5, 17): 300}
    for index, label in marked.items():
        mask[index] = label
    scan.write_mask(tmp_path / f"mask.{ending}", mask)
    read = sitk.ReadImage(str(tmp_path / f"mask.{ending}"))
    assert read.GetSize() == image.GetSize()
    for index, label in marked.items():
        where = image.TransformIndexToPhysicalPoint(index[::-1])
        assert read[read.TransformPhysicalPointToIndex(where)] == label
        there = read.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(there, where, atol=2e-3)
    assert (sitk.GetArrayFromImage(read) > 0).sum() == len(marked)
    assert not list(tmp_path.glob(".part-*"))


def test_masks_that_are_refused(tmp_path):
    array, image = volume()
    path = tmp_path / "scan.nii.gz"
    sitk.WriteImage(image, str(path))
    scan, mask = Scan.open(path), np.zeros(SIZE, bool)
    for name, wrong, complaint in (
        ("scan.nii.gz", mask, "is the scan itself"),
        ("mask.png", mask, r"must end in \.nii\.gz"),
        ("mask.nii", mask[1:], "whole numbers in the scan's shape"),
        ("mask.nii", mask.astype(float), "found float64"),
        ("mask.nii", mask.astype(int) - 1, "in 0..65535, found -1 to -1"),
    ):
        with pytest.raises(ValueError, match=complaint):
            scan.write_mask(tmp_path / name, wrong)
    np.testing.assert_array_equal(Scan.open(path).load(), array)
    assert [file.name for file in tmp_path.iterdir()] == ["scan.nii.gz"]
