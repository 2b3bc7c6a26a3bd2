"""Extraction: from scans with their readers' outlines to a PatchSet, as the paper describes it.

Every crop is centred on a nodule and has 128 x 128 voxels in the plane. It has all slices in which
a reader outlined the nodule, and as many empty slices above and below, so that the classes are
balanced. A crop holds one nodule, and no voxel is in two crops: a crop that would hold another
nodule is shifted, and if that does not help, the nodule is reported and not used.

Scans are processed one by one, by the processes of this machine or by a Dask cluster. Finished
scans stay in the folder OUT.parts, so that an interrupted run can be continued. A scan that cannot
be used does not stop the run: it is reported with the reason.
"""

from .crops_of_scan import Nodule, crops
from .outlines import outlined_in_lidc, outlined_in_mask, outlined_in_volumes
from .scans import extract, extract_scan, find_scans, unfinished

__all__ = [
    "Nodule",
    "crops",
    "extract",
    "extract_scan",
    "find_scans",
    "outlined_in_lidc",
    "outlined_in_mask",
    "outlined_in_volumes",
    "unfinished",
]
