"""A MetaImage, the format of LUNA16: a header in text, and voxels in the same or another file.

The format is described at https://itk.org/Wiki/MetaIO/Documentation. SimpleITK guesses what a
wrong header means. So the important fields are also read here, and SimpleITK must agree with them.
"""

import math
import re
import zlib

import numpy as np

from nodule_lesson.data.ct import itk

VOXEL_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def read_header(path, modality):
    """The fields of a `Scan`. Raises ValueError and FileNotFoundError as `Scan.open`."""
    header, length = _fields(path)
    size = _size(path, header)
    spacing = _spacing(path, header)
    origin = _one_of(path, header, ("Offset", "Position", "Origin"), (0.0, 0.0, 0.0))
    axes = _one_of(path, header, ("TransformMatrix", "Rotation", "Orientation"), np.eye(3).ravel())
    if not itk.is_right_angled(np.reshape(axes, (3, 3))):
        raise ValueError(
            f"{path} must have three axes of length 1 at right angles, found the matrix "
            f"{' '.join(f'{number:g}' for number in axes)}."
        )
    _check_meaning(path, header, modality)
    _check_length(path, header, length)
    reader = itk.open_header(path, "MetaImageIO", "has a header that SimpleITK cannot read")
    understood = [*reader.GetSize(), *reader.GetSpacing(), *reader.GetOrigin()]
    if not np.allclose(understood, [*size, *spacing, *origin], atol=1e-3):
        raise ValueError(
            f"{path} has a header that is understood in two ways: SimpleITK finds "
            f"{reader.GetSize()} voxels of {reader.GetSpacing()} mm at {reader.GetOrigin()}."
        )
    step = float(spacing[2])
    return {
        "files": (path,),
        "size": tuple(size[::-1]),
        "spacing": reader.GetSpacing()[::-1],
        "origin": reader.GetOrigin(),
        "direction": reader.GetDirection(),
        "slice_places": tuple(step * k for k in range(size[2])),
        "streamed": not _flag(path, header, "CompressedData"),
        "image_io": "MetaImageIO",
        "series": path.stem,
    }


def inflate(path):
    """The voxels of a compressed MetaImage, (slices, rows, columns), with their stored type.

    SimpleITK returns uninitialised memory if they are damaged, or if the header does not give
    their length. Raises OSError for voxels that are damaged or incomplete.
    """
    header, length = _fields(path)
    file, start = _voxels(path, header, length)
    size, dtype = _size(path, header), _dtype(path, header)
    wanted = math.prod(size) * dtype.itemsize
    with open(file, "rb") as stream:
        stream.seek(start)
        data = stream.read()
    stream = zlib.decompressobj(47)  # zlib's own format, or gzip's
    try:
        voxels = stream.decompress(data, wanted + 1)  # no more: a bomb would fill the memory
    except zlib.error:
        voxels = b""
    if len(voxels) != wanted or not stream.eof:  # zlib compares a checksum at the end
        raise OSError(
            f"{path} cannot be read: its compressed voxels are damaged or cut off, or not the "
            f"{wanted:,} bytes of its header."
        )
    return np.frombuffer(voxels, dtype).reshape(size[::-1])


# --- the header ----------------------------------------------------------------------------------


def _fields(path):
    """The fields of the header, which ends with the line ElementDataFile, and its bytes."""
    fields, length = {}, 0
    with open(path, "rb") as file:
        lines = file.read(100_000).split(b"\n")
    for line in lines:
        length += len(line) + 1
        match = re.match("([^=:]*)[=:](.*)", line.decode("utf-8", "replace").strip())
        if not match:
            continue
        key, value = (text.strip() for text in match.groups())
        if key in fields:
            raise ValueError(f"{path} has a header that says twice what its {key} is.")
        fields[key] = value
        if key == "ElementDataFile":
            return fields, length
    raise ValueError(f"{path} is not the header of a MetaImage: it names no voxels.")


def _size(path, header):
    """(columns, rows, slices)."""
    sizes = header.get("DimSize", "").split()
    three = header.get("NDims", "3") == "3" and len(sizes) == 3
    if not three or not all(n.isdecimal() and int(n) > 0 for n in sizes):
        raise ValueError(
            f"{path} must have three dimensions, found {header.get('NDims', 'none')} with "
            f"{' '.join(sizes) or 'no'} voxels."
        )
    sizes = [int(n) for n in sizes]
    itk.check_size(path, sizes)
    return sizes


def _spacing(path, header):
    """(column, row, slice), in mm."""
    for key in ("ElementSpacing", "ElementSize"):
        if key in header:
            spacing = itk.numbers(header[key])
            if len(spacing) != 3 or not all(0 < mm < 1000 for mm in spacing):
                raise ValueError(
                    f"{path} must have three positive spacings in mm, found {header[key]}."
                )
            return spacing
    raise ValueError(f"{path} has no spacing between its voxels.")


def _one_of(path, header, names, default):
    """The numbers of a field that has several names, of which a header may use only one."""
    used = [name for name in names if name in header]
    if not used:
        return tuple(default)
    if len(used) > 1:
        raise ValueError(f"{path} must have one of {', '.join(names)}, found {len(used)}.")
    values = itk.numbers(header[used[0]])
    if len(values) != len(default):
        raise ValueError(
            f"{path} must have {len(default)} finite numbers as its {used[0]}, found "
            f"{header[used[0]]}."
        )
    return values


def _flag(path, header, key, default="False"):
    """A truth value. SimpleITK looks only at the first letter, and reads Yes as False."""
    value = header.get(key, default)
    if value.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError(f"{path} must have True or False as its {key}, found {value}.")
    return value[0] in "Tt1"


def _dtype(path, header):
    """The type of a voxel, with its byte order."""
    if (name := header.get("ElementType", "none")) not in VOXEL_TYPES:
        raise ValueError(f"{path} must have an ElementType of MetaImage's, found {name}.")
    keys = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    orders = {_flag(path, header, key) for key in keys if key in header}
    if len(orders) > 1:
        raise ValueError(f"{path} has two orders of bytes in its header, where one is wanted.")
    return np.dtype((">" if True in orders else "<") + VOXEL_TYPES[name])


def _check_meaning(path, header, modality):
    """Raise ValueError for stored numbers that are not those of the modality."""
    if (count := header.get("ElementNumberOfChannels", "1")) != "1":
        raise ValueError(f"{path} must have one number per voxel, found {count}.")
    found = header.get("Modality", "MET_MOD_UNKNOWN")
    # There is no word for PET among MetaImage's.
    if found not in (f"MET_MOD_{modality}", "MET_MOD_OTHER", "MET_MOD_UNKNOWN"):
        raise ValueError(f"{path} must be {modality}, found the modality {found}.")
    # SimpleITK ignores these fields.
    for key, neutral in (
        ("ElementToIntensityFunctionSlope", 1),
        ("ElementToIntensityFunctionOffset", 0),
    ):
        if key in header and itk.numbers(header[key]) != (neutral,):
            raise ValueError(f"{path} must have {neutral} as its {key}, found {header[key]}.")


# --- where the voxels are ------------------------------------------------------------------------


def _voxels(path, header, length):
    """The file with the voxels, and the byte at which they begin; -1: they are at its end."""
    name = header["ElementDataFile"]
    start = header.get("HeaderSize", "0")
    if name in ("LOCAL", "Local", "local"):
        if start != "0":
            raise ValueError(f"{path} holds its voxels, and must have no HeaderSize.")
        return path, length
    if name.startswith("LIST") or "%" in name:
        raise ValueError(f"{path} must keep its voxels in one file, found {name}.")
    compressed = _flag(path, header, "CompressedData")
    if not (start.isdecimal() or start == "-1") or (compressed and start != "0"):
        raise ValueError(f"{path} has a HeaderSize that no reader understands: {start}.")
    data = path.parent / name
    if not data.is_file():
        raise FileNotFoundError(f"{path} keeps its voxels in {name}, which is not there.")
    return data, int(start)


def _check_length(path, header, length):
    """Raise ValueError if the file has not as many bytes as the header needs."""
    if not _flag(path, header, "BinaryData", "True"):
        raise ValueError(f"{path} must have binary voxels, found them written as text.")
    file, start = _voxels(path, header, length)
    available = file.stat().st_size - max(start, 0)
    size = header.get("CompressedDataSize", "0")
    if not size.isdecimal():
        raise ValueError(f"{path} must have a whole CompressedDataSize, found {size}.")
    compressed = _flag(path, header, "CompressedData")
    bytes_per_voxel = _dtype(path, header).itemsize
    wanted = int(size) if compressed else math.prod(_size(path, header)) * bytes_per_voxel
    if available < wanted:
        raise ValueError(
            f"{file} is truncated: {available:,} bytes found, {wanted:,} wanted by its header."
        )
    if available > wanted and start >= 0 and not compressed:
        raise ValueError(
            f"{file} is longer than its header says: {available:,} bytes found, {wanted:,} wanted."
        )
