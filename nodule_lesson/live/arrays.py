"""Arrays on their way into a page; arrays.js unpacks them there."""

import base64
import functools
from pathlib import Path

import numpy as np


@functools.cache
def stored(module):
    """All arrays of live.npz beside the file of a module: a dictionary, not to be written to."""
    with np.load(Path(module).with_suffix(".npz"), allow_pickle=False) as file:
        return dict(file)


def packed(array):
    """Booleans as bits, 8-bit and 16-bit integers as their bytes, low byte first: base64."""
    array = np.asarray(array)
    if array.dtype == bool:
        array = np.packbits(array, bitorder="little")
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def middle(array, size):
    """The middle of an array along its last two axes: (..., size, size)."""
    begin = (array.shape[-1] - size) // 2
    return array[..., begin : begin + size, begin : begin + size]
