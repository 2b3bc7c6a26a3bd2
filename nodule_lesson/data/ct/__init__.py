"""Reading CT: MetaImage and DICOM through SimpleITK, world and voxel coordinates, regions.

Indexes are in numpy's order everywhere, (slice, row, column); points of the world are
(x, y, z) in millimetres, as in LUNA16's lists. The way between the two is SimpleITK's own
transform: some scans of LUNA16 are stored with both in-plane axes turned round, and
(world - origin) / spacing would be wrong for them.

What is read must be a CT volume in HU on a right-angled grid of even slices. Anything else is
refused with the reason: SimpleITK would read most of it without a word, in the wrong place or
with the wrong numbers.
"""

from .scan import AIR, Scan, resample

__all__ = ["AIR", "Scan", "resample"]
