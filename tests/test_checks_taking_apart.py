"""The checkers of *Taking the model apart*: right, typically wrong, and empty answers."""

import re
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from nodule_lesson.chapters.taking_apart import exercises as checks

# Written out as a reader would write them: the checkers' own code is not used.


def by_ranks(inside, empty):
    """The rank statistic of scipy, as a share of the pairs."""
    found = stats.mannwhitneyu(inside, empty, alternative="greater")
    return found.statistic / (len(inside) * len(empty))


def pairs(inside, empty, count):
    return np.mean([count(a, b) for a in inside for b in empty])


WRONG_AREAS = {
    "equal values count nothing": lambda a, b: pairs(a, b, lambda x, y: x > y),
    "equal values count as right": lambda a, b: pairs(a, b, lambda x, y: x >= y),
    "the other way round": lambda a, b: by_ranks(b, a),
    "the number of pairs": lambda a, b: by_ranks(a, b) * len(a) * len(b),
    "the difference of the means": lambda a, b: a.mean() - b.mean(),
    "right side of 1/2": lambda a, b: np.mean([*(a >= 0.5), *(b < 0.5)]),
    "sensitivity and specificity": lambda a, b: ((a >= 0.5).mean() + (b < 0.5).mean()) / 2,
    "compare each with each": lambda a, b: np.mean([x > y for x, y in zip(a, b, strict=False)]),
    "2 area - 1": lambda a, b: 2 * by_ranks(a, b) - 1,
}


def judged(nodule, marked):
    """Two shares, slice by slice."""
    missed = [not on for is_one, on in zip(nodule, marked, strict=True) if is_one]
    false = [on for is_one, on in zip(nodule, marked, strict=True) if not is_one]
    return np.array([sum(missed) / len(missed), sum(false) / len(false)])


def traded(nodule, c, shift, lambda2):
    return judged(nodule, [lambda2 * (1 - p) < s for p, s in zip(c, shift, strict=True)])


WRONG_TRADES = {
    "lambda2 c": lambda n, c, s, v: traded(n, 1 - c, s, v),
    "whatever c says": lambda n, c, s, v: judged(n, s > v),
    "forgets lambda2": lambda n, c, s, v: traded(n, c, s, 1),
    "divides both by all slices": lambda n, c, s, v: traded(n, c, s, v) * [n.mean(), 1 - n.mean()],
    "two are swapped": lambda n, c, s, v: traded(n, c, s, v)[::-1],
    "other way round": lambda n, c, s, v: judged(n, v * (1 - c) >= s),
    "found, not missed": lambda n, c, s, v: abs(traded(n, c, s, v) - [1, 0]),
    "left empty": lambda n, c, s, v: abs(traded(n, c, s, v) - [0, 1]),
    "nothing is shifted": lambda n, c, s, v: traded(n, c, s, 0),
}


def gains(scores, part):
    """The gain of a part in each order."""
    found = []
    for order in permutations("ABC"):
        before = frozenset(order[: order.index(part)])
        found.append(scores[before | {part}] - scores[before])
    return found


def share(scores, part):
    return sum(gains(scores, part)) / 6


WRONG_SHARES = {
    "adds the part first": lambda s, p: s[frozenset(p)] - s[frozenset()],
    "last of all": lambda s, p: s[frozenset("ABC")] - s[frozenset("ABC") - {p}],
    "the first and the last": lambda s, p: (
        (s[frozenset(p)] - s[frozenset()] + s[frozenset("ABC")] - s[frozenset("ABC") - {p}]) / 2
    ),
    "each subset counts the same": lambda s, p: np.mean(
        [value - s[subset - {p}] for subset, value in s.items() if p in subset]
    ),
    "divide by their number": lambda s, p: sum(gains(s, p)),
    "this is a loss": lambda s, p: -share(s, p),
    "all parts together": lambda s, p: s[frozenset("ABC")] - s[frozenset()],
    "a gain is a difference": lambda s, p: np.mean(
        [value for subset, value in s.items() if p in subset]
    ),
}

RIGHT = {"area": by_ranks, "missed_and_marked": traded, "fair_share": share}
WRONG = {"area": WRONG_AREAS, "missed_and_marked": WRONG_TRADES, "fair_share": WRONG_SHARES}


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_is_called_right(name, capsys):
    assert getattr(checks, name)(RIGHT[name]) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize(
    "name, hint", [(name, hint) for name, mistakes in WRONG.items() for hint in mistakes]
)
def test_a_typical_mistake_is_named(name, hint, capsys):
    assert getattr(checks, name)(WRONG[name][hint]) is False
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and hint in said


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize(
    "answer, hint", [(None, "returns nothing"), ("much", "found str"), (0.123, "off|shape")]
)
def test_other_answers(name, answer, hint, capsys):
    assert getattr(checks, name)(lambda *_: answer) is False
    assert re.search(hint, capsys.readouterr().out)


def test_no_two_mistakes_give_the_same_answer():
    """Else a reader would be told of the wrong one."""
    values = {}

    def note(function, name, hint):
        def told(*arguments):
            values.setdefault(name, {})[hint] = np.asarray(function(*arguments), float)
            return None

        return told

    for name, mistakes in WRONG.items():
        for hint, function in [*mistakes.items(), ("right", RIGHT[name])]:
            getattr(checks, name)(note(function, name, hint))
        found = list(values[name].values())
        for k, one in enumerate(found):
            assert not any(np.allclose(one, other) for other in found[:k]), name
