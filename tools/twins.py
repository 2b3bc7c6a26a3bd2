"""Each chapter's twin: the same code as an executed notebook, its text in plain Markdown.

`python tools/twins.py [NAME ...]` writes book/NAME.ipynb beside book/NAME.md for every chapter
that has code, and runs the code only where it, the package or the results have changed since.
`--force` runs it all the same; `--check` runs nothing, and says which twins are out of date.

A twin is for Colab, where no directive, citation or figure number would be shown, and for nbval,
which compares the outputs of the cells tagged `nbval-check-output`. So text outputs are kept;
images, live figures and the state of widgets are not: Colab makes them anew.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from build_book import EXECUTED, fingerprint
from chapters import Cell, TwinError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from plain_markdown import Translation, open_book

ROOT = Path(__file__).resolve().parents[1]
GLUE = "application/papermill.record/"
MYST = re.compile(r"\{[A-Za-z][\w:+.-]*\}`|[:`]{3,}\{")
SECONDS_PER_CELL = 600
INSTALL = """\
# Installs the package of the lesson where it is missing, as on Colab.
import importlib.util
import os

if importlib.util.find_spec("nodule_lesson") is None:
    lesson = "git+{address}@v{version}"
    lesson = os.environ.get("NODULE_LESSON_SOURCE", lesson)
    %pip install -q "nodule-lesson[notebook] @ {{lesson}}"
    importlib.invalidate_caches()
    if importlib.util.find_spec("nodule_lesson") is None:
        raise RuntimeError("nodule_lesson was not installed; pip says above what went wrong.")"""
OPENING = """\
# {title}

[Read this chapter in the book]({url}):
there the live figures need no kernel, and the exercises have their solutions. This notebook runs
the same code. For teaching only, not for clinical use."""


def twin_path(book, chapter):
    return book.root / f"{chapter.docname}.ipynb"


def twin_cells(book, chapter, glue=None):
    """The cells of a twin: title, installation, then the chapter's own, translated.

    glue: the text of the glued numbers by name; None, as long as they are not known, for a draft.
    """
    first, *rest = Translation(book, chapter, glue).cells()
    _, _, text = first.source.partition("\n")
    opening = OPENING.format(title=chapter.title, url=book.url(chapter))
    install = INSTALL.format(address=book.address, version=book.version)
    text = [Cell("markdown", text.strip(), first.line)] if text.strip() else []
    return [Cell("markdown", opening), Cell("code", install), *text, *rest]


def new_notebook(chapter, cells):
    """A notebook of these cells, without outputs; its bytes depend on nothing else."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    if "accelerator" in chapter.metadata:
        notebook.metadata["accelerator"] = chapter.metadata["accelerator"]
    for position, cell in enumerate(cells):
        make = nbformat.v4.new_code_cell if cell.kind == "code" else nbformat.v4.new_markdown_cell
        identity = hashlib.sha256(f"{position}\n{cell.source}".encode()).hexdigest()[:12]
        new = make(cell.source, id=identity)
        if cell.tags:
            new.metadata["tags"] = list(cell.tags)
        notebook.cells.append(new)
    return notebook


def inputs_hash(book, chapter):
    """What the outputs of a twin depend on: its code, the package, the results, the versions."""
    code = [[cell.source, cell.tags, bool(cell.figure)]
            for cell in chapter.cells if cell.kind == "code"]  # fmt: skip
    files = fingerprint(book.root, EXECUTED)
    kept = 1  # to be raised when `kept_outputs` keeps something else
    return hashlib.sha256(json.dumps([code, files, kept]).encode()).hexdigest()


def glued(notebook):
    """The numbers that the cells glued, as MyST-NB records them, by name."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name:
                values[name] = output["data"][GLUE + "text/plain"]
    return values


# --- running, and what is kept of it ----------------------------------------------------------


def execute(book, chapter, notebook, cells):
    """Run the notebook where its chapter lies, and keep of its outputs what a twin keeps.

    Returns the time of the slowest cell in seconds, and the line of the chapter where it stands.
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(chapter.path.parent)}},
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # the kernel's own, about its transport
    )
    foreign = re.compile(re.escape(str(book.root)) + r"|\bat 0x[0-9a-f]{6,}")
    # A backend asked for from outside, Agg for one, would show no figures.
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    # Small tensors: more threads only wait for each other, 50 times slower on a busy machine.
    environment.setdefault("OMP_NUM_THREADS", "1")
    slowest = (0, 0)
    with client.setup_kernel(env=environment):
        for index, (cell, own) in enumerate(zip(notebook.cells, cells, strict=True)):
            if cell.cell_type != "code":
                continue
            try:
                start = time.perf_counter()
                client.execute_cell(cell, index)
                slowest = max(slowest, (time.perf_counter() - start, own.line))
                cell.outputs = kept_outputs(cell.outputs, own)
                found = foreign.search(json.dumps(cell.outputs))
                if found:
                    raise ValueError(f"this cell puts out {found[0]!r}, which differs elsewhere")
            except CellExecutionError as error:
                problem = f"this cell raises {error.ename}: {error.evalue}"
                raise TwinError(where(book, chapter, own, problem)) from None
            except (ValueError, CellTimeoutError, DeadKernelError) as error:
                raise TwinError(where(book, chapter, own, error)) from None
    return slowest


def where(book, chapter, cell, problem):
    path = chapter.path.relative_to(book.root).as_posix()
    return f"{path}:{cell.line}: {str(problem).strip().removesuffix('.')}."


def kept_outputs(outputs, cell):
    """The outputs of a cell without figures; ValueError for what a chapter should not put out."""
    kept, shown, figures = [], 0, 0
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stdout":
                kept.append(output)
            elif "allow-stderr" not in cell.tags:
                raise ValueError(f"this cell writes to stderr: {output.text.strip()[:300]!r}")
        elif output.output_type == "error":
            output.traceback = [f"{output.ename}: {output.evalue}"]  # no colours, no paths
            kept.append(output)
        else:
            is_glue = "scrapbook" in output.metadata
            text = text_of(output.data)
            if MYST.search(text.get("text/markdown", "")):
                raise ValueError("this cell puts out Markdown with MyST in it, raw in a notebook")
            shown += not is_glue
            figures += text != output.data
            if text:
                metadata = output.metadata if is_glue else {}
                kept.append(nbformat.from_dict({**output, "data": text, "metadata": metadata}))
    if cell.figure.get("caption") and shown != 1:
        raise ValueError(f"a cell with a caption shows one thing, found {shown}")
    if figures and "nbval-check-output" in cell.tags:
        raise ValueError("a cell tagged nbval-check-output shows text alone, found a figure")
    return kept


def text_of(data):
    """A bundle of mime types without images, live figures and the views of widgets."""
    images = any(mime.startswith("image/") for mime in data)
    return {
        mime: content
        for mime, content in data.items()
        if not mime.startswith(("image/", "application/vnd.jupyter.widget"))
        and not (mime == "text/html" and "data-live-figure" in content)
        and not (mime == "text/plain" and images and content.startswith("<Figure size"))
    }


# --- writing and checking ---------------------------------------------------------------------


def make_twin(book, chapter):
    """Run a chapter's code; returns the finished notebook, and the time as `execute` does."""
    cells = twin_cells(book, chapter)
    notebook = new_notebook(chapter, cells)
    inputs = inputs_hash(book, chapter)  # before the code runs, in case a file changes meanwhile
    slowest = execute(book, chapter, notebook, cells)
    notebook.metadata["nodule_lesson"] = {"inputs": inputs}
    return retranslate(book, chapter, notebook), slowest


def retranslate(book, chapter, executed):
    """The notebook with the text as it is now, the outputs and their numbers as they were."""
    notebook = new_notebook(chapter, twin_cells(book, chapter, glued(executed)))
    notebook.metadata["nodule_lesson"] = executed.metadata["nodule_lesson"]
    code, ran = ([cell for cell in nb.cells if cell.cell_type == "code"]
                 for nb in (notebook, executed))  # fmt: skip
    for new, old in zip(code, ran, strict=True):
        new.execution_count, new.outputs = old.execution_count, old.outputs
    return notebook


def text_of_notebook(notebook):
    """The bytes of the file, as a string: sorted keys, one line end."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def stored_twin(book, chapter):
    """The twin as it is stored, or None."""
    path = twin_path(book, chapter)
    return nbformat.read(path, as_version=4) if path.exists() else None


def problem_with(book, chapter):
    """What is wrong with the stored twin, in a few words; None where it is as it should be."""
    stored = stored_twin(book, chapter)
    if stored is None:
        return "there is no twin"
    if stored.metadata.get("nodule_lesson", {}).get("inputs") != inputs_hash(book, chapter):
        return "its code, the package, the results or the versions changed since it was run"
    text = text_of_notebook(retranslate(book, chapter, stored))
    if text != twin_path(book, chapter).read_text(encoding="utf-8"):
        return "its text is not that of the chapter"
    return None


def renew(book, chapter, force=False):
    """Bring a twin up to date, with the least work; returns what was done."""
    start = time.perf_counter()
    stored = stored_twin(book, chapter)
    ran = stored and stored.metadata.get("nodule_lesson", {}).get("inputs")
    if force or ran != inputs_hash(book, chapter):
        notebook, (seconds, line) = make_twin(book, chapter)
        done = f"run (slowest cell: line {line}, {seconds:.1f} s)"
    else:
        notebook, done = retranslate(book, chapter, stored), "translated"
    path, text = twin_path(book, chapter), text_of_notebook(notebook)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        if done == "translated":
            return "up to date"
    else:
        write(path, text)
    return f"{done} in {time.perf_counter() - start:.1f} s"


def write(path, text):
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".part")
    with open(draft, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="chapters; without any, all")
    parser.add_argument("--force", action="store_true", help="run unchanged code too")
    parser.add_argument("--check", action="store_true", help="run and write nothing; compare")
    options = parser.parse_args(arguments)
    try:
        book = open_book(root)
    except ValueError as error:
        sys.exit(str(error))
    chapters = {chapter.name: chapter for chapter in book.chapters if chapter.has_code}
    unknown = sorted(set(options.names) - set(chapters))
    if unknown:
        sys.exit(f"the chapters with code are {', '.join(chapters)}; found {', '.join(unknown)}.")
    failures = 0
    for name in options.names or chapters:
        print(f"{name} ... ", end="", flush=True)
        try:
            if options.check:
                problem = problem_with(book, chapters[name])
                failures += problem is not None
                print(f"{problem}: make notebooks renews it" if problem else "up to date")
            else:
                print(renew(book, chapters[name], options.force))
        except ValueError as error:
            failures += 1
            print(f"failed\n  {error}")
    for path in sorted((book.root / "book").glob("*.ipynb")) if not options.names else []:
        if path.stem not in chapters:
            failures += 1
            print(f"{path.name} ... belongs to no chapter of _toc.yml: delete it")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
