"""A folder of DICOM slices: one series, whose slices make one regular, right-angled grid.

The attributes are those of the standard, DICOM PS3.3, C.7.6.2, and of CT C.8.2.1, of MR C.8.3.1
and of PET C.8.9.
"""

import numpy as np

from nodule_lesson.data.ct import itk

# Some series state their positions rounded to tenths of a millimetre. The difference of two of
# them is then wrong by a tenth at most.
POSITION_ROUNDING = 0.1 + 1e-3  # mm
# Attributes that all slices of a volume must share. An empty attribute counts as an absent one.
SHARED_ATTRIBUTES = {
    "0010|0020": "patient",
    "0020|000d": "study",
    "0020|0052": "frame of reference",
}
# Attributes that every slice must have: their names and how many numbers they hold.
REQUIRED_ATTRIBUTES = {
    "0028|0030": ("a pixel size of 2 numbers", 2),
    "0020|0032": ("a position of 3 numbers", 3),
    "0020|0037": ("an orientation of 6 numbers", 6),
}
# MR has no unit, and mostly no rescaling.
RESCALING = {
    "0028|1052": ("a rescale intercept", 1),
    "0028|1053": ("a rescale slope", 1),
}
WORDS = {"CT": "CT", "MR": "MR", "PET": "PT"}  # DICOM's for a modality


def read_header(folder, modality):
    """The fields of a `Scan`, from the headers of all slices. ValueError as in `Scan.open`."""
    files = _files(folder)
    headers = [
        itk.open_header(
            file, "GDCMImageIO", "is no DICOM image that can be read: it is empty, cut or damaged"
        )
        for file in files
    ]
    series = sorted({_tag(header, "0020|000e") for header in headers})
    if len(series) != 1:
        raise ValueError(f"{folder} must hold one DICOM series, found {len(series) or 'none'}.")
    for file, header in zip(files, headers, strict=True):
        _check_slice(file, header, modality)
    pixel, axes = _shared_grid(folder, files, headers)
    order, positions = _order(folder, headers, axes)
    columns, rows = headers[0].GetSize()[:2]
    # A single slice has no neighbour: only its own header can say how thick it is.
    step = positions[-1] / (len(files) - 1) if len(files) > 1 else headers[0].GetSpacing()[2]
    if not 0 < step < 1000:
        raise ValueError(f"{folder} must have slices a positive length apart, found {step} mm.")
    return {
        "files": tuple(files[i] for i in order),
        "size": (len(files), rows, columns),
        "spacing": (float(step), *pixel),
        "origin": _numbers(headers[order[0]], "0020|0032"),
        "direction": tuple(map(float, axes.ravel())),
        "slice_places": tuple(map(float, positions)),
        "streamed": True,
        "image_io": "GDCMImageIO",
        "series": series[0],
        "patient": _tag(headers[0], "0010|0020"),
    }


def _files(folder):
    """The files that begin as DICOM, and all others with the same endings.

    Other files may lie beside them: LIDC's outlines are an .xml file in the folder of the series.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    # macOS adds files whose names begin with a dot; DICOMDIR is the table of contents of a disc.
    files = [path for path in files if path.name[0] != "." and path.name != "DICOMDIR"]
    marked = {path for path in files if _is_marked(path)}
    endings = {".dcm", *map(_ending, marked)}
    return [path for path in files if path in marked or _ending(path) in endings]


def _is_marked(path):
    """Whether a file begins as DICOM or as its forerunner ACR-NEMA."""
    with open(path, "rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or start[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x01\x00")


def _ending(path):
    ending = path.suffix.lower()
    return "" if ending[1:].isdigit() else ending  # a name may be a UID, all numbers and dots


def _check_slice(file, header, modality):
    """Raise ValueError for a file that is not a slice of the modality, of CT in HU."""
    found = _tag(header, "0008|0060")
    if found != WORDS[modality]:
        raise ValueError(
            f"{file} must be of a {modality} series, found the modality {found or '?'}."
        )
    if (frames := header.GetSize()[2:]) not in ((), (1,)):
        raise ValueError(f"{file} must hold one slice, found {frames[0]} frames.")
    # SimpleITK inverts the intensities of MONOCHROME1, as for display.
    if (kind := _tag(header, "0028|0004")) != "MONOCHROME2":
        raise ValueError(f"{file} must be MONOCHROME2, found {kind or 'nothing'}.")
    # Where these are missing, SimpleITK assumes an intercept of 0, a slope of 1 and a position.
    rescaled = modality != "MR" or any(_tag(header, key) for key in RESCALING)
    for key, (name, count) in (REQUIRED_ATTRIBUTES | (RESCALING if rescaled else {})).items():
        if len(_numbers(header, key)) != count:
            raise ValueError(f"{file} must have {name}, found {_tag(header, key) or 'none'}.")
    if _numbers(header, "0028|1053") == (0,):
        raise ValueError(f"{file} must have a rescale slope other than 0.")
    unit = _tag(header, "0028|1054")
    if modality == "CT" and unit not in ("", "HU", "US"):  # US: unspecified
        raise ValueError(f"{file} must be in HU, found the rescale type {unit}.")
    pixel = _numbers(header, "0028|0030")
    if not all(0 < mm < 1000 for mm in pixel):
        raise ValueError(f"{file} must have positive pixel sizes in mm, found {pixel}.")
    if not itk.is_right_angled(_row_and_column(header)):
        raise ValueError(
            f"{file} must have two axes of length 1 at a right angle, found the orientation "
            f"{_tag(header, '0020|0037')}."
        )


def _shared_grid(folder, files, headers):
    """The pixel size and the axes (columns: row, column, slice) that all slices must share."""
    first = headers[0]
    plane = _row_and_column(first)
    pixel = _numbers(first, "0028|0030")
    for file, header in zip(files, headers, strict=True):
        differs = [
            name
            for key, name in SHARED_ATTRIBUTES.items()
            if _tag(header, key) != _tag(first, key)
        ]
        if header.GetSize() != first.GetSize():
            differs.append("number of rows and columns")
        if not np.allclose(_numbers(header, "0028|0030"), pixel, rtol=0, atol=1e-4):
            differs.append("pixel size")
        if not np.allclose(_row_and_column(header), plane, rtol=0, atol=1e-4):
            differs.append("orientation")
        if differs:
            raise ValueError(
                f"{folder} must hold slices of one volume, but {file.name} and {files[0].name} "
                f"differ in {' and '.join(differs)}."
            )
    return pixel, np.column_stack([plane, np.cross(*plane.T)])


def _order(folder, headers, axes):
    """The order of the slices, and their distances in mm from the first along the slice axis."""
    positions = np.array([_numbers(header, "0020|0032") for header in headers]) @ axes
    order = np.argsort(positions[:, 2], kind="stable")
    positions = positions[order] - positions[order[0]]
    aside = np.abs(positions[:, :2]).max()
    if aside > POSITION_ROUNDING:
        raise ValueError(
            f"{folder} has slices that lie up to {aside:.2f} mm aside of the first: its gantry "
            "was tilted, or a slice is of another volume."
        )
    along = positions[:, 2]
    if len(along) > 1:
        _check_even(folder, along)
    return order, along


def _check_even(folder, along):
    """Raise ValueError for slices that are not evenly spaced."""
    steps = np.diff(along)
    if steps.min() < 0.01:
        raise ValueError(f"{folder} has two slices at {along[steps.argmin()]:.2f} mm.")
    # Rounded positions deviate a little from an even grid. A missing slice makes a double step,
    # which exceeds the mean step by a third at least, if three slices are left.
    deviations = np.abs(along - np.linspace(0, along[-1], len(along)))
    unevenness = np.abs(steps / steps.mean() - 1)
    if deviations.max() > POSITION_ROUNDING + 0.02 * steps.mean() or unevenness.max() > 0.3:
        raise ValueError(
            f"{folder} has uneven slices, {steps.min():.2f} to {steps.max():.2f} mm apart: some "
            "are missing."
        )


def _row_and_column(header):
    """The directions of a row and of a column, as the columns of a matrix (3, 2)."""
    return np.reshape(_numbers(header, "0020|0037"), (2, 3)).T


def _numbers(header, key):
    return itk.numbers(_tag(header, key), "\\")


def _tag(header, key):
    if not header.HasMetaDataKey(key):
        return ""
    # Bytes that are not UTF-8 come as lone surrogates, which cannot be printed or written.
    text = header.GetMetaData(key).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text.strip(" \0")
