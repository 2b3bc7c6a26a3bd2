"""Outlines without any training: Otsu, k-means, Chan-Vese and the random walker.

Each is a function from a crop (H, W), values in [0, 1] as Eq. (6) makes them, to a boolean mask
(H, W). All run at the library's own settings; nothing here has been tuned on any nodule. What
they know beside the crop is what every network of the lesson can learn: that a nodule, where
there is one, lies in the middle. Of whatever a method marks, `central` keeps one part.

They raise ValueError for crops that are not (H, W), too small, or not finite.
"""

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from skimage import filters, segmentation

REACH = 4.0  # pixels from the centre within which the kept part must begin
SMALLEST = 8  # sides of a crop: room for both of the random walker's seeds
SEED = 2.0  # radius in pixels of the random walker's seed
ROUNDS = 50  # of k-means, and steps of Chan and Vese's outline: both settle before


def otsu(crop):
    """Brighter than Otsu's threshold (1979), the one with the largest between-class variance."""
    crop = _crop(crop)
    return central(crop > filters.threshold_otsu(crop))


def k_means(crop):
    """The brighter of two clusters of pixels, by grey value and mean of 3 x 3 neighbours.

    On grey values alone, two means are Otsu's threshold. Lloyd's algorithm (1982) starts at the
    crop's least and largest value, so that nothing is random.
    """
    crop = _crop(crop)
    if crop.min() == crop.max():
        return np.zeros(crop.shape, bool)
    pixels = np.stack([crop, ndimage.uniform_filter(crop, 3)], axis=-1).reshape(-1, 2)
    start = np.array([[crop.min()] * 2, [crop.max()] * 2])
    centres, label = kmeans2(pixels, start, iter=ROUNDS, minit="matrix")
    return central((label == centres[:, 0].argmax()).reshape(crop.shape))


def chan_vese(crop):
    """The brighter of the two regions of Chan and Vese (2001): two means, and a short outline.

    In its morphological form (Marquez-Neila and others, 2014), whose answer depends little on
    where it starts: here, at Otsu's regions.
    """
    crop = _crop(crop)
    start = crop > filters.threshold_otsu(crop)
    region = segmentation.morphological_chan_vese(crop, ROUNDS, init_level_set=start) > 0
    # The regions may have changed places.
    if region.any() and not region.all() and crop[region].mean() < crop[~region].mean():
        region = ~region
    return central(region)


def random_walker(crop):
    """Pixels from which a walker meets the centre of the crop before its border (Grady, 2006).

    A step to a neighbour is the rarer, the more its grey value differs.
    """
    crop = _crop(crop)
    if crop.min() == crop.max():  # nothing to be guided by
        return np.zeros(crop.shape, bool)
    seeds = np.zeros(crop.shape, int)
    seeds[distance_to_centre(crop.shape) < SEED] = 1
    seeds[[0, -1]] = seeds[:, [0, -1]] = 2
    return central(segmentation.random_walker(crop, seeds, mode="bf") == 1)


METHODS = {
    "Otsu": otsu,
    "k-means": k_means,
    "Chan-Vese": chan_vese,
    "random walker": random_walker,
}


def central(mask, reach=REACH):
    """The part of a mask (H, W) that comes nearest to the centre, or nothing.

    Parts are joined over four neighbours. The kept one has a pixel at most
    `reach` pixels from the centre; where none has, the result is empty: the
    method sees no nodule.
    """
    mask = np.asarray(mask, dtype=bool)
    parts, _ = ndimage.label(mask)
    away = np.where(mask, distance_to_centre(mask.shape), np.inf)
    nearest = np.unravel_index(away.argmin(), away.shape)
    if away[nearest] > reach:
        return np.zeros(mask.shape, bool)
    return parts == parts[nearest]


def distance_to_centre(shape):
    """Pixels from each pixel's centre to the middle of an image (H, W)."""
    y, x = np.indices(shape)
    return np.hypot(y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2)


def best_threshold(crop, truth):
    """(t, Dice): what no threshold can beat. For each t, the central part of crop > t is scored.

    crop: (H, W), values of any kind. truth: (H, W), boolean, not empty. It has seen the truth: a
    bound, and no method. The lowest of equally good thresholds; t is a value of the crop. Raises
    ValueError for an empty truth.
    """
    crop, truth = np.asarray(crop), np.asarray(truth, dtype=bool)
    if not truth.any():
        raise ValueError("truth must mark a nodule, found none.")
    best = crop.max(), 0.0
    for threshold in np.unique(crop)[::-1]:
        mask = central(crop > threshold)
        score = 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum())
        if score >= best[1]:
            best = threshold, float(score)
    return best


def _crop(crop):
    crop = np.asarray(crop, dtype=float)
    if crop.ndim != 2 or min(crop.shape) < SMALLEST:
        raise ValueError(
            f"crop must be (H, W), at least {SMALLEST} x {SMALLEST}; found {crop.shape}."
        )
    if not np.isfinite(crop).all():
        raise ValueError("crop must be finite, found nan or infinity.")
    return crop
