"""Functions for downloading and unpacking: free space, locks, checksums, messages."""

import hashlib
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm


def check_space(folder, needed, what):
    """Raise OSError unless `needed` bytes are free on the disk of `folder`.

    what: the subject of the message.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{what} needs {readable(needed)} on the disk of {folder}, {readable(free)} is free."
        )


def readable(count):
    """A number of bytes as text, in units of 1000: 6811924508 is "6.81 GB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


@contextmanager
def only_one(path):
    """A lock for work on `path`: other processes wait, but not for one that was killed.

    The lock is the file PATH.part.lock, which is removed when the work has succeeded.
    """
    lock_path = Path(path).with_name(Path(path).name + ".part.lock")
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Another process is busy with {path}: waiting for it.")
        lock.acquire()
    try:
        yield
        # After a success the waiting processes find the work done, so the file may be removed.
        with suppress(OSError):
            lock_path.unlink()
    finally:
        lock.release()


def mismatch(path, size, wanted):
    """What is wrong with a file, as the end of a sentence that begins with its name, or None.

    size: bytes, or None. wanted: {"md5" or "sha256": hexadecimal digest}.
    """
    length = path.stat().st_size
    if size is not None and length != size:
        return f"has {length:,} bytes, {size:,} are wanted"
    for name, value in wanted.items():
        if (checksum := digest(path, name)) != value:
            return f"has the {name} {checksum}, {value} is wanted"
    return None


def digest(path, name):
    """The hexadecimal digest of a file. name: an algorithm of hashlib."""
    result = hashlib.new(name, usedforsecurity=False)
    with open(path, "rb") as file, byte_bar(f"check {path.name}", path.stat().st_size) as bar:
        while block := file.read(2**20):
            result.update(block)
            bar.update(len(block))
    return result.hexdigest()


def byte_bar(name, size):
    """A progress bar in bytes, shown only if the work takes more than a second."""
    return tqdm(total=size, desc=name, unit="B", unit_scale=True, delay=1)


def say(message):
    """Print a line to stderr without breaking progress bars."""
    tqdm.write(message, file=sys.stderr)


def one_line_errors(work):
    """Call `work()` and print an error as one line; a script ends sys.exit(one_line_errors(main)).

    work: returns an exit code, or None for 0. Returns 1 after OSError and ValueError, 130 after an
    interruption.
    """
    try:
        return work() or 0
    except (OSError, ValueError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted: what has arrived is kept; run the same command again to continue.")
        return 130
