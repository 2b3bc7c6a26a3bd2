"""One file over HTTP(S), resumed by Range and If-Range (RFC 9110) and verified."""

import json
import os
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.util import Retry

from .common import byte_bar, check_space, mismatch, only_one, say

CHUNK = 2**16  # bytes; an interrupted connection loses at most one chunk
MAX_FAILURES = 7  # successive requests that bring less than MIN_PROGRESS bytes each
MIN_PROGRESS = 2**20
BACKOFF = 1.0  # seconds; doubles with each successive failure, 63 s in all
LONGEST_WAIT = 600.0  # seconds; if a server asks for more, give up
TIMEOUT = (30, 60)  # seconds to connect, and between two received bytes
TEMPORARY_ERRORS = (408, 425, 429, 500, 502, 503, 504)  # HTTP status codes


class _TryAgain(Exception):
    """A request failed, but another one may succeed.

    wait: seconds that the server asks for. arrived: bytes that the request has brought.
    """

    def __init__(self, message, wait=0.0, arrived=0):
        super().__init__(message)
        self.wait, self.arrived = wait, arrived


def new_session():
    """A requests.Session with our user agent. Each thread needs its own."""
    session = requests.Session()
    session.headers["User-Agent"] = f"nodule-lesson (teaching) requests/{requests.__version__}"
    # A compressed response would have another length, and could not be resumed.
    session.headers["Accept-Encoding"] = "identity"
    return session


def get(url, *, session=None):
    """The bytes of a small document (a list of files in JSON or XML), with retries.

    Raises OSError if the server or the network fails, ValueError for an HTML page instead of it.
    """
    with new_session() if session is None else nullcontext(session) as session:
        return _with_retries(lambda: _get(session, url))


def _get(session, url):
    with _response(session, url, {}) as response:
        body = b"".join(_chunks(response))
        _refuse_page(response, body, url)
        return body


def download(url, path, *, size=None, sha256=None, md5=None, bar=None, session=None):
    """Fetch `url` to the file `path`; resume from PATH.part if an earlier call was interrupted.

    size: bytes; sha256, md5: hexadecimal. Those that are given are checked, the size also against
    the server's before anything is fetched. An existing file that passes the checks is not fetched
    again (without any check its existence is enough); one that does not pass stays until the new
    one is complete. bar: a tqdm in bytes to advance; by default the file has its own. session: a
    `new_session` to reuse. Returns the path. Another process that wants the same file waits until
    this one is done.

    Raises OSError if the server, the network or the disk fails, or the disk is too small; received
    bytes are kept. Raises ValueError for an HTML page, another length or another checksum; bytes
    with a wrong checksum are deleted.
    """
    path = Path(path)
    wanted = {"sha256": sha256, "md5": md5}
    wanted = {name: value.lower() for name, value in wanted.items() if value is not None}
    if _is_there(path, size, wanted, bar):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        only_one(path),
        new_session() if session is None else nullcontext(session) as session,
    ):
        if not _is_there(path, size, wanted, bar):  # another process may have fetched it
            with byte_bar(path.name, size) if bar is None else nullcontext(bar) as bar:
                _fetch(_Part(path, url, size, wanted, bar), session, wanted)
    return path


def _is_there(path, size, wanted, bar):
    if not path.exists() or mismatch(path, size, wanted) is not None:
        return False
    if bar is not None:
        bar.update(path.stat().st_size)
    return True


def _fetch(part, session, wanted):
    while True:
        _with_retries(lambda: part.fetch_rest(session))
        wrong = mismatch(part.path, part.size, wanted)
        if wrong is None:
            return part.finish()
        part.discard()
        if not part.pieces:
            raise ValueError(f"{part.url} {wrong}; what arrived is deleted.")
        # Its pieces may come from two versions of the file: fetch it again in one piece.
        say(f"{part.final.name} {wrong}: starting over.")
        part.pieces = False


class _Part:
    """PATH.part, and beside it PATH.part.json, which identifies the version of the file."""

    def __init__(self, path, url, size, wanted, bar):
        self.final, self.url, self.bar = path, url, bar
        self.path = path.with_name(path.name + ".part")
        self.note_path = path.with_name(path.name + ".part.json")
        self.wanted_size, self.has_checksum = size, bool(wanted)
        self.size = size  # the whole length in bytes, once it is known
        self.pieces = False  # whether it consists of more than one response
        self.shown = 0  # how many of its bytes the bar has counted

    def fetch_rest(self, session):
        """Request everything that is missing. Raises _TryAgain if another request may help."""
        note = self._note()
        have = self._usable(note)
        self._show(have, arrived=False)
        if have and have == self.size:
            self.pieces = True
            return  # an earlier call ended between the last byte and the renaming
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and note.get("validator"):
            headers["If-Range"] = note["validator"]
        with _response(session, self.url, headers) as response:
            if response.status_code == 200:
                have = 0  # the whole file: it has changed, or the server ignores Range
            elif not self._continues(response, have, note):
                self.discard()
                raise _TryAgain(f"{self.url} does not continue at the right byte: starting over")
            chunks = _chunks(response)
            first = next(chunks, b"")
            if not have:
                _refuse_page(response, first, self.url)
            size = self._whole_size(response)
            if size is not None:
                check_space(self.path.parent, size - have, self.final.name)
            self.size = size
            self._append(response, have, first, chunks)

    def _note(self):
        try:
            note = json.loads(self.note_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) and note.get("url") == self.url else {}

    def _usable(self, note):
        """How many received bytes can be kept: all, if a validator or a checksum will verify them.

        Otherwise 0.
        """
        have = self.path.stat().st_size if self.path.exists() else 0
        self.size = self.wanted_size or note.get("size")
        verifiable = self.has_checksum or note.get("validator")
        return have if verifiable and (self.size is None or have <= self.size) else 0

    def _continues(self, response, have, note):
        """Whether this response (status 206 or 416) is the rest of the file."""
        first, total = _content_range(response)
        known_total = total is None or self.size in (None, total)
        known_version = note.get("validator") in (None, _validator(response))
        return response.status_code == 206 and first == have and known_total and known_version

    def _whole_size(self, response):
        """The whole length in bytes, given by the server or the caller; they must agree."""
        if response.status_code == 206:
            size = _content_range(response)[1]
        elif "chunked" in response.headers.get("Transfer-Encoding", "").lower():
            return self.wanted_size  # a chunked response has an end mark instead of a length
        else:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
        if size is None and self.wanted_size is None and not self.has_checksum:
            raise OSError(
                f"{self.url} does not say how long it is, so that a cut would go unseen: "
                "give a size or a checksum."
            )
        if None not in (size, self.wanted_size) and size != self.wanted_size:
            raise ValueError(
                f"{self.url} has {size:,} bytes by its server's account, "
                f"{self.wanted_size:,} are wanted."
            )
        return self.wanted_size if size is None else size

    def _append(self, response, have, first, chunks):
        start = have
        self.pieces = self.pieces or start > 0
        try:
            with open(self.path, "r+b" if start else "wb") as file:
                file.seek(start)
                if not start:  # only now, since the old note belongs to the old bytes
                    note = {"url": self.url, "size": self.size, "validator": _validator(response)}
                    self.note_path.write_text(json.dumps(note), encoding="utf-8")
                    self._show(0)
                while first:
                    file.write(first)
                    file.flush()  # so that a killed program leaves all that it has received
                    have += len(first)
                    self._show(have)
                    first = next(chunks, b"")
        except _TryAgain as error:
            error.arrived = have - start
            raise
        except OSError as error:
            raise OSError(
                f"{self.path} could not be written ({error.strerror or error}); its {have:,} "
                "bytes are kept, and the next run continues."
            ) from error
        if self.size is not None and have < self.size:
            message = f"{self.url} ended after {have:,} of {self.size:,} bytes"
            raise _TryAgain(message, arrived=have - start)

    def _show(self, have, arrived=True):
        if self.size is not None and self.bar.total is None:
            self.bar.total = self.size
        if not arrived:  # bytes of earlier runs must not count for the speed of this one
            self.bar.initial += have - self.shown
        self.bar.update(have - self.shown)
        self.shown = have

    def discard(self):
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def finish(self):
        with open(self.path, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.final)
        self.note_path.unlink(missing_ok=True)


def _content_range(response):
    """(first byte, whole length) of "bytes 50-99/100"; None for a missing number."""
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first, total = span.partition("-")[0], span.partition("/")[2]
    if unit != "bytes":
        return None, None
    return int(first) if first.isdigit() else None, int(total) if total.isdigit() else None


def _validator(response):
    """An identifier of the file's version: a strong ETag, or the date of change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


# --- requests and retries -----------------------------------------------------------------------


@contextmanager
def _response(session, url, headers):
    """The response to a request, its body not yet read. Raises for the status of an error."""
    host = urlsplit(url).netloc
    try:
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.exceptions.SSLError as error:
        raise OSError(f"{host} has no valid certificate: {error}.") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _TryAgain(f"{host} could not be reached ({type(error).__name__})") from error
    with response:
        status = f"{response.status_code} {response.reason}"
        if response.status_code in TEMPORARY_ERRORS:
            raise _TryAgain(f"{url} answered {status}", wait=_retry_after(response))
        if response.status_code not in ((200, 206, 416) if "Range" in headers else (200,)):
            raise OSError(f"{url} answered {status}.")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise OSError(f"{url} came compressed, which was not asked for.")
        yield response


def _chunks(response):
    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException as error:
        raise _TryAgain(f"{response.url} was cut ({type(error).__name__})") from error


def _retry_after(response):
    with suppress(Exception):  # neither seconds nor a date: ignore it
        return float(Retry().get_retry_after(response.raw) or 0)
    return 0.0


def _with_retries(request):
    """Call request() until it succeeds, waiting longer after each successive failure."""
    failures = 0
    while True:
        try:
            return request()
        except _TryAgain as error:
            failures = 1 if error.arrived >= MIN_PROGRESS else failures + 1
            if failures >= MAX_FAILURES:
                raise OSError(f"{error}, {failures} times in a row; try again later.") from error
            if error.wait > LONGEST_WAIT:
                minutes = round(error.wait / 60)
                raise OSError(f"{error} and asks to wait for {minutes} minutes.") from error
            wait = max(error.wait, BACKOFF * 2 ** (failures - 1))
            say(f"{error}; again in {wait:.0f} s.")
            time.sleep(wait)


def _refuse_page(response, first, url):
    """Raise ValueError for a web page (a login, an error) instead of data."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    start = first[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_page = kind == "text/html" or start.startswith((b"<!doctype html", b"<html"))
    if is_page and not urlsplit(url).path.endswith((".html", ".htm")):
        text = " ".join(first[:80].decode("utf-8", "replace").split())
        raise ValueError(f"{url} gave a web page instead of the file: {text!r}.")
