"""Where a committed number comes from: versions, kind of machine, source of the layer, clock."""

import hashlib
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import nodule_lesson.std


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
        "std_py_sha256": sha256(nodule_lesson.std.__file__),
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
