"""A class of right, wrong and hostile submissions gets its marks, and nothing else is touched."""

import csv
import json
import sys
from pathlib import Path

import class_1
import pytest
from marked import SEED, Marked, fingerprints, skip_without_bubblewrap
from nightly import few_by_day

from nodule_lesson.grading import __main__ as command
from nodule_lesson.grading import marking, questions, sandbox, submissions

NAMES = list(class_1.the_class([], 0))


@pytest.fixture(scope="module")
def bubblewrap():
    skip_without_bubblewrap()


@pytest.fixture(scope="module")
def marked(request, bubblewrap, tmp_path_factory):
    """By day a part of the class, by night all of it: those whose tests are run."""
    items = request.session.items
    nightly = any(item.get_closest_marker("nightly") for item in items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "the teacher's")
        names = NAMES if nightly else class_1.BY_DAY
        return Marked(tmp_path_factory.mktemp("class"), "1", class_1.the_class, names)


@pytest.mark.parametrize("name", few_by_day(NAMES, class_1.BY_DAY))
def test_marks_are_as_expected(marked, name):
    row = marked.rows()[name]
    found = tuple(int(row[question]) for question in class_1.NAMES)
    result = json.loads((marked.out / "work" / f"{name}.json").read_text(encoding="utf-8"))
    assert found == marked.expected[name], result
    assert int(row["sum"]) == sum(found)


def test_nothing_outside_is_touched(marked):
    kept = {p: h for p, h in marked.after.items() if marked.out not in (p, *p.parents)}
    assert kept == marked.before
    new = {path.relative_to(marked.out).parts[0] for path in set(marked.after) - set(marked.before)
           if path != marked.out}  # fmt: skip
    assert new == {"feedback", "marks.csv", "similar.csv", "work"}
    assert not marked.calls


def test_what_to_look_at_is_noted(marked):
    rows = marked.rows()
    for name in ("loop_at_top_level", "exit_at_top_level"):
        assert rows[name]["look at"] == "code cells that did not end: 3"
    assert "no notebook" in rows["no_notebook"]["look at"]
    assert rows["right_automatic"]["look at"] == ""


def test_feedback_shows_words_and_no_inputs_and_runs_nothing(marked):
    pages = {path.stem: path.read_text(encoding="utf-8")
             for path in (marked.out / "feedback").glob("*.html")}  # fmt: skip
    assert set(pages) == set(marked.expected)
    assert "25 of 25 points" in pages["right_matrix"]
    assert "The notebook does not define it." in pages["renamed"]
    assert "SyntaxError, line 1" in pages["syntax_error"]
    for name, page in pages.items():
        assert "<script" not in page and "<b>" not in page, name
        for question in class_1.NAMES:
            for case in questions.cases(1, question, SEED):
                numbers = [v for v in case.values() if isinstance(v, float)]
                assert not any(f"{number:.4f}"[:6] in page for number in numbers), name
        assert str(SEED) not in page


@pytest.mark.parametrize("leads_to", ["Ada.ipynb", "nowhere.ipynb"])
def test_a_link_to_the_notebook_of_somebody_else_is_no_notebook(tmp_path, monkeypatch, leads_to):
    folder = tmp_path / "submissions"
    (folder / "Bob").mkdir(parents=True)
    (folder / "Ada.ipynb").write_text('{"cells": []}', encoding="utf-8")
    (folder / "Bob" / "mine.ipynb").symlink_to(folder / leads_to)

    class Right:  # all properties hold, so that only a notebook is missing
        troubles, endless = {}, set()

        def __init__(self, cells, trust):
            pass

        def answers(self, number, seed):
            return {q.name: (None, None) for q in questions.assignment(number).QUESTIONS}

    monkeypatch.setattr(sandbox, "Submission", Right)
    monkeypatch.setattr(
        questions, "verdicts", lambda asked, inputs, answers: [True] * len(asked.checks)
    )
    marking.run(1, folder, 1, tmp_path / "marks", trust=True)
    with open(tmp_path / "marks" / "marks.csv", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["Ada"]["sum"] == rows["(most)"]["sum"] != "0"
    assert rows["Bob"]["sum"] == "0" and "no notebook" in rows["Bob"]["look at"]


def test_similar_submissions_are_listed_and_different_ones_are_not(marked):
    with (marked.out / "similar.csv").open(encoding="utf-8", newline="") as file:
        _, *pairs = csv.reader(file)
    pairs = {frozenset(pair[1:]): float(pair[0]) for pair in pairs}
    assert frozenset(("lazy", "changed_checks")) in pairs
    assert frozenset(("right_matrix", "lazy")) not in pairs


def test_a_second_call_has_nothing_to_do_and_a_changed_one_is_marked_again(marked, capsys):
    before = fingerprints(marked.out)
    marked.run()
    assert "0 submissions were marked now" in capsys.readouterr().out
    assert fingerprints(marked.out) == before
    path = marked.submissions / "lazy.ipynb"
    kept = path.read_bytes()
    path.write_bytes(json.dumps(class_1.notebook(class_1.AUTOMATIC)).encode())
    marked.run()
    assert "1 submissions were marked now" in capsys.readouterr().out
    assert marked.rows()["lazy"]["sum"] == "25"
    path.write_bytes(kept)


# --- refusals ------------------------------------------------------------------------------------


@pytest.fixture
def small_class(tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    made = class_1.notebook(class_1.AUTOMATIC)
    (folder / "ada.ipynb").write_text(json.dumps(made), encoding="utf-8")
    return folder


def test_without_bubblewrap_submissions_are_refused(small_class, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="not installed.*Containerfile.*--trust"):
        command.main(["run", "1", str(small_class), "--seed", "1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_where_bubblewrap_is_blocked_submissions_are_refused(small_class, tmp_path, monkeypatch):
    blocked = tmp_path / "bwrap"
    blocked.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n",
                       encoding="utf-8")  # fmt: skip
    blocked.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SystemExit, match="Permission denied.*Containerfile"):
        command.main(["run", "1", str(small_class), "--seed", "1", "--out", str(tmp_path / "out")])


def test_with_trust_bubblewrap_is_not_needed(small_class, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "command", None)
    monkeypatch.setattr(sandbox, "refusal", None)
    assert marking.run(1, small_class, 1, tmp_path / "out", trust=True) == 1
    text = (tmp_path / "out" / "marks.csv").read_text(encoding="utf-8")
    assert text.splitlines()[-1] == "ada,4,6,5,6,4,25,"


def test_folders_that_submissions_could_read_are_refused(bubblewrap, small_class):
    with pytest.raises(ValueError, match="which submissions can read"):
        marking.run(1, small_class, 1, Path(sys.prefix) / "marks")


def test_a_folder_of_each_student_is_read_and_two_notebooks_are_not(tmp_path):
    path = tmp_path / "class" / "Ada_123_file" / "deep" / "work.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    checkpoint = path.parent / ".ipynb_checkpoints" / "work-checkpoint.ipynb"
    checkpoint.parent.mkdir()
    checkpoint.write_text("{}", encoding="utf-8")
    assert submissions.find(tmp_path / "class") == {"Ada_123_file": path}
    (path.parent / "again.ipynb").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="holds 2 notebooks"):
        submissions.find(tmp_path / "class")


# --- written answers -----------------------------------------------------------------------------


def test_written_answers_are_collected_without_names_and_points_get_them_back(tmp_path):
    folder, out = tmp_path / "submissions", tmp_path / "marks"
    folder.mkdir()
    for name in ("Ada", "Bob", "Eve"):
        made = class_1.notebook({})
        if name != "Eve":
            class_1.with_write_up(made, derivation=f"Proof of {len(name) * ord(name[0])}.")
        for cell in made["cells"]:
            if "answer derivation" in class_1.text(cell):
                cell["attachments"] = {"page.png": {"image/png": "aGVsbG8="}}
        (folder / f"{name}.ipynb").write_text(json.dumps(made), encoding="utf-8")
    assert marking.written(1, folder, out) == 3
    made = json.loads((out / "written" / "derivation.ipynb").read_text(encoding="utf-8"))
    everything = json.dumps(made)
    assert not any(name in everything for name in ("Ada", "Bob", "Eve"))
    assert "8 points" in made["cells"][0]["source"] and "| 2 |" in made["cells"][0]["source"]
    assert f"Proof of {3 * ord('A')}." in everything and f"Proof of {3 * ord('B')}." in everything
    assert len(made["cells"]) == 4 and all("attachments" in cell for cell in made["cells"][1:])

    points = out / "written" / "points.csv"
    head, *rows = points.read_text(encoding="utf-8").splitlines()
    assert head == "number,derivation,misprint" and len(rows) == 3
    assert not (out / "written_marks.csv").exists()
    filled = [f"{row.split(',')[0]},{place},7" for place, row in enumerate(rows)]
    points.write_text("\n".join([head, *filled]), encoding="utf-8")
    (folder / "Zoe.ipynb").write_text(json.dumps(class_1.notebook({})), encoding="utf-8")
    assert marking.written(1, folder, out) == 4  # somebody was late
    with (out / "written" / "names.csv").open(encoding="utf-8", newline="") as file:
        numbers = {row["name"]: row["number"] for row in csv.DictReader(file)}
    with (out / "written_marks.csv").open(encoding="utf-8", newline="") as file:
        marks = {row["name"]: row["derivation"] for row in csv.DictReader(file)}
    wanted = {row.split(",")[0]: row.split(",")[1] for row in filled}
    assert marks == {**{n: wanted[numbers[n]] for n in ("Ada", "Bob", "Eve")}, "Zoe": ""}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(1)"])
def test_a_name_that_a_spreadsheet_would_run_is_refused(name, tmp_path):
    (tmp_path / f"{name}.ipynb").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="rename it"):
        submissions.find(tmp_path)
