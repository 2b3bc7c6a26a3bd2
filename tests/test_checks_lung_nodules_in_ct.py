"""The checkers of the chapter *Lung nodules in CT*: right, typically wrong, and empty answers."""

import itertools

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from nodule_lesson.chapters.lung_nodules_in_ct import exercises as checks
from nodule_lesson.data.patches import normalise

# Written out one by one, as a reader would write them: the checker's own code is not used.
HOUNSFIELDS = {
    "the scale starts at water": lambda m, w, a: 1000 * (m - a) / (w - a),
    "the sign is off": lambda m, w, a: 1000 * (w - m) / (w - a),
    "so that air is at -1000": lambda m, w, a: 1000 * (m - w) / w,
    "not by air": lambda m, w, a: 1000 * (m - w) / a,
    "factor 1000": lambda m, w, a: (m - w) / (w - a),
    "measures from air": lambda m, w, a: 1000 * (m - a) / w,
    "water is 0 on the scale": lambda m, w, a: 1000 * m / w,
}
WINDOWS = {
    "beyond it the grey goes on": lambda hu, c, w: (hu - (c - w / 2)) / w,
    "white, not black": lambda hu, c, w: np.where(abs(hu - c) <= w / 2, (hu - (c - w / 2)) / w, 0),
    "not its lower end": lambda hu, c, w: np.clip((hu - c) / w, 0, 1),
    "not its upper end": lambda hu, c, w: np.clip((hu - (c - w)) / w, 0, 1),
    "half of it lies on each side": lambda hu, c, w: np.clip((hu - (c - w)) / (2 * w), 0, 1),
    "exchanged": lambda hu, c, w: np.clip((c + w / 2 - hu) / w, 0, 1),
    "not between 0 and 255": lambda hu, c, w: (
        np.clip((hu - (c - w / 2)) / w, 0, 1) * 255
    ).round(),
    "divide by the whole width": lambda hu, c, w: np.clip((hu - (c - w / 2)) / (w / 2), 0, 1),
    "cut it at 1, too": lambda hu, c, w: np.maximum(0, (hu - (c - w / 2)) / w),
    "cut it at 0, too": lambda hu, c, w: np.minimum(1, (hu - (c - w / 2)) / w),
    "0 and 255.": lambda hu, c, w: (255 * np.clip((hu - (c - w / 2)) / w, 0, 1)).astype(np.uint8),
    "these are still HU": lambda hu, c, w: np.clip(hu, c - w / 2, c + w / 2),
    "this is the paper's Eq. (6)": lambda hu, c, w: normalise(hu),
    "integers": lambda hu, c, w: np.clip((hu - (c - w / 2)) / w, 0, 1).astype(int),
}


def scale(stack, axes):
    low, high = stack.min(axes, keepdims=True), stack.max(axes, keepdims=True)
    return (stack - low) / (high - low)


def guarded(stack, axes, instead=0.0):
    low, high = stack.min(axes, keepdims=True), stack.max(axes, keepdims=True)
    return np.where(high > low, (stack - low) / np.maximum(high - low, 1), instead)


def over_span(stack):
    low, high = stack.min((1, 2), keepdims=True), stack.max((1, 2), keepdims=True)
    return stack / np.maximum(high - low, 1) * (high > low)


EQ6 = {
    "0/0 is NaN": lambda s: scale(s, (1, 2)),
    "where the paper's Eq. (6) is 0/0": lambda s: guarded(s, (1, 2), 1.0),
    "the paper's Eq. (6) for the data set": lambda s: (s - s.min()) / (s.max() - s.min()),
    "over the slices": lambda s: scale(s, 0),
    "each column": lambda s: scale(s, 1),
    "each row": lambda s: scale(s, 2),
    "exchanged": lambda s: 1 - scale(s, (1, 2)),
    "numerator": over_span,
    "not by I_max": lambda s: (s - s.min((1, 2), keepdims=True)) / s.max((1, 2), keepdims=True),
    "not between 0 and 255": lambda s: 255 * guarded(s, (1, 2)),
}


def count(bits):
    return np.array([[int(b).bit_count() for b in row] for row in bits])


CONSENSUS = {
    "the union": lambda bits, readers: bits > 0,
    "the intersection": lambda bits, readers: bits == 2**readers - 1,
    "a tie of two": lambda bits, readers: count(bits) > readers / 2,
    "half of 3 is 1.5": lambda bits, readers: count(bits) >= readers // 2,
    "of five two are less": lambda bits, readers: count(bits) >= round(readers / 2),
    "less than half": lambda bits, readers: count(bits) >= 2,
    "not their count": lambda bits, readers: bits >= readers / 2,
    "these are the votes": lambda bits, readers: count(bits),
    "the share of the readers": lambda bits, readers: count(bits) / readers,
    "a minority": lambda bits, readers: count(bits) < readers / 2,
}


def dice(a, b):
    return 2 * np.logical_and(a, b).sum() / (a.sum() + b.sum())


def over_pairs(measure):
    return lambda m: np.mean([measure(a, b) for a, b in itertools.combinations(m, 2)])


def pooled(masks):
    pairs = list(itertools.combinations(masks, 2))
    both = sum((a & b).sum() for a, b in pairs)
    return 2 * both / sum(a.sum() + b.sum() for a, b in pairs)


MUTUAL = {
    "compared with itself": lambda m: np.mean([dice(a, b) for a in m for b in m]),
    "a Dice of 1 for nothing": lambda m: np.mean(
        [dice(m[i], m[j]) for i in range(len(m)) for j in range(i + 1)]
    ),
    "the number of pairs": lambda m: (
        sum(dice(a, b) for a, b in itertools.combinations(m, 2)) / len(m)
    ),
    "consensus of the others": lambda m: np.mean(
        [dice(m[i], np.delete(m, i, 0).mean(0) >= 0.5) for i in range(len(m))]
    ),
    "half of it": over_pairs(lambda a, b: (a & b).sum() / (a.sum() + b.sum())),
    "sum over the pairs": lambda m: sum(dice(a, b) for a, b in itertools.combinations(m, 2)),
    "this is IoU": over_pairs(lambda a, b: (a & b).sum() / (a | b).sum()),
    "the two areas below": over_pairs(lambda a, b: 2 * (a & b).sum() / (a | b).sum()),
    "pools the pairs": pooled,
    "with the consensus": lambda m: np.mean([dice(a, m.mean(0) >= 0.5) for a in m]),
    "neighbours in the list": lambda m: np.mean(
        [dice(a, b) for a, b in zip(m[:-1], m[1:], strict=True)]
    ),
    "the first reader": lambda m: np.mean([dice(m[0], b) for b in m[1:]]),
    "what anyone drew": lambda m: m.all(0).sum() / m.any(0).sum(),
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.hounsfield, HOUNSFIELDS),
        (checks.window, WINDOWS),
        (checks.eq6, EQ6),
        (checks.consensus, CONSENSUS),
        (checks.mutual_dice, MUTUAL),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    with np.errstate(all="ignore"):
        assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out
    assert out.count("\n") == 1


def window_by_interpolation(hu, level, width):
    return np.interp(hu, [level - width / 2, level + width / 2], [0, 1])


def dice_by_sets(masks):
    sets = [set(zip(*np.nonzero(mask), strict=True)) for mask in masks]
    pairs = itertools.combinations(sets, 2)
    return np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in pairs])


@pytest.mark.parametrize(
    "checker, answer",
    [
        (checks.hounsfield, lambda m, w, a: Polynomial.fit([a, w], [-1000, 0], 1)(m)),
        (checks.window, window_by_interpolation),
        (checks.eq6, normalise),
        (
            checks.consensus,
            lambda bits, n: np.vectorize(lambda b: 2 * bin(b).count("1") >= n)(bits),
        ),
        (checks.mutual_dice, dice_by_sets),
    ],
)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


CHECKERS = [
    checks.hounsfield,
    checks.window,
    checks.eq6,
    checks.consensus,
    checks.mutual_dice,
]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("answer", [None, "a text", [[1, 2], [3]]], ids=str)
def test_an_empty_or_strange_answer_is_not_an_error(checker, answer, capsys):
    assert checker(lambda *arguments: answer) is False
    assert capsys.readouterr().out.startswith("Not yet: ")


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_does_not_share_its_arrays(checker, capsys):
    """An answer that writes into its arguments cannot spoil the verdict on the next one."""

    def vandal(array, *rest):
        array[...] = 0
        return array

    assert checker(vandal) is False
