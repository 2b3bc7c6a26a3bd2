"""Checkers of the chapter *Taking the model apart*."""

from itertools import permutations

import numpy as np

from nodule_lesson.chapters.verdict import verdict


def area(function):
    """function(inside, empty) -> the area under the ROC curve, one number.

    inside, empty: (M,) and (N,) values of c for slices with and without a nodule. The area is the
    share of all M N pairs in which the slice with a nodule has the larger c, equal ones by half.
    """
    inside = np.array([0.9, 0.6, 0.6, 0.3, 0.95])
    empty = np.array([0.1, 0.6, 0.2, 0.4, 0.3, 0.7, 0.1])
    answer = function(inside.copy(), empty.copy())
    larger = inside[:, None] > empty
    equal = inside[:, None] == empty
    right = (larger + 0.5 * equal).mean()
    wrong = [
        ("equal values count nothing here; a tie counts by half.", larger.mean()),
        ("equal values count as right; a tie counts by half.", (larger | equal).mean()),
        ("this is the other way round: slices with a nodule should have the larger c.", 1 - right),
        ("this is the number of pairs; divide by how many there are.",
         (larger + 0.5 * equal).sum()),
        ("this is the difference of the means; compare pairs.", inside.mean() - empty.mean()),
        ("this asks whether c is on the right side of 1/2; the area needs no threshold.",
         ((inside >= 0.5).sum() + (empty < 0.5).sum()) / (len(inside) + len(empty))),
        ("this is the mean of sensitivity and specificity at 1/2; the area needs no threshold.",
         ((inside >= 0.5).mean() + (empty < 0.5).mean()) / 2),
        ("this compares slices by their place; compare each with each.",
         (inside > empty[: len(inside)]).mean()),
        ("this is 2 area - 1.", 2 * right - 1),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def missed_and_marked(function):
    """function(nodule, c, shift, lambda2) -> [share of nodules missed, of empty slices marked].

    nodule: (N,) boolean. c: (N,). shift: (N,), the critical shift of each slice: it is marked as
    long as lambda2 (1 - c) is smaller.
    """
    # These slices tell all mistakes below apart.
    random = np.random.default_rng(2588)
    nodule = np.arange(18) < 7
    c, shift = random.uniform(0, 1, 18).round(2), random.uniform(0, 3, 18).round(2)
    lambda2 = 2.5
    answer = function(nodule.copy(), c.copy(), shift.copy(), lambda2)

    def count(moved, shift=shift, whole=False):
        on = moved < shift
        if whole:
            return np.array([(nodule & ~on).mean(), (~nodule & on).mean()])
        return np.array([(~on[nodule]).mean(), on[~nodule].mean()])

    right = count(lambda2 * (1 - c))
    wrong = [
        ("the shift is lambda2 (1 - c); this is lambda2 c.", count(lambda2 * c)),
        ("the shift is lambda2 (1 - c); this is lambda2 alone, whatever c says.",
         count(np.full(len(c), lambda2))),
        ("this forgets lambda2.", count(1 - c)),
        ("divide by the number of nodules, and of empty slices; this divides both by all slices.",
         count(lambda2 * (1 - c), whole=True)),
        ("the two are swapped: nodules missed come first.", right[::-1]),
        ("a slice is marked as long as the shift is smaller than its critical one; this has it "
         "the other way round.", 1 - right),
        ("the first number is the share of nodules that are found, not missed.",
         [1 - right[0], right[1]]),
        ("the second number is the share of empty slices that are left empty.",
         [right[0], 1 - right[1]]),
        ("nothing is shifted here.", count(np.zeros(len(c)))),
    ]  # fmt: skip
    return verdict(answer, right, wrong)


def fair_share(function):
    """function(scores, part) -> the mean gain of a part over all orders in which parts are added.

    scores: a dict from a frozenset of parts to the score with just these, such as
    scores[frozenset("AB")]; every subset is there. part: a letter.
    """
    parts = "ABC"
    values = dict(zip(
        [frozenset(s) for s in ("", "A", "B", "C", "AB", "AC", "BC", "ABC")],
        (0.50, 0.56, 0.53, 0.51, 0.66, 0.58, 0.55, 0.71), strict=True))  # fmt: skip
    part = "A"
    answer = function(dict(values), part)
    everything, nothing = frozenset(parts), frozenset()

    def gain(before):
        return values[before | {part}] - values[before]

    orders = list(permutations(parts))
    right = np.mean([gain(frozenset(order[: order.index(part)])) for order in orders])
    subsets = [s for s in values if part not in s]
    wrong = [
        ("this adds the part first of all; average over all orders.", gain(nothing)),
        ("this removes the part last of all, from the whole; average over all orders.",
         gain(everything - {part})),
        ("this is the mean of the first and the last; the orders in between count as well.",
         (gain(nothing) + gain(everything - {part})) / 2),
        ("each subset counts the same here; but the part comes after nothing, or after all "
         "others, in more orders than after one of them alone.",
         np.mean([gain(s) for s in subsets])),
        ("this is the sum over all orders; divide by their number.", right * len(orders)),
        ("this is a loss: subtract the score without the part from that with it.", -right),
        ("this is the gain of all parts together.", values[everything] - values[nothing]),
        ("this is the mean score with the part; a gain is a difference.",
         np.mean([values[s | {part}] for s in subsets])),
    ]  # fmt: skip
    return verdict(answer, right, wrong)
