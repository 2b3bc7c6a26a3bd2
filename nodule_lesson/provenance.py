"""The provenance of a committed number: code, versions, kind of machine, clock.

It contains no name of a machine and no path.
"""

import hashlib
import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import nodule_lesson
from nodule_lesson import std
from nodule_lesson.training.fitting import best_device


def provenance(command, packages=()):
    """A dictionary for the JSON file that a script writes. packages: more versions to name."""
    return {
        "command": command,
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "clock": "CPU time" if torch.get_num_threads() == 1 else "wall time",
        "versions": {name: _version(name) for name in ("nodule-lesson", "torch", *packages)},
        "std_py_sha256": sha256(std.__file__),
    }


def seconds():
    """CPU time if torch has one thread, which other work on the machine hardly changes.

    With several threads it is wall time, since CPU time would add theirs.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def sha256(path):
    """Checksum of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def made_by():
    """The code and the kind of device that compute a result."""
    device = best_device().type
    name = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "commit": commit(),
        "code_sha256": code_sha256(),
        "device": name or f"{platform.machine()} {device.upper()}",
    }


@cache
def commit():
    """The commit of the sources, with "+" if they have changed since; None without git."""
    package = Path(nodule_lesson.__file__).parent
    git = ["git", "-C", str(package)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        # If it is installed inside another repository, the package is not part of its commits.
        tracked = subprocess.run(
            [*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", str(package)], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    if head.returncode or tracked.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


@cache
def code_sha256():
    """Checksum of the package's Python files."""
    package = Path(nodule_lesson.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
