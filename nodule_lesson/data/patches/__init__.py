"""PatchSet: crops of CT with their outlines, in one folder with its source and checksums.

    images.npy    (N, H, W), integers of the source: grey values 0..255, or HU
    masks.npy     (N, H, W), uint8, 0 or 1: the readers' consensus
    readers.npy   (N, H, W), uint8, bit r set where reader r outlined; only where known
    slices.csv    one row per slice: patient, scan, nodule, slice, pixel size, type, diameter, ...
    dataset.json  source, licence, citation, parameters, checksums

The arrays are memory-mapped: a random batch costs the same whether the set has a thousand slices
or a hundred thousand, and no set has to fit into memory. A folder is written under another name
and renamed when it is complete, so a folder with the right name is complete. Opening a set
compares every byte with its checksum.
"""

from nodule_lesson.data.patches.normalisation import normalise
from nodule_lesson.data.patches.patch_set import PatchSet
from nodule_lesson.data.patches.splits import folds, split
from nodule_lesson.data.patches.table import COLUMNS

__all__ = ["COLUMNS", "PatchSet", "folds", "normalise", "split"]
