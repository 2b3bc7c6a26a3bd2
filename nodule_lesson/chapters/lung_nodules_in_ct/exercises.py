"""Exercises of the chapter *Lung nodules in CT*."""

import itertools

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _hounsfield(mu, water, air):
    return 1000 * (mu - water) / (water - air)


# function(mu, mu_water, mu_air) -> the attenuation mu, an array, in Hounsfield units. Per mm; the
# true air is closer to 0, and would hide mistakes.
hounsfield = Exercise(
    ask=(np.array([[0.0004, 0.0030, 0.019], [0.021, 0.05, 0.0]]), 0.019, 0.0004),
    right=_hounsfield,
    mistakes={
        "air comes out as 0 and water as 1000; the scale starts at water.":
            lambda mu, water, air: _hounsfield(mu, water, air) + 1000,
        "the sign is off: what attenuates more than water is positive.":
            lambda mu, water, air: -_hounsfield(mu, water, air),
        "divide by water minus air: so that air is at -1000.":
            lambda mu, water, air: 1000 * (mu - water) / water,
        "divide by water minus air, not by air.": lambda mu, water, air: 1000 * (mu - water) / air,
        "the factor 1000 is missing.": lambda mu, water, air: (mu - water) / (water - air),
        "this measures from air, and divides by water alone.":
            lambda mu, water, air: 1000 * (mu - air) / water,
        "this is 1000 mu / mu_water: water is 0 on the scale.":
            lambda mu, water, air: 1000 * mu / water,
    },
)  # fmt: skip


def _plain(hu, level, width):
    return (hu - (level - width / 2)) / width


def _window(hu, level, width):
    return np.clip(_plain(hu, level, width), 0, 1)


def _outside_is_black(hu, level, width):
    plain = _plain(hu, level, width)
    return np.where((plain < 0) | (plain > 1), 0, plain)


# function(hu, level, width) -> what is displayed of hu: 0 is black, 1 is white. hu is an array of
# integers, as a scan has them.
window = Exercise(
    ask=(
        np.array(
            [[-1024, -990, -700, -675], [-605, -500, -420, 60], [100, 650, 1200, 3071]], np.int16
        ),
        -450,
        1100,
    ),
    right=_window,
    mistakes={
        "right inside the window, but beyond it the grey goes on: cut it at 0 and 1.": _plain,
        "what lies above the window is white, not black.": _outside_is_black,
        "the level is the middle of the window, not its lower end.":
            lambda hu, level, width: _window(hu, level + width / 2, width),
        "the level is the middle of the window, not its upper end.":
            lambda hu, level, width: _window(hu, level - width / 2, width),
        "the width goes from end to end: half of it lies on each side of the level.":
            lambda hu, level, width: _window(hu, level, 2 * width),
        "the lower end is right; divide by the whole width, so that the upper end gets 1.":
            lambda hu, level, width: np.clip(2 * _plain(hu, level, width), 0, 1),
        "black is right, but above the window the grey goes on: cut it at 1, too.":
            lambda hu, level, width: np.maximum(_plain(hu, level, width), 0),
        "white is right, but below the window the grey goes on: cut it at 0, too.":
            lambda hu, level, width: np.minimum(_plain(hu, level, width), 1),
        "black and white are exchanged.": lambda hu, level, width: 1 - _window(hu, level, width),
        "between 0 and 1 is wanted, not between 0 and 255.": (
            lambda hu, level, width: 255 * _window(hu, level, width),
            lambda hu, level, width: np.round(255 * _window(hu, level, width)),
            lambda hu, level, width: np.floor(255 * _window(hu, level, width)),
        ),
        "these are still HU, cut at the ends of the window; they have to become 0 to 1.":
            lambda hu, level, width: np.clip(hu, level - width / 2, level + width / 2),
        "this is min-max scaling, the paper's Eq. (6): level and width do not occur.":
            lambda hu, level, width: (hu - float(hu.min())) / (float(hu.max()) - hu.min()),
        "integers: the grey between 0 and 1 is gone.":
            lambda hu, level, width: np.floor(_window(hu, level, width)),
    },
)  # fmt: skip


def _stack():
    """Slices that are not square, the last of them constant."""
    random = np.random.default_rng(6)
    stack = random.integers(-1000, 400, size=(4, 5, 7)).astype(np.int16)
    stack[0] = stack[0] // 2
    stack[1, 2, 3] = 1900  # a rib in one of them
    stack[3] = -1000
    return stack


def _ends(stack, axes=(1, 2)):
    wide = stack.astype(float)
    return wide, wide.min(axes, keepdims=True), wide.max(axes, keepdims=True)


def _scaled(stack, axes=(1, 2)):
    wide, low, high = _ends(stack, axes)
    return (wide - low) / (high - low)


def _over_the_span(stack):
    wide, low, high = _ends(stack)
    return wide / (high - low)


def _over_the_maximum(stack):
    wide, low, high = _ends(stack)
    return (wide - low) / high


def _with_or_without_nan(mistake):
    """A mistake, and the same by a reader who has thought of 0/0: else only 0/0 would be named."""
    return mistake, lambda stack: np.nan_to_num(mistake(stack), posinf=0, neginf=0)


# function(stack) -> the paper's Eq. (6) for each slice of a stack (N, H, W) of HU, integers.
eq6 = Exercise(
    ask=(_stack(),),
    right=lambda stack: np.nan_to_num(_scaled(stack)),
    mistakes={
        "right but for the constant slice: 0/0 is NaN, and it should become 0.": _scaled,
        "right but for the constant slice, where the paper's Eq. (6) is 0/0: it should be 0.": (
            lambda stack: np.nan_to_num(_scaled(stack), nan=1),
            lambda stack: np.nan_to_num(_scaled(stack), nan=0.5),
            lambda stack: np.nan_to_num(_scaled(stack), nan=-1000),
        ),
        "one minimum and maximum for the whole stack: the paper's Eq. (6) for the data set.":
            lambda stack: _scaled(stack, (0, 1, 2)),
        "the axes are off: one minimum for each pixel, over the slices.":
            _with_or_without_nan(lambda stack: _scaled(stack, 0)),
        "the axes are off: one minimum for each column of a slice.":
            _with_or_without_nan(lambda stack: _scaled(stack, 1)),
        "the axes are off: one minimum for each row of a slice.":
            _with_or_without_nan(lambda stack: _scaled(stack, 2)),
        "black and white are exchanged.": _with_or_without_nan(lambda stack: 1 - _scaled(stack)),
        "the minimum is not taken off the numerator, I - I_min.":
            _with_or_without_nan(_over_the_span),
        "divide by I_max - I_min, not by I_max.": _with_or_without_nan(_over_the_maximum),
        "between 0 and 1 is wanted, not between 0 and 255.":
            _with_or_without_nan(lambda stack: 255 * _scaled(stack)),
    },
)  # fmt: skip


def _share(diameter, thickness):
    return min(1, diameter / thickness)


def _density(share):
    """The density of a nodule, from the share of the brightest voxel that is nodule."""
    return lambda seen, diameter, thickness, lung: (
        lung + (seen - lung) / share(diameter, thickness)
    )


# density(seen, diameter, thickness, lung) -> HU of a ball whose brightest voxel shows `seen`. The
# first three balls are thinner than the slice, the last two are thicker.
density = Exercise(
    ask=[(-560.0, 3.0, 5.0, -860.0), (-700.0, 2.0, 2.5, -900.0), (-300.0, 4.0, 5.0, -820.0),
         (40.0, 8.0, 2.5, -860.0), (-500.0, 6.0, 5.0, -880.0)],
    right=_density(_share),
    mistakes={
        "right for balls thinner than the slice; a thicker one fills the voxel, and no more.":
            _density(lambda d, t: d / t),
        "right for balls thicker than the slice; a thinner one shows less than it has.":
            lambda seen, d, t, lung: seen,
        "this mixes once more; turn the equation round and solve for the nodule.":
            lambda seen, d, t, lung: lung + (seen - lung) * _share(d, t),
        "the rest of the voxel is lung, which has HU of its own: take it off first.":
            lambda seen, d, t, lung: seen / _share(d, t),
        "the rest of the voxel is lung, not air.":
            lambda seen, d, t, lung: -1000 + (seen + 1000) / _share(d, t),
        "not all of the voxel is lung: the mean is share * nodule + (1 - share) * lung.":
            lambda seen, d, t, lung: (seen - lung) / _share(d, t),
        "this is a ball beside a cube or a cylinder as deep as the slice; the voxel is so narrow "
        "that only its depth counts.": (
            _density(lambda d, t: _share(d, t) ** 2),
            _density(lambda d, t: _share(d, t) ** 3),
            _density(lambda d, t: 2 / 3 * _share(d, t)),
            _density(lambda d, t: np.pi / 6 * _share(d, t) ** 3),
        ),
        "half of the diameter is the radius; the ball lies centred, so its whole diameter is in "
        "the slice.": _density(lambda d, t: min(1, d / (2 * t))),
    },
)  # fmt: skip


def _drawn(readers):
    return np.random.default_rng(readers).integers(0, 2**readers, (8, 11)).astype(np.uint8)


def _votes(bits):
    return np.unpackbits(bits[..., None], axis=-1).sum(-1, dtype=int)


# function(bits, readers) -> the mask of the pixels that at least half of the readers drew.
# bits: (H, W) uint8, bit r is set where reader r drew.
consensus = Exercise(
    ask=[(_drawn(readers), readers) for readers in (4, 3, 5)],
    right=lambda bits, readers: 2 * _votes(bits) >= readers,
    mistakes={
        "with three readers one is not enough: half of 3 is 1.5, which floors to 1.":
            lambda bits, readers: _votes(bits) >= readers // 2,
        "right for three and four readers, but of five two are less than half.":
            lambda bits, readers: _votes(bits) >= 2,
        "this is the union: one reader is enough for it.": lambda bits, readers: bits > 0,
        "this is the intersection: all have to agree.":
            lambda bits, readers: _votes(bits) == readers,
        "this asks for more than half: a tie of two against two counts as well.":
            lambda bits, readers: 2 * _votes(bits) > readers,
        "this compares the number that the bits make, not their count.":
            lambda bits, readers: bits >= readers / 2,
        "these are the votes, not the mask.": lambda bits, readers: _votes(bits),
        "this is the share of the readers, not the mask.":
            lambda bits, readers: _votes(bits) / readers,
        "this is what a minority drew: the mask is its opposite.":
            lambda bits, readers: 2 * _votes(bits) < readers,
    },
)  # fmt: skip


def _discs():
    random = np.random.default_rng(2)
    y, x = np.indices((14, 17))
    centres, radii = [7, 8] + random.normal(size=(4, 2)), (3, 4, 4.6, 6)
    discs = zip(centres, radii, strict=True)
    return np.stack([np.hypot(y - row, x - column) < r for (row, column), r in discs])


def _dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def _over_pairs(measure=_dice, statistic=np.mean):
    return lambda masks: statistic([measure(*pair) for pair in itertools.combinations(masks, 2)])


def _pooled(masks):
    both = _over_pairs(lambda a, b: (a & b).sum(), sum)(masks)
    return 2 * both / _over_pairs(lambda a, b: a.sum() + b.sum(), sum)(masks)


# function(masks) -> the mean Dice over all pairs of the masks, boolean (R, H, W), R > 2.
mutual_dice = Exercise(
    ask=(_discs(),),
    right=_over_pairs(),
    mistakes={
        "each mask is compared with itself, too: a Dice of 1 for nothing.": (
            lambda masks: np.mean([_dice(a, b) for a in masks for b in masks]),
            lambda masks: (_over_pairs(statistic=sum)(masks) + 4) / 10,
        ),
        "this is half of it: Dice is twice the intersection over the sum of the areas.":
            lambda masks: _over_pairs()(masks) / 2,
        "this is the sum over the pairs; the mean is wanted.": _over_pairs(statistic=sum),
        "divide by the number of pairs: four readers make six.":
            lambda masks: _over_pairs(statistic=sum)(masks) / 4,
        "this is IoU: intersection over union.":
            _over_pairs(lambda a, b: (a & b).sum() / (a | b).sum()),
        "this is 2 |A and B| / |A or B|: Dice has the sum of the two areas below.":
            _over_pairs(lambda a, b: 2 * (a & b).sum() / (a | b).sum()),
        "this pools the pairs into one; take a Dice for each pair, then the mean.": _pooled,
        "this compares each reader with the consensus, which the reader has helped to make.":
            lambda masks: np.mean([_dice(mask, masks.sum(0) >= 2) for mask in masks]),
        "this compares each reader with the consensus of the others; all pairs are wanted.":
            lambda masks: np.mean([_dice(mask, masks.sum(0) - mask >= 2) for mask in masks]),
        "these are neighbours in the list only; all pairs are wanted.":
            lambda masks: np.mean([_dice(*pair) for pair in itertools.pairwise(masks)]),
        "this compares the first reader with the others; all pairs are wanted.":
            lambda masks: np.mean([_dice(masks[0], mask) for mask in masks[1:]]),
        "this is what all agree on, against what anyone drew.":
            lambda masks: masks.all(0).sum() / masks.any(0).sum(),
    },
)  # fmt: skip
