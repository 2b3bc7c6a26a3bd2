"""A scan in the order in which radiologists look at it, however its file stores the axes."""

import numpy as np
import SimpleITK as sitk


class Upright:
    """A view of a `Scan`: slices go towards the head, rows to the back, columns to the left.

        view = Upright(Scan.open("coronal.nii.gz"))
        axial, _ = view.region((40, 0, 0), (1, *view.size[1:]))

    A coronal series, or a volume that another program has mirrored, so gives the axial slices that
    a network was trained on. An oblique scan is turned to the nearest such order; nothing is
    resampled. size, spacing and all indices are (slice, row, column) of this view. scan: the scan;
    its series and patient are those of the view.
    """

    def __init__(self, scan):
        self.scan, self.series, self.patient = scan, scan.series, scan.patient
        # A letter for each axis of the stored array: the end of the patient that it goes to.
        of_matrix = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines
        ends = of_matrix(scan.direction)[::-1]
        self.flipped = tuple(axis for axis in range(3) if ends[axis] in "IAR")  # stored axes
        pairs = ("SI", "PA", "LR")
        self.order = tuple(next(axis for axis in range(3) if ends[axis] in pair) for pair in pairs)
        self.size = tuple(scan.size[axis] for axis in self.order)
        self.spacing = tuple(scan.spacing[axis] for axis in self.order)

    def index_inside(self, point):
        """The index of the voxel at a point (x, y, z) in mm, as `Scan.index_inside`."""
        index = self._mirrored(self.scan.index_inside(point), (1, 1, 1))
        return tuple(index[axis] for axis in self.order)

    def to_world(self, index):
        """The point (x, y, z) in mm of a (slice, row, column), as `Scan.to_world`."""
        stored = [0, 0, 0]
        for axis, i in zip(self.order, index, strict=True):
            stored[axis] = i
        return self.scan.to_world(self._mirrored(stored, (1, 1, 1)))

    def contains(self, index):
        """Whether a (slice, row, column) is a voxel of the volume."""
        return all(0 <= i < n for i, n in zip(index, self.size, strict=True))

    def region(self, first, size, *, pad=None):
        """The intensities of a box and which of them lie inside, as `Scan.region`."""
        stored_first, stored_size = [0, 0, 0], [1, 1, 1]
        for axis, f, n in zip(self.order, first, size, strict=True):
            stored_first[axis], stored_size[axis] = f, n
        stored_first = self._mirrored(stored_first, stored_size)
        arrays = self.scan.region(stored_first, stored_size, pad=pad)
        return tuple(np.flip(array, self.flipped).transpose(self.order) for array in arrays)

    def load(self):
        """The whole volume, (slices, rows, columns), as `Scan.load`."""
        return self.region((0, 0, 0), self.size)[0]

    def as_stored(self, array):
        """An array of the view's shape, turned back to that of the scan, as `write_mask` needs."""
        return np.flip(array.transpose(np.argsort(self.order)), self.flipped)

    def _mirrored(self, first, size):
        """The first index of a box, in stored axes, when the flipped ones count from the end."""
        return [
            self.scan.size[axis] - f - n if axis in self.flipped else f
            for axis, (f, n) in enumerate(zip(first, size, strict=True))
        ]
