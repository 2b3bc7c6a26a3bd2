"""Build the book, pages in _build/html and notebooks in _build/notebooks, unless it is up to date.

`make book` calls this after installing; on Windows it is called by hand (README.md). Warnings are
errors. Pages and notebooks come from one reading and one execution of the chapters by Sphinx, so
they show the same numbers (tools/notebook_builder.py).

The outputs of cells are kept between builds in _build/.jupyter_cache, which compares only a
chapter's own cells. So before a build the outputs of those chapters are dropped that used a file
which has changed since (tools/made_from.py): no page shows stale outputs, and no chapter is run
because of a file that it does not use. Everything else is built from scratch each time, since an
incremental build leaves old sidebars in pages whose own text did not change.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from address import repository_address
from jupyter_cache import get_cache
from made_from import abbreviated, changed, recorded
from slim_site import slim

ROOT = Path(__file__).resolve().parents[1]

# All files on which pages and notebooks may depend.
SOURCES = (
    "_config.yml",
    "_toc.yml",
    "CITATION.cff",
    "book/**/*",
    "constraints.txt",
    "data_scripts/**/*",
    "nodule_lesson/**/*",
    "pyproject.toml",
    "tools/*.py",
    "vendor/**/*",
)


def fingerprint(root):
    """SHA-256 over the address, and the names and contents of the sources, without notebooks."""
    files = {p for pattern in SOURCES for p in Path(root).glob(pattern) if p.is_file()}
    digest = hashlib.sha256(f"{repository_address(root)}\n".encode())
    for path in sorted(files):
        name = path.relative_to(root)
        if "__pycache__" in name.parts or path.suffix == ".ipynb":
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name.as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_up_to_date(root):
    """Whether the last complete build was made from the present files."""
    built = Path(root, "_build", "built-from.sha256")
    return (
        built.exists()
        and Path(root, "_build", "html", "index.html").exists()
        and built.read_text(encoding="utf-8") == fingerprint(root)
    )


def drop_stale_outputs(root):
    """Drop the kept outputs of chapters that used a file which has changed; print the reasons."""
    cache = get_cache(Path(root, "_build", ".jupyter_cache"))
    for record in cache.list_cache_records():
        used = recorded(root, cache.get_cache_bundle(record.pk).nb)
        names = ["what it used"] if used is None else changed(root, used)
        if names:
            print(f"Outputs of {Path(record.uri).name} are dropped: {abbreviated(names)} changed.")
            cache.remove_cache(record.pk)


def build(root):
    """Build the pages, then the notebooks; returns the exit status of Jupyter Book."""
    built = Path(root, "_build", "built-from.sha256")
    built.unlink(missing_ok=True)
    drop_stale_outputs(root)
    for folder in ("html", "notebooks", ".doctrees", "jupyter_execute"):
        shutil.rmtree(Path(root, "_build", folder), ignore_errors=True)
    before = fingerprint(root)
    status = run_jupyter_book(root, "--builder", "html") or run_jupyter_book(
        root, "--builder", "custom", "--custom-builder", "notebooks"
    )
    if status == 0:
        offer_notebooks(root)
        slim(Path(root, "_build", "html"), kept=Path(root, "_build", ".webp"))
        built.write_text(before, encoding="utf-8")  # files may have changed during the build
    return status


def run_jupyter_book(root, *builder):
    """Run Jupyter Book in its own process, so that its output appears at once."""
    program = "from jupyter_book.cli.main import main; main()"
    options = ["build", str(root), "-W", "-n", "--keep-going", *builder]
    command = [sys.executable, "-c", program, *options]
    with subprocess.Popen(
        command, cwd=root, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as running:
        for line in running.stderr:
            # Drop ipykernel's warning about TCP, since the kernels listen on localhost only.
            if "[IPKernelApp] WARNING | Kernel is running over TCP" not in line:
                print(line, end="", file=sys.stderr, flush=True)
    return running.returncode


def offer_notebooks(root):
    """Let the download button of a page offer the notebook for Colab instead of Sphinx's own."""
    built, offered = Path(root, "_build", "notebooks"), Path(root, "_build", "html", "_sources")
    for notebook in built.rglob("*.ipynb"):
        shutil.copyfile(notebook, offered / notebook.relative_to(built))


def main(root=ROOT):
    pages = Path(root, "_build", "html", "index.html")
    if is_up_to_date(root):
        print("The book is up to date.")
    else:
        start = time.perf_counter()
        status = build(root)
        if status:
            sys.exit("The book was not built: what went wrong stands above, as WARNING or ERROR.")
        print(f"The book was built in {time.perf_counter() - start:.0f} s.")
    print(f"To read it: make serve, or open {pages.relative_to(root)} in a browser.")


if __name__ == "__main__":
    main()
