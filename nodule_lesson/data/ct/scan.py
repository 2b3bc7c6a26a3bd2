"""A scan on the disk, of which the header is read at once and the voxels on demand."""

import itertools
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk

from nodule_lesson.data.ct import dicom, itk, metaimage, nifti, nrrd

AIR = -1000  # HU
MODALITIES = ("CT", "MR", "PET")
ENDINGS = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd")
MASK_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")  # formats of one file


@dataclass(frozen=True)
class Scan:
    """A volume on the disk, of which only the header has been read: `Scan.open(path)`.

        scan = Scan.open("chest.nii.gz")
        voxels, first = scan.crop((-57.5, 12.0, -203.8), (1, 128, 128))  # x, y, z in mm

    path: a file, or a folder of DICOM slices. files: the header, or the DICOM files in the order
    of their slices. size: (slices, rows, columns). spacing: millimetres between two slices,
    rows, columns. origin: the world point (x, y, z) of the first voxel. direction: the nine
    direction cosines in SimpleITK's order. slice_places: distance of each slice from the first,
    in millimetres, perpendicular to the slices; DICOM states them rounded, so they may deviate
    from an even grid by a tenth of a millimetre. streamed: whether a region can be read without
    the rest. image_io: SimpleITK's name of the format. series: the UID of the DICOM series, or
    the name of the file, which is the UID in LUNA16. patient: the DICOM patient ID, "" if
    unknown. modality: "CT", "MR" or "PET".

    World points are in LPS, whatever the format: x grows to the patient's left, y to the back, z
    to the head. A point in RAS, such as nibabel and 3D Slicer give it, is (-x, -y, z) here.
    """

    path: Path
    files: tuple
    size: tuple
    spacing: tuple
    origin: tuple
    direction: tuple
    slice_places: tuple
    streamed: bool
    image_io: str
    series: str
    patient: str = ""
    modality: str = "CT"

    @classmethod
    def open(cls, path, *, modality="CT"):
        """Read the header, and check that the voxels it describes are there.

            scan = Scan.open("chest.nii.gz")
            brain = Scan.open("T1.nrrd", modality="MR")

        path: a folder of DICOM slices, or a file that ends in .mhd, .mha, .nii, .nii.gz or .nrrd.
        modality: what the file must hold, "CT", "MR" or "PET". A NIfTI or NRRD file does not say
        what it holds, and is taken for that.

        Raises FileNotFoundError for a missing file. Raises ValueError for a volume that is
        truncated or absurdly large, for more or fewer than three dimensions, a spacing that is not
        a positive number, axes that are not at right angles (turned axes are read), another
        modality, and CT intensities that are not HU; in DICOM also for several series, files of
        many frames, slices that cannot be read, and slices that are missing, duplicate, unevenly
        spaced, rotated, shifted (a tilted gantry) or of another patient; in NIfTI for a qform and
        a sform that differ by more than 0.1 mm, or none of them; in NRRD for another space than
        LPS, RAS or LAS.
        """
        path = Path(path)
        if modality not in MODALITIES:
            raise ValueError(
                f"modality must be one of {', '.join(MODALITIES)}, found {modality!r}."
            )
        if path.is_dir():
            return cls(path=path, modality=modality, **dicom.read_header(path, modality))
        if not path.is_file():
            raise FileNotFoundError(f"{path} is neither a file nor a folder.")
        name = path.name.lower()
        if not name.endswith(ENDINGS):
            raise ValueError(
                f"{path} must be a folder of DICOM slices or end in {', '.join(ENDINGS)}."
            )
        if name.endswith((".nii", ".nii.gz")):
            fields = nifti.read_header(path)
        elif name.endswith(".nrrd"):
            fields = nrrd.read_header(path)
        else:
            fields = metaimage.read_header(path, modality)
        return cls(path=path, modality=modality, **fields)

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

    def region(self, first, size, *, pad=None):
        """The intensities of a box, and which of its voxels lie inside the volume.

        first: (slice, row, column) of its first voxel, which may lie outside. size: (slices, rows,
        columns), at least 1 each. pad: the value outside the volume, None for air (-1000 HU) in CT
        and 0 in others. Returns two arrays of the shape `size`. The first is int16 for CT, in HU,
        of which those beyond the range of int16 are clipped to it, and float32 for others, whose
        unit is that of the file. The second is bool. Only the box is read if the format allows it
        (`streamed`): of DICOM the slices of the box; a compressed volume is read completely, once.
        Raises ValueError for other arguments and for voxels that are not finite, OSError if the
        file cannot be read.
        """
        first, size = (_whole_three(v, n) for v, n in ((first, "first"), (size, "size")))
        if min(size) < 1:
            raise ValueError(f"size must be at least 1 in every direction, found {size}.")
        if pad is None:
            pad = AIR if self.modality == "CT" else 0
        result = np.full(size, pad, np.int16 if self.modality == "CT" else np.float32)
        inside = np.zeros(size, bool)
        low = [max(0, f) for f in first]
        high = [min(n, f + s) for f, s, n in zip(first, size, self.size, strict=True)]
        if all(a < b for a, b in zip(low, high, strict=True)):
            box = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))
            result[box] = self._read(low, high)
            inside[box] = True
        return result, inside

    def crop(self, point, size, *, pad=None):
        """The box of voxels around a point, and the index of its first voxel.

            voxels, first = scan.crop((-57.5, 12.0, -203.8), (5, 64, 64))
            voxels[2, 32, 32]  # the voxel that holds the point

        point: (x, y, z) in mm, LPS, inside the volume. size: (slices, rows, columns); the voxel
        that holds the point is number size // 2 along each axis. pad: as in `region`. Returns an
        array of the shape `size` and (slice, row, column). Raises ValueError for a point outside
        the volume, and as `region`.
        """
        index = self.index_inside(point)
        size = _whole_three(size, "size")
        first = tuple(i - n // 2 for i, n in zip(index, size, strict=True))
        return self.region(first, size, pad=pad)[0], first

    def index_inside(self, point):
        """`to_index` of a point inside the volume. Raises ValueError for a point outside."""
        index = self.to_index(point)
        if not self.contains(index):
            corners = itertools.product(*((0, n - 1) for n in self.size))
            places = np.array([self.to_world(corner) for corner in corners]).T
            spans = ", ".join(f"{axis.min():.1f} to {axis.max():.1f}" for axis in places)
            x, y, z = point
            raise ValueError(
                f"the point ({x:g}, {y:g}, {z:g}) must lie in {self.path}, whose corners span "
                f"{spans} mm in LPS: x to the left, y to the back, z to the head."
            )
        return index

    def load(self):
        """The whole volume, (slices, rows, columns): for CT int16 in HU, for others float32."""
        return self.region((0, 0, 0), self.size)[0]

    def _read(self, low, high):
        if not self.streamed:
            return self._whole[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        if len(self.files) > 1:
            files = self.files[low[0] : high[0]]
            return np.stack([self._extract(f, [0, *low[1:]], [1, *high[1:]])[0] for f in files])
        return self._extract(self.files[0], low, high)

    def _extract(self, file, low, high):
        return self._as_stored(file, itk.read(file, self.image_io, low, high))

    @cached_property
    def _whole(self):
        # Of damaged voxels SimpleITK returns what memory holds, in these two formats.
        inflate = {"MetaImageIO": metaimage.inflate, "NiftiImageIO": nifti.inflate}
        if self.image_io in inflate:
            return self._as_stored(self.path, inflate[self.image_io](self.path))
        return self._as_stored(self.path, itk.read(self.path, self.image_io))

    def _as_stored(self, file, voxels):
        """The voxels as `region` returns them."""
        if not np.isfinite(voxels).all():
            raise ValueError(f"{file} has voxels that are no finite numbers.")
        if self.modality != "CT":
            return voxels.astype(np.float32)
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(voxels), limits.min, limits.max).astype(np.int16)

    # --- masks -----------------------------------------------------------------------------------

    def write_mask(self, path, mask):
        """Write a mask or a label map in the geometry of the scan, completely or not at all.

            scan.write_mask("dense.nii.gz", scan.load() > 200)

        path: a file that ends in .nii.gz, .nii, .nrrd or .mha; an existing one is replaced. mask:
        (slices, rows, columns) as `size`, whole numbers from 0 to 65,535. A viewer such as 3D
        Slicer or ITK-SNAP shows it where the scan is. Raises ValueError for other arguments, and
        for a path that is the scan itself.
        """
        path, mask = Path(path), np.asarray(mask)
        if not path.name.lower().endswith(MASK_ENDINGS):
            raise ValueError(f"{path} must end in {', '.join(MASK_ENDINGS)}.")
        if path.resolve() in {file.resolve() for file in (self.path, *self.files)}:
            raise ValueError(f"{path} is the scan itself: give the mask another name.")
        if mask.shape != self.size or mask.dtype.kind not in "biu":
            raise ValueError(
                f"mask must hold whole numbers in the scan's shape {self.size}, found "
                f"{mask.dtype} of {mask.shape}."
            )
        if mask.min() < 0 or mask.max() > 65_535:
            raise ValueError(f"mask must lie in 0..65535, found {mask.min()} to {mask.max()}.")
        image = sitk.GetImageFromArray(mask.astype(np.uint8 if mask.max() < 256 else np.uint16))
        image.SetSpacing(self.spacing[::-1])
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".part-", dir=path.parent) as scratch:
            whole = Path(scratch) / path.name
            sitk.WriteImage(image, str(whole), useCompression=True)
            os.replace(whole, path)


def resample(scan, spacing):
    """The whole scan on another grid, (slices, rows, columns), and the new spacing.

    spacing: millimetres between (slices, rows, columns). SimpleITK interpolates linearly; the
    first voxel stays where it is, and outside the volume there is air (for MR and PET: 0). The
    values have the type and the unit of `Scan.load`. Nothing else in this package resamples: a
    crop has the voxels of the scanner.
    """
    spacing = _three(spacing, "spacing")
    if not min(spacing) > 0:
        raise ValueError(f"spacing must be positive millimetres, found {spacing}.")
    image = sitk.GetImageFromArray(scan.load().astype(np.float32))
    image.SetSpacing(scan.spacing[::-1])
    sides = zip(scan.size, scan.spacing, spacing, strict=True)
    size = [max(1, round(n * old / new)) for n, old, new in sides]
    ct = scan.modality == "CT"
    new = sitk.Resample(
        image, size[::-1], sitk.Transform(), sitk.sitkLinear, (0.0, 0.0, 0.0), spacing[::-1],
        image.GetDirection(), AIR if ct else 0,
    )  # fmt: skip
    values = sitk.GetArrayFromImage(new)
    return np.rint(values).astype(np.int16) if ct else values, spacing


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
