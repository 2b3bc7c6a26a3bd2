"""Unpack archives; every name in them is checked first."""

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from nodule_lesson.files import whole_file

from .common import byte_bar, check_space, only_one

_DAMAGE = (
    EOFError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass
class _Member:
    """One file of an archive. crc: in a zip. changed: in a tar, seconds since 1970."""

    name: str
    size: int
    open: object
    crc: int | None = None
    changed: float | None = None


def unpack(archive, folder):
    """Unpack a zip or tar archive (.tar.gz, .bz2, .xz too) into `folder`; returns the files.

    All names are checked before anything is written. An archive is refused if it has absolute
    names, "..", drives, links, devices or duplicate names, or if its files need more than the free
    space. Each file appears completely or not at all. A file that exists (same size and CRC-32 in
    a zip, same size and time in a tar) is kept, so that a second call continues an interrupted
    one. Modes and owners are not applied, empty folders are not created.

    Raises ValueError for an archive that is refused, damaged or of another kind, OSError if the
    disk fails or is too small.
    """
    archive, folder = Path(archive), Path(folder)
    with _opened(archive) as members:
        _check_names(members, archive)
        folder.mkdir(parents=True, exist_ok=True)
        with only_one(folder / archive.name):
            missing = [member for member in members if not _is_there(member, folder)]
            total = sum(member.size for member in missing)
            check_space(folder, total, f"{archive.name}, unpacked,")
            with byte_bar(f"unpack {archive.name}", total) as bar:
                for member in missing:
                    _write(member, folder, bar)
    return [folder / member.name for member in members]


def names(archive):
    """The names of the files in an archive."""
    with _opened(Path(archive)) as members:
        return [member.name for member in members]


@contextmanager
def _opened(archive):
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield _zip_members(opened, archive)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened:
                yield _tar_members(opened, archive)
        else:
            raise ValueError(f"{archive} is neither a zip nor a tar archive.")
    except _DAMAGE as error:
        raise ValueError(f"{archive} is damaged: {error}.") from error
    except NotImplementedError as error:
        raise ValueError(
            f"{archive} is packed in a way that Python cannot read ({error}): unpack it by "
            "7-Zip in its place and run this again."
        ) from error


def _zip_members(opened, archive):
    members = []
    for info in opened.infolist():
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ValueError(f"{archive} has a link, {info.filename!r}, which is not followed.")
        if info.flag_bits & 1:
            raise ValueError(f"{archive} asks for a password for {info.filename!r}.")
        if not info.is_dir():
            members.append(
                _Member(info.filename, info.file_size, partial(opened.open, info), info.CRC)
            )
    return members


def _tar_members(opened, archive):
    members = []
    for info in opened:
        if not (info.isreg() or info.isdir()):
            raise ValueError(f"{archive} has a link or device, {info.name!r}, which is refused.")
        if info.isreg():
            read = partial(opened.extractfile, info)
            members.append(_Member(info.name, info.size, read, changed=info.mtime))
    return members


def _check_names(members, archive):
    seen = set()
    for member in members:
        # Check it as on both systems: a backslash separates folders on Windows alone.
        for path in (PurePosixPath(member.name), PureWindowsPath(member.name)):
            if not path.parts or path.anchor or ".." in path.parts or "\0" in member.name:
                raise ValueError(f"{archive} would write outside its folder: {member.name!r}.")
        # Some file systems do not distinguish a.raw and A.raw.
        name = PurePosixPath(member.name).as_posix().casefold()
        if name in seen:
            raise ValueError(f"{archive} has {member.name!r} twice.")
        seen.add(name)
    for name in seen:
        if name.endswith(".part") and name.removesuffix(".part") in seen:  # see _write
            raise ValueError(f"{archive} has {name!r} beside the file itself.")
        for parent in PurePosixPath(name).parents:
            if parent.as_posix() in seen:
                raise ValueError(f"{archive} has {str(parent)!r} as a file and as a folder.")


def _is_there(member, folder):
    path = folder / member.name
    if not path.is_file() or path.stat().st_size != member.size:
        return False
    if member.crc is None:
        return int(path.stat().st_mtime) == int(member.changed)
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(2**20):
            crc = zlib.crc32(block, crc)
    return crc == member.crc


def _write(member, folder, bar):
    path = folder / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")  # no member has that name: _check_names
    with whole_file(path, partial) as file, member.open() as source:
        while block := source.read(2**20):
            file.write(block)
            bar.update(len(block))
        if file.tell() != member.size:
            raise ValueError(f"{member.name!r} has {file.tell():,} of {member.size:,} bytes.")
    if member.changed is not None:
        os.utime(path, (member.changed, member.changed))
