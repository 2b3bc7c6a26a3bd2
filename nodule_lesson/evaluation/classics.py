"""Segmentation without training: Otsu, k-means, Chan-Vese and the random walker.

Each is a function from a crop (H, W), min-max scaled to [0, 1], to a boolean mask (H, W). All
use the library's default settings; nothing has been tuned on any nodule. Beside the crop they use
one fact, which every network of the lesson can learn: a nodule, if there is one, lies in the
middle. So `central` keeps one component of what a method marks.

They raise ValueError for crops that are not (H, W), too small, or not finite.
"""

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from skimage import filters, segmentation

MAX_DISTANCE = 4.0  # pixels between the centre and the component that is kept
MIN_SIDE = 8  # pixels of a crop, for both of the random walker's seeds
SEED_RADIUS = 2.0  # pixels, of the random walker's seed
ITERATIONS = 50  # of k-means and of Chan and Vese's method; both converge earlier


def otsu(crop):
    """Pixels above Otsu's threshold (1979), which has the largest between-class variance."""
    crop = _crop(crop)
    return central(crop > filters.threshold_otsu(crop))


def k_means(crop):
    """The brighter of two clusters of pixels, by grey value and mean of 3 x 3 neighbours.

    With grey values alone, two means would be the same as Otsu's threshold. Lloyd's algorithm
    (1982) starts at the smallest and the largest value of the crop, so nothing is random.
    """
    crop = _crop(crop)
    if crop.min() == crop.max():
        return np.zeros(crop.shape, bool)
    pixels = np.stack([crop, ndimage.uniform_filter(crop, 3)], axis=-1).reshape(-1, 2)
    start = np.array([[crop.min()] * 2, [crop.max()] * 2])
    centres, label = kmeans2(pixels, start, iter=ITERATIONS, minit="matrix")
    return central((label == centres[:, 0].argmax()).reshape(crop.shape))


def chan_vese(crop):
    """The brighter of the two regions of Chan and Vese (2001): two means, and a short outline.

    This is its morphological form (Marquez-Neila and others, 2014), whose result depends little on
    the initial regions, here Otsu's.
    """
    crop = _crop(crop)
    start = crop > filters.threshold_otsu(crop)
    region = segmentation.morphological_chan_vese(crop, ITERATIONS, init_level_set=start) > 0
    # The two regions may have been exchanged.
    if region.any() and not region.all() and crop[region].mean() < crop[~region].mean():
        region = ~region
    return central(region)


def random_walker(crop):
    """Pixels from which a walker reaches the centre before the border (Grady, 2006).

    A step to a neighbour is less likely if its grey value differs more.
    """
    crop = _crop(crop)
    if crop.min() == crop.max():  # the walker would have no preference
        return np.zeros(crop.shape, bool)
    seeds = np.zeros(crop.shape, int)
    seeds[distance_to_centre(crop.shape) < SEED_RADIUS] = 1
    seeds[[0, -1]] = seeds[:, [0, -1]] = 2
    return central(segmentation.random_walker(crop, seeds, mode="bf") == 1)


METHODS = {
    "Otsu": otsu,
    "k-means": k_means,
    "Chan-Vese": chan_vese,
    "random walker": random_walker,
}


def central(mask, max_distance=MAX_DISTANCE):
    """The component of a mask (H, W) that is nearest to the centre.

    Components are connected over four neighbours. If none has a pixel within
    `max_distance` pixels of the centre, the result is empty: the method sees
    no nodule.
    """
    mask = np.asarray(mask, dtype=bool)
    components, _ = ndimage.label(mask)
    distance = np.where(mask, distance_to_centre(mask.shape), np.inf)
    nearest = np.unravel_index(distance.argmin(), distance.shape)
    if distance[nearest] > max_distance:
        return np.zeros(mask.shape, bool)
    return components == components[nearest]


def distance_to_centre(shape):
    """The distance of each pixel of an image (H, W) from its centre, in pixels."""
    y, x = np.indices(shape)
    return np.hypot(y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2)


def best_threshold(crop, truth):
    """(t, Dice): the threshold t with the highest Dice of the central component of crop > t.

    crop: (H, W), values of any kind. truth: (H, W), boolean, not empty. Since it uses the truth,
    this is an upper bound and not a method. t is a value of the crop, the lowest of equally good
    ones. Raises ValueError for an empty truth.
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
    if crop.ndim != 2 or min(crop.shape) < MIN_SIDE:
        raise ValueError(
            f"crop must be (H, W), at least {MIN_SIDE} x {MIN_SIDE}; found {crop.shape}."
        )
    if not np.isfinite(crop).all():
        raise ValueError("crop must be finite, found nan or infinity.")
    return crop
