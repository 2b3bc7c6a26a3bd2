"""Files of results, weights and checkpoints: complete or not written; configurations compared."""

import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_file(path, partial=None):
    """A binary file to write, which is renamed to `path` at the end of the block.

    If the block fails it is removed. Until then it lies beside `path` under a unique name, so that
    threads, processes or machines can write the same path at the same time. partial: a fixed path
    instead, for large files under a lock, so that the next call overwrites the rest of a killed
    one.
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
        partial.unlink(missing_ok=True)  # above all on a full disk
        raise


def write_whole(path, data):
    """Write the bytes `data` to `path`, completely or not at all; make its folder if needed."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(data)


def write_json(path, result):
    """Write a JSON file, completely or not at all, with each list of numbers on one line."""
    text = json.dumps(result, indent=1)
    text = re.sub(r"\[[^][{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    write_whole(path, f"{text}\n".encode())


def make_folder(path):
    """Make a folder if it is missing. Raises OSError if no file can be written to it."""
    Path(path).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass


def plain_number(value):
    """A number of NumPy or torch as a Python number, for json.dumps(default=plain_number).

    Raises TypeError for anything else.
    """
    if getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"JSON holds numbers, text, lists and dictionaries, found {value!r}.")


def difference(found, wanted, name=""):
    """The differences of two configurations as text, "" if they are equal."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        parts = (difference(found.get(k), wanted.get(k), f"{name}.{k}".strip(".")) for k in keys)
        return ", ".join(part for part in parts if part)
    return "" if found == wanted else f"{name}: {found!r}, wanted {wanted!r}"
