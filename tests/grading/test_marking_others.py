"""The classes of the further assignments get their marks, and nothing else is touched.

What no submission can do is tested with assignment 1 (test_marking.py); here are the cases on
which the questions of an assignment have a bearing.
"""

import json

import class_2
import class_3
import pytest
from marked import Marked, skip_without_bubblewrap
from nightly import few_by_day

CLASSES = {"2": class_2, "3": class_3}
CASES = [
    pytest.param(number, *(case.values if hasattr(case, "values") else [case]),
                 marks=getattr(case, "marks", ()))
    for number, members in CLASSES.items()
    for case in few_by_day(list(members.the_class([], 0)), members.BY_DAY)
]  # fmt: skip


@pytest.fixture(scope="module")
def marked(request, tmp_path_factory):
    """{number: its class, marked}, by day a part of each, by night all of it."""
    skip_without_bubblewrap()
    nightly = any(item.get_closest_marker("nightly") for item in request.session.items)
    found = {}

    def of(number):
        if number not in found:
            members = CLASSES[number]
            names = members.the_class([], 0) if nightly else members.BY_DAY
            root = tmp_path_factory.mktemp(f"class_{number}")
            found[number] = Marked(root, number, members.the_class, names)
        return found[number]

    return of


@pytest.mark.parametrize("number, name", CASES)
def test_marks_are_as_expected(marked, number, name):
    done = marked(number)
    row = done.rows()[name]
    found = tuple(int(row[question]) for question in CLASSES[number].NAMES)
    result = json.loads((done.out / "work" / f"{name}.json").read_text(encoding="utf-8"))
    assert found == done.expected[name], result


@pytest.mark.parametrize("number", CLASSES)
def test_nothing_outside_is_touched(marked, number):
    done = marked(number)
    kept = {p: h for p, h in done.after.items() if done.out not in (p, *p.parents)}
    assert kept == done.before
    assert not done.calls


@pytest.mark.parametrize("number", CLASSES)
def test_each_class_has_twenty_members(number):
    members = CLASSES[number].the_class([], 0)
    assert len(members) >= 20
    assert all(len(marks) == len(CLASSES[number].NAMES) for _, marks in members.values())
