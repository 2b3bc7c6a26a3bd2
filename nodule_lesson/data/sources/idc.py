"""LIDC-IDRI from the Imaging Data Commons: the DICOM series of a few patients.

The Commons keep each series in the public bucket idc-open-data under its own UUID. S3 lists the
files with a prefix over plain HTTPS (ListObjectsV2), so that no client library is needed. The
UUIDs are in a manifest, data_scripts/idc_manifest.csv, which make_idc_manifest.py made from the
Commons' own index.

This is tested with a local server (tests/data/test_download_idc.py); the Commons could not be
reached when this was written.
"""

import csv
import os
import re
import threading
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from nodule_lesson.data.sources import fetch
from nodule_lesson.data.sources.fetch.common import byte_bar

BUCKET = "https://idc-open-data.s3.amazonaws.com"
LICENCE = "CC BY 3.0"
CITATION = (
    "S. G. Armato III et al., Data from LIDC-IDRI, The Cancer Imaging Archive (2015), "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX, by way of the NCI Imaging Data Commons, "
    "doi:10.1148/rg.230180"
)
PATIENTS, BYTES = 10, 730_765_792  # the default, the first ten of the manifest, and their size
WORKERS = 4  # simultaneous requests: polite, and enough for files of half a megabyte
COLUMNS = ("patient", "series", "uuid", "files", "bytes", "nodules", "licence")
_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True)
class Series:
    """One row of the manifest: a CT series, its UUID in the bucket, and its size."""

    patient: str
    series: str
    uuid: str
    files: int
    bytes: int
    nodules: int
    licence: str


def read_manifest(path):
    """The list of `Series` in a manifest, best first. Raises ValueError for an invalid file."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} must have the columns {','.join(COLUMNS)}.")
        try:
            rows = [
                Series(
                    **{**row, **{name: int(row[name]) for name in ("files", "bytes", "nodules")}}
                )
                for row in reader
            ]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} has a row that is not a series: {error}.") from error
    for row in rows:
        # These three become parts of paths and of an address.
        if not all(
            re.fullmatch(r"\w[\w.-]*", name) for name in (row.patient, row.series, row.uuid)
        ):
            raise ValueError(f"{path} has a name that cannot be a folder: {row}.")
    return rows


def choose(manifest, *, patients=None, names=()):
    """The first `patients` series of a manifest, or those of the patients named.

    Raises ValueError for a patient who is not in the manifest, or more patients than it has.
    """
    if names:
        by_patient = {row.patient: row for row in manifest}
        if missing := [name for name in names if name not in by_patient]:
            raise ValueError(
                f"patient {missing[0]} is not in the manifest, which has {len(manifest)} patients "
                "of LUNA16; data_scripts/make_idc_manifest.py makes a longer one."
            )
        return [by_patient[name] for name in dict.fromkeys(names)]
    if not 1 <= patients <= len(manifest):
        raise ValueError(f"1 to {len(manifest)} patients are in the manifest, found {patients}.")
    return manifest[:patients]


def list_series(uuid, *, bucket=BUCKET, session=None):
    """The objects of a series: [{"key", "size", "md5" or None}], in S3's order.

    md5 is the ETag, or None for objects that were uploaded in parts. Raises OSError if the service
    fails, ValueError for a response that is not a listing of S3.
    """
    objects, token = [], None
    while True:
        query = {"list-type": "2", "prefix": f"{uuid}/"}
        if token:
            query["continuation-token"] = token
        address = f"{bucket}/?{urlencode(query)}"
        try:
            listing = ElementTree.fromstring(fetch.get(address, session=session))
            for entry in listing.iter(f"{_S3}Contents"):
                key = entry.findtext(f"{_S3}Key")
                if not re.fullmatch(re.escape(uuid) + r"/[\w-][\w.-]*", key):
                    raise ValueError(f"{bucket} lists {key!r} under {uuid}/.")
                etag = (entry.findtext(f"{_S3}ETag") or "").strip('"')
                md5 = etag if re.fullmatch("[0-9a-f]{32}", etag) else None
                size = int(entry.findtext(f"{_S3}Size"))
                objects.append({"key": key, "size": size, "md5": md5})
        except (ElementTree.ParseError, TypeError) as error:
            raise ValueError(f"{address} is not a listing as S3 gives it: {error}.") from error
        token = listing.findtext(f"{_S3}NextContinuationToken")
        if listing.findtext(f"{_S3}IsTruncated") != "true" or not token:
            return objects


def download(chosen, out, *, bucket=BUCKET, say=print):
    """Fetch series to out/dicom/PATIENT/SERIES/*.dcm; returns the list of `Series` that failed.

    chosen: `Series` of a manifest. say: prints the licence, the citation and the amount of data,
    before anything is fetched. A series appears in out/dicom when it is complete; until then its
    files are in out/dicom.part, from where a later call continues. A series that fails does not
    stop the others. Raises OSError if the disk is too small.
    """
    out = Path(out)
    todo = [row for row in chosen if not _is_complete(_folder(out, row), row)]
    total = sum(row.bytes for row in todo)
    nodules = sum(row.nodules for row in chosen)
    licences = sorted({row.licence for row in chosen})
    say(f"LIDC-IDRI, {', '.join(licences)}: {CITATION}.")
    for row in chosen:
        there = "" if row in todo else "  there"
        size = fetch.readable(row.bytes)
        say(f"  {row.patient}  {row.nodules:2} nodules  {row.files:4} files  {size:>8}{there}")
    say(
        f"{len(chosen)} patients, {nodules} nodules; to fetch: {fetch.readable(total)} in "
        f"{sum(row.files for row in todo)} files, into {out}."
    )
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    # Daemon threads: Ctrl+C need not wait for them, since every file can be resumed.
    with (
        fetch.only_one(out / "dicom"),
        ThreadPool(WORKERS) as pool,
        byte_bar("LIDC-IDRI", total) as bar,
    ):
        fetch.check_space(out, total - _arrived(out, todo), "LIDC-IDRI")
        for row in todo:
            try:
                _download_series(row, out, bucket, pool, bar)
            except (OSError, ValueError) as error:
                say(f"  {row.patient} failed: {error}")
                failed.append(row)
    return failed


def _folder(out, row, root="dicom"):
    return out / root / row.patient / row.series


def _is_complete(folder, row):
    return folder.is_dir() and len(list(folder.glob("*.dcm"))) == row.files


def _arrived(out, todo):
    """The number of bytes that earlier calls have received."""
    folders = [_folder(out, row, root) for row in todo for root in ("dicom", "dicom.part")]
    return sum(path.stat().st_size for folder in folders for path in folder.glob("*"))


def _download_series(row, out, bucket, pool, bar):
    final, partial = _folder(out, row), _folder(out, row, "dicom.part")
    if final.is_dir() and not partial.exists():  # files were removed: complete it again
        partial.parent.mkdir(parents=True, exist_ok=True)
        os.replace(final, partial)
    objects = list_series(row.uuid, bucket=bucket)
    if len(objects) != row.files:
        raise ValueError(
            f"series {row.series} has {len(objects)} files in the bucket, {row.files} are known."
        )

    def fetch_object(entry):
        try:
            fetch.download(
                f"{bucket}/{quote(entry['key'])}",
                partial / entry["key"].partition("/")[2],
                size=entry["size"],
                md5=entry["md5"],
                bar=bar,
                session=_session_of_thread(),
            )
        except (OSError, ValueError) as error:
            return error
        return None

    errors = [error for error in pool.imap_unordered(fetch_object, objects) if error]
    if errors:
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        raise OSError(f"{errors[0]}{more}")
    for lock in partial.glob("*.part.lock"):  # left by earlier failures
        lock.unlink()
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, final)
    for folder in (partial.parent, partial.parent.parent):
        if not any(folder.iterdir()):
            folder.rmdir()


_of_thread = threading.local()


def _session_of_thread():
    if not hasattr(_of_thread, "session"):
        _of_thread.session = fetch.new_session()
    return _of_thread.session
