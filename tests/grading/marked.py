"""A class whose submissions the command marks, with an eye on what it should not touch."""

import csv
import hashlib
import json
import shutil
import socket
import threading
from pathlib import Path

import pytest

from nodule_lesson.grading import __main__ as command
from nodule_lesson.grading import sandbox

SEED = 7130842


def skip_without_bubblewrap():
    reason = sandbox.refusal()
    if reason:
        installed = shutil.which("bwrap") is not None
        pytest.skip(f"bubblewrap is blocked: {reason}" if installed else reason)


def fingerprints(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}  # fmt: skip


class Marked:
    """The class in a folder, run by the command, with a server on which nobody may call."""

    def __init__(self, root, number, members, names):
        """members(paths, port): {name: (notebook, marks)}; names: who hands in."""
        self.number = number
        self.submissions, self.out = root / "submissions", root / "marks"
        self.submissions.mkdir()
        (root / "seed").write_text(str(SEED), encoding="utf-8")
        paths = [root / "seed", self.out, self.submissions, self.submissions / "blank.ipynb",
                 Path(__file__), Path(__file__).parents[2] / "assignments"]  # fmt: skip
        self.calls = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self.listen, args=(server,), daemon=True).start()
            port = server.getsockname()[1]
            self.expected = {}
            for name, (made, marks) in members([str(p) for p in paths], port).items():
                if name not in names:
                    continue
                data = made if isinstance(made, bytes) else json.dumps(made).encode()
                (self.submissions / f"{name}.ipynb").write_bytes(data)
                self.expected[name] = marks
            self.before = fingerprints(root)
            self.run()
        self.after = fingerprints(root)

    def listen(self, server):
        while True:
            try:
                self.calls.append(server.accept())
            except OSError:  # the server is closed
                return

    def run(self):
        command.main(["run", self.number, str(self.submissions), "--seed", str(SEED),
                      "--out", str(self.out), "--workers", "2"])  # fmt: skip

    def rows(self):
        with (self.out / "marks.csv").open(encoding="utf-8", newline="") as file:
            return {row["name"]: row for row in csv.DictReader(file)}
