"""What the outputs of a chapter are made from: its own code, and the files that its cells used.

While the book is built, each kernel notes the modules of this repository that are imported in it,
and the files and folders of this repository that are opened and listed (`Recorder`, started by
tools/kernel_startup.py). After each cell it writes them, with their hashes, into a file that is
named after the code that has run; so whoever has the code of a chapter finds what it used
(`recorded`), and what has changed since (`changed`).

What is not seen: a file whose absence made a difference, and what another process read.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

RECORDS = "_build/made_from"
VERSIONS = "constraints.txt"  # whatever the cells do, they do it with these
WRITES = os.O_WRONLY | os.O_RDWR
# Where Python searches for modules, which looks at more than it takes, and into caches.
IMPORTS = ("<frozen importlib", os.path.join("importlib", "metadata"))


def fingerprint(path):
    """A short hash of a file's content, or of the names in a folder; empty where there is none."""
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if is_source(p.name))
        content = "\n".join(names).encode()
    elif path.is_file():
        content = path.read_bytes()
    else:
        return ""
    return hashlib.sha256(content).hexdigest()[:16]


def is_source(name):
    """False for the name of a file or folder that is made, or that tools leave behind."""
    return not name.startswith((".", "__pycache__")) and not name.endswith(".egg-info")


def changed(root, files):
    """The names of those files and folders, given with their hashes, that are others now."""
    return [name for name, known in files.items() if fingerprint(Path(root, name)) != known]


def some(names):
    """The first few of the names, and how many there are besides."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def record_path(root, sources):
    """Where it stands what these cells used; a cell without code is not run, and not counted."""
    code = json.dumps([source for source in sources if source.strip()])
    return Path(root, RECORDS, f"{hashlib.sha256(code.encode()).hexdigest()}.json")


def recorded(root, notebook):
    """The files that the notebook's code used when it ran, with their hashes; None if unknown."""
    path = record_path(root, [c.source for c in notebook.cells if c.cell_type == "code"])
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class Recorder:
    """Notes what a kernel uses of the repository `root`, and writes it down after each cell."""

    def __init__(self, shell, root):
        self.root = os.path.realpath(root)
        self.sources, self.written, self.files = [], set(), {}
        self.used = {os.path.join(self.root, VERSIONS)}
        sys.addaudithook(self.hear)
        shell.events.register("post_run_cell", self.save)

    def hear(self, event, arguments):
        """Called by Python before a file is opened or a folder listed, and at much else."""
        if event not in ("open", "os.listdir", "os.scandir"):
            return
        path = "." if arguments[0] is None else arguments[0]
        caller = sys._getframe(1).f_code.co_filename
        if isinstance(path, int) or any(search in caller for search in IMPORTS):
            return  # an open file, or Python's search for modules
        path = os.path.realpath(os.fsdecode(path))
        if event == "open" and arguments[2] & WRITES:
            self.written.add(path)
        else:
            self.used.add(path)

    def save(self, result):
        """Write what was used up to now, under the name of the code that has run."""
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        self.used.update(os.path.realpath(path) for path in modules if path)
        for path in self.used - self.written:
            if self.is_source(path):
                name = Path(path).relative_to(self.root).as_posix()
                self.files.setdefault(name, fingerprint(Path(path)))
        before = record_path(self.root, self.sources)
        self.sources.append(result.info.raw_cell)
        now = record_path(self.root, self.sources)
        now.parent.mkdir(parents=True, exist_ok=True)
        now.write_text(json.dumps(self.files, indent=1, sort_keys=True), encoding="utf-8")
        before.unlink(missing_ok=True)

    def is_source(self, path):
        """True for what there is of the repository itself: no build, no Python installed in it."""
        within = path.startswith(self.root + os.sep) and os.path.exists(path)
        parts = path[len(self.root) + 1 :].split(os.sep)
        return (
            within
            and all(map(is_source, parts))
            and parts[0] not in ("_build", "build")
            and not path.startswith(os.path.realpath(sys.prefix) + os.sep)
        )
