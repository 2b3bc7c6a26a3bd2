"""LUNA16 from Zenodo: 888 CT volumes of LIDC-IDRI in ten subsets, and their annotations.

Records 3723295 (subsets 0-6 and the lists) and 4121926 (7-9), 66.3 GB of zip files, CC BY 4.0.
The API of Zenodo gives name, length, md5 and address of each file. The md5 of the subsets are also
written here, copied from two public download scripts: a record with other ones is not what this
lesson was written for. (The older record 2595813 has a broken subset5.)

This is tested with a local server (tests/data/test_download_luna16.py); Zenodo could not be
reached when this was written.
"""

import json
from pathlib import Path

from nodule_lesson.data.sources import fetch
from nodule_lesson.files import write_whole

ZENODO = "https://zenodo.org"
RECORDS = {3723295: range(0, 7), 4121926: range(7, 10)}
MD5 = {
    "annotations.csv": "f4404df491aee6445a4485061bfdffdd",
    "subset0.zip": "1065b0f42b8c25cf29260fd924a3c3a2",
    "subset1.zip": "2eda28bb123543074f5cd849499b87ff",
    "subset2.zip": "685b484b085bcdb81c525f3b1bf97c51",
    "subset3.zip": "54707e9e8954af29326eed60f38ea321",
    "subset4.zip": "98225ccb1a41fc434631f63f4284796a",
    "subset5.zip": "395ec714c4123cf213fb7b08f05ee9cc",
    "subset6.zip": "d162df1444a6f2674ab8273c7f9e1520",
    "subset7.zip": "e99b8921990d1414bb5e92130371e8a3",
    "subset8.zip": "38260ca9a8741888997bcebedfabc3f1",
    "subset9.zip": "e55c473bbeebd712eb2224a58998be8e",
}
BYTES = 66_300_000_000  # of the ten zips together, rounded
LICENCE = "CC BY 4.0"
CITATION = (
    "A. A. A. Setio et al., Validation, comparison, and combination of algorithms for automatic "
    "detection of pulmonary nodules in computed tomography images: the LUNA16 challenge, Medical "
    "Image Analysis 42 (2017), doi:10.1016/j.media.2017.06.015, with scans of LIDC-IDRI, "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX"
)
# Size of the unpacked files relative to the zip: an estimate, which `unpack` does not rely on.
UNPACKED_RATIO = 1.9


def files_of_record(record, *, zenodo=ZENODO):
    """The files of a Zenodo record: {name: {"size": bytes, "md5": ..., "url": ...}}.

    Raises OSError if Zenodo fails, ValueError for a response that is not a record.
    """
    address = f"{zenodo}/api/records/{record}"
    try:
        listed = json.loads(fetch.get(address))["files"]
        return {
            file["key"]: {
                "size": int(file["size"]),
                "md5": file["checksum"].removeprefix("md5:"),
                "url": file["links"]["self"],
            }
            for file in listed
        }
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{address} is not a list of files as Zenodo gives it: {error}."
        ) from error


def wanted_files(subsets, *, zenodo=ZENODO):
    """annotations.csv and the zip of each subset, as returned by `files_of_record`.

    Raises ValueError for a subset that is not in 0..9, and if Zenodo lacks a file or its md5
    differs from the one in `MD5`.
    """
    if unknown := sorted(set(subsets) - set(range(10))):
        raise ValueError(f"LUNA16 has the subsets 0 to 9, found {unknown[0]}.")
    names = ["annotations.csv", *(f"subset{k}.zip" for k in sorted(set(subsets)))]
    files = {}
    for record, its_subsets in RECORDS.items():
        if record == 3723295 or set(subsets) & set(its_subsets):
            files |= files_of_record(record, zenodo=zenodo)
    for name in names:
        if name not in files:
            raise ValueError(f"Zenodo's records of LUNA16 have no {name}.")
        if files[name]["md5"] != MD5[name]:
            raise ValueError(
                f"{name} has the md5 {files[name]['md5']} on Zenodo, {MD5[name]} is known: the "
                "record has changed."
            )
    return {name: files[name] for name in names}


def download(subsets, out, *, keep_zips=False, zenodo=ZENODO, say=print):
    """Fetch and unpack LUNA16's subsets to out/subset0/SERIESUID.mhd and .raw, and so on.

    subsets: numbers 0 to 9. keep_zips: otherwise a subset's zip is deleted when it is unpacked.
    say: prints the licence, the files and the space they need before anything is fetched. Complete
    files of an earlier call are kept, an interrupted download is resumed. A file that fails does
    not stop the others. Returns the names of the files that failed. Raises OSError if the disk is
    too small.
    """
    out = Path(out)
    wanted = wanted_files(subsets, zenodo=zenodo)
    todo = {name: file for name, file in wanted.items() if not _is_complete(out, name, file)}
    say(f"LUNA16, {LICENCE}: {CITATION}.")
    for name, file in wanted.items():
        say(f"  {name:16} {fetch.readable(file['size']):>8}" + ("" if name in todo else "  there"))
    needed = _space_needed(todo, out, keep_zips)
    total = sum(file["size"] for file in todo.values())
    say(
        f"To fetch: at most {fetch.readable(total)}; on the disk about {fetch.readable(needed)} "
        f"more, in {out}."
    )
    out.mkdir(parents=True, exist_ok=True)
    fetch.check_space(out, needed, "LUNA16")
    failed = []
    for name, file in todo.items():
        try:
            with fetch.only_one(_note_path(out, name)):
                if not _is_complete(out, name, file):  # another process may have been here
                    _download_one(out, name, file, keep_zips)
            say(f"  {name}: done.")
        except (OSError, ValueError) as error:
            say(f"  {name} failed: {error}")
            failed.append(name)
    return failed


def _download_one(out, name, file, keep_zips):
    path = out / name
    fetch.download(file["url"], path, size=file["size"], md5=file["md5"])
    if path.suffix != ".zip":
        return
    note = {"md5": file["md5"], "files": {}}
    for unpacked in fetch.unpack(path, _folder(out, path)):
        note["files"][unpacked.relative_to(out).as_posix()] = unpacked.stat().st_size
    write_whole(_note_path(out, name), json.dumps(note, indent=0).encode())
    if not keep_zips:
        path.unlink()


def _folder(out, archive):
    """The folder to unpack into: a zip usually contains the folder of its subset; else make it."""
    names = fetch.names(archive)
    inside = all(name.startswith(f"{archive.stem}/") for name in names)
    return out if inside else out / archive.stem


def _note_path(out, name):
    return out / f"{Path(name).stem}.unpacked.json"


def _is_complete(out, name, file):
    """Whether a file exists, or all files of a subset as its note of the unpacking lists them."""
    if not name.endswith(".zip"):
        return (out / name).exists() and (out / name).stat().st_size == file["size"]
    try:
        note = json.loads(_note_path(out, name).read_text(encoding="utf-8"))
        same = note["md5"] == file["md5"]
        return same and all((out / n).stat().st_size == size for n, size in note["files"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _space_needed(todo, out, keep_zips):
    """Bytes still needed for zips that exist at the same time, and for their contents."""
    zips = [file["size"] for file in todo.values()]
    at_once = sum(zips) if keep_zips else max(zips, default=0)
    arrived = 0
    for name in todo:
        for path in (out / name, out / f"{name}.part"):
            arrived += path.stat().st_size if path.exists() else 0
    unpacked = sum(file["size"] for name, file in todo.items() if name.endswith(".zip"))
    return max(0, at_once - arrived) + int(UNPACKED_RATIO * unpacked)
