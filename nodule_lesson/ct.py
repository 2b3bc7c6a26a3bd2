"""Reading CT: MetaImage and DICOM through SimpleITK, world and voxel coordinates, regions.

Indexes are in numpy's order everywhere, (slice, row, column); points of the world are
(x, y, z) in millimetres, as in LUNA16's lists. The way between the two is SimpleITK's own
transform: some scans of LUNA16 are stored with both in-plane axes turned round, and
(world - origin) / spacing would be wrong for them.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

AIR = -1000  # HU
# A whole-body scan at half a millimetre is far below these; a damaged header is not.
MOST_VOXELS_A_SIDE = 10_000
MOST_VOXELS = 4_000_000_000
_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


@dataclass(frozen=True)
class Scan:
    """A CT volume on the disk, of which only the header has been read: `Scan.open(path)`.

    path: a .mhd file, or a folder of DICOM slices. files: the header, or the DICOM files in the
    order of their slices. size: (slices, rows, columns). spacing: millimetres from one slice, row,
    column to the next. origin: the world's (x, y, z) of the first voxel. direction: the nine
    direction cosines as SimpleITK gives them. streamed: whether a region can be read alone.
    series: the DICOM series' UID, or the name of the .mhd file, which is the UID in LUNA16.
    patient: the DICOM patient ID, "" where nobody says.
    """

    path: Path
    files: tuple
    size: tuple
    spacing: tuple
    origin: tuple
    direction: tuple
    streamed: bool
    series: str
    patient: str = ""

    @classmethod
    def open(cls, path):
        """Read the header and check that the rest is there.

        Raises FileNotFoundError for a missing file, ValueError for a header or a folder that no
        CT volume can have: a truncated or absurdly large volume, a spacing that is not a positive
        number, several series, another modality, slices that are missing, doubled or uneven.
        """
        path = Path(path)
        if path.is_dir():
            return _open_dicom(path, cls)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is neither a file nor a folder.")
        return _open_metaimage(path, cls)

    # --- coordinates -----------------------------------------------------------------------------

    @cached_property
    def _geometry(self):
        """An image of one voxel at the scan's place: SimpleITK's transforms ask for no more."""
        image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
        image.SetSpacing(self.spacing[::-1])
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def to_index(self, world):
        """The (slice, row, column) of the voxel that holds the point (x, y, z), in millimetres.

        It may lie outside the volume: `contains` tells.
        """
        world = _three(world, "world")
        return self._geometry.TransformPhysicalPointToIndex(world)[::-1]

    def to_world(self, index):
        """The point (x, y, z), in millimetres, of a (slice, row, column), whole or not."""
        index = _three(index, "index")
        return self._geometry.TransformContinuousIndexToPhysicalPoint(index[::-1])

    def contains(self, index):
        """Whether a (slice, row, column) is a voxel of the volume."""
        return all(0 <= i < n for i, n in zip(index, self.size, strict=True))

    # --- intensities -----------------------------------------------------------------------------

    def region(self, first, size, *, pad=AIR):
        """HU of a box, and where it lies inside the volume.

        first: (slice, row, column) of its first voxel, which may lie outside. size: (slices, rows,
        columns), at least 1 each. pad: HU outside the volume. Returns two arrays of the shape
        `size`, int16 and bool. Reads the box alone where the format allows (`streamed`); DICOM
        reads the slices of the box, compressed volumes are read whole, once. Raises ValueError for
        other arguments, OSError where the file cannot be read.
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

    @cached_property
    def _whole(self):
        _check_inflates(self.path)
        return self._extract(self.files[0], [0, 0, 0], self.size)

    def _extract(self, file, low, high):
        reader = _reader(file)
        reader.SetExtractIndex([int(a) for a in low[::-1]])
        reader.SetExtractSize([int(b - a) for a, b in zip(low, high, strict=True)][::-1])
        try:
            array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise OSError(f"{file} cannot be read: {_last_line(error)}") from error
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(array), limits.min, limits.max).astype(np.int16)


def resample(scan, spacing):
    """The whole scan on another grid, in HU: (slices, rows, columns) int16 and the new spacing.

    spacing: millimetres between (slices, rows, columns). Linear, by SimpleITK's resampler; the
    first voxel stays where it is, and outside the volume is air. Nothing else in this package
    resamples: a crop shows the voxels that the scanner made.
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


# --- headers -------------------------------------------------------------------------------------


def _open_metaimage(path, cls):
    header = _header(path)
    if "ElementDataFile" not in header or "ElementType" not in header:
        raise ValueError(f"{path} is not the header of a MetaImage: it names no voxels.")
    _check_numbers(path, header)
    compressed = header.get("CompressedData", "False").lower() == "true"
    if header["ElementDataFile"] != "LOCAL":
        data = path.with_name(header["ElementDataFile"])
        if not data.is_file():
            raise FileNotFoundError(f"{path} keeps its voxels in {data.name}, which is not there.")
        wanted = int(header.get("CompressedDataSize", 0)) if compressed else _bytes(header)
        found = data.stat().st_size
        if found < wanted:
            raise ValueError(
                f"{data} is truncated: {found:,} bytes found, {wanted:,} wanted by its header."
            )
    reader = _reader(path)
    _check_scalar(path, reader)
    return cls(
        path=path,
        files=(path,),
        size=reader.GetSize()[::-1],
        spacing=reader.GetSpacing()[::-1],
        origin=reader.GetOrigin(),
        direction=reader.GetDirection(),
        streamed=not compressed,
        series=path.stem,
    )


def _header(path):
    lines = path.read_bytes()[:100_000].decode("latin-1").splitlines()
    return dict((part.strip() for part in line.split("=", 1)) for line in lines if "=" in line)


def _bytes(header):
    """How many bytes its voxels are."""
    voxels = np.prod([int(n) for n in header["DimSize"].split()], dtype=object)
    return voxels * _BYTES.get(header["ElementType"], 1)


def _check_inflates(path):
    """OSError for compressed voxels that are not whole: ITK answers with what is in the memory."""
    header = _header(path)
    if header["ElementDataFile"] == "LOCAL":
        data = path.read_bytes().partition(b"ElementDataFile")[2].partition(b"\n")[2]
    else:
        data = path.with_name(header["ElementDataFile"]).read_bytes()
    stream, wanted = zlib.decompressobj(47), _bytes(header)  # zlib's own format, or gzip's
    try:
        found = len(stream.decompress(data, wanted + 1))  # no more: it may be made to fill memory
    except zlib.error:
        found = 0
    if found != wanted or not stream.eof:  # at its end it compares a checksum
        raise OSError(
            f"{path} cannot be read: its compressed voxels are damaged or cut off, or not the "
            f"{wanted:,} bytes of its header."
        )


def _check_numbers(path, header):
    """What ITK would take without a word, or answer with a page of its own."""
    sizes = header.get("DimSize", "").split()
    if len(sizes) != 3 or not all(n.isdecimal() and int(n) > 0 for n in sizes):
        raise ValueError(f"{path} must have three dimensions, found {' '.join(sizes) or 'none'}.")
    sizes = [int(n) for n in sizes]
    if max(sizes) > MOST_VOXELS_A_SIDE or np.prod(sizes, dtype=object) > MOST_VOXELS:
        raise ValueError(
            f"{path} claims {' x '.join(map(str, sizes))} voxels: no scan is so large."
        )
    compressed = header.get("CompressedDataSize", "0")
    if not compressed.isdecimal():
        raise ValueError(f"{path} must have a whole CompressedDataSize, found {compressed}.")
    for key in ("ElementSpacing", "ElementSize"):
        if key in header:
            spacing = [_number(text) for text in header[key].split()]
            if len(spacing) != 3 or not all(0 < mm < 1000 for mm in spacing):
                raise ValueError(
                    f"{path} must have three positive spacings in mm, found {header[key]}."
                )
            return
    raise ValueError(f"{path} has no spacing between its voxels.")


def _number(text):
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _open_dicom(folder, cls):
    found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(found) != 1:
        raise ValueError(f"{folder} must hold one DICOM series, found {len(found) or 'none'}.")
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), found[0])
    headers = [_reader(file) for file in files]
    first = headers[0]
    modality = _tag(first, "0008|0060")
    if modality != "CT":
        raise ValueError(f"{folder} must hold a CT series, found the modality {modality or '?'}.")
    _check_scalar(folder, first)
    if len({header.GetSize()[:2] for header in headers}) > 1:
        raise ValueError(f"{folder} has slices of several sizes.")
    pixel = first.GetSpacing()[:2]
    if not all(0 < mm < 1000 for mm in pixel):
        raise ValueError(f"{folder} must have positive pixel sizes in mm, found {pixel}.")
    direction = np.reshape(first.GetDirection(), (3, 3))
    places = np.array([header.GetOrigin() for header in headers]) @ direction[:, 2]
    order = np.argsort(places, kind="stable")
    steps = np.diff(places[order])
    if len(steps) and steps.min() < 0.01:
        raise ValueError(f"{folder} has two slices at {places[order][steps.argmin()]:.2f} mm.")
    # Rounded positions differ by hundredths of a millimetre, a missing slice by a whole step.
    if len(steps) and np.ptp(steps) > 0.05 + 0.02 * steps.min():
        raise ValueError(
            f"{folder} has uneven slices, {steps.min():.2f} to {steps.max():.2f} mm apart: some "
            "are missing."
        )
    thickness = float(np.median(steps)) if len(steps) else first.GetSpacing()[2]
    columns, rows = first.GetSize()[:2]
    return cls(
        path=folder,
        files=tuple(Path(files[i]) for i in order),
        size=(len(files), rows, columns),
        spacing=(thickness, *pixel[::-1]),
        origin=headers[order[0]].GetOrigin(),
        direction=first.GetDirection(),
        streamed=True,
        # The reader's name for the series may have more in it than the UID.
        series=_tag(first, "0020|000e") or found[0],
        patient=_tag(first, "0010|0020"),
    )


def _reader(file):
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(
            f"{file} has a header that cannot be read: {_last_line(error)}"
        ) from error
    return reader


def _check_scalar(path, reader):
    count = reader.GetNumberOfComponents()
    if count != 1:
        raise ValueError(f"{path} must have one number a voxel, found {count}.")


def _tag(reader, key):
    return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""


def _last_line(error):
    """ITK's messages begin with a file, a line and an address; the last line says what it was."""
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
