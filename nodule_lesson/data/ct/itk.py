"""What the readers of both formats share: SimpleITK's headers, and checks of numbers."""

import numpy as np
import SimpleITK as sitk


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
