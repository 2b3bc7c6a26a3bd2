"""Reading scans: DICOM, MetaImage, NIfTI and NRRD; world and voxel coordinates, regions, masks.

    from nodule_lesson.data.ct import Scan
    scan = Scan.open("chest.nii.gz")              # or a folder of DICOM slices, .mhd, .nrrd
    scan.to_index((-57.5, 12.0, -203.8))          # (slice, row, column) of a point in mm

Indices are always in numpy's order, (slice, row, column); world points are (x, y, z) in
millimetres, as in LUNA16's lists. They are in LPS, the axes of DICOM and SimpleITK: x grows to
the patient's left, y to the back, z to the head. NIfTI and NRRD files may be in RAS, x to the
right and y to the front; they are converted when they are opened. SimpleITK's own transform
converts between points and indices: some scans of LUNA16 are stored with both in-plane axes
reversed, and (world - origin) / spacing would be wrong for them.

A file must hold one volume on a right-angled grid of evenly spaced slices: CT in HU, or MR or PET
if you say so. Anything else is refused with the reason: SimpleITK would read most of it without a
warning, in the wrong place or with the wrong numbers.
"""

from .scan import AIR, Scan, resample
from .upright import Upright

__all__ = ["AIR", "Scan", "Upright", "resample"]
