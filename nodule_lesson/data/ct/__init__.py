"""Reading CT: MetaImage and DICOM through SimpleITK, world and voxel coordinates, regions.

Indices are always in numpy's order, (slice, row, column); world points are (x, y, z) in
millimetres, as in LUNA16's lists. SimpleITK's own transform converts between the two: some scans
of LUNA16 are stored with both in-plane axes reversed, and (world - origin) / spacing would be
wrong for them.

A file must hold a CT volume in HU on a right-angled grid of evenly spaced slices. Anything else is
refused with the reason: SimpleITK would read most of it without a warning, in the wrong place or
with the wrong numbers.
"""

from .scan import AIR, Scan, resample

__all__ = ["AIR", "Scan", "resample"]
