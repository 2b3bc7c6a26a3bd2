"""A NIfTI-1 file, .nii or .nii.gz: a header of 348 bytes, then the voxels.

The format is described at https://nifti.nimh.nih.gov/nifti-1. Its axes are RAS: x grows towards
the patient's right and y towards the front, against DICOM. It may say twice where the voxels are,
in its qform and its sform, and SimpleITK then takes one of them; of a file that is cut off it
returns what memory holds. So both are checked here.
"""

import gzip
import math
import zlib

import numpy as np

from nodule_lesson.data.ct import itk

_FIELDS = {  # name: (type, byte at which it begins)
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "scl_slope": ("f4", 112),
    "scl_inter": ("f4", 116),
    "xyzt_units": ("u1", 123),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "quatern": ("3f4", 256),
    "qoffset": ("3f4", 268),
    "srow": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}
LENGTH = 348  # of the header, its own first number
HEADER = np.dtype(
    {
        "names": ["sizeof_hdr", *_FIELDS],
        "formats": ["i4", *(kind for kind, _ in _FIELDS.values())],
        "offsets": [0, *(start for _, start in _FIELDS.values())],
        "itemsize": LENGTH,
    }
)
DATATYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"}
DATATYPES |= {256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
UNKNOWN, MM = 0, 2  # units of length
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


def read_header(path):
    """The fields of a `Scan`. Raises ValueError as `Scan.open`."""
    header, order = _header(path)
    size = _size(path, header)
    _scaling(path, header)
    grid = _grid(path, header, size)
    compressed = _is_compressed(path)
    wanted = _start(path, header) + math.prod(size) * _dtype(path, header, order).itemsize
    if not compressed and (found := path.stat().st_size) != wanted:
        fault = "truncated" if found < wanted else "longer than its header says"
        raise ValueError(f"{path} is {fault}: {found:,} bytes found, {wanted:,} wanted.")
    return {
        "files": (path,),
        **itk.geometry(path, "NiftiImageIO", size, *grid),
        "streamed": not compressed,
        "image_io": "NiftiImageIO",
        "series": path.name.removesuffix(".gz").removesuffix(".nii"),
    }


def inflate(path):
    """The voxels of a compressed NIfTI file, (slices, rows, columns), scaled as it says.

    Raises OSError for voxels that are damaged or incomplete.
    """
    header, order = _header(path)
    size, dtype = _size(path, header), _dtype(path, header, order)
    start = _start(path, header)
    wanted = start + math.prod(size) * dtype.itemsize
    try:
        with gzip.open(path) as stream:
            data = stream.read(wanted + 1)  # no more: a bomb would fill the memory
    except (EOFError, OSError, zlib.error):
        data = b""
    if len(data) != wanted:
        raise OSError(
            f"{path} cannot be read: its compressed voxels are damaged or cut off, or not the "
            f"{wanted:,} bytes of its header."
        )
    voxels = np.frombuffer(data, dtype, offset=start).reshape(size[::-1])
    slope, intercept = _scaling(path, header)
    if (slope, intercept) == (1, 0):
        return voxels
    return voxels * np.float64(slope) + intercept


# --- the header ----------------------------------------------------------------------------------


def _is_compressed(path):
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _header(path):
    """The header, and the order of its bytes, "<" or ">"."""
    try:
        with gzip.open(path) if _is_compressed(path) else open(path, "rb") as file:
            data = file.read(LENGTH)
    except (EOFError, OSError, zlib.error):
        data = b""
    for order in "<>":
        if len(data) == LENGTH:
            header = np.frombuffer(data, HEADER.newbyteorder(order))[0]
            if header["sizeof_hdr"] == LENGTH and header["magic"] == b"n+1":
                return header, order
    raise ValueError(
        f"{path} must begin with the header of a NIfTI-1 file that holds its voxels, and does "
        "not: it is cut, damaged or of another format."
    )


def _size(path, header):
    """(columns, rows, slices)."""
    count = header["dim"][0]
    sizes = [int(n) for n in header["dim"][1 : count + 1]] if 0 < count < 8 else []
    if len(sizes) < 3 or min(sizes) < 1 or any(n != 1 for n in sizes[3:]):
        raise ValueError(
            f"{path} must hold one volume of three dimensions, found {count} with "
            f"{' x '.join(map(str, sizes)) or 'no'} voxels."
        )
    itk.check_size(path, sizes[:3])
    return sizes[:3]


def _dtype(path, header, order):
    if (code := int(header["datatype"])) not in DATATYPES:
        raise ValueError(f"{path} must have one plain number per voxel, found datatype {code}.")
    return np.dtype(order + DATATYPES[code])


def _start(path, header):
    """The byte at which the voxels begin, after the header and what may follow it."""
    start = float(header["vox_offset"])
    if not (start >= LENGTH + 4 and start.is_integer()):
        raise ValueError(
            f"{path} must have its voxels behind byte {LENGTH + 4}, found the vox_offset {start}."
        )
    return int(start)


def _scaling(path, header):
    """The slope and the intercept that make a voxel's value of its stored number."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):  # the standard: stored numbers are the values
        if np.isfinite(intercept) and intercept != 0:
            raise ValueError(
                f"{path} has a scl_slope of {slope:g}, which says that nothing is scaled, and a "
                f"scl_inter of {intercept:g}, which SimpleITK adds: one of them is wrong."
            )
        return 1.0, 0.0
    if not np.isfinite(intercept):
        raise ValueError(f"{path} must have a finite scl_inter, found {intercept}.")
    return slope, intercept


def _grid(path, header, size):
    """The steps (3, 3) and the origin in mm, in LPS."""
    if (unit := header["xyzt_units"] & 7) not in (UNKNOWN, MM):
        raise ValueError(f"{path} must have lengths in mm, found the unit {unit} of NIfTI.")
    if not np.isfinite([*header["pixdim"][1:4], *header["qoffset"], *header["srow"].flat]).all():
        raise ValueError(f"{path} must have finite sizes and places of its voxels, found others.")
    grids = {}
    if header["qform_code"] > 0:
        grids["qform"] = _qform(header)
    if header["sform_code"] > 0:
        rows = header["srow"].astype(float)
        grids["sform"] = rows[:, :3], rows[:, 3]
    if not grids:
        raise ValueError(
            f"{path} must say where its voxels are, and its qform_code and sform_code are 0."
        )
    if len(grids) == 2 and (apart := itk.furthest(size, *grids.values())) > itk.SAME_PLACE:
        raise ValueError(
            f"{path} says in two ways where its voxels are: its qform and its sform differ by up "
            f"to {apart:.1f} mm, where one place is wanted."
        )
    steps, origin = grids.get("sform") or grids["qform"]
    return RAS_TO_LPS[:, None] * steps, RAS_TO_LPS * origin


def _qform(header):
    """The steps and the origin of the qform: a rotation, as a unit quaternion, and the spacing."""
    b, c, d = header["quatern"].astype(float)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    spacing = header["pixdim"][1:4].astype(float)
    if header["pixdim"][0] < 0:  # the third axis is mirrored
        spacing[2] = -spacing[2]
    return rotation * spacing, header["qoffset"].astype(float)
