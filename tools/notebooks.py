"""Copy the notebooks beside the chapters from a build, or check them without one.

`python tools/notebooks.py` copies the notebooks that have changed from _build/notebooks to book/;
`make notebooks` does this after `make book`. `--check` builds nothing: each notebook holds the
hashes of its chapter's text and of the files that its cells used (tools/made_from.py). So it takes
a second to see which notebooks are out of date, and because of which file. `--publish FOLDER`
writes notebooks for Colab: they install the commit that they were made from, and their links lead
to the published pages.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import yaml
from address import commit, pages_address, repository_address
from made_from import abbreviated, changed

ROOT = Path(__file__).resolve().parents[1]
# Parts of outputs that vary between runs and machines, which are ignored in comparisons.
VARIES = re.compile(
    r"\d[\d,.]*(?=\s(?:ms|seconds|images per second)\b)"  # how long it took
    r'|(?<=would train on: )\w+|full: no GPU here[^\\"]*|full, 128 x 128, [^\\"]*'  # on what
)

LINK = re.compile(r"\]\((\w+)\.(?:ipynb|md)(?=[)#])")  # to a file beside the notebook


def chapters(root):
    """The pages of the table of contents that have code, as `book/NAME`."""
    toc = yaml.safe_load(Path(root, "_toc.yml").read_text(encoding="utf-8"))
    parts = toc.get("parts", [toc])
    files = [toc["root"], *(entry["file"] for part in parts for entry in part["chapters"])]
    return [name for name in files if "{code-cell}" in text_of(root, name)]


def text_of(root, docname):
    return Path(root, f"{docname}.md").read_text(encoding="utf-8")


def problem_with(root, docname):
    """The problem of a chapter's notebook in a few words, or None."""
    path = Path(root, f"{docname}.ipynb")
    if not path.exists():
        return "there is no notebook"
    made_from = nbformat.read(path, as_version=4).metadata.get("nodule_lesson", {})
    if not made_from.get("made_from"):
        return "it does not say what it was made from"
    names = changed(root, made_from["made_from"])
    return f"changed since it was written: {abbreviated(names)}" if names else None


def stable(path):
    """A notebook as text, without parts that depend on the time or on the machine."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        del cell["id"]  # it depends on the text
    return VARIES.sub("#", json.dumps(notebook, indent=1, sort_keys=True))


def renew(root, docname):
    """Copy a notebook from the build if it differs; returns "renewed" or "up to date"."""
    built = Path(root, "_build", "notebooks", f"{docname}.ipynb")
    committed = Path(root, f"{docname}.ipynb")
    if committed.exists() and stable(committed) == stable(built):
        return "up to date"
    shutil.copyfile(built, committed)
    return "renewed"


def publish(root, folder):
    """Write the notebooks of the build to a folder, with the address that is known here."""
    address = repository_address(root)
    if not address:
        raise ValueError("no address on GitHub is known: set GITHUB_REPOSITORY to OWNER/NAME.")
    source = f"git+{address}@{commit(root)}"
    built = Path(root, "_build", "notebooks")
    for path in sorted(built.rglob("*.ipynb")):
        here = path.relative_to(built)
        pages = f"{pages_address(address)}{here.parent.as_posix()}"
        notebook = nbformat.read(path, as_version=4)
        install = next(cell for cell in notebook.cells if cell.cell_type == "code")
        install.source = install.source.replace('_SOURCE", "")', f'_SOURCE", "{source}")')
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = LINK.sub(rf"]({pages}/\1.html", cell.source)
        target = Path(folder, here)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        print(target)


def main(arguments, root=ROOT):
    if arguments[:1] == ["--publish"]:
        publish(root, arguments[1])
        return 0
    docnames, failures = chapters(root), 0
    for docname in docnames:
        if "--check" in arguments:
            problem = problem_with(root, docname)
            failures += problem is not None
            state = f"{problem}: make notebooks renews it" if problem else "up to date"
        else:
            state = renew(root, docname)
        print(f"{docname}.ipynb ... {state}")
    for path in sorted(Path(root, "book").glob("*.ipynb")):
        if f"book/{path.stem}" not in docnames:
            failures += 1
            print(f"book/{path.name} ... belongs to no chapter of _toc.yml: delete it")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
