"""What a kernel of the build notes of the files that it uses (tools/made_from.py)."""

import copy
import os
from pathlib import Path

import made_from
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "constraints.txt": "torch==1\n",
    "lesson/__init__.py": "",
    "lesson/used.py": "from pathlib import Path\n\n"
    "from lesson import below\n\n"
    "text = Path(__file__).with_name('data.json').read_text()\n",
    "lesson/below.py": "",
    "lesson/unused.py": "",
    "lesson/data.json": "{}",
    "lesson/other.json": "{}",
    "book/results/runs/a.json": "{}",
    "book/results/runs/b.json": "{}",
    "book/results/single.json": "{}",
    ".venv/lib/installed.py": "",
}
CELLS = [
    "print(sorted(name for name in dir() if not name.startswith('_')))",
    "",
    "from lesson import used",
    "import os\nopen('results/runs/a.json').read(), len(os.listdir('results/runs'))",
    "from pathlib import Path\n"
    "Path('results/made.txt').write_text('by the chapter')\n"
    "Path('results/made.txt').read_text()\n"
    "Path('../.venv/lib/installed.py').read_text()",
]
USED = {
    "constraints.txt",
    "lesson/__init__.py",
    "lesson/used.py",
    "lesson/below.py",
    "lesson/data.json",
    "book/results/runs",
    "book/results/runs/a.json",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a small repository, and a notebook that was run in it."""
    root = tmp_path_factory.mktemp("small")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    environment = os.environ | {
        "PYTHONSTARTUP": str(ROOT / "tools" / "kernel_startup.py"),
        "NODULE_LESSON_ROOT": str(root),
        "PYTHONPATH": str(root),
    }
    resources = {"metadata": {"path": str(root / "book")}}
    NotebookClient(notebook, resources=resources).execute(env=environment)
    return root, notebook


def test_the_files_and_folders_that_were_used_are_noted_and_no_others(ran):
    root, notebook = ran
    assert set(made_from.recorded(root, notebook)) == USED


def test_one_record_is_left_of_a_notebook_and_none_is_found_for_other_code(ran):
    root, notebook = ran
    assert len(list((root / made_from.RECORDS).iterdir())) == 1
    other = copy.deepcopy(notebook)
    other.cells[0].source += "# other"
    assert made_from.recorded(root, other) is None


def test_the_names_of_a_chapter_are_its_own(ran):
    _, notebook = ran
    names = set(eval(notebook.cells[0].outputs[0].text))
    assert names <= {"In", "Out", "exit", "get_ipython", "open", "quit"}


CHANGES = {
    "lesson/used.py": ["lesson/used.py"],
    "lesson/data.json": ["lesson/data.json"],
    "lesson/unused.py": [],
    "lesson/other.json": [],
    "book/results/runs/a.json": ["book/results/runs/a.json"],
    "book/results/runs/b.json": [],  # it was listed, and not read
    "book/results/runs/new.json": ["book/results/runs"],
    "book/results/runs/__pycache__/x": [],
    "book/results/new.json": [],
    "constraints.txt": ["constraints.txt"],
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_since_is_named(ran, name):
    root, notebook = ran
    used, path = made_from.recorded(root, notebook), root / name
    assert made_from.changed(root, used) == []
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed", encoding="utf-8")
    assert made_from.changed(root, used) == CHANGES[name]
    path.unlink() if before is None else path.write_bytes(before)
    assert made_from.changed(root, used) == []


def test_a_file_that_is_gone_has_changed(ran):
    root, notebook = ran
    used, path = made_from.recorded(root, notebook), root / "lesson" / "data.json"
    path.unlink()
    assert made_from.changed(root, used) == ["lesson/data.json"]
    path.write_text(FILES["lesson/data.json"], encoding="utf-8")


def test_a_long_list_of_names_is_cut():
    assert made_from.abbreviated(["a", "b", "c"]) == "a, b, c"
    assert made_from.abbreviated(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
