"""From scans with their readers' outlines to a PatchSet, as the paper describes it.

Every crop is centred on a nodule, 128 x 128 voxels in the plane; it takes all slices in which a
reader outlined the nodule, and as many empty neighbours above and below, so that the classes
balance. One nodule per crop, and no voxel in two crops: a crop that would hold another nodule is
moved aside, and where that does not help, the nodule is reported and not used.

One scan is one piece of work, done by the processes of this machine or by a Dask cluster. What is
finished stays in the folder OUT.parts, so an interrupted run goes on where it stopped, and a scan
that cannot be used stops nothing: it is reported with its reason.
"""

from .crops_of_scan import Nodule, crops
from .outlines import outlined_in_lidc, outlined_in_volumes
from .scans import extract, extract_scan, find_scans, unfinished

__all__ = [
    "Nodule",
    "crops",
    "extract",
    "extract_scan",
    "find_scans",
    "outlined_in_lidc",
    "outlined_in_volumes",
    "unfinished",
]
