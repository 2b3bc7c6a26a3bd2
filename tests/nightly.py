"""Long tests: a few of their cases run with every `make test`, all of them with `make nightly`."""

import pytest

# Pages by day: a figure on which one paints, a plain one, and one with a form of its own.
BY_DAY = ("index", "sigmoid", "reading_the_tables")


def few_by_day(cases, by_day=BY_DAY):
    """The cases for `parametrize`; those that `by_day` does not name are marked nightly."""
    missing = set(by_day) - set(cases)
    assert not missing, f"no such cases: {missing}"
    return [case if case in by_day else pytest.param(case, marks=NIGHTLY) for case in cases]


NIGHTLY = pytest.mark.nightly
