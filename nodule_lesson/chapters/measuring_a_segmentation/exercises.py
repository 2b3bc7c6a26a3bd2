"""Checkers of the chapter *Measuring a segmentation*."""

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from nodule_lesson.chapters.verdict import verdict


def _mask():
    """A blob with a hole at the top of a 9 x 13 image, and a bar from its top to its bottom."""
    y, x = np.indices((9, 13))
    blob = (np.hypot(y - 2.3, x - 4.2) < 4.1) | (x > 9)
    blob[2, 4] = False
    return blob


def contour(function):
    """function(mask) -> the contour of a boolean mask (H, W), boolean.

    Pixels of the mask with at least one of four neighbours in the background; outside the image
    is background.
    """
    mask = _mask()
    answer = function(mask.copy())
    square = np.ones((3, 3), bool)
    right = mask & ~binary_erosion(mask)
    wrapped = mask.copy()
    for axis in (0, 1):
        for step in (1, -1):
            wrapped &= np.roll(mask, step, axis)
    wrong = [
        ("these are the pixels inside: the contour is what is left of the mask without them.",
         binary_erosion(mask)),
        ("this is the mask itself: pixels all of whose neighbours are in it do not belong.", mask),
        ("this takes the outside of the image for foreground: a mask at the border has a contour "
         "there, too.", mask & ~binary_erosion(mask, border_value=1)),
        ("this wraps round: np.roll brings the last row to the first. Outside is background.",
         mask & ~wrapped),
        ("these are the first pixels outside; the contour belongs to the mask.",
         binary_dilation(mask) & ~mask),
        ("this is the contour with the first pixels outside: a band two pixels wide.",
         binary_dilation(mask) & ~binary_erosion(mask)),
        ("diagonal neighbours count here as well: four neighbours are asked for.",
         mask & ~binary_erosion(mask, square)),
        ("this asks for all four neighbours in the background; one is enough.",
         mask & ~binary_dilation(mask, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])),
        ("the axes are transposed.", right.T),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def assd(function):
    """function(x, y, spacing) -> the paper's Eq. (13) for pixels (n, 2) and (m, 2), in mm."""
    random = np.random.default_rng(20154)
    x = random.integers(0, 12, (7, 2))
    y = random.integers(4, 20, (4, 2))
    spacing = (0.9, 0.6)
    answer = function(x.copy(), y.copy(), spacing)

    def gaps(row_mm, column_mm):
        apart = (x[:, None] - y) * (row_mm, column_mm)
        return np.hypot(apart[..., 0], apart[..., 1])

    def pooled(distances):
        there, back = distances.min(1), distances.min(0)
        return np.concatenate([there, back]).mean()

    d = gaps(*spacing)
    there, back = d.min(1), d.min(0)
    wrong = [
        ("this is the largest of the distances: HD, the paper's Eq. (12).",
         max(there.max(), back.max())),
        ("this is the mean of the two means. The paper's Eq. (13) adds all distances and divides "
         "once, so the longer contour weighs more.", (there.mean() + back.mean()) / 2),
        ("this goes from x to y alone; the other way is missing.", there.mean()),
        ("this goes from y to x alone; the other way is missing.", back.mean()),
        ("this is the mean over all pairs; take the nearest pixel of the other set first.",
         d.mean()),
        ("this is the sum; divide it by the number of pixels of both sets.",
         there.sum() + back.sum()),
        ("the spacing is missing: these are pixels, not millimetres.", pooled(gaps(1, 1))),
        ("the spacing is swapped: rows come first.", pooled(gaps(*spacing[::-1]))),
        ("these are squared distances: a square root is missing.", pooled(d**2)),
        ("this adds the two means; divide the sum of all distances by the number of all pixels.",
         there.mean() + back.mean()),
        ("this is a city-block distance: take the root of the sum of squares.",
         pooled(np.abs((x[:, None] - y) * spacing).sum(-1))),
    ]  # fmt: skip
    return verdict(answer, pooled(d), wrong)


def misses(function):
    """function(mean_dice, mean_iou) -> the share of complete misses that explains the two means.

    A share m of the units has Dice and IoU 0, all others have one Dice d and the IoU that belongs
    to it. The checker calls it with arrays.
    """
    dice, iou = np.array([0.801, 0.753, 0.6, 0.45]), np.array([0.735, 0.688, 0.5, 0.45])
    answer = function(dice.copy(), iou.copy())
    found = 2 - dice / iou
    wrong = [
        ("this is d, the Dice of what was found.", found),
        ("this is the share of what was found; the misses are the rest.", dice / found),
        ("this is 1 - mean Dice: it takes what was found to be perfect.", 1 - dice),
        ("this is 1 - mean IoU: it takes what was found to be perfect.", 1 - iou),
        ("this takes the mean IoU for the IoU of what was found: only a share 1 - m has it.",
         1 - dice * (1 + iou) / (2 * iou)),
        ("this uses IoU = D / (2 - D) for the means; it holds for one unit alone.",
         1 - iou * (2 - dice) / dice),
        ("this divides the wrong way round: mean Dice over mean IoU is 2 - d.",
         1 - dice / (2 - iou / dice)),
    ]  # fmt: skip
    return verdict(answer, 1 - dice / found, wrong)
