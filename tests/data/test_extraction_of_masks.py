"""Scans and masks of one's own to a PatchSet: the layout, the axes, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from test_ct import write_dicom

from nodule_lesson.data.extraction import extract, find_scans
from nodule_lesson.data.patches import PatchSet

SIZE = 32  # of the crops
SPACING = (2.0, 0.5, 0.5)
SHAPE = (24, 96, 96)
LESIONS = (((6, 30, 30), 5), ((17, 70, 66), 7))


def ball(centre, radius):
    """Voxels of a ball; radius in voxels of the plane, a quarter as many slices."""
    k, i, j = np.indices(SHAPE)
    a, b, c = centre
    return (4 * (k - a)) ** 2 + (i - b) ** 2 + (j - c) ** 2 <= radius**2


def images(lesions=LESIONS, *, numbered=True):
    """A scan and its mask, as images in LPS; and both as arrays."""
    hu = np.random.default_rng(0).normal(-850, 20, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    for number, lesion in enumerate(lesions, start=1):
        hu[ball(*lesion)] = 30
        labels[ball(*lesion)] = number if numbered else 1
    result = []
    for array in (hu, labels):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING[::-1])
        image.SetOrigin((-20.0, 15.0, -100.0))
        result.append(image)
    return *result, hu, labels


def write(folder, name, *, axes="LPS", mask_axes=None, ending="nii.gz", **options):
    """A scan and its mask in a folder, each turned."""
    folder.mkdir(parents=True, exist_ok=True)
    scan, mask, hu, labels = images(**options)
    sitk.WriteImage(sitk.DICOMOrient(scan, axes), str(folder / f"{name}.{ending}"))
    mask = sitk.DICOMOrient(mask, mask_axes or axes)
    sitk.WriteImage(mask, str(folder / f"{name}_mask.nii.gz"))
    return hu, labels


def the_reason(folder, out):
    """Why the one scan in a folder gives no crop."""
    with pytest.raises(ValueError, match="none of 1 scans gave a crop"):
        extract(folder, out, outlines="masks", size=SIZE, workers=1)


@pytest.mark.parametrize(
    ("axes", "mask_axes", "ending", "numbered"),
    [("LPS", "LPS", "nii.gz", True), ("RAI", "LPS", "nrrd", False), ("ASR", "RPI", "mha", True)],
)
def test_crops_are_upright_whatever_the_order_of_axes(tmp_path, axes, mask_axes, ending, numbered):
    folder = tmp_path / "scans"
    options = {"mask_axes": mask_axes, "ending": ending, "numbered": numbered}
    hu, labels = write(folder / "ann", "chest", axes=axes, **options)
    found = extract(folder, tmp_path / "out", outlines="masks", size=SIZE, workers=1)
    assert set(found.slices["patient"]) == {"ann"} and set(found.slices["scan"]) == {"ann/chest"}
    assert found.slices["row_mm"] == pytest.approx(0.5)
    for nodule, (centre, radius) in zip("12", LESIONS, strict=True):
        mine = found.slices["nodule"] == nodule
        depth = found.slices["slice"][mine]
        assert depth.tolist() == list(range(depth[0], depth[-1] + 1))
        own = ball(centre, radius)
        box = (slice(depth[0], depth[-1] + 1), *(slice(c - 16, c + 16) for c in centre[1:]))
        np.testing.assert_array_equal(found.images[mine], hu[box])
        np.testing.assert_array_equal(found.masks[mine], own[box])
        np.testing.assert_array_equal(found.slices["has_nodule"][mine], own[box].any((1, 2)))
        widest = own.sum((1, 2)).max() * 0.25
        np.testing.assert_allclose(found.slices["diameter"][mine], 2 * np.sqrt(widest / np.pi))
    assert (labels > 0).sum() == found.masks.sum()


def test_patients_are_folders_and_names_may_repeat(tmp_path):
    folder = tmp_path / "scans"
    for patient in ("ann", "bob"):
        write(folder / patient / "visit 1", "chest", lesions=LESIONS[:1])
    write(folder, "alone", lesions=LESIONS[:1])
    scan, mask, *_ = images(LESIONS[:1])
    write_dicom(folder / "eve" / "series", scan)
    sitk.WriteImage(mask, str(folder / "eve" / "series_mask.nrrd"))
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a_mask.nii").write_bytes(b"of a run that was killed")
    places = [path.relative_to(folder).as_posix() for path in find_scans(folder, "masks")]
    assert places == [
        "alone.nii.gz",
        "ann/visit 1/chest.nii.gz",
        "bob/visit 1/chest.nii.gz",
        "eve/series",
    ]
    found = extract(folder, tmp_path / "out", outlines="masks", size=SIZE, workers=1)
    pairs = {*zip(found.slices["patient"], found.slices["scan"], strict=True)}
    assert pairs == {
        ("alone", "alone"),
        ("ann", "ann/visit 1/chest"),
        ("bob", "bob/visit 1/chest"),
        ("eve", "eve/series"),
    }


def test_a_mask_that_changes_is_read_again(tmp_path, capsys):
    folder = tmp_path / "scans"
    write(folder, "chest", lesions=LESIONS[:1])
    settings = {"outlines": "masks", "size": SIZE, "workers": 1}
    one = extract(folder, tmp_path / "out", **settings)
    extract(folder, tmp_path / "out", **settings)
    assert "up to date" in capsys.readouterr().out
    write(folder, "chest")
    two = extract(folder, tmp_path / "out", **settings)
    assert set(one.slices["nodule"]) == {"1"} and set(two.slices["nodule"]) == {"1", "2"}


def test_masks_that_do_not_fit_their_scan(tmp_path, capsys):
    folder = tmp_path / "scans"
    write(folder, "chest")
    path = folder / "chest_mask.nii.gz"
    mask = sitk.ReadImage(str(path))
    moved = sitk.Image(mask)
    moved.SetOrigin((-19.0, 15.0, -100.0))
    for wrong, complaint in (
        (moved, "up to 1.0 mm away"),
        (mask[1:, :, :], "voxels at the same places"),
        (mask * 0, "mark each nodule with a number above 0, found 0 to 0"),
        (sitk.Cast(mask, sitk.sitkInt16) * -1, "found -2 to 0"),
    ):
        sitk.WriteImage(wrong, str(path))
        the_reason(folder, tmp_path / "out")
        assert complaint in capsys.readouterr().out
    gap = sitk.GetArrayFromImage(mask)
    gap[6] = 0
    gap = sitk.GetImageFromArray(gap)
    gap.CopyInformation(mask)
    sitk.WriteImage(gap, str(path))
    found = extract(folder, tmp_path / "out", outlines="masks", size=SIZE, workers=1)
    assert set(found.slices["nodule"]) == {"2"}
    assert "missing in a slice between two others" in capsys.readouterr().out


def test_folders_that_are_laid_out_otherwise(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"no mask: no file such as NAME_mask\.nii\.gz"):
        find_scans(folder, "masks")
    write(folder, "chest")
    (folder / "chest.nii.gz").rename(folder / "other.nii.gz")
    with pytest.raises(ValueError, match="chest_mask.nii.gz must have one scan .* found 0"):
        find_scans(folder, "masks")
    for ending in ("nii.gz", "mha"):
        write(folder, "chest", ending=ending)
    with pytest.raises(ValueError, match="must have one scan beside it, .* found 2"):
        find_scans(folder, "masks")
    (folder / "chest.mha").unlink()
    sitk.WriteImage(images()[1], str(folder / "chest_mask.nrrd"))
    with pytest.raises(ValueError, match="has two masks beside it"):
        find_scans(folder, "masks")


def test_the_command(tmp_path):
    write(tmp_path / "scans" / "ann", "chest")
    command = [sys.executable, "-m", "nodule_lesson.data.extraction", "--masks", "--workers", "1"]
    command += ["--size", str(SIZE), str(tmp_path / "scans"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 scans in")
    assert set(PatchSet.open(tmp_path / "out").slices["patient"]) == {"ann"}
