"""Exercises of the chapter *Taking the model apart*."""

from itertools import permutations

import numpy as np

from nodule_lesson.chapters.exercise import Exercise


def _larger(inside, empty, tie=0.5):
    """Of every pair, 1 where the slice with a nodule has the larger c, `tie` where it is equal."""
    return (inside[:, None] > empty) + tie * (inside[:, None] == empty)


# function(inside, empty) -> the area under the ROC curve, one number. inside, empty: (M,) and (N,)
# values of c for slices with and without a nodule. The area is the share of all M N pairs in which
# the slice with a nodule has the larger c, equal ones by half.
area = Exercise(
    ask=(
        np.array([0.9, 0.6, 0.6, 0.3, 0.95]),
        np.array([0.1, 0.6, 0.2, 0.4, 0.3, 0.7, 0.1]),
    ),
    right=lambda inside, empty: _larger(inside, empty).mean(),
    mistakes={
        "equal values count nothing here; a tie counts by half.":
            lambda inside, empty: _larger(inside, empty, tie=0).mean(),
        "equal values count as right; a tie counts by half.":
            lambda inside, empty: _larger(inside, empty, tie=1).mean(),
        "this is the other way round: slices with a nodule should have the larger c.":
            lambda inside, empty: _larger(empty, inside).mean(),
        "this is the number of pairs; divide by how many there are.":
            lambda inside, empty: _larger(inside, empty).sum(),
        "this is the difference of the means; compare pairs.":
            lambda inside, empty: inside.mean() - empty.mean(),
        "this asks whether c is on the right side of 1/2; the area needs no threshold.":
            lambda inside, empty: np.concatenate([inside >= 0.5, empty < 0.5]).mean(),
        "this is the mean of sensitivity and specificity at 1/2; the area needs no threshold.":
            lambda inside, empty: ((inside >= 0.5).mean() + (empty < 0.5).mean()) / 2,
        "this compares slices by their place; compare each with each.":
            lambda inside, empty: (inside > empty[: len(inside)]).mean(),
        "this is 2 area - 1.": lambda inside, empty: 2 * _larger(inside, empty).mean() - 1,
    },
)  # fmt: skip


def _slices():
    """Whether there is a nodule, c, and critical shifts. They tell all mistakes apart."""
    random = np.random.default_rng(2588)
    return np.arange(18) < 7, random.uniform(0, 1, 18).round(2), random.uniform(0, 3, 18).round(2)


def _shares(nodule, marked):
    return np.array([(~marked[nodule]).mean(), marked[~nodule].mean()])


def _missed_and_marked(nodule, c, shift, lambda2):
    return _shares(nodule, lambda2 * (1 - c) < shift)


# function(nodule, c, shift, lambda2) -> [share of nodules missed, of empty slices marked]. nodule:
# (N,) boolean. c: (N,). shift: (N,), the critical shift of each slice: it is marked as long as
# lambda2 (1 - c) is smaller.
missed_and_marked = Exercise(
    ask=(*_slices(), 2.5),
    right=_missed_and_marked,
    mistakes={
        "the shift is lambda2 (1 - c); this is lambda2 c.":
            lambda n, c, s, b: _missed_and_marked(n, 1 - c, s, b),
        "the shift is lambda2 (1 - c); this is lambda2 alone, whatever c says.":
            lambda n, c, s, b: _shares(n, b < s),
        "this forgets lambda2.": lambda n, c, s, b: _missed_and_marked(n, c, s, 1),
        "divide by the number of nodules, and of empty slices; this divides both by all slices.":
            lambda n, c, s, b: _missed_and_marked(n, c, s, b) * [n.mean(), 1 - n.mean()],
        "the two are swapped: nodules missed come first.":
            lambda *slices: _missed_and_marked(*slices)[::-1],
        "a slice is marked as long as the shift is smaller than its critical one; this has it "
        "the other way round.": lambda *slices: 1 - _missed_and_marked(*slices),
        "the first number is the share of nodules that are found, not missed.":
            lambda *slices: abs([1, 0] - _missed_and_marked(*slices)),
        "the second number is the share of empty slices that are left empty.":
            lambda *slices: abs([0, 1] - _missed_and_marked(*slices)),
        "nothing is shifted here.": lambda n, c, s, b: _missed_and_marked(n, c, s, 0),
    },
)  # fmt: skip

_ALL, _NONE = frozenset("ABC"), frozenset()


def _gain(scores, part, before):
    return scores[before | {part}] - scores[before]


def _gains(scores, part):
    """The gain of a part in each order."""
    orders = permutations("ABC")
    return [_gain(scores, part, frozenset(order[: order.index(part)])) for order in orders]


def _without(scores, part):
    return [subset for subset in scores if part not in subset]


# function(scores, part) -> the mean gain of a part over all orders in which parts are added.
# scores: a dict from a frozenset of parts to the score with just these, such as
# scores[frozenset("AB")]; every subset is there. part: a letter.
fair_share = Exercise(
    ask=(
        {_NONE: 0.50, frozenset("A"): 0.56, frozenset("B"): 0.53, frozenset("C"): 0.51,
         frozenset("AB"): 0.66, frozenset("AC"): 0.58, frozenset("BC"): 0.55, _ALL: 0.71},
        "A",
    ),
    right=lambda scores, part: np.mean(_gains(scores, part)),
    mistakes={
        "this adds the part first of all; average over all orders.":
            lambda scores, part: _gain(scores, part, _NONE),
        "this removes the part last of all, from the whole; average over all orders.":
            lambda scores, part: _gain(scores, part, _ALL - {part}),
        "this is the mean of the first and the last; the orders in between count as well.":
            lambda scores, part: np.mean(
                [_gain(scores, part, before) for before in (_NONE, _ALL - {part})]),
        "each subset counts the same here; but the part comes after nothing, or after all "
        "others, in more orders than after one of them alone.":
            lambda scores, part: np.mean(
                [_gain(scores, part, before) for before in _without(scores, part)]),
        "this is the sum over all orders; divide by their number.":
            lambda scores, part: sum(_gains(scores, part)),
        "this is a loss: subtract the score without the part from that with it.":
            lambda scores, part: -np.mean(_gains(scores, part)),
        "this is the gain of all parts together.":
            lambda scores, part: scores[_ALL] - scores[_NONE],
        "this is the mean score with the part; a gain is a difference.":
            lambda scores, part: np.mean(
                [scores[before | {part}] for before in _without(scores, part)]),
    },
)  # fmt: skip
