"""What the readers of both formats ask of SimpleITK."""

import numpy as np
import SimpleITK as sitk


def open_header(file, image_io, complaint):
    """A SimpleITK reader that has read the header of a file, in one format and no other.

    Raises ValueError with the file and the complaint where it cannot.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(f"{file} {complaint}.") from error
    return reader


def numbers(text, separator=None):
    """The numbers in a text, or () where one of them is no finite number."""
    try:
        found = tuple(float(part) for part in text.split(separator))
    except ValueError:
        return ()
    return found if np.isfinite(found).all() else ()


def is_right_angled(axes):
    """Whether the columns of a matrix are of length one and at right angles."""
    return bool(np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-3))
