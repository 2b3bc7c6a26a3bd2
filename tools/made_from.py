"""Record the files from which the outputs of a chapter are made: its code and what its cells used.

While the book is built, each kernel records the modules of this repository that it imports, and
the files and folders of this repository that it opens and lists (`Recorder`, started by
tools/kernel_startup.py). After each cell it writes them, with their hashes, into a file that is
named after the code that has run. So the code of a chapter leads to the files that it used
(`recorded`), and to those that have changed since (`changed`).

It does not see a file whose absence makes a difference, or one that another process reads.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

RECORDS = "_build/made_from"
ALWAYS = ("constraints.txt", "tools/dark_figures.py")  # the outputs of all cells depend on these
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR
# Code of Python that searches for modules; it also opens files that are not used, and caches.
IMPORT_CODE = ("<frozen importlib", os.path.join("importlib", "metadata"))


def fingerprint(path):
    """A short hash of a file's content, or of the names in a folder; empty if it is missing."""
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if is_source(p.name))
        content = "\n".join(names).encode()
    elif path.is_file():
        content = path.read_bytes()
    else:
        return ""
    return hashlib.sha256(content).hexdigest()[:16]


def is_source(name):
    """Whether a file or folder of this name is a source, and not a product of a tool."""
    return not name.startswith((".", "__pycache__")) and not name.endswith(".egg-info")


def changed(root, files):
    """The names of the files and folders, {name: hash}, that have another hash now."""
    return [name for name, known in files.items() if fingerprint(Path(root, name)) != known]


def abbreviated(names):
    """The first three names as text, and the number of the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def record_path(root, sources):
    """The file that lists what these cells used; cells without code are not run, so ignored."""
    code = json.dumps([source for source in sources if source.strip()])
    return Path(root, RECORDS, f"{hashlib.sha256(code.encode()).hexdigest()}.json")


def recorded(root, notebook):
    """The files that the notebook's code used when it ran, with their hashes; None if unknown."""
    path = record_path(root, [c.source for c in notebook.cells if c.cell_type == "code"])
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class Recorder:
    """Lists the files of the repository `root` that a kernel uses; writes them after each cell."""

    def __init__(self, shell, root):
        self.root = os.path.realpath(root)
        self.sources, self.modules, self.written, self.files = [], set(), set(), {}
        self.used = {os.path.join(self.root, name) for name in ALWAYS}  # since the last cell
        sys.addaudithook(self.audit)
        shell.events.register("post_run_cell", self.save)

    def audit(self, event, arguments):
        """Record a file or folder. Python calls this before it opens or lists one."""
        if event not in ("open", "os.listdir", "os.scandir"):
            return
        path = "." if arguments[0] is None else arguments[0]
        caller = sys._getframe(1).f_code.co_filename
        if isinstance(path, int) or any(name in caller for name in IMPORT_CODE):
            return  # a file that is open already, or Python's search for modules
        path = os.path.realpath(os.fsdecode(path))
        if event == "open" and arguments[2] & WRITE_FLAGS:
            self.written.add(path)
        else:
            self.used.add(path)

    def save(self, result):
        """Write the files used so far into the file named after the code that has run."""
        for name in set(sys.modules) - self.modules:
            path = getattr(sys.modules[name], "__file__", None)
            if path:
                self.used.add(os.path.realpath(path))
        self.modules.update(sys.modules)
        for path in self.used - self.written:
            if self.is_source(path):
                name = Path(path).relative_to(self.root).as_posix()
                self.files.setdefault(name, fingerprint(Path(path)))
        self.used.clear()
        before = record_path(self.root, self.sources)
        self.sources.append(result.info.raw_cell)
        now = record_path(self.root, self.sources)
        now.parent.mkdir(parents=True, exist_ok=True)
        now.write_text(json.dumps(self.files, indent=1, sort_keys=True), encoding="utf-8")
        before.unlink(missing_ok=True)

    def is_source(self, path):
        """Whether a path is an existing source of the repository, not built and not installed."""
        within = path.startswith(self.root + os.sep) and os.path.exists(path)
        parts = path[len(self.root) + 1 :].split(os.sep)
        return (
            within
            and all(map(is_source, parts))
            and parts[0] not in ("_build", "build")
            and not path.startswith(os.path.realpath(sys.prefix) + os.sep)
        )
