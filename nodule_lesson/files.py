"""What results, weights and checkpoints share: files that are whole, configurations compared."""

import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_file(path, partial=None):
    """A binary file to write that becomes `path` when the block ends, and nothing if it fails.

    Until then it lies beside `path` under a name that nobody else has: two that write the same
    path at once, threads or machines of a cluster, do not mix. partial: a name of one's own
    instead, for large files under a lock, where the next call is to overwrite what a killed one
    has left.
    """
    path = Path(path)
    partial = partial or path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)  # a full disk needs the room
        raise


def write_whole(path, data):
    """Write the bytes `data` to `path`, all or nothing; its folder is made where it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(data)


def write_json(path, result):
    """Write what JSON can hold, all or nothing, with each list of numbers on one line."""
    text = json.dumps(result, indent=1)
    text = re.sub(r"\[[^][{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    write_whole(path, f"{text}\n".encode())


def make_folder(path):
    """Make a folder where it is missing. Raises OSError where it then takes no file."""
    Path(path).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass


def plain_number(value):
    """For json.dumps(default=...): a number of NumPy's or torch's as Python's. Raises TypeError
    for anything else."""
    if getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"JSON holds numbers, text, lists and dictionaries, found {value!r}.")


def difference(found, wanted, name=""):
    """Where two configurations differ, in words; "" where they do not."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        parts = (difference(found.get(k), wanted.get(k), f"{name}.{k}".strip(".")) for k in keys)
        return ", ".join(part for part in parts if part)
    return "" if found == wanted else f"{name}: {found!r}, wanted {wanted!r}"
