"""A student's code in a process of its own, under bubblewrap: what it answers, and how it ended.

Under bubblewrap the process has no network, sees Python, the installed packages and this package,
read-only, and an empty /tmp of 64 MB of its own; it has users, processes and memory of its own as
well. It gets its job on its input and answers in lines of JSON, so no file is shared with it.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nodule_lesson
from nodule_lesson.grading import inside, questions

SILENCE = 60  # seconds without a line after which a process is ended
WALL = 300  # seconds after which it is ended anyway
MOST_BYTES = 8_000_000  # of lines
TEMPORARY = 64_000_000  # bytes, all temporary files together
MOST_STARTS = 8
PACKAGE = Path(nodule_lesson.__file__).resolve().parent
WITHOUT = (
    "bubblewrap does not start here ({reason}), so submissions could read and change what you "
    "can. Install it (apt-get install bubblewrap), work in the container that "
    "assignments/Containerfile describes, or say --trust to run them unprotected."
)


# --- the command ---------------------------------------------------------------------------------


def bound():
    """The folders that a sandbox shows, read-only: the system, Python, packages, this package."""
    system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    packages = [name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")]
    paths = [*system, sys.base_prefix, sys.prefix, *packages, str(PACKAGE)]
    return list(dict.fromkeys(path for path in paths if os.path.exists(path)))


def command(folders):
    """bubblewrap's command line up to the program."""
    line = [shutil.which("bwrap")]
    line += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    line += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # until inside.limit
    else:
        line += ["--unshare-user", "--disable-userns"]
    line += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    line += ["--perms", "1777", "--size", str(TEMPORARY), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    for path in folders:  # after /tmp, in which a clone may lie
        for parent in list(Path(path).parents)[-2::-1]:  # else they would be root's alone
            line += ["--perms", "0755", "--dir", str(parent)]
        line += ["--ro-bind", path, path]
    return [*line, "--remount-ro", "/"]


def environment():
    """The variables of the process: none of the teacher's."""
    paths = [name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")]
    return {
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *paths]),
        "USER": "student",
    }


def refusal():
    """Why submissions cannot be run under bubblewrap here, in a sentence; None if they can."""
    if shutil.which("bwrap") is None:
        return WITHOUT.format(reason="it is not installed")
    program = [sys.executable, "-c", "print('starts')"]
    tried = subprocess.run([*command(bound()), *program], env=environment(), text=True,
                           capture_output=True, stdin=subprocess.DEVNULL)  # fmt: skip
    if tried.stdout.strip() != "starts":
        return WITHOUT.format(reason=tried.stderr.strip()[-200:])
    return None


def check_hidden(*folders):
    """Raises ValueError for a folder that a sandbox would show."""
    for folder in folders:
        for path in map(Path, bound()):
            if Path(folder).resolve().is_relative_to(path.resolve()):
                raise ValueError(f"{folder} lies in {path}, which submissions can read; move it.")


# --- one process -------------------------------------------------------------------------------


def conversation(job, trust):
    """Start a process with a job and yield its lines, dictionaries, until it ends or is ended.

    The last one is {"time": True} if it was ended for its time. A line that is no JSON object is
    left out: only the student's code can have written it.
    """
    program = [sys.executable, "-m", "nodule_lesson.grading.inside"]
    line = program if trust else [*command(bound()), *program]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env=environment(),
                               cwd="/", start_new_session=True)  # fmt: skip
    writer = threading.Thread(target=_write, args=(process.stdin, json.dumps(job).encode()))
    writer.start()
    try:
        yield from _lines(process.stdout)
    finally:
        # With bubblewrap all in its namespace end, without it at least those in its group.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        writer.join()
        process.stdout.close()


def _write(pipe, data):
    try:
        with pipe:
            pipe.write(data)
    except BrokenPipeError:
        pass  # it ended before it had read its job, and so says nothing


def _lines(pipe):
    data, size, start = b"", 0, time.monotonic()
    while size <= MOST_BYTES:
        left = min(SILENCE, start + WALL - time.monotonic())
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            yield {"time": True}
            return
        part = os.read(pipe.fileno(), 65536)
        if not part:
            return
        size += len(part)
        *whole, data = (data + part).split(b"\n")
        yield from filter(lambda line: isinstance(line, dict), map(_read, whole))


def _read(line):
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


# --- one submission ----------------------------------------------------------------------------


class Submission:
    """The answers of a student's code cells to the questions of an assignment.

    Afterwards `troubles` says what went wrong in which cell, and `endless` holds those cells that
    did not end, or ended the process. They are left out when the process is started again.
    """

    def __init__(self, cells, trust=False):
        self.cells, self.trust = cells, trust
        self.troubles, self.endless = {}, set()

    def answers(self, number, seed):
        """{question: (a dictionary of arrays or None for each case, what went wrong or None)}."""
        packed = {
            one.name: [
                {name: inside.pack(value) for name, value in case.items()}
                for case in questions.cases(number, one.name, seed)
            ]
            for one in questions.assignment(number).QUESTIONS
        }
        found = {}
        for _ in range(MOST_STARTS):
            left = {name: cases for name, cases in packed.items() if name not in found}
            if not left:
                break
            cells = [[n, cell] for n, cell in enumerate(self.cells) if n not in self.endless]
            job = {"assignment": str(number), "cells": cells, "questions": left}
            found |= self._process({**job, "alone": not self.trust})
        nothing = "It was given up, since too much in the notebook does not end."
        return {name: found.get(name, ([None] * len(cases), nothing))
                for name, cases in packed.items()}  # fmt: skip

    def _process(self, job):
        """The results of one process, up to the first question that ended within a cell."""
        found, name, begun = {}, None, False
        lines = conversation(job, self.trust)
        with contextlib.closing(lines):
            for line in lines:
                begun = True
                # Only a string or whole number: other values may be forged, and break a look-up.
                line = {key: value for key, value in line.items()
                        if isinstance(value, str | int) or key == "answer"}  # fmt: skip
                if line.get("question") in job["questions"]:
                    name, cell, case, trouble = line["question"], None, None, None
                    answers = [None] * len(job["questions"][name])
                elif name is None:
                    continue
                elif isinstance(line.get("cell"), int) and case is None:
                    cell = line["cell"]
                elif line.get("case") in range(len(answers)):
                    case = line["case"]
                elif isinstance(line.get("trouble"), str):
                    trouble = line["trouble"][:120]
                    if case is None:
                        self._note(cell, trouble)
                elif "answer" in line and case is not None:
                    answers[case] = _arrays(line["answer"])
                elif "end" in line or "time" in line:
                    if case is None:
                        self._note(cell, "time" if "time" in line else "end")
                        return found
                    if answers[-1] is None:
                        trouble = _sentence("time" if "time" in line else trouble or "end")
                    else:
                        trouble = None
                    found[name] = answers, trouble
                    name = None
        if not begun:
            raise RuntimeError("a process that runs a submission did not begin: try again.")
        if name is not None:  # the student's code has ended all processes
            if case is None:
                self._note(cell, "end")
            else:
                found[name] = answers, None if answers[-1] is not None else _sentence("end")
        return found

    def _note(self, cell, trouble):
        if cell is None:
            return  # it ended before its first cell, and is tried again
        self.troubles[cell] = _sentence(trouble)
        if trouble in ("time", "end"):
            self.endless.add(cell)


def _sentence(trouble):
    """What went wrong, for the student."""
    if trouble == "time":
        return "It took too long and was ended."
    if trouble == "end":
        return "Its process ended before it had answered."
    if trouble == "NotFound":
        return "The notebook does not define it."
    return f"It ended with {trouble}."


def _arrays(answer):
    try:
        return {str(name): inside.array(packed) for name, packed in answer.items()}
    except (AttributeError, TypeError, ValueError, KeyError, OverflowError):
        return None
