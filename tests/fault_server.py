"""A local HTTP server with Range support and the faults of the real world, for tests.

    with FaultServer() as server:
        server.files["/a.bin"] = b"..."
        server.faults["/a.bin"] = [cut(1000), status(503)]    # one a request, then none
        server.faults["/b.bin"] = always(cut(0))
        ... server.url("/a.bin") ...
        server.requests                                       # [(path, Range header or None)]

Every file has an ETag, its md5 as in S3. `?list-type=2&prefix=` lists the files as S3 does, with
at most `page_size` keys an answer.
"""

import hashlib
import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

# --- faults: what one request meets -----------------------------------------------------------


def cut(after, rest=False):
    """The connection ends after so many bytes of the body; rest: without saying its length."""
    return {"cut": after, "no_length": rest}


def status(code, retry_after=None):
    """An error status, with a Retry-After header."""
    return {"status": code, "retry_after": retry_after}


def page(content_type="text/html; charset=utf-8"):
    """An HTML page with status 200, whatever was asked for; it may claim to be something else."""
    return {"page": content_type}


def ignore_range():
    """The whole file with status 200 though a range was asked for."""
    return {"ignore_range": True}


def ignore_if_range():
    """The range of the file as it is now, though it has changed (a server against RFC 9110)."""
    return {"ignore_if_range": True}


def claim_length(length):
    """A Content-Length that is not that of the body."""
    return {"length": length}


def shift_range(by):
    """An answer that begins elsewhere than was asked for."""
    return {"shift": by}


def slow(seconds, after=0):
    """A pause before each KiB of the body, from the one after `after` bytes on."""
    return {"slow": seconds, "slow_after": after}


def chunked():
    """No Content-Length, Transfer-Encoding: chunked."""
    return {"chunked": True}


def always(fault):
    return itertools.repeat(fault)


# --- the server ---------------------------------------------------------------------------------


class FaultServer:
    def __init__(self):
        self.files, self.faults, self.requests = {}, {}, []
        self.page_size = 1000
        self.send_etag = True
        self._lock = threading.Lock()

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"faulty": self})
        self._server = _QuietServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def url(self, path):
        return self.address + quote(path)

    def asked(self, path):
        """The Range headers of the requests for a path; None for the whole file."""
        return [span for name, span in self.requests if name == path]

    def next_fault(self, path, span):
        with self._lock:
            self.requests.append((path, span))
            faults = self.faults.get(path)
            if isinstance(faults, list):
                return faults.pop(0) if faults else {}
            return next(faults, {}) if faults else {}


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what this is for


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer(self):
        address = urlsplit(self.path)
        span = self.headers.get("Range")
        fault = self.faulty.next_fault(address.path, span)
        query = parse_qs(address.query)
        if "status" in fault:
            extra = {"Retry-After": fault["retry_after"]} if fault["retry_after"] else {}
            return self._send(fault["status"], b"in trouble", extra)
        if "page" in fault:
            body = b"<!DOCTYPE html>\n<html><title>Please log in</title></html>"
            return self._send(200, body, {"Content-Type": fault["page"]})
        if "list-type" in query:
            return self._send(200, self._listing(query), {"Content-Type": "application/xml"})
        if address.path not in self.faulty.files:
            return self._send(404, b"<html>not found</html>", {"Content-Type": "text/html"})
        self._send_file(self.faulty.files[address.path], span, fault)

    def _send_file(self, data, span, fault):
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        headers = {"ETag": etag} if self.faulty.send_etag else {}
        if_range = self.headers.get("If-Range")
        same = if_range in (None, etag) or fault.get("ignore_if_range")
        if not span or fault.get("ignore_range") or not same:
            return self._send(200, data, headers, fault)
        first = int(span.removeprefix("bytes=").partition("-")[0]) + fault.get("shift", 0)
        if first >= len(data):
            headers["Content-Range"] = f"bytes */{len(data)}"
            return self._send(416, b"", headers)
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._send(206, data[first:], headers, fault)

    def _send(self, code, body, headers=(), fault=()):
        fault = dict(fault)
        self.send_response(code)
        headers = {"Content-Type": "application/octet-stream", **dict(headers)}
        if fault.get("chunked"):
            headers["Transfer-Encoding"] = "chunked"
        elif not fault.get("no_length"):
            headers["Content-Length"] = fault.get("length", len(body))
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.close_connection = bool(fault)
        body = body[: fault.get("cut", len(body))]
        for start in range(0, len(body), 1024):
            if "slow" in fault and start >= fault["slow_after"]:
                time.sleep(fault["slow"])
            piece = body[start : start + 1024]
            self.wfile.write(
                b"%x\r\n%s\r\n" % (len(piece), piece) if "chunked" in fault else piece
            )
        if fault.get("chunked") and "cut" not in fault:
            self.wfile.write(b"0\r\n\r\n")

    def _listing(self, query):
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        keys = sorted(path[1:] for path in self.faulty.files if path[1:].startswith(prefix))
        keys = [key for key in keys if key > after]
        now, more = keys[: self.faulty.page_size], keys[self.faulty.page_size :]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key>"
            f"<ETag>&quot;{hashlib.md5(self.faulty.files['/' + key]).hexdigest()}&quot;</ETag>"
            f"<Size>{len(self.faulty.files['/' + key])}</Size></Contents>"
            for key in now
        )
        token = f"<NextContinuationToken>{escape(now[-1])}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{entries}"
            "</ListBucketResult>"
        ).encode()
