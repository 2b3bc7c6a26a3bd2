"""From a point to an outline: SimpleITK reads the masks back, and turns the scans.

Where a network would hide what is tested, a threshold takes its place.
"""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from nodule_lesson import segment
from nodule_lesson.data.ct import Scan
from nodule_lesson.data.phantom import simulate_scan
from nodule_lesson.networks import load_pretrained
from nodule_lesson.networks.detection_guided import Output

# Which ends of the patient columns, rows and slices go to: axial, mirrored, coronal, sagittal.
TURNED = ("LPS", "RPS", "RAS", "LPI", "RAI", "LIP", "ASR", "PIL")


class Threshold(nn.Module):
    """Marks what is brighter than a half; it has a parameter, as networks have, and no c."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))
        self.seen = []

    def forward(self, image):
        self.seen.append(image[0, 0].numpy())
        mask = (image > self.level).float()
        return Output(mask, mask, mask)


@pytest.fixture(scope="module")
def simulated():
    """A simulated scan as an image in LPS, where its largest nodule is, and the readers' mask."""
    scan = simulate_scan("luna_like", 1)
    image = sitk.GetImageFromArray(scan.hu)
    image.SetSpacing(scan.spacing[::-1])
    image.SetOrigin((-57.0, 31.5, -203.25))
    nodule = max(scan.nodules, key=lambda nodule: nodule["diameter"])
    point = image.TransformIndexToPhysicalPoint(nodule["index"][::-1])
    return image, point, scan.masks()


@pytest.fixture(scope="module")
def network():
    return load_pretrained("slim-real")


def places(path):
    """The points of a mask that are marked, as SimpleITK finds them, in a fixed order."""
    mask = sitk.ReadImage(str(path))
    marked = np.argwhere(sitk.GetArrayFromImage(mask) > 0)[:, ::-1]
    points = [mask.TransformIndexToPhysicalPoint(index) for index in marked.tolist()]
    return np.array(sorted(np.round(points, 2).tolist()))


# --- on simulated scans, turned ------------------------------------------------------------------


@pytest.mark.parametrize("axes", TURNED)
def test_a_turned_scan_has_the_same_outline_at_the_same_place(tmp_path, simulated, network, axes):
    image, point, truth = simulated
    sitk.WriteImage(image, str(tmp_path / "plain.nii.gz"))
    sitk.WriteImage(sitk.DICOMOrient(image, axes), str(tmp_path / "turned.nii.gz"))
    found = {}
    for name in ("plain", "turned"):
        scan = Scan.open(tmp_path / f"{name}.nii.gz")
        found[name] = segment.outline(scan, point, network)
        scan.write_mask(tmp_path / f"{name}.nrrd", segment.label_map(scan, [found[name]]))
    plain, turned = found["plain"], found["turned"]
    assert turned.c == pytest.approx(plain.c) and turned.area == pytest.approx(plain.area)
    np.testing.assert_allclose(
        places(tmp_path / "turned.nrrd"), places(tmp_path / "plain.nrrd"), atol=0.02
    )
    # And it is the nodule: the readers' mask in that slice, in the array of the plain scan.
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "plain.nrrd"))) > 0
    (k,) = np.flatnonzero(mask.any((1, 2)))
    assert 2 * (mask[k] & truth[k]).sum() / (mask[k].sum() + truth[k].sum()) > 0.7
    row_mm, column_mm = image.GetSpacing()[1::-1]
    assert plain.area == pytest.approx(mask.sum() * row_mm * column_mm)
    assert plain.diameter == pytest.approx(np.sqrt(4 * plain.area / np.pi))


def test_an_oblique_scan(tmp_path, simulated, network):
    """The head was held askew: scan and point are turned together, and the outline with them."""
    image, point, _ = simulated
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.1, 0.3)
    axes = np.reshape(turn.GetMatrix(), (3, 3))
    askew = sitk.Image(image)
    askew.SetDirection(axes.ravel().tolist())
    askew.SetOrigin(turn.TransformPoint(image.GetOrigin()))
    for name, one in (("plain", image), ("askew", askew)):
        sitk.WriteImage(one, str(tmp_path / f"{name}.nii.gz"))
    there = turn.TransformPoint(point)
    plain = segment.outline(Scan.open(tmp_path / "plain.nii.gz"), point, network)
    scan = Scan.open(tmp_path / "askew.nii.gz")
    found = segment.outline(scan, there, network)
    assert found.area == pytest.approx(plain.area)
    np.testing.assert_array_equal(found.mask, plain.mask)
    scan.write_mask(tmp_path / "mask.nii.gz", segment.label_map(scan, [found]))
    mask = sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    assert mask[mask.TransformPhysicalPointToIndex(there)] == 1


# --- one slice through a scan of our own ---------------------------------------------------------


def discs(folder, *, turn="LPS", spacing=(2.0, 0.7, 0.6), hole=False):
    """Two bright discs in slice 3 of 7, the scan turned and written; a point in the first."""
    size = (7, 150, 160)
    row, column = np.indices(size[1:])
    array = np.full(size, -900, np.int16)
    for r, c in ((60, 50), (60, 90)):
        array[3][np.hypot(row - r, column - c) < 8] = 40
    if hole:
        array[3, 59:62, 49:52] = -900
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin((10.0, -20.0, 30.0))
    sitk.WriteImage(sitk.DICOMOrient(image, turn), str(folder / "discs.nii.gz"))
    return Scan.open(folder / "discs.nii.gz"), image.TransformIndexToPhysicalPoint((50, 60, 3))


@pytest.mark.parametrize("turn", TURNED)
def test_only_the_part_at_the_point_is_kept(tmp_path, turn):
    scan, point = discs(tmp_path, turn=turn)
    network = Threshold().eval()
    found = segment.outline(scan, point, network)
    pixels = np.hypot(*np.indices((41, 41)) - 20) < 8
    assert found.c is None and found.area == pytest.approx(pixels.sum() * 0.7 * 0.6)
    labels = segment.label_map(scan, [found])
    assert labels.shape == scan.size and labels.sum() == pixels.sum()
    # Whatever the order of its axes, the network sees the same slice.
    upright = Threshold().eval()
    segment.outline(discs(tmp_path)[0], point, upright)
    np.testing.assert_array_equal(network.seen[0], upright.seen[0])
    assert network.seen[0][64, 64] == 1 and network.seen[0].shape == (128, 128)


def test_a_point_beside_or_far_from_what_is_marked(tmp_path):
    scan, (x, y, z) = discs(tmp_path, hole=True)
    network = Threshold().eval()
    ring = segment.outline(scan, (x, y, z), network)  # the point is in the hole
    assert ring.area == pytest.approx(
        (((np.hypot(*np.indices((41, 41)) - 20) < 8).sum()) - 9) * 0.42
    )
    assert segment.outline(scan, (x, y - 8 * 0.7 - 4, z), network).area == ring.area
    nothing = segment.outline(scan, (x, y - 8 * 0.7 - 6, z), network)
    assert (nothing.area, nothing.diameter, nothing.mask.any()) == (0, 0, False)
    assert str(nothing).endswith("mm: nothing outlined within 5 mm")
    assert not segment.label_map(scan, [nothing]).any()


def test_where_two_outlines_overlap_the_first_stays(tmp_path):
    scan, (x, y, z) = discs(tmp_path)
    both = [segment.outline(scan, (x + dx, y, z), Threshold().eval()) for dx in (0, 1.2, 24)]
    assert both[0].area == both[1].area
    labels = segment.label_map(scan, both)
    assert sorted(set(labels.ravel())) == [0, 1, 3] and labels.dtype == np.uint8
    assert len(set(np.unique(segment.label_map(scan, both * 90)))) == 3
    assert segment.label_map(scan, both * 90).dtype == np.uint16


def test_outside_the_scan_there_is_its_lowest_value_and_no_mask(tmp_path):
    """A pad of -1000 HU would change the scaling of a scan that begins at another number."""
    array = np.full((1, 40, 40), 500, np.int16)
    array[0, :8, :8] = 700
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.6, 0.6, 1.0))
    sitk.WriteImage(image, str(tmp_path / "corner.nrrd"))
    scan, network = Scan.open(tmp_path / "corner.nrrd"), Threshold().eval()
    found = segment.outline(scan, (0, 0, 0), network)
    assert found.area == pytest.approx(64 * 0.36)
    assert (network.seen[0][64:72, 64:72] == 1).all() and network.seen[0].sum() == 64

    class Everything(Threshold):
        def forward(self, image):
            return Output(*[torch.ones_like(image)] * 3)

    found = segment.outline(scan, (0, 0, 0), Everything().eval())
    assert segment.label_map(scan, [found]).all() and found.mask.sum() == 1600


def test_a_window_in_the_place_of_min_max_scaling(tmp_path):
    scan, point = discs(tmp_path)
    network = Threshold().eval()
    segment.outline(scan, point, network, normalise=(-1000, 600))
    np.testing.assert_allclose(np.unique(network.seen[0]), [100 / 1600, 1040 / 1600])


def test_what_is_refused_and_what_is_warned_of(tmp_path, network):
    scan, point = discs(tmp_path)
    with pytest.raises(
        ValueError, match="must lie in .*, whose corners span 10.0 to 105.4, -20.0 to 84.3"
    ):
        segment.outline(scan, (0, 0, 0), network)
    with pytest.raises(ValueError, match="evaluation mode"):
        segment.outline(scan, point, Threshold())
    with pytest.raises(ValueError, match="window"):
        segment.outline(scan, point, network, normalise="scan")
    mr = Scan.open(scan.path, modality="MR")
    with pytest.raises(ValueError, match="know CT alone, found MR"):
        segment.outline(mr, point)
    assert segment.outline(mr, point, Threshold().eval()).area > 0
    wide, point = discs(tmp_path, spacing=(2.0, 1.4, 1.4))
    with pytest.warns(UserWarning, match=r"pixels of 1\.40 x 1\.40 mm"):
        segment.outline(wide, point, network)


# --- the command ---------------------------------------------------------------------------------


def test_the_command_says_numbers_and_writes_a_mask(tmp_path, simulated, capsys):
    image, (x, y, z), _ = simulated
    sitk.WriteImage(sitk.DICOMOrient(image, "ASR"), str(tmp_path / "scan.nii.gz"))
    out = tmp_path / "new" / "mask.nii.gz"
    segment.main([str(tmp_path / "scan.nii.gz"), "--at", *map(str, (x, y, z)), "--out", str(out)])
    said = capsys.readouterr().out
    mask = sitk.ReadImage(str(out))
    assert mask[mask.TransformPhysicalPointToIndex((x, y, z))] == 1
    area = sitk.GetArrayFromImage(mask).sum() * np.prod(image.GetSpacing()[:2])
    assert f"({x:.1f}, {y:.1f}, {z:.1f}) mm: c 0." in said or "mm: c 1.00" in said
    assert f"area {area:.1f} mm2, diameter {2 * np.sqrt(area / np.pi):.1f} mm" in said
    assert "Points are in LPS" in said and "not for clinical use" in said
    # The same point as 3D Slicer shows it.
    again = tmp_path / "again.nrrd"
    there = map(str, (-x, -y, z))
    segment.main([str(tmp_path / "scan.nii.gz"), "--at", *there, "--ras", "--out", str(again)])
    assert capsys.readouterr().out.splitlines()[0] == said.splitlines()[0]
    np.testing.assert_array_equal(places(again), places(out))


def test_the_command_takes_many_points(tmp_path, simulated, capsys):
    image, (x, y, z), _ = simulated
    sitk.WriteImage(image, str(tmp_path / "scan.mha"))
    table = tmp_path / "points.csv"
    table.write_text(f"\ufeffname,x,y,z\na,{x},{y},{z}\nb,{x},{y},{z + 3.0}\n", encoding="utf-8")
    arguments = [str(tmp_path / "scan.mha"), "--points", str(table)]
    segment.main([*arguments, "--weights", "slim", "--out", str(tmp_path / "mask.mha")])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines[:2]] == ["1:", "2:"] and len(lines) == 3
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.mha")))
    assert set(np.unique(labels)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b,c\n1,2,3\n", "must have the columns x, y and z with commas between, found"),
        ("x;y;z\n1;2;3\n", "with commas between"),
        ("x,y,z\n1,2,3\n1,2,\n", "numbers in x, y and z, not so in row 3"),
        ("x,y,z\n1,2\n", "not so in row 2"),
        ("x,y,z\n", "a row for each point, found none"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, complaint):
    (tmp_path / "points.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        segment.read_points(tmp_path / "points.csv")


def test_errors_of_the_command_are_one_line(tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"nothing")
    rest = ["--at", "-1.5", "2", "-3", "--out", str(tmp_path / "mask.nii")]
    with pytest.raises(SystemExit, match=r"nodule_lesson\.segment: .*missing\.nii is neither"):
        segment.main([str(tmp_path / "missing.nii"), *rest])
    command = [sys.executable, "-m", "nodule_lesson.segment", str(tmp_path / "scan.nii"), *rest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("python -m nodule_lesson.segment: ") and not done.stdout
    assert not (tmp_path / "mask.nii").exists()
