"""Exercises of the chapter *Measuring a segmentation*."""

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from nodule_lesson.chapters.exercise import Exercise


def _mask():
    """A blob with a hole at the top of a 9 x 13 image, and a bar from its top to its bottom."""
    y, x = np.indices((9, 13))
    blob = (np.hypot(y - 2.3, x - 4.2) < 4.1) | (x > 9)
    blob[2, 4] = False
    return blob


def _contour(mask, **how):
    return mask & ~binary_erosion(mask, **how)


def _wrapped_contour(mask):
    return mask & ~np.all([np.roll(mask, step, axis) for axis in (0, 1) for step in (1, -1)], 0)


# function(mask) -> the contour of a boolean mask (H, W), boolean: pixels of the mask with at least
# one of four neighbours in the background; outside the image is background.
contour = Exercise(
    ask=(_mask(),),
    right=_contour,
    mistakes={
        "these are the pixels inside: the contour is what is left of the mask without them.":
            binary_erosion,
        "this is the mask itself: pixels all of whose neighbours are in it do not belong.":
            lambda mask: mask,
        "this takes the outside of the image for foreground: a mask at the border has a contour "
        "there, too.": lambda mask: _contour(mask, border_value=1),
        "this wraps round: np.roll brings the last row to the first. Outside is background.":
            _wrapped_contour,
        "these are the first pixels outside; the contour belongs to the mask.":
            lambda mask: binary_dilation(mask) & ~mask,
        "this is the contour with the first pixels outside: a band two pixels wide.":
            lambda mask: binary_dilation(mask) & ~binary_erosion(mask),
        "diagonal neighbours count here as well: four neighbours are asked for.":
            lambda mask: _contour(mask, structure=np.ones((3, 3))),
        "this asks for all four neighbours in the background; one is enough.":
            lambda mask: mask & ~binary_dilation(mask, [[0, 1, 0], [1, 0, 1], [0, 1, 0]]),
        "the axes are transposed.": lambda mask: _contour(mask).T,
    },
)  # fmt: skip


def _points():
    random = np.random.default_rng(20154)
    return random.integers(0, 12, (7, 2)), random.integers(4, 20, (4, 2))


def _all_pairs(x, y, spacing):
    return np.linalg.norm((x[:, None] - y) * spacing, axis=-1)


def _nearest(x, y, spacing):
    """The distances from each pixel of x to the nearest of y, and those from y to x."""
    distances = _all_pairs(x, y, spacing)
    return distances.min(1), distances.min(0)


def _assd(x, y, spacing):
    return np.concatenate(_nearest(x, y, spacing)).mean()


def _city_block(x, y, spacing):
    distances = np.abs((x[:, None] - y) * spacing).sum(-1)
    return np.concatenate([distances.min(1), distances.min(0)]).mean()


# function(x, y, spacing) -> the paper's Eq. (13) for pixels (n, 2) and (m, 2), in mm.
assd = Exercise(
    ask=(*_points(), (0.9, 0.6)),
    right=_assd,
    mistakes={
        "this is the largest of the distances: HD, the paper's Eq. (12).":
            lambda x, y, s: np.concatenate(_nearest(x, y, s)).max(),
        "this is the mean of the two means. The paper's Eq. (13) adds all distances and divides "
        "once, so the longer contour weighs more.":
            lambda x, y, s: np.mean([d.mean() for d in _nearest(x, y, s)]),
        "this goes from x to y alone; the other way is missing.":
            lambda x, y, s: _nearest(x, y, s)[0].mean(),
        "this goes from y to x alone; the other way is missing.":
            lambda x, y, s: _nearest(x, y, s)[1].mean(),
        "this is the mean over all pairs; take the nearest pixel of the other set first.":
            lambda x, y, s: _all_pairs(x, y, s).mean(),
        "this is the sum; divide it by the number of pixels of both sets.":
            lambda x, y, s: np.concatenate(_nearest(x, y, s)).sum(),
        "the spacing is missing: these are pixels, not millimetres.":
            lambda x, y, s: _assd(x, y, (1, 1)),
        "the spacing is swapped: rows come first.": lambda x, y, s: _assd(x, y, s[::-1]),
        "these are squared distances: a square root is missing.":
            lambda x, y, s: (np.concatenate(_nearest(x, y, s)) ** 2).mean(),
        "this adds the two means; divide the sum of all distances by the number of all pixels.":
            lambda x, y, s: sum(d.mean() for d in _nearest(x, y, s)),
        "this is a city-block distance: take the root of the sum of squares.": _city_block,
    },
)  # fmt: skip

# function(mean_dice, mean_iou) -> the share of complete misses that explains the two means,
# arrays: a share m of the units has Dice and IoU 0, all others have one Dice d and its IoU.
misses = Exercise(
    ask=(np.array([0.801, 0.753, 0.6, 0.45]), np.array([0.735, 0.688, 0.5, 0.45])),
    right=lambda d, j: 1 - d / (2 - d / j),
    mistakes={
        "this is d, the Dice of what was found.": lambda d, j: 2 - d / j,
        "this is the share of what was found; the misses are the rest.":
            lambda d, j: d / (2 - d / j),
        "this is 1 - mean Dice: it takes what was found to be perfect.": lambda d, j: 1 - d,
        "this is 1 - mean IoU: it takes what was found to be perfect.": lambda d, j: 1 - j,
        "this takes the mean IoU for the IoU of what was found: only a share 1 - m has it.":
            lambda d, j: 1 - d * (1 + j) / (2 * j),
        "this uses IoU = D / (2 - D) for the means; it holds for one unit alone.":
            lambda d, j: 1 - j * (2 - d) / d,
        "this divides the wrong way round: mean Dice over mean IoU is 2 - d.":
            lambda d, j: 1 - d / (2 - j / d),
    },
)  # fmt: skip
