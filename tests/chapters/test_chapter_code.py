"""The code of finished chapters: little of it is hidden, it runs without the cells that only hold
the text to it, and every long figure is drawn.

A finished chapter draws its long figures with its `figures.py`, and takes the numbers of its text
from its `facts.py`, in cells that are tagged `remove-cell`.
"""

import functools
import importlib
import inspect
from pathlib import Path

import jupytext
import matplotlib
import pytest
from nightly import few_by_day

BOOK = Path(__file__).resolve().parents[2] / "book"
FIGURES = BOOK.parent.glob("nodule_lesson/chapters/*/figures.py")
FINISHED = sorted(path.parent.name for path in FIGURES)
HIDDEN = {"hide-input", "remove-input", "remove-cell", "hide-cell"}
MOST_HIDDEN_LINES = 60


def cells(name):
    """The code cells of a chapter, each as its source and the set of its tags."""
    notebook = jupytext.read(BOOK / f"{name}.md")
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [(cell.source, set(cell.metadata.get("tags", []))) for cell in code]


def figures_of(name):
    """The functions of a chapter's `figures.py` that draw a figure, by name."""
    module = importlib.import_module(f"nodule_lesson.chapters.{name}.figures")
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        label: function
        for label, function in functions
        if function.__module__ == module.__name__ and not label.startswith("_")
    }


def has_scale(axes):
    """Whether axes show ticks; a picture has none."""
    return axes.axison and bool(len(axes.get_xticks()) or len(axes.get_yticks()))


def is_labelled(axes):
    """Whether axes, or others that share a scale with them, have a label."""
    shared = (axes.get_shared_x_axes(), axes.get_shared_y_axes())
    together = [each for group in shared for each in group.get_siblings(axes)]
    return any(each.get_xlabel() or each.get_ylabel() for each in together)


@functools.cache
def run_without_removed_cells(name):
    """Run a chapter in a fresh namespace, without the cells that are tagged `remove-cell`.

    Returns the figures that the functions of `figures.py` left open: a list of the name of the
    function, the number of figures and the axes with a scale that no label explains.
    """
    from matplotlib import pyplot as plt

    drawn, names = [], {}
    for source, tags in cells(name):
        if "remove-cell" in tags:
            continue
        exec(compile(source, f"{name}.md", "exec"), names)
        for label in figures_of(name):
            if f"figures.{label}(" in source:
                axes = [each for number in plt.get_fignums() for each in plt.figure(number).axes]
                unlabelled = [each for each in axes if has_scale(each) and not is_labelled(each)]
                drawn.append((label, len(plt.get_fignums()), unlabelled))
        plt.close("all")
    return drawn


@pytest.fixture(params=few_by_day(FINISHED, ["sigmoid"]))
def run(request, monkeypatch):
    """A finished chapter, run where it lies: its name, and what its figures drew."""
    monkeypatch.chdir(BOOK)
    with matplotlib.rc_context():
        matplotlib.use("Agg")
        return request.param, run_without_removed_cells(request.param)


@pytest.mark.parametrize("name", FINISHED)
def test_little_code_is_hidden(name):
    lines = [line for source, tags in cells(name) if tags & HIDDEN for line in source.splitlines()]
    assert sum(bool(line.strip()) for line in lines) <= MOST_HIDDEN_LINES


def test_a_chapter_runs_without_its_removed_cells_and_its_figures_have_labels(run):
    name, drawn = run
    assert {label for label, _, _ in drawn} == set(figures_of(name))
    for label, figures, unlabelled in drawn:
        assert figures == 1 and not unlabelled, label
