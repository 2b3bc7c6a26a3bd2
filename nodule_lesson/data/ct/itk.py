"""What the readers of all formats share: SimpleITK's headers, and checks of numbers."""

import itertools
import math

import numpy as np
import SimpleITK as sitk

# A whole-body scan at half a millimetre is far below these; a damaged header is not.
MAX_VOXELS_PER_SIDE = 10_000
MAX_VOXELS = 4_000_000_000
SAME_PLACE = 0.1  # mm: two descriptions of one grid may differ by so much, through rounding


def open_header(file, image_io, complaint):
    """A SimpleITK reader that has read the header of a file in the given format.

    Raises ValueError with the file's name and the complaint if it cannot be read.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(f"{file} {complaint}.") from error
    return reader


def read(file, image_io, low=None, high=None):
    """The voxels of a file, or of its box from low up to high, (slice, row, column).

    Raises OSError if they cannot be read.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(file))
    if low is not None:
        reader.SetExtractIndex([int(a) for a in low[::-1]])
        reader.SetExtractSize([int(b - a) for a, b in zip(low, high, strict=True)][::-1])
    try:
        return sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        # The last line of ITK's message names the error; a file and an address precede it.
        reason = str(error).strip().splitlines()[-1].strip()
        raise OSError(f"{file} cannot be read: {reason}") from error


def check_size(path, sizes):
    """Raise ValueError for more voxels than any scan has."""
    if max(sizes) > MAX_VOXELS_PER_SIDE or math.prod(sizes) > MAX_VOXELS:
        raise ValueError(
            f"{path} claims {' x '.join(map(str, sizes))} voxels: no scan is so large."
        )


def numbers(text, separator=None):
    """The numbers in a text, or () if one of them is not a finite number."""
    try:
        values = tuple(float(word) for word in text.split(separator))
    except ValueError:
        return ()
    return values if np.isfinite(values).all() else ()


def is_right_angled(axes):
    """Whether the columns of a matrix are of length one and at right angles."""
    return bool(np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-3))


def geometry(path, image_io, size, steps, origin):
    """The fields of a `Scan` that say where its voxels are, as SimpleITK understands them.

    size: (columns, rows, slices). steps: (3, 3), whose columns are the steps in mm from one
    column, row and slice to the next, and origin: the place of the first voxel, both in LPS and
    both as our own reading of the header has them. Raises ValueError for axes that are not at
    right angles, and if SimpleITK places the voxels elsewhere: it says nothing of either.
    """
    spacing = np.linalg.norm(steps, axis=0)
    if not all(0 < mm < 1000 for mm in spacing):
        raise ValueError(f"{path} must have three positive spacings in mm, found {spacing}.")
    if not is_right_angled(steps / spacing):
        raise ValueError(
            f"{path} must have three axes at right angles, found the steps "
            f"{', '.join(str(tuple(map(float, step.round(3)))) for step in steps.T)} mm."
        )
    reader = open_header(path, image_io, "has a header that SimpleITK cannot read")
    theirs = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    apart = furthest(size, (steps, origin), (theirs, reader.GetOrigin()))
    if reader.GetSize() != tuple(size) or apart > SAME_PLACE:
        raise ValueError(
            f"{path} has a header that is understood in two ways: SimpleITK finds "
            f"{reader.GetSize()} voxels of {reader.GetSpacing()} mm at {reader.GetOrigin()}."
        )
    step = reader.GetSpacing()[2]
    return {
        "size": tuple(size[::-1]),
        "spacing": reader.GetSpacing()[::-1],
        "origin": reader.GetOrigin(),
        "direction": reader.GetDirection(),
        "slice_places": tuple(step * k for k in range(size[2])),
    }


def furthest(size, grid, other):
    """How far apart two grids place a voxel, mm; each is (steps (3, 3), origin).

    It is the largest distance at a corner, since the distance is a convex function.
    """
    corners = np.array(list(itertools.product(*((0, n - 1) for n in size))))
    places = [corners @ np.transpose(steps) + origin for steps, origin in (grid, other)]
    return float(np.linalg.norm(places[0] - places[1], axis=1).max())
