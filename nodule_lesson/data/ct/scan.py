"""A scan on the disk, of which the header is read at once and the voxels on demand."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nodule_lesson.data.ct import dicom, metaimage

AIR = -1000  # HU


@dataclass(frozen=True)
class Scan:
    """A CT volume on the disk, of which only the header has been read: `Scan.open(path)`.

    path: a .mhd file, or a folder of DICOM slices. files: the header, or the DICOM files in the
    order of their slices. size: (slices, rows, columns). spacing: millimetres between two slices,
    rows, columns. origin: the world point (x, y, z) of the first voxel. direction: the nine
    direction cosines in SimpleITK's order. slice_places: distance of each slice from the first, in
    millimetres, perpendicular to the slices; DICOM states them rounded, so they may deviate from
    an even grid by a tenth of a millimetre. streamed: whether a region can be read without the
    rest. series: the UID of the DICOM series, or the name of the .mhd file, which is the UID in
    LUNA16. patient: the DICOM patient ID, "" if unknown.
    """

    path: Path
    files: tuple
    size: tuple
    spacing: tuple
    origin: tuple
    direction: tuple
    slice_places: tuple
    streamed: bool
    series: str
    patient: str = ""

    @classmethod
    def open(cls, path):
        """Read the header, and check that the voxels it describes are there.

        Raises FileNotFoundError for a missing file. Raises ValueError for a volume that is
        truncated or absurdly large, a spacing that is not a positive number, axes that are not at
        right angles, another modality than CT, and intensities that are not HU; in DICOM also for
        several series, files of many frames, slices that cannot be read, and slices that are
        missing, duplicate, unevenly spaced, rotated, shifted (a tilted gantry) or of another
        patient.
        """
        path = Path(path)
        if path.is_dir():
            return cls(path=path, **dicom.read_header(path))
        if not path.is_file():
            raise FileNotFoundError(f"{path} is neither a file nor a folder.")
        return cls(path=path, **metaimage.read_header(path))

    # --- coordinates -----------------------------------------------------------------------------

    @cached_property
    def _geometry(self):
        """An image of one voxel with the scan's geometry: SimpleITK's transforms need no more."""
        image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
        image.SetSpacing(self.spacing[::-1])
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    @cached_property
    def _deviations(self):
        """The distance of each slice from its place on the even grid, in steps of the grid."""
        return np.array(self.slice_places) / self.spacing[0] - np.arange(self.size[0])

    def to_index(self, world):
        """The (slice, row, column) of the voxel that holds the point (x, y, z) in millimetres.

        It may lie outside the volume, see `contains`. The slice is the one whose own position,
        `slice_places`, is nearest to the point.
        """
        world = _three(world, "world")
        depth, *plane = self._geometry.TransformPhysicalPointToContinuousIndex(world)[::-1]
        depth -= np.interp(depth, np.arange(self.size[0]) + self._deviations, self._deviations)
        return tuple(int(np.floor(i + 0.5)) for i in (depth, *plane))

    def to_world(self, index):
        """The point (x, y, z) in millimetres of a (slice, row, column), also between voxels."""
        depth, *plane = _three(index, "index")
        depth += np.interp(depth, np.arange(self.size[0]), self._deviations)
        return self._geometry.TransformContinuousIndexToPhysicalPoint((*plane[::-1], depth))

    def contains(self, index):
        """Whether a (slice, row, column) is a voxel of the volume."""
        return all(0 <= i < n for i, n in zip(index, self.size, strict=True))

    # --- intensities -----------------------------------------------------------------------------

    def region(self, first, size, *, pad=AIR):
        """The HU of a box, and which of its voxels lie inside the volume.

        first: (slice, row, column) of its first voxel, which may lie outside. size: (slices, rows,
        columns), at least 1 each. pad: HU outside the volume. Returns two arrays of the shape
        `size`, int16 and bool; HU beyond the range of int16 are clipped to it. Only the box is
        read if the format allows it (`streamed`): of DICOM the slices of the box; a compressed
        volume is read completely, once. Raises ValueError for other arguments and for voxels that
        are not finite, OSError if the file cannot be read.
        """
        first, size = (_whole_three(v, n) for v, n in ((first, "first"), (size, "size")))
        if min(size) < 1:
            raise ValueError(f"size must be at least 1 in every direction, found {size}.")
        result = np.full(size, pad, np.int16)
        inside = np.zeros(size, bool)
        low = [max(0, f) for f in first]
        high = [min(n, f + s) for f, s, n in zip(first, size, self.size, strict=True)]
        if all(a < b for a, b in zip(low, high, strict=True)):
            box = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))
            result[box] = self._read(low, high)
            inside[box] = True
        return result, inside

    def load(self):
        """The whole volume in HU, int16, (slices, rows, columns)."""
        return self.region((0, 0, 0), self.size)[0]

    def _read(self, low, high):
        if not self.streamed:
            return self._whole[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        if len(self.files) > 1:
            files = self.files[low[0] : high[0]]
            return np.stack([self._extract(f, [0, *low[1:]], [1, *high[1:]])[0] for f in files])
        return self._extract(self.files[0], low, high)

    def _extract(self, file, low, high):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("MetaImageIO" if file == self.path else "GDCMImageIO")
        reader.SetFileName(str(file))
        reader.SetExtractIndex([int(a) for a in low[::-1]])
        reader.SetExtractSize([int(b - a) for a, b in zip(low, high, strict=True)][::-1])
        try:
            voxels = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise OSError(f"{file} cannot be read: {_last_line(error)}") from error
        return _to_int16(file, voxels)

    @cached_property
    def _whole(self):
        return _to_int16(self.path, metaimage.inflate(self.path))


def _to_int16(file, voxels):
    if not np.isfinite(voxels).all():
        raise ValueError(f"{file} has voxels that are no finite numbers.")
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(voxels), limits.min, limits.max).astype(np.int16)


def resample(scan, spacing):
    """The whole scan on another grid: HU (slices, rows, columns) int16, and the new spacing.

    spacing: millimetres between (slices, rows, columns). SimpleITK interpolates linearly; the
    first voxel stays where it is, and outside the volume there is air. Nothing else in this
    package resamples: a crop has the voxels of the scanner.
    """
    spacing = _three(spacing, "spacing")
    if not min(spacing) > 0:
        raise ValueError(f"spacing must be positive millimetres, found {spacing}.")
    image = sitk.GetImageFromArray(scan.load().astype(np.float32))
    image.SetSpacing(scan.spacing[::-1])
    sides = zip(scan.size, scan.spacing, spacing, strict=True)
    size = [max(1, round(n * old / new)) for n, old, new in sides]
    new = sitk.Resample(
        image, size[::-1], sitk.Transform(), sitk.sitkLinear, (0.0, 0.0, 0.0), spacing[::-1],
        image.GetDirection(), AIR,
    )  # fmt: skip
    return np.rint(sitk.GetArrayFromImage(new)).astype(np.int16), spacing


def _last_line(error):
    """The last line of ITK's message, which names the error; a file and an address precede it."""
    return str(error).strip().splitlines()[-1].strip()


def _three(values, name):
    values = tuple(float(v) for v in values)
    if len(values) != 3 or not np.isfinite(values).all():
        raise ValueError(f"{name} must be three finite numbers, found {values}.")
    return values


def _whole_three(values, name):
    values = tuple(values)
    if len(values) != 3 or any(int(v) != v for v in values):
        raise ValueError(f"{name} must be three whole numbers, found {values}.")
    return tuple(int(v) for v in values)
