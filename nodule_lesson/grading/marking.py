"""The marks of a class: each submission's answers are judged, and kept until they change.

`run` writes into a folder: marks.csv, a page of feedback/ for each student, similar.csv, and
work/, from which an interrupted run goes on. `written` collects what a person has to mark.
"""

import csv
import hashlib
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor, as_completed
from html import escape
from pathlib import Path

from tqdm import tqdm

from nodule_lesson.files import write_json, write_whole
from nodule_lesson.grading import questions, sandbox, submissions
from nodule_lesson.provenance import code_sha256

ALIKE = 0.5  # the share of code in common from which a pair is listed
PAGE = """\
<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{title}: {name}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 45rem; margin: 2rem auto; }}
td, th {{ text-align: left; padding: 0.2rem 1rem 0.2rem 0; vertical-align: top; }}</style>
<h1>{title}</h1>
<p>{name}: {points} of {most} points for the questions that a program marks. The written answers
are marked by a person.</p>
{body}
</html>
"""


def run(number, folder, seed, out, trust=False, workers=1):
    """Mark all submissions of a folder; returns the number of those that were marked now.

    Raises ValueError where bubblewrap does not start and `trust` is False, and for a folder that
    is not as it should be.
    """
    found, out = submissions.find(folder), Path(out)
    questions.assignment(number)
    if not trust:
        reason = sandbox.refusal()
        if reason:
            raise ValueError(reason)
        sandbox.check_hidden(folder, out)
    keys = {name: _key(number, path, seed) for name, path in found.items()}
    todo = [name for name in found if _kept(out, name, keys[name]) is None]
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(found), unit="submission") as bar:
        bar.update(len(found) - len(todo))
        running = {pool.submit(mark, number, found[name], seed, trust): name for name in todo}
        try:
            for future in as_completed(running):
                name = running[future]
                result = {"key": keys[name], "name": name, **future.result()}
                write_json(out / "work" / f"{name}.json", result)
                bar.update()
        finally:  # after Ctrl+C or an error nothing more is started
            pool.shutdown(cancel_futures=True)
    results = [_kept(out, name, keys[name]) for name in found]
    _write_marks(number, results, out)
    _write_similar(found, out)
    for result in results:
        page = feedback(number, result).encode()
        write_whole(out / "feedback" / f"{result['name']}.html", page)
    return len(todo)


def mark(number, path, seed, trust=False):
    """The marks of one submission: {question: what held and what went wrong}, and troubles."""
    if submissions.cells(path) is None:
        note = "The file is no notebook."
        return {"questions": {}, "cells": {}, "endless": [], "note": note}
    student = sandbox.Submission(submissions.code(path), trust)
    marks = {}
    found = student.answers(number, seed)
    for asked in questions.assignment(number).QUESTIONS:
        answers, trouble = found[asked.name]
        inputs = questions.cases(number, asked.name, seed)
        held = questions.verdicts(asked, inputs, answers)
        marks[asked.name] = {"held": held, "trouble": trouble}
    endless = sorted(student.endless)
    return {"questions": marks, "cells": student.troubles, "endless": endless, "note": ""}


def points(asked, result):
    """The points of a question in the result of a submission."""
    held = result["questions"].get(asked.name, {}).get("held", [False] * len(asked.checks))
    return sum(check.points for check, holds in zip(asked.checks, held, strict=True) if holds)


def _key(number, path, seed):
    """What the marks depend on: the submission, the seed, the code that marks."""
    content = "a link"  # which is no notebook, wherever it leads
    if not path.is_symlink():
        with path.open("rb") as file:  # in pieces, as it may be too large to be a notebook
            content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{number} {seed} {code_sha256()} {content}".encode()).hexdigest()


def _kept(out, name, key):
    path = out / "work" / f"{name}.json"
    result = json.loads(path.read_bytes()) if path.exists() else None
    return result if result and result["key"] == key else None


def _table(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _write_marks(number, results, out):
    asked = questions.assignment(number).QUESTIONS
    rows = [["name", *(one.name for one in asked), "sum", "look at"]]
    rows.append(["(most)", *(one.points for one in asked), sum(one.points for one in asked), ""])
    for result in results:
        marks = [points(one, result) for one in asked]
        endless = " ".join(str(cell + 1) for cell in result["endless"])
        look = result["note"] or (f"code cells that did not end: {endless}" if endless else "")
        rows.append([result["name"], *marks, sum(marks), look])
    write_whole(out / "marks.csv", _table(rows))


def _write_similar(found, out):
    pairs = submissions.likeness({name: submissions.code(path) for name, path in found.items()})
    rows = [["share of the shorter one's code", "name", "name"]]
    rows += [[f"{share:.2f}", a, b] for share, a, b in pairs if share >= ALIKE]
    write_whole(out / "similar.csv", _table(rows))


def feedback(number, result):
    """A student's page: what held, in words, and where the own code ended; no inputs."""
    module = questions.assignment(number)
    body = [f"<p>{escape(result['note'])}</p>"] if result["note"] else []
    for asked in module.QUESTIONS:
        marks = result["questions"].get(asked.name)
        body.append(f"<h2>{asked.name}: {points(asked, result)} of {asked.points}</h2>")
        if marks and marks["trouble"]:
            body.append(f"<p>{escape(marks['trouble'])}</p>")
        held = marks["held"] if marks else [False] * len(asked.checks)
        body.append("<table><tr><th>Property</th><th>Holds</th><th>Points</th></tr>")
        for check, holds in zip(asked.checks, held, strict=True):
            got = check.points if holds else 0
            cells = escape(check.words), "yes" if holds else "no", f"{got} of {check.points}"
            body.append(f"<tr><td>{'</td><td>'.join(cells)}</td></tr>")
        body.append("</table>")
    troubles = [f"<li>Code cell {int(n) + 1}: {escape(text)}</li>"
                for n, text in result["cells"].items()]  # fmt: skip
    if troubles:
        body += ["<h2>Cells that did not run to their end</h2><ul>", *troubles, "</ul>"]
    return PAGE.format(
        title=escape(module.TITLE),
        name=escape(result["name"]),
        points=sum(points(asked, result) for asked in module.QUESTIONS),
        most=sum(asked.points for asked in module.QUESTIONS),
        body="\n".join(body),
    )


# --- written answers -----------------------------------------------------------------------------


def written(number, folder, out):
    """Collect the written answers without names, beside the rubric, and a table for their points.

    For each question a notebook lies in out/written/, the rubric first, then the answers in an
    order of their own. names.csv says whose number is whose, and points.csv is to be filled in;
    what stands in them is kept. Once there are points, a further call writes written_marks.csv
    with the names. Returns the number of students.
    """
    found, target = submissions.find(folder), Path(out) / "written"
    asked = questions.assignment(number).WRITTEN
    numbers = _pseudonyms(found, target / "names.csv", target / "points.csv", asked)
    answers = {name: submissions.written(path) for name, path in found.items()}
    for question, one in asked.items():
        notebook = [_markdown(f"# {question}, {one.points} points\n\n{one}")]
        for name in random.sample(sorted(found), len(found)):
            answer = answers[name].get(question, {"text": "", "attachments": {}})
            text = answer["text"] or "*(no answer was found)*"
            notebook.append(_markdown(f"## {numbers[name]}\n\n{text}", answer["attachments"]))
        write_json(target / f"{question}.ipynb", {"cells": notebook, "metadata": {},
                                                  "nbformat": 4, "nbformat_minor": 4})  # fmt: skip
    _write_named(target, numbers, asked, Path(out) / "written_marks.csv")
    return len(found)


def _markdown(text, attachments=None):
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    return {**cell, "attachments": attachments} if attachments else cell


def _pseudonyms(found, names, marks, asked):
    """{name: number}; new students are added to the tables of names and of points."""
    numbers = {row["name"]: row["number"] for row in _rows(names)}
    points = _rows(marks)
    free = [f"{n:03d}" for n in range(1, 1000) if f"{n:03d}" not in numbers.values()]
    new = sorted(set(found) - set(numbers))
    numbers |= dict(zip(new, random.sample(free[: len(new)], len(new)), strict=True))
    rows = [[row["number"], *(row[one] for one in asked)] for row in points]
    known = {row["number"] for row in points}
    rows += [[n, *("" for _ in asked)] for n in sorted(numbers.values()) if n not in known]
    write_whole(names, _table([["name", "number"], *sorted(numbers.items())]))
    write_whole(marks, _table([["number", *asked], *rows]))
    return numbers


def _rows(path):
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def _write_named(target, numbers, asked, path):
    filled = {row["number"]: row for row in _rows(target / "points.csv")}
    if not any(row[one] for row in filled.values() for one in asked):
        return
    rows = [[name, *(filled[n][one] for one in asked)] for name, n in sorted(numbers.items())]
    write_whole(path, _table([["name", *asked], *rows]))
