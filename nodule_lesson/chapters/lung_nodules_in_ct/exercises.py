"""Checkers of the chapter *Lung nodules in CT*."""

import itertools

import numpy as np

from nodule_lesson.chapters.verdict import verdict


def hounsfield(function):
    """function(mu, mu_water, mu_air) -> the attenuation mu, an array, in Hounsfield units."""
    water, air = 0.019, 0.0004  # per mm; the true air is closer to 0, and would hide mistakes
    mu = np.array([[0.0004, 0.0030, 0.019], [0.021, 0.05, 0.0]])
    answer = function(mu.copy(), water, air)
    right = 1000 * (mu - water) / (water - air)
    wrong = [
        ("air comes out as 0 and water as 1000; the scale starts at water.", right + 1000),
        ("the sign is off: what attenuates more than water is positive.", -right),
        ("divide by water minus air: so that air is at -1000.", 1000 * (mu - water) / water),
        ("divide by water minus air, not by air.", 1000 * (mu - water) / air),
        ("the factor 1000 is missing.", right / 1000),
        ("this measures from air, and divides by water alone.", 1000 * (mu - air) / water),
        ("this is 1000 mu / mu_water: water is 0 on the scale.", 1000 * mu / water),
    ]
    return verdict(answer, right, wrong)


def window(function):
    """function(hu, level, width) -> what is displayed of hu: 0 is black, 1 is white.

    hu is an array of integers, as a scan has them.
    """
    hu = np.array([[-1024, -990, -700, -675], [-605, -500, -420, 60], [100, 650, 1200, 3071]])
    hu = hu.astype(np.int16)
    level, width = -450, 1100
    answer = function(hu.copy(), level, width)
    low = level - width / 2
    plain = (hu - low) / width
    right = np.clip(plain, 0, 1)
    outside = np.where((plain < 0) | (plain > 1), 0, plain)
    full = (hu - float(hu.min())) / (float(hu.max()) - hu.min())
    wrong = [
        ("right inside the window, but beyond it the grey goes on: cut it at 0 and 1.", plain),
        ("what lies above the window is white, not black.", outside),
        ("the level is the middle of the window, not its lower end.",
         np.clip((hu - level) / width, 0, 1)),
        ("the level is the middle of the window, not its upper end.",
         np.clip((hu - level + width) / width, 0, 1)),
        ("the width goes from end to end: half of it lies on each side of the level.",
         np.clip((hu - level + width) / (2 * width), 0, 1)),
        ("the lower end is right; divide by the whole width, so that the upper end gets 1.",
         np.clip((hu - low) / (width / 2), 0, 1)),
        ("black is right, but above the window the grey goes on: cut it at 1, too.",
         np.maximum(plain, 0)),
        ("white is right, but below the window the grey goes on: cut it at 0, too.",
         np.minimum(plain, 1)),
        ("black and white are exchanged.", 1 - right),
        ("between 0 and 1 is wanted, not between 0 and 255.", 255 * right),
        ("between 0 and 1 is wanted, not between 0 and 255.", np.round(255 * right)),
        ("between 0 and 1 is wanted, not between 0 and 255.", np.floor(255 * right)),
        ("these are still HU, cut at the ends of the window; they have to become 0 to 1.",
         np.clip(hu, low, low + width)),
        ("this is the paper's Eq. (6): level and width do not occur.", full),
        ("integers: the grey between 0 and 1 is gone.", np.floor(right)),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def eq6(function):
    """function(stack) -> the paper's Eq. (6) for each slice of a stack (N, H, W) of HU, integers.

    The checker's stack is not square, and one of its slices is constant.
    """
    random = np.random.default_rng(6)
    stack = random.integers(-1000, 400, size=(4, 5, 7)).astype(np.int16)
    stack[0] = stack[0] // 2
    stack[1, 2, 3] = 1900  # a rib in one of them
    stack[3] = -1000
    wide = stack.astype(float)

    def scaled(axes):
        low, high = wide.min(axes, keepdims=True), wide.max(axes, keepdims=True)
        return (wide - low) / (high - low)

    with np.errstate(divide="ignore", invalid="ignore"):  # the hints say it better
        answer = function(stack.copy())
        slices = scaled((1, 2))
        low, high = wide.min((1, 2), keepdims=True), wide.max((1, 2), keepdims=True)
        right = np.nan_to_num(slices)
        wrong = [
            ("right but for the constant slice, where the paper's Eq. (6) is 0/0: it should be 0.",
             np.where(np.isnan(slices), 1, slices)),
            ("right but for the constant slice, where the paper's Eq. (6) is 0/0: it should be 0.",
             np.where(np.isnan(slices), 0.5, slices)),
            ("right but for the constant slice, where the paper's Eq. (6) is 0/0: it should be 0.",
             np.where(np.isnan(slices), wide, slices)),
            ("one minimum and maximum for the whole stack: the paper's Eq. (6) for the data set.",
             scaled((0, 1, 2))),
            ("the axes are off: one minimum for each pixel, over the slices.",
             np.nan_to_num(scaled((0,)))),
            ("the axes are off: one minimum for each column of a slice.",
             np.nan_to_num(scaled((1,)))),
            ("the axes are off: one minimum for each row of a slice.",
             np.nan_to_num(scaled((2,)))),
            ("black and white are exchanged.", np.nan_to_num(1 - slices)),
            ("the minimum is not taken off the numerator, I - I_min.",
             np.nan_to_num(wide / (high - low), posinf=0, neginf=0)),
            ("divide by I_max - I_min, not by I_max.",
             np.nan_to_num((wide - low) / high, posinf=0, neginf=0)),
            ("between 0 and 1 is wanted, not between 0 and 255.", 255 * right),
        ]  # fmt: skip
    if _is(answer, slices):
        print("Not yet: right but for the constant slice: 0/0 is NaN, and it should become 0.")
        return False
    numbers = _numbers(answer)
    if numbers is not None and not np.isfinite(numbers).all():
        # What else is off matters more than what became of 0/0.
        answer = np.nan_to_num(numbers, posinf=0, neginf=0)
    return verdict(answer, right, wrong)


def consensus(function):
    """function(bits, readers) -> the mask of the pixels that at least half of the readers drew.

    bits: (H, W) uint8, bit r is set where reader r drew. The checker asks for 4, 3 and 5 readers.
    """
    for readers in (4, 3, 5):  # after four: mistakes that four readers do not show
        bits = np.random.default_rng(readers).integers(0, 2**readers, (8, 11)).astype(np.uint8)
        votes = np.unpackbits(bits[..., None], axis=-1).sum(-1, dtype=int)
        answer = function(bits.copy(), readers)
        wrong = [
            ("this is the union: one reader is enough for it.", votes > 0),
            ("this is the intersection: all have to agree.", votes == readers),
            ("this asks for more than half: a tie of two against two counts as well.",
             2 * votes > readers),
            ("this compares the number that the bits make, not their count.",
             bits >= readers / 2),
            ("these are the votes, not the mask.", votes),
            ("this is the share of the readers, not the mask.", votes / readers),
            ("this is what a minority drew: the mask is its opposite.", 2 * votes < readers),
        ]  # fmt: skip
        if readers == 3:
            hint = "with three readers one is not enough: half of 3 is 1.5, which floors to 1."
            wrong.insert(0, (hint, votes >= 1))
        if readers == 5:
            hint = "right for three and four readers, but of five two are less than half."
            wrong.insert(0, (hint, votes >= 2))
        right = 2 * votes >= readers
        if readers == 5 or not _is(answer, right):
            return verdict(answer, right, wrong)
    raise AssertionError("five readers end the loop")


def mutual_dice(function):
    """function(masks) -> the mean Dice over all pairs of the masks, boolean (R, H, W), R > 2."""
    random = np.random.default_rng(2)
    y, x = np.indices((14, 17))
    centres, radii = [7, 8] + random.normal(size=(4, 2)), (3, 4, 4.6, 6)
    discs = zip(centres, radii, strict=True)
    masks = np.stack([np.hypot(y - row, x - column) < r for (row, column), r in discs])
    answer = function(masks.copy())
    pairs = list(itertools.combinations(range(4), 2))

    def mean(measure):
        return np.mean([measure(masks[a], masks[b]) for a, b in pairs])

    def dice(a, b):
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    right = mean(dice)
    both = sum((masks[a] & masks[b]).sum() for a, b in pairs)
    total = sum(masks[a].sum() + masks[b].sum() for a, b in pairs)
    union = masks.sum(0)
    wrong = [
        ("each mask is compared with itself, too: a Dice of 1 for nothing.",
         (12 * right + 4) / 16),
        ("each mask is compared with itself, too: a Dice of 1 for nothing.",
         (6 * right + 4) / 10),
        ("this is half of it: Dice is twice the intersection over the sum of the areas.",
         right / 2),
        ("this is the sum over the pairs; the mean is wanted.", right * 6),
        ("divide by the number of pairs: four readers make six.", right * 6 / 4),
        ("this is IoU: intersection over union.",
         mean(lambda a, b: (a & b).sum() / (a | b).sum())),
        ("this is 2 |A and B| / |A or B|: Dice has the sum of the two areas below.",
         mean(lambda a, b: 2 * (a & b).sum() / (a | b).sum())),
        ("this pools the pairs into one; take a Dice for each pair, then the mean.",
         2 * both / total),
        ("this compares each reader with the consensus, which the reader has helped to make.",
         np.mean([dice(m, 2 * union >= 4) for m in masks])),
        ("this compares each reader with the consensus of the others; all pairs are wanted.",
         np.mean([dice(m, 2 * (union - m) >= 3) for m in masks])),
        ("these are neighbours in the list only; all pairs are wanted.",
         np.mean([dice(masks[i], masks[i + 1]) for i in range(3)])),
        ("this compares the first reader with the others; all pairs are wanted.",
         np.mean([dice(masks[0], masks[i]) for i in range(1, 4)])),
        ("this is what all agree on, against what anyone drew.",
         (union == 4).sum() / (union > 0).sum()),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def _is(answer, value):
    """Does the answer equal the value, NaN for NaN?"""
    numbers = _numbers(answer)
    value = np.asarray(value, dtype=float)
    same = numbers is not None and numbers.shape == value.shape
    return bool(same and np.allclose(numbers, value, equal_nan=True))


def _numbers(answer):
    """The answer as an array; None where it is none."""
    try:
        return None if answer is None else np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        return None
