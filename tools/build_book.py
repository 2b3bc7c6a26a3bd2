"""Build the book into _build/html, or say that it is up to date.

`make book` calls this after installing; on Windows it is called by hand (README.md). Warnings are
errors. Two things that Jupyter Book does not do by itself:

- Outputs of cells are kept between builds in _build/.jupyter_cache, which looks at a page's own
  cells and no further. So the cache is emptied when what the cells run has changed: the package,
  Python and JavaScript, book/results or the installed versions. No page shows stale outputs.
- Everything else is built from nothing each time, since an incremental build leaves old sidebars
  in pages whose own text did not change.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What the cells of the chapters run or read.
EXECUTED = (
    "constraints.txt",
    "nodule_lesson/**/*.py",
    "nodule_lesson/**/*.js",
    "nodule_lesson/**/*.css",
    "nodule_lesson/**/*.json",
    "nodule_lesson/**/*.npz",
    "nodule_lesson/**/*.safetensors",
    "nodule_lesson/**/*.xz",
    "book/results/**/*",
    "data_scripts/**/*.csv",
)
# What the pages are made of besides.
RENDERED = (
    "_config.yml",
    "_toc.yml",
    "book/**/*",
    "tools/address.py",
    "tools/sphinx_lesson.py",
    "vendor/**/*",
)


def fingerprint(root, patterns):
    """SHA-256 over the names and contents of the files that match the patterns."""
    files = {p for pattern in patterns for p in Path(root).glob(pattern) if p.is_file()}
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(root)
        if "__pycache__" in name.parts or ".ipynb_checkpoints" in name.parts:
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name.as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_up_to_date(root):
    """True where the last complete build was made from the files as they are now."""
    built = Path(root, "_build", "built-from.sha256")
    return (
        built.exists()
        and Path(root, "_build", "html", "index.html").exists()
        and built.read_text(encoding="utf-8") == fingerprint(root, EXECUTED + RENDERED)
    )


def empty_stale_cache(root):
    """Delete the kept outputs unless they come from what the cells would run now."""
    cache = Path(root, "_build", ".jupyter_cache")
    ran = Path(root, "_build", "outputs-from.sha256")
    now = fingerprint(root, EXECUTED)
    if cache.exists() and ran.exists() and ran.read_text(encoding="utf-8") == now:
        return False
    shutil.rmtree(cache, ignore_errors=True)
    ran.parent.mkdir(exist_ok=True)
    ran.write_text(now, encoding="utf-8")
    return True


def build(root):
    """Build the pages; returns the exit status of Jupyter Book."""
    built = Path(root, "_build", "built-from.sha256")
    built.unlink(missing_ok=True)
    if empty_stale_cache(root):
        print("Every chapter is run: no outputs of this package and these results are kept.")
    else:
        print("Only chapters whose code has changed are run again.")
    for folder in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(Path(root, "_build", folder), ignore_errors=True)
    before = fingerprint(root, EXECUTED + RENDERED)
    status = run_jupyter_book(root)
    if status == 0:
        built.write_text(before, encoding="utf-8")  # not what changed while it was building
    return status


def run_jupyter_book(root):
    """Run it in a process of its own, so that what it prints is seen as it comes."""
    program = "from jupyter_book.cli.main import main; main()"
    options = ["build", str(root), "-W", "-n", "--keep-going"]
    command = [sys.executable, "-c", program, *options]
    with subprocess.Popen(
        command, cwd=root, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as running:
        for line in running.stderr:
            # Each kernel says that it can be overheard; it listens on this machine alone.
            if "[IPKernelApp] WARNING | Kernel is running over TCP" not in line:
                print(line, end="", file=sys.stderr, flush=True)
    return running.returncode


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
