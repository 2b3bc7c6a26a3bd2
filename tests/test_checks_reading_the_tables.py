"""The checkers of *Reading the tables*: right, typically wrong, and empty answers."""

import numpy as np
import pytest
from scipy import stats

from nodule_lesson.chapters.reading_the_tables import exercises as checks
from nodule_lesson.evaluation.statistics import detectable
from nodule_lesson.experiments.claims import misses_and_contours

# Written out as a reader would write them: the checkers' own code is not used.


def groups(values, patients):
    return {name: values[patients == name] for name in set(patients)}


WRONG_DRAWS = {
    "counts once here": lambda v, p, d: v[np.isin(p, d)].mean(),
    "mean of the patients' means": lambda v, p, d: np.mean([groups(v, p)[n].mean() for n in d]),
    "mean of all lesions": lambda v, p, d: v.mean(),
    "this is the sum": lambda v, p, d: sum(groups(v, p)[n].sum() for n in d),
    "number of patients drawn": lambda v, p, d: np.mean([groups(v, p)[n].sum() for n in d]),
    "number of all lesions": lambda v, p, d: sum(groups(v, p)[n].sum() for n in d) / len(v),
    "one lesion of each": lambda v, p, d: np.mean([v[list(p).index(n)] for n in d]),
}


def t_power(difference, sd, count, level=0.05, tails=2):
    critical = stats.t.ppf(1 - level / tails, count - 1)
    return stats.nct.sf(critical, count - 1, difference / sd * np.sqrt(count))


def search(difference, sd, wanted=0.8, **how):
    count = 2
    while t_power(difference, sd, count, **how) < wanted:
        count += 1
    return count


def of_normal(difference, sd):
    return (2.8015852 * sd / difference) ** 2


WRONG_COUNTS = {
    "one lesion short": lambda delta, sd: search(delta, sd) - 1,
    "one lesion too many": lambda delta, sd: search(delta, sd) + 1,
    "too few for small tests": lambda delta, sd: np.ceil(of_normal(delta, sd)),
    "not a whole number": of_normal,
    "one half": lambda delta, sd: search(delta, sd, 0.5),
    "90 %": lambda delta, sd: search(delta, sd, 0.9),
    "one-sided": lambda delta, sd: search(delta, sd, tails=1),
    "two groups": lambda delta, sd: search(delta, sd * np.sqrt(2)),
}


def factors(dice):
    return (dice > 0).mean(), dice[dice > 0].mean()


def weighed(a, b, of_misses, of_contours):
    (f, d), (g, e) = factors(a), factors(b)
    return (f - g) * of_misses(d, e), (d - e) * of_contours(f, g)


def middle(x, y):
    return (x + y) / 2


def first(x, y):
    return x


def second(x, y):
    return y


def with_zeros(a, b):
    f, g = (a > 0).mean(), (b > 0).mean()
    return (f - g) * middle(a.mean(), b.mean()), (a.mean() - b.mean()) * middle(f, g)


def common(a, b):
    both, f, g = (a > 0) & (b > 0), (a > 0).mean(), (b > 0).mean()
    d, e = a[both].mean(), b[both].mean()
    return (f - g) * middle(d, e), (d - e) * middle(f, g)


WRONG_SPLITS = {
    "swapped": lambda a, b: misses_and_contours(a, b)[::-1],
    "sign is off": lambda a, b: misses_and_contours(b, a),
    "weighted by sums": lambda a, b: 2 * np.array(misses_and_contours(a, b)),
    "by a's d, the contours by b's": lambda a, b: weighed(a, b, first, second),
    "by b's d, the contours by a's": lambda a, b: weighed(a, b, second, first),
    "changes of m and d themselves": lambda a, b: np.subtract(factors(a), factors(b)),
    "with zeros": with_zeros,
    "lesions that both found": common,
}
WRONG = [
    (checker, hint, answer)
    for checker, answers in [
        (checks.one_draw, WRONG_DRAWS),
        (checks.lesions_needed, WRONG_COUNTS),
        (checks.split, WRONG_SPLITS),
    ]
    for hint, answer in answers.items()
]


@pytest.mark.parametrize("checker, hint, answer", WRONG, ids=[hint for _, hint, _ in WRONG])
def test_each_typical_mistake_gets_its_own_hint(checker, hint, answer, capsys):
    assert checker(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet") and hint in out


def draw_by_weights(values, patients, drawn):
    times = (patients[:, None] == drawn).sum(axis=1)
    return np.average(values, weights=times)


def count_by_detectable(difference, sd):
    return next(n for n in range(2, 10_000) if detectable(sd, n) <= difference)


RIGHT = [
    (checks.one_draw, draw_by_weights),
    (checks.lesions_needed, count_by_detectable),
    (checks.split, misses_and_contours),
]


@pytest.mark.parametrize("checker, answer", RIGHT)
def test_the_right_answer_passes(checker, answer, capsys):
    assert checker(answer) is True
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("checker", [checker for checker, _ in RIGHT])
def test_an_empty_answer_is_not_an_error(checker, capsys):
    assert checker(lambda *arguments: None) is False
    assert capsys.readouterr().out.startswith("Not yet: the function returns nothing")
