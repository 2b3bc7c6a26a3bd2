"""The notebooks of the assignments, from one text each, and the instructor's private folder.

`python tools/assignments.py` renews `assignments/*/student.ipynb` from the `master.md` beside it;
`--check` only says which are out of date. For who teaches:

    --hand-out FOLDER         the notebooks for a class, which install this commit of the package
    --private FOLDER          a git repository for your seed and your answers, once
    --solve PRIVATE FOLDER    each assignment with your answers: a submission, and otter's master
    --canary PRIVATE PLACE..  search folders and wheels for words of your answers; 1 if found
    --hashes PRIVATE          renew the hashes of answers for which the tests search everywhere

Nobody's answers are in this repository, for what a command here can write, a student can write.
"""

import hashlib
import html
import json
import re
import secrets
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

import jupytext
import nbformat
from address import commit, repository_address
from notebook_builder import INSTALL

from nodule_lesson.files import write_json
from nodule_lesson.grading.questions import question

ROOT = Path(__file__).resolve().parents[1]
HASHES = ROOT / "tests" / "grading" / "canary.json"
WRITTEN = re.compile(r"<!-- answer (\w+) -->")
TEXTS = (".html", ".ipynb", ".js", ".md", ".py", ".txt", ".toml", ".yml")  # may hold answers
WINDOW = 24  # words and marks in a row
README = """\
# Private: seed and answers of the assignments

Keep this repository to yourself and your assistants. `seed` is the number for `--seed`. Write your
answers into the cells of the `.md` files: solving a sheet once is also how you find out what your
class will ask. In a clone of the lesson:

    python tools/assignments.py --solve THIS_FOLDER solved/
    python -m nodule_lesson.grading run 1 solved/1/ --seed "$(cat THIS_FOLDER/seed)" --out marks/
    python tools/assignments.py --canary THIS_FOLDER . dist/*.whl

The second must give full marks. The third finds words of your answers, and the line with the word
CANARY, in what you publish.
"""


# --- the notebooks -------------------------------------------------------------------------------


def masters(root=ROOT):
    """{number of an assignment: path of its text}."""
    paths = sorted(Path(root, "assignments").glob("*/master.md"))
    return {path.parent.name.partition("_")[0]: path for path in paths}


def read(path):
    return jupytext.read(path, fmt="md:myst")


def tags(cell):
    return cell.metadata.get("tags", [])


def name_of(cell):
    """What a cell answers: the name that its code defines, or that of its written question."""
    if cell.cell_type == "code":
        return re.search(r"^(?:def|class) (\w+)", cell.source, re.MULTILINE)[1]
    return WRITTEN.search(cell.source)[1]


def is_answer(cell):
    return "answer" in tags(cell) or bool(WRITTEN.search(cell.source))


def notebook(cells):
    """A notebook of these cells, after one that installs the package where it is missing."""
    cells = [nbformat.v4.new_code_cell(INSTALL), *cells]
    for position, cell in enumerate(cells):  # ids depend only on the content
        cell["id"] = hashlib.sha256(f"{position}\n{cell.source}".encode()).hexdigest()[:12]
        cell.metadata = {"tags": tags(cell)} if tags(cell) else {}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    made = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(made)
    return made


def written(made):
    return nbformat.writes(made).rstrip("\n") + "\n"


def student(path):
    """The student's notebook as text."""
    return written(notebook(read(path).cells))


def renew(check, root=ROOT):
    """Write the students' notebooks, or say which are out of date; returns how many were."""
    old = 0
    for path in masters(root).values():
        target, text = path.with_name("student.ipynb"), student(path)
        current = target.exists() and target.read_text(encoding="utf-8") == text
        old += not current
        if not current and not check:
            target.write_text(text, encoding="utf-8", newline="\n")
        state = "up to date" if current else "out of date" if check else "renewed"
        print(f"{target.parent.name}/{target.name} ... {state}")
    return old


def hand_out(folder, root=ROOT):
    """Write the notebooks for a class: they install this commit, from the address known here."""
    address = repository_address(root)
    if not address:
        raise ValueError("no address on GitHub is known: set GITHUB_REPOSITORY to OWNER/NAME.")
    source = f"git+{address}@{commit(root)}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in masters(root).values():
        made = notebook(read(path).cells)
        made.cells[0].source = INSTALL.replace('_SOURCE", "")', f'_SOURCE", "{source}")')
        target = folder / f"{path.parent.name}.ipynb"
        target.write_text(written(made), encoding="utf-8", newline="\n")
        print(target)


# --- the private folder --------------------------------------------------------------------------


def private(folder, root=ROOT):
    """Make a git repository with a seed, a canary, and the empty answers of each assignment."""
    if folder.exists():
        raise ValueError(f"{folder} is there already; wanted is the name of a new folder.")
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(README, encoding="utf-8")
    (folder / "seed").write_text(f"{secrets.randbits(120)}\n", encoding="utf-8")
    for number, path in masters(root).items():
        text = read(path)
        text.cells = [cell for cell in text.cells if is_answer(cell)]
        lead = f"Answers to assignment {number}. CANARY {uuid.uuid4()}"
        text.cells.insert(0, nbformat.v4.new_markdown_cell(lead))
        jupytext.write(text, folder / f"{number}.md", fmt="md:myst")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)


def answers(folder, number):
    """{name of a question: the text of its cell} from a private folder."""
    return {name_of(cell): cell.source
            for cell in read(folder / f"{number}.md").cells if is_answer(cell)}  # fmt: skip


def solve(folder, out, root=ROOT):
    """Write each assignment with the private answers: NUMBER/solved.ipynb, NUMBER_otter.ipynb."""
    for number, path in masters(root).items():
        own, cells, for_otter = answers(folder, number), [], []
        seed = (folder / "seed").read_text(encoding="utf-8").strip()
        for cell in read(path).cells:
            solved = cell.copy()
            if is_answer(cell):
                solved.source = own[name_of(cell)]
            cells.append(solved)
            for_otter += otter_cells(cell, solved, number, seed)
        (out / number).mkdir(parents=True, exist_ok=True)
        for made, target in (
            (notebook(cells), out / number / "solved.ipynb"),
            (otter_notebook(for_otter), out / f"{number}_otter.ipynb"),
        ):
            target.write_text(written(made), encoding="utf-8", newline="\n")
            print(target)


# --- otter: python -m otter assign NUMBER_otter.ipynb FOLDER -------------------------------------


OTTER = """\
# ASSIGNMENT CONFIG
init_cell: false
check_all_cell: false
export_cell: false
generate: true
tests:
    ok_format: false
"""
OTTER_TEST = '''\
""" # BEGIN TEST CONFIG
points: {points}
hidden: true
""" # END TEST CONFIG
def test_{place}(env):
    from nodule_lesson.grading.questions import held
    assert held({number}, "{name}", env["{name}"], {seed})[{place}], """{words}"""
'''


def otter_cells(cell, solved, number, seed):
    """The cells of otter's master for one cell of ours."""
    raw, code = nbformat.v4.new_raw_cell, nbformat.v4.new_code_cell
    if "answer" not in tags(cell):
        kept = cell.copy()
        if "check" in tags(cell):  # otter runs all other cells, and a training may be in it
            kept.metadata = {"tags": [*tags(cell), "otter_ignore"]}
        return [kept]
    name = name_of(cell)
    asked = question(number, name)
    stub_and_answer = f"{cell.source}\n# BEGIN SOLUTION NO PROMPT\n{solved.source}\n# END SOLUTION"
    tests = [
        code(OTTER_TEST.format(points=check.points, number=number, name=name, seed=seed,
                               place=place, words=check.words))
        for place, check in enumerate(asked.checks)
    ]  # fmt: skip
    return [
        raw(f"# BEGIN QUESTION\nname: {name}\npoints: {asked.points}"),
        raw("# BEGIN SOLUTION"),
        code(stub_and_answer, metadata=cell.metadata),
        raw("# END SOLUTION"),
        raw("# BEGIN TESTS"),
        *tests,
        raw("# END TESTS"),
        raw("# END QUESTION"),
    ]


def otter_notebook(cells):
    made = notebook(cells)
    made.cells.insert(0, nbformat.v4.new_raw_cell(OTTER))
    return made


# --- the canary ----------------------------------------------------------------------------------


def words(text):
    return re.findall(r"\w+|[^\w\s]", text)


def hashes(text):
    """The hashes of all runs of WINDOW words of a text; unlike the words, they may be public."""
    found = words(text)
    runs = {" ".join(found[i : i + WINDOW]) for i in range(len(found) - WINDOW + 1)}
    return {hashlib.sha256(run.encode()).hexdigest()[:16] for run in runs}


def canary(folder, root=ROOT):
    """{hash: assignment} of what only the private answers say, not the sheet nor its judges."""
    modules = sorted(Path(root, "nodule_lesson", "grading").glob("*.py"))
    module = "".join(path.read_text(encoding="utf-8") for path in modules)
    found = {}
    for number, path in masters(root).items():
        public = hashes(path.read_text(encoding="utf-8")) | hashes(module)
        for text in answers(folder, number).values():
            found |= dict.fromkeys(hashes(text) - public, number)
        secret = re.search(r"CANARY \S+", (folder / f"{number}.md").read_text(encoding="utf-8"))
        found[hashlib.sha256(secret[0].encode()).hexdigest()[:16]] = number
    return found


def texts(place):
    """(name, text) of the texts in a folder or wheel; of pages without their marks."""
    if place.is_file() and zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as wheel:
            files = [(name, wheel.read(name)) for name in wheel.namelist()]
    else:
        paths = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        others = {".git", ".venv", "mathjax"}  # not ours
        paths = [path for path in paths if not others.intersection(path.parts)]
        files = ((str(path), path.read_bytes()) for path in paths if path.suffix in TEXTS)
    for name, data in files:
        if not name.endswith(TEXTS):
            continue
        text = data.decode("utf-8")
        if name.endswith(".ipynb"):
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        if name.endswith(".html"):
            text = html.unescape(re.sub(r"<[^>]*>", "", text))
        yield name, text


def heard(known, places):
    """The names of the files in which one of the known hashes is found."""
    return [
        name
        for place in places
        for name, text in texts(place)
        if known.keys() & hashes(text)
        or any(hashlib.sha256(token.encode()).hexdigest()[:16] in known
               for token in re.findall(r"CANARY \S+", text))
    ]  # fmt: skip


def main(arguments):
    if arguments[:1] == ["--hand-out"]:
        hand_out(Path(arguments[1]))
    elif arguments[:1] == ["--private"]:
        private(Path(arguments[1]))
    elif arguments[:1] == ["--solve"]:
        solve(Path(arguments[1]), Path(arguments[2]))
    elif arguments[:1] == ["--canary"]:
        known = canary(Path(arguments[1]))
        names = heard(known, map(Path, arguments[2:]))
        print("\n".join(names) or f"none of {len(known)} runs of words was found.")
        return 1 if names else 0
    elif arguments[:1] == ["--hashes"]:
        write_json(HASHES, dict(sorted(canary(Path(arguments[1])).items())))
    else:
        return 1 if renew("--check" in arguments) and "--check" in arguments else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
