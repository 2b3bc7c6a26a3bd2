"""What downloading and unpacking share: free space, locks, checksums, messages."""

import hashlib
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm


def check_space(folder, needed, what):
    """OSError unless `needed` bytes are free where `folder` is; `what` is named in the message."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{what} needs {readable(needed)} on the disk of {folder}, {readable(free)} is free."
        )


def readable(count):
    """A number of bytes for a reader, in units of 1000: 6811924508 is "6.81 GB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


@contextmanager
def only_one(path):
    """One process at a time works on `path`, others wait; a killed one does not hold them up.

    The lock is PATH.part.lock, which goes when the work has succeeded.
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
        # After a success those who wait find the work done, whichever lock file they hold.
        with suppress(OSError):
            lock_path.unlink()
    finally:
        lock.release()


def mismatch(path, size, wanted):
    """What is wrong with a file, the end of a sentence that begins with its name; else None.

    size: bytes, or None; wanted: {"md5" or "sha256": hexadecimal digest}.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found:,} bytes, {size:,} are wanted"
    for name, value in wanted.items():
        if (found := digest(path, name)) != value:
            return f"has the {name} {found}, {value} is wanted"
    return None


def digest(path, name):
    """The hexadecimal digest of a file, name as in hashlib."""
    result = hashlib.new(name, usedforsecurity=False)
    with open(path, "rb") as file, byte_bar(f"check {path.name}", path.stat().st_size) as bar:
        while block := file.read(2**20):
            result.update(block)
            bar.update(len(block))
    return result.hexdigest()


def byte_bar(name, size):
    """A progress bar in bytes with the time left, shown only where the wait is worth a line."""
    return tqdm(total=size, desc=name, unit="B", unit_scale=True, delay=1)


def say(message):
    """A line on stderr that leaves progress bars whole."""
    tqdm.write(message, file=sys.stderr)


def one_line_errors(work):
    """What a script ends with: sys.exit(one_line_errors(main)). A failure is one line.

    work: called without arguments; returns an exit code, or None for 0. OSError and ValueError
    give 1, an interruption 130.
    """
    try:
        return work() or 0
    except (OSError, ValueError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted: what has arrived is kept, the same command goes on from there.")
        return 130
