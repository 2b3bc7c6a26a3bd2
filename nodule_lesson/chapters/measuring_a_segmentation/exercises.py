"""Exercises of the chapter *Measuring a segmentation*."""

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


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

# function(a, b, W) -> the false pixels on empty slices that lower a pooled Dice of a to b, where
# the masks on the slices with a nodule have W pixels together; arrays.
alarms = Exercise(
    ask=(np.array([0.9, 0.8, 0.75]), np.array([0.6, 0.75, 0.3]), np.array([1200.0, 900.0, 64.0])),
    right=lambda a, b, W: W * (a / b - 1),
    mistakes={
        "a - b is a difference of two fractions with different denominators. What both systems "
        "share is the numerator.": lambda a, b, W: W * (a - b),
        "this is the share of the false pixels in W + F, times W.":
            lambda a, b, W: W * (1 - b / a),
        "this is W + F: all pixels of the second system's masks and the true ones.":
            lambda a, b, W: W * a / b,
        "the ratio is upside down: there cannot be fewer than no false pixels.":
            lambda a, b, W: W * (b / a - 1),
        "a false pixel on an empty slice lies in one mask alone: it counts once in |A| + |B|.":
            lambda a, b, W: W * (a / b - 1) / 2,
        "W is the sum over both masks already.": lambda a, b, W: 2 * W * (a / b - 1),
        "this takes the two values for IoU: Dice counts the true positives twice.":
            lambda a, b, W: W * (a * (2 - b) / (b * (2 - a)) - 1),
    },
)  # fmt: skip
