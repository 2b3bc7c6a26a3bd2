"""Where a committed number comes from: code, versions, kind of machine, clock.

No machine's name and no path.
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
    """A dictionary for the JSON that a script writes; no machine's name and no path in it."""
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
    """CPU time where one thread computes: what else the machine does stays out of it.

    Several threads can only be timed by the clock on the wall.
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
    """Code and device; no machine's name and no path."""
    place = best_device().type
    name = torch.cuda.get_device_name() if place == "cuda" else None
    return {
        "commit": commit(),
        "code_sha256": code_sha256(),
        "device": name or f"{platform.machine()} {place.upper()}",
    }


@cache
def commit():
    """The commit of the sources, with "+" where they have changed since; None without git."""
    here = Path(nodule_lesson.__file__).parent
    ask = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True)
        # Installed into another project's folder, the package is not part of its commits.
        known = subprocess.run(
            [*ask, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True
        )
        changed = subprocess.run(
            [*ask, "status", "--porcelain", "--", str(here)], capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    if head.returncode or known.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


@cache
def code_sha256():
    """Checksum of the package's Python files."""
    here = Path(nodule_lesson.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        digest.update(path.relative_to(here).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
