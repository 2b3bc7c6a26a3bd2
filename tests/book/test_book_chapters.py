"""What every chapter of the book owes its reader, and that its solutions are right."""

import re
import textwrap
from pathlib import Path

import chapters
import jupytext
import numpy as np
import pytest
import torch
from live_figures import NAMES

from nodule_lesson import std

BOOK = Path(__file__).resolve().parents[2] / "book"

CHAPTERS = chapters.names()

# A line that is longer is cut at the edge of the page, and nobody scrolls to its end.
WIDEST_CODE = 79

MOST_WORDS = 2600
# These report results whose last runs are still to come.
LONGER = (
    "against_the_classics",
    "transfer_learning",
    "taking_apart",
)


def text(name):
    return (BOOK / f"{name}.md").read_text(encoding="utf-8")


def cells(name, kind="code"):
    notebook = jupytext.read(BOOK / f"{name}.md")
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_says_what_it_gives_and_takes(name):
    source = text(name)
    assert "{admonition} What you will be able to do" in source
    assert (
        "**Time:** {{ minutes }} minutes, {{ exercise_minutes }} more for the exercises" in source
    )
    assert "**You need:** {{ needs }}." in source
    assert "## Exercises" in source
    assert "## Take away" in source
    assert "Predict, then reveal" in source
    assert len(re.findall(r"\{solution\}", source)) in (2, 3)


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_head_of_a_chapter_says_what_the_tables_of_chapters_show(name):
    head = chapters.head(name)
    assert set(head) == {"question", "needs", "open_with", "show_live", "homework"}
    assert all(isinstance(value, str) and value.strip() for value in head.values())
    assert head["question"].endswith("?") and not head["needs"].endswith(".")


@pytest.mark.parametrize("name", [name for name in CHAPTERS if name not in LONGER])
def test_a_chapter_is_one_session(name):
    """A chapter is short, and what it asks the reader to try has answers."""
    source = text(name)
    assert chapters.words(source.split("---\n", 2)[2]) <= MOST_WORDS
    assert "Your turn" in source and "{dropdown} Answers" in source


def test_the_minutes_of_a_chapter_are_counted_by_the_rates(tmp_path, monkeypatch):
    """A chapter made for it: 260 words, 2 equations, 1 figure, 10 lines, 1 exercise and a quiz."""
    for rate, value in {"EQUATION": 3, "FIGURE": 4, "EXERCISE": 7, "QUIZ": 4}.items():
        monkeypatch.setattr(chapters, f"MINUTES_PER_{rate}", value)
    monkeypatch.setattr(chapters, "WORDS_PER_MINUTE", 130)
    monkeypatch.setattr(chapters, "LINES_OF_CODE_PER_MINUTE", 10)
    cell = "```{code-cell} python3\n"
    parts = [
        "---\nkernelspec: {name: python3, display_name: Python 3, language: python}\n---\n# Title",
        "word " * 257,
        "```{math}\n:label: a\nx = 1 + 1 + 1\n```",
        "$$\nx\n$$ (b)",
        f"{cell}---\nmystnb:\n  figure:\n    caption: C\ntags: [hide-input]\n---\nplot()\n```",
        cell + "print()\n" * 10 + "```",
        "## Exercises",
        "```{exercise-start}\n:label: e\n```\n" + "many " * 500 + "\n```{exercise-end}\n```",
        "## Take away\n\n```{quiz}\n```",
    ]
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    # 264 words with signs and a label, and minutes: 6 of equations, 4 of a figure, 1 of code, 4 of
    # the quiz. Together 17.
    assert chapters.minutes("one", tmp_path) == (20, 7)


def test_a_chapter_without_a_head_is_named(tmp_path):
    (tmp_path / "book").mkdir()
    for text in ("# No head\n", "---\nmyst: {}\n---\n# Another head\n"):
        (tmp_path / "book" / "one.md").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="^book/one.md has no `myst: substitutions:`"):
            chapters.head("one", tmp_path)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_figure_has_a_message_and_an_alternative_text(name):
    figures = 0
    for cell in cells(name):
        drawn = re.search(r"plt\.subplots|plt\.figure|show_fields?\(|\bfigures\.", cell.source)
        if drawn and "def " not in cell.source.split(drawn.group())[0]:
            notes = cell.metadata.get("mystnb", {})
            assert len(notes["figure"]["caption"]) > 40, cell.source
            assert len(notes["image"]["alt"]) > 40, cell.source
            figures += 1
    assert figures >= 2


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_has_a_live_figure(name):
    calls = {call for cell in cells(name) for call in re.findall(r"^(\w+)\(", cell.source, re.M)}
    assert calls & set(NAMES)


@pytest.mark.parametrize("name", ["index", *CHAPTERS])
def test_visible_code_fits_the_page(name):
    hidden = {"hide-input", "remove-input", "remove-cell", "hide-cell"}
    for cell in cells(name):
        if not hidden & set(cell.metadata.get("tags", [])):
            for line in cell.source.splitlines():
                assert len(line) <= WIDEST_CODE, line


def solutions():
    for name in CHAPTERS:
        blocks = re.findall(r"(`{3,})\{solution\} (\S+)\n(.*?)\n\1\s*$", text(name), re.S | re.M)
        for _, label, body in blocks:
            code = re.findall(r"```python\n(.*?)```", body, re.S)
            yield pytest.param(name, "\n".join(code), id=label)


@pytest.mark.parametrize("name, code", list(solutions()))
def test_a_solution_convinces_its_checker(name, code, capsys):
    """Solutions are text on the page, not cells: here they run."""
    names = {"np": np, "torch": torch, "std": std}
    setup = f"from nodule_lesson.chapters.{name} import exercises as checks\n"
    exec(compile(setup + textwrap.dedent(code), f"solution in {name}", "exec"), names)
    said = capsys.readouterr().out
    assert "Correct." in said
    assert "Not yet" not in said
