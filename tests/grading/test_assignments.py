"""The notebooks of the assignments, the private folder, and the canary that guards it."""

import hashlib
import json
import re
import subprocess
import textwrap
import zipfile
from pathlib import Path

import class_1
import class_2
import class_3
import jupytext
import nbformat
import pytest

import assignments
from nodule_lesson.grading import questions

ROOT = Path(__file__).resolve().parents[2]

# Hashes of runs of words of the authors' own answers, which are in no public place.
KNOWN = json.loads(assignments.HASHES.read_text(encoding="utf-8"))
MASTERS = assignments.masters()
CLASSES = {"1": class_1, "2": class_2, "3": class_3}
PROOF = (
    "<!-- answer {} -->\n\nA proof in which two dozen words follow one another as nowhere else in "
    "this lesson, whoever looks for them, in any page, and when."
)
ANSWERS = {"1": class_1.AUTOMATIC, "2": class_2.GRADIENTS, "3": class_3.ARRAYS}


@pytest.mark.parametrize("number", MASTERS)
def test_the_students_notebook_is_that_of_the_text(number):
    path = MASTERS[number].with_name("student.ipynb")
    assert path.read_text(encoding="utf-8") == assignments.student(MASTERS[number])


@pytest.mark.parametrize("number", MASTERS)
def test_a_sheet_says_points_and_minutes_as_they_are_marked(number):
    """In its table and in its headings, for each question of the judges and of the rubric."""
    text = MASTERS[number].read_text(encoding="utf-8")
    module = questions.assignment(number)
    wanted = {one.name: one.points for one in module.QUESTIONS}
    wanted |= {name: one.points for name, one in module.WRITTEN.items()}
    rows = re.findall(r"^\| \d+ \| `?(\w+)`? \| (?:program|a person) \| (\d+) \| (\d+) \|", text,
                      re.MULTILINE)  # fmt: skip
    assert {name: int(points) for name, points, _ in rows} == wanted
    heads = re.findall(r"^## \d+\. .*\((\d+) points, (\d+) minutes", text, re.MULTILINE)
    assert heads == [(points, minutes) for _, points, minutes in rows]
    assert "You can do afterwards" in text


@pytest.mark.parametrize("number", MASTERS)
def test_a_sheet_has_a_cell_for_each_answer_and_nothing_that_a_notebook_cannot_show(number):
    cells = jupytext.read(MASTERS[number], fmt="md:myst").cells
    names = {assignments.name_of(cell) for cell in cells if assignments.is_answer(cell)}
    module = questions.assignment(number)
    assert names == {one.name for one in module.QUESTIONS} | set(module.WRITTEN)
    for cell in cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[a-z][\w:-]*\}`|^:::|^```\{", cell.source, re.MULTILINE)
        if "answer" in assignments.tags(cell):
            assert "raise NotImplementedError" in cell.source


@pytest.mark.parametrize("number, unwritten", [("1", 6), ("2", 7), ("3", 5)])
def test_a_students_notebook_runs_without_an_answer_and_without_an_error(
    number, unwritten, capsys, monkeypatch
):
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = nbformat.read(MASTERS[number].with_name("student.ipynb"), as_version=4)
    names = {}
    for cell in notebook.cells[1:]:  # the first installs the package
        if cell.cell_type == "code":
            exec(cell.source, names)
    assert capsys.readouterr().out.count("is not written yet.") == unwritten


def test_handed_out_notebooks_install_this_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "Ada/lesson")
    monkeypatch.setenv("GITHUB_SHA", "0123456789")
    assignments.hand_out(tmp_path)
    for path in MASTERS.values():
        made = nbformat.read(tmp_path / f"{path.parent.name}.ipynb", as_version=4)
        assert "git+https://github.com/Ada/lesson@0123456789" in made.cells[0].source
        rest = nbformat.read(path.with_name("student.ipynb"), as_version=4)
        assert [c.source for c in made.cells[1:]] == [c.source for c in rest.cells[1:]]


# --- the private folder --------------------------------------------------------------------------


@pytest.fixture
def private(tmp_path):
    """A private folder with right answers to all assignments, and written ones."""
    folder = tmp_path / "private"
    assignments.private(folder)
    for number, answers in ANSWERS.items():
        text = jupytext.read(folder / f"{number}.md", fmt="md:myst")
        for cell in filter(assignments.is_answer, text.cells):
            name = assignments.name_of(cell)
            code = cell.cell_type == "code"
            cell.source = textwrap.dedent(answers[name]).strip() if code else PROOF.format(name)
        jupytext.write(text, folder / f"{number}.md", fmt="md:myst")
    return folder


def test_a_private_folder_is_a_repository_with_a_seed_of_its_own(tmp_path):
    seeds = set()
    for name in ("one", "two"):
        assignments.private(tmp_path / name)
        assert (tmp_path / name / ".git").is_dir()
        seeds.add(int((tmp_path / name / "seed").read_text(encoding="utf-8")))
        for number in MASTERS:
            kept = assignments.answers(tmp_path / name, number)
            module = questions.assignment(number)
            assert set(kept) == {one.name for one in module.QUESTIONS} | set(module.WRITTEN)
    assert len(seeds) == 2 and min(seeds) > 2**64
    with pytest.raises(ValueError, match="there already"):
        assignments.private(tmp_path / "one")


@pytest.mark.parametrize("number", MASTERS)
def test_private_answers_become_a_submission_and_a_master_for_otter(private, tmp_path, number):
    assignments.solve(private, tmp_path)
    solved = json.loads((tmp_path / number / "solved.ipynb").read_text(encoding="utf-8"))
    wanted = CLASSES[number].notebook(ANSWERS[number])
    code = [[class_1.text(c) for c in made["cells"] if c["cell_type"] == "code"]
            for made in (solved, wanted)]  # fmt: skip
    assert code[0] == code[1]
    otter = nbformat.read(tmp_path / f"{number}_otter.ipynb", as_version=4)
    sources = [cell.source for cell in otter.cells]
    assert sources[0].startswith("# ASSIGNMENT CONFIG")
    seed = (private / "seed").read_text(encoding="utf-8").strip()
    for asked in questions.assignment(number).QUESTIONS:
        begin = sources.index(f"# BEGIN QUESTION\nname: {asked.name}\npoints: {asked.points}")
        assert "NotImplementedError" in sources[begin + 2].split("# BEGIN SOLUTION")[0]
        tests = sources[begin + 5 : begin + 5 + len(asked.checks)]
        names = {}
        for source, check in zip(tests, asked.checks, strict=True):
            assert f"points: {check.points}\n" in source and seed in source
            exec(source, names)


@pytest.mark.parametrize("number", MASTERS)
def test_otter_leaves_out_the_cells_that_the_program_leaves_out(private, tmp_path, number):
    assignments.solve(private, tmp_path)
    otter = nbformat.read(tmp_path / f"{number}_otter.ipynb", as_version=4)
    for cell in otter.cells:
        tags = assignments.tags(cell)
        assert ("otter_ignore" in tags) == ("check" in tags)
    assert any("check" in assignments.tags(cell) for cell in otter.cells)


@pytest.mark.parametrize("number", MASTERS)
def test_otters_tests_accept_right_answers_and_refuse_others(private, tmp_path, number):
    from test_questions import RIGHT as right_1
    from test_questions_others import RIGHT as right_others

    right = {"1": right_1, **right_others}[number]

    def outside(*encoders_and_more):
        """A network whose c is larger than 1."""
        joined = right["Joined"](*encoders_and_more)
        joined.register_forward_hook(lambda model, inputs, found: (found[0], found[1] + 1))
        return joined

    wrong, words = {
        "1": ({"slopes": lambda x, y, **weights: (x, y)}, "slope of the price in x"),
        "2": ({"Joined": outside}, "c lies between 0 and 1"),
        "3": ({"halves": lambda patients, has_nodule, seed: has_nodule}, "no patient is in both"),
    }[number]
    assignments.solve(private, tmp_path)
    otter = nbformat.read(tmp_path / f"{number}_otter.ipynb", as_version=4)
    (test, *_) = [cell.source for cell in otter.cells if "BEGIN TEST CONFIG" in cell.source]
    names = {}
    exec(test, names)
    names["test_0"](right)
    with pytest.raises(AssertionError, match=words):
        names["test_0"](wrong)


# --- the canary ----------------------------------------------------------------------------------


def test_the_canary_finds_answers_wherever_they_are(private, tmp_path):
    known = assignments.canary(private)
    answer = assignments.answers(private, "1")
    public = tmp_path / "public"
    public.mkdir()
    page = answer["derivation"].split("-->")[1].replace(" proof ", " <b>proof</b> ")
    (public / "page.html").write_text(page, encoding="utf-8")
    cell = nbformat.v4.new_code_cell(f"a = 1\n{answer['step']}")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), public / "book.ipynb")
    secret = re.search(r"CANARY \S+", (private / "1.md").read_text(encoding="utf-8"))[0]
    (public / "notes.txt").write_text(f"See {secret} for more.", encoding="utf-8")
    (public / "innocent.md").write_text(MASTERS["1"].read_text(encoding="utf-8"), encoding="utf-8")
    (public / "picture.png").write_bytes(b"\x89PNG\xff")
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("package/module.py", f"import torch\n\n{answer['TwoSlices']}\n")
    names = assignments.heard(known, [public, tmp_path / "a.whl"])
    wanted = {"page.html", "book.ipynb", "notes.txt", "module.py"}
    assert {Path(name).name for name in names} == wanted


def test_the_authors_answers_are_nowhere_in_the_repository_nor_in_its_notebooks():
    assert len(KNOWN) > 300
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    files = [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]
    assert assignments.heard(KNOWN, files) == []


def test_the_authors_answers_are_not_on_the_site(site):
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".js", ".ipynb", ".md")]
    assert assignments.heard(KNOWN, pages) == []


def test_the_authors_answers_are_not_in_the_wheel(wheel):
    assert assignments.heard(KNOWN, [wheel]) == []


def test_the_hashes_are_those_of_words():
    words = [f"word{n}" for n in range(assignments.WINDOW + 1)]
    runs = [" ".join(words[i : i + assignments.WINDOW]) for i in (0, 1)]
    wanted = {hashlib.sha256(run.encode()).hexdigest()[:16] for run in runs}
    assert assignments.hashes("\n".join(words)) == wanted
