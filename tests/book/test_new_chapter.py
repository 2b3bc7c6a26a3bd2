"""`make chapter` in a copy of the repository: what it writes passes the tests of a chapter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from new_chapter import new_chapter

ROOT = Path(__file__).resolve().parents[2]

TESTS = (
    "book/test_book_chapters",
    "chapters/test_chapter_code",
    "chapters/test_exercises",
    "book/test_statements",
)


@pytest.fixture
def copy(tmp_path):
    """The parts of the repository that the tests of a chapter without a built book look at."""
    leave = shutil.ignore_patterns("__pycache__", "*.ipynb", "results")
    for part in ("book", "nodule_lesson", "tests", "tools"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=leave)
    for name in ("_toc.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_new_chapter_passes_the_tests(copy):
    before = files(copy)
    written = new_chapter("zebra_crossing", "Where zebras cross", copy)
    after = files(copy)
    assert set(after) - set(before) == set(written) - {"_toc.yml"} == {
        "book/zebra_crossing.md",
        "nodule_lesson/chapters/zebra_crossing/exercises.py",
        "nodule_lesson/chapters/zebra_crossing/figures.py",
        "tests/chapters/answers/zebra_crossing.py",
    }  # fmt: skip
    assert {name for name in before if before[name] != after[name]} == {"_toc.yml"}
    old, new = (yaml.safe_load(contents["_toc.yml"]) for contents in (before, after))
    assert new["parts"][3]["chapters"].pop() == {"file": "book/zebra_crossing"} and new == old
    text = after["book/zebra_crossing.md"].decode()
    assert "\n# Where zebras cross\n" in text
    assert not any(b"my_topic" in after[name] for name in written)

    tests = [f"tests/{name}.py" for name in TESTS]
    options = ["-q", "-k", "zebra_crossing", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "NODULE_NO_SKIP": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    passed = re.search(r"(\d+) passed, \d+ deselected", done.stdout)
    assert int(passed[1]) >= 25, done.stdout[-3000:]


def test_the_title_is_made_from_the_name(copy):
    new_chapter("zebra_crossing", root=copy)
    assert "\n# Zebra crossing\n" in (copy / "book" / "zebra_crossing.md").read_text("utf-8")


@pytest.mark.parametrize(
    "name, problem",
    [
        ("", "is a Python identifier"),
        ("my-topic", "is a Python identifier"),
        ("2nd_topic", "is a Python identifier"),
        ("My_topic", "in small letters"),
        ("../topic", "is a Python identifier"),
        ("lambda", "is a Python identifier"),
        ("sigmoid", "book/sigmoid.md exists already"),
        ("index", "book/index.md exists already"),
        ("exercise", "nodule_lesson/chapters/exercise.py exists already"),
    ],
)
def test_a_name_that_is_taken_or_no_identifier_is_refused_and_nothing_is_written(
    copy, name, problem
):
    before = files(copy)
    with pytest.raises(ValueError, match=problem):
        new_chapter(name, root=copy)
    assert files(copy) == before


def test_the_command_says_what_was_wrong(copy):
    command = [sys.executable, "tools/new_chapter.py", "sigmoid", ""]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("No chapter was written: book/sigmoid.md exists already")
