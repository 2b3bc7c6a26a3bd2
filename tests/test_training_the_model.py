"""What the chapter *Training the model* says of the Dice loss."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime


def loss(p, area, pixels, smooth, rest=None):
    """Of one slice with a probability p; `rest` is another one outside the nodule."""
    rest = p if rest is None else rest
    total = p * area + rest * (pixels - area)
    return 1 - (2 * p * area + smooth) / (total + area + smooth)


def test_the_slope_of_the_chapter_is_that_of_finite_differences():
    """Its sign is the same for every p, and changes at A* of the chapter."""
    for pixels, smooth in ((64**2, 1.0), (128**2, 1.0), (64**2, 30.0)):
        border = (np.sqrt(smooth**2 + 2 * smooth * pixels) - smooth) / 2
        for p in (0.02, 0.5, 0.97):
            for area, sign in ((border - 0.5, 1), (border + 0.5, -1)):
                slope = approx_fprime(p, loss, 1e-7, area, pixels, smooth)
                assert np.sign(slope) == sign


@pytest.mark.parametrize("share, area, smooth", [(0.2, 30, 1), (0.5, 30, 1), (0.2, 300, 5)])
def test_silence_repels_from_the_contrast_of_the_chapter_on(share, area, smooth):
    """Finite differences of both losses along a common factor of all odds, near p = 0."""
    pixels, batch = 64**2, 10
    nodule = batch * share * area
    by_slice = (1 - share) / share * pixels / smooth * (area + smooth) ** 2
    by_slice = (by_slice + smooth * (pixels - area)) / (area * (2 * area + smooth))
    of_batch = smooth * (batch * pixels - nodule) / (nodule * (2 * nodule + smooth))

    def slices(t, odds):
        with_nodule = loss(t * odds, area, pixels, smooth, rest=t)
        return share * with_nodule + (1 - share) * loss(t, 0, pixels, smooth)

    def whole(t, odds):
        return loss(t * odds, nodule, batch * pixels, smooth, rest=t)

    for function, odds in ((slices, by_slice), (whole, of_batch)):
        for factor, sign in ((0.99, 1), (1.01, -1)):
            change = function(1e-9, factor * odds) - function(0, factor * odds)
            assert np.sign(change) == sign, function.__name__
