"""data.sources.fetch against a server with faults (fault_server.py) and archives with malice."""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from fault_server import (
    FaultServer,
    always,
    chunked,
    claim_length,
    cut,
    ignore_if_range,
    ignore_range,
    page,
    shift_range,
    slow,
    status,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nodule_lesson.data.sources import fetch
from nodule_lesson.data.sources.fetch import common, transfer

DATA = random.Random(0).randbytes(50_000)
OTHER = random.Random(1).randbytes(50_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Small chunks, so that a cut leaves something of a small file, and short waits."""
    monkeypatch.setattr(transfer, "CHUNK", 1000)
    monkeypatch.setattr(transfer, "BACKOFF", 0.001)


@pytest.fixture(scope="module")
def running():
    with FaultServer() as server:
        yield server


@pytest.fixture
def server(running):
    running.files.clear()
    running.faults.clear()
    running.requests.clear()
    running.send_etag = True
    running.files["/a.bin"] = DATA
    return running


def left(folder):
    """What is in a folder, without locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


# --- what goes well ------------------------------------------------------------------------------


def test_a_file_is_fetched_once_and_checked(server, tmp_path):
    path = tmp_path / "new" / "a.bin"
    for _ in range(2):
        got = fetch.download(server.url("/a.bin"), path, size=50_000, sha256=SHA256, md5=MD5)
        assert got == path and path.read_bytes() == DATA
    assert server.asked("/a.bin") == [None]
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]  # not even a lock


def test_digests_may_be_in_capitals(server, tmp_path):
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin", sha256=SHA256.upper())


def test_an_empty_file(server, tmp_path):
    server.files["/empty"] = b""
    fetch.download(server.url("/empty"), tmp_path / "empty", size=0)
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_file_that_does_not_fit_is_replaced_when_the_new_one_is_whole(server, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(OTHER)
    server.faults["/a.bin"] = always(cut(100))
    with pytest.raises(OSError, match="7 times in a row"):
        fetch.download(server.url("/a.bin"), path, md5=MD5)
    assert path.read_bytes() == OTHER
    server.faults.clear()
    fetch.download(server.url("/a.bin"), path, md5=MD5)
    assert path.read_bytes() == DATA


def test_a_body_in_chunks_is_complete_by_its_end_mark(server, tmp_path):
    server.faults["/a.bin"] = [chunked()]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA
    server.faults["/a.bin"] = [{**chunked(), **cut(5000)}]
    fetch.download(server.url("/a.bin"), tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA


def test_a_shared_bar_ends_at_the_sum(server, tmp_path):
    server.files["/b.bin"] = OTHER
    server.faults["/a.bin"] = [cut(20_000), ignore_range()]
    with common.byte_bar("both", 100_000) as bar:
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", bar=bar)
        fetch.download(server.url("/b.bin"), tmp_path / "b.bin", bar=bar)
        fetch.download(server.url("/b.bin"), tmp_path / "b.bin", bar=bar)
    assert bar.n == 150_000


def test_the_server_is_told_who_asks(server, tmp_path, monkeypatch):
    assert fetch.new_session().headers["User-Agent"].startswith("nodule-lesson")


# --- cuts ----------------------------------------------------------------------------------------


def test_a_cut_once_is_resumed_in_the_same_call(server, tmp_path):
    server.faults["/a.bin"] = [cut(30_500)]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin", sha256=SHA256)
    assert server.asked("/a.bin") == [None, "bytes=30000-"]  # whole chunks are kept
    assert left(tmp_path) == ["a.bin"]


def test_cuts_at_every_attempt_end_in_one_error_and_a_part_that_is_resumed(server, tmp_path):
    server.faults["/a.bin"] = always(cut(2000))
    with pytest.raises(OSError, match=r"a\.bin was cut .*7 times in a row; try again later"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert left(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert (tmp_path / "a.bin.part").read_bytes() == DATA[:14_000]
    server.faults.clear()
    server.requests.clear()
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert server.asked("/a.bin") == ["bytes=14000-"]
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert left(tmp_path) == ["a.bin"]


def test_a_long_download_may_be_cut_often(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MIN_PROGRESS", 2000)
    server.faults["/a.bin"] = always(cut(2000))
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert len(server.requests) == 25
    assert (tmp_path / "a.bin").read_bytes() == DATA


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 20_000), max_size=10),
    kinds=st.lists(st.sampled_from(["", "ignore range", "call again"]), min_size=10, max_size=10),
    checksum=st.booleans(),
)
def test_whatever_the_cuts_the_file_equals_the_original(
    tmp_path_factory, running, cuts, kinds, checksum
):
    folder = tmp_path_factory.mktemp("cuts")
    data = DATA[:20_000]
    running.files["/c.bin"] = data
    faults = []
    for after, kind in zip(cuts, kinds, strict=False):
        faults.append({**cut(after), **(ignore_range() if kind == "ignore range" else {})})
        if kind == "call again":  # this call fails, another one goes on
            faults.append(status(404))
    running.faults["/c.bin"] = faults
    md5 = hashlib.md5(data).hexdigest() if checksum else None
    for _ in range(20):
        try:
            fetch.download(running.url("/c.bin"), folder / "c.bin", md5=md5)
            break
        except OSError:
            assert not (folder / "c.bin").exists()
    assert (folder / "c.bin").read_bytes() == data
    assert left(folder) == ["c.bin"]


def test_a_silent_server_is_left_after_a_while_and_resumed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", (5, 0.2))
    server.faults["/a.bin"] = [slow(1.0, after=10_240)]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert server.asked("/a.bin") == [None, "bytes=10000-"]
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_no_server_at_all(tmp_path):
    with FaultServer() as gone:
        url = gone.url("/a.bin")
    with pytest.raises(OSError, match="could not be reached .*7 times in a row"):
        fetch.download(url, tmp_path / "a.bin")
    assert left(tmp_path) == []


# --- resuming only what can be trusted -----------------------------------------------------------


def partial(server, tmp_path, **arguments):
    """A download cut for good after 14,000 bytes."""
    server.faults["/a.bin"] = always(cut(2000))
    with pytest.raises(OSError):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", **arguments)
    server.faults.clear()
    server.requests.clear()
    return tmp_path / "a.bin"


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, tmp_path):
    path = partial(server, tmp_path)
    server.faults["/a.bin"] = [ignore_range()]
    fetch.download(server.url("/a.bin"), path)
    assert server.asked("/a.bin") == ["bytes=14000-"]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("fault", [{}, ignore_if_range()], ids=["If-Range", "no If-Range"])
@pytest.mark.parametrize("data", [OTHER, OTHER[:30_000], OTHER[:10], OTHER + DATA])
def test_a_file_that_changed_meanwhile_is_read_from_the_start(server, tmp_path, fault, data):
    path = partial(server, tmp_path)
    server.files["/a.bin"] = data
    server.faults["/a.bin"] = [fault]
    fetch.download(server.url("/a.bin"), path)
    assert path.read_bytes() == data


def test_without_an_etag_the_checksum_finds_the_change(server, tmp_path):
    server.send_etag = False
    path = partial(server, tmp_path, md5=hashlib.md5(OTHER).hexdigest())
    server.files["/a.bin"] = OTHER
    fetch.download(server.url("/a.bin"), path, md5=hashlib.md5(OTHER).hexdigest())
    assert server.asked("/a.bin") == ["bytes=14000-", None]
    assert path.read_bytes() == OTHER


def test_without_an_etag_and_a_checksum_nothing_is_resumed(server, tmp_path):
    server.send_etag = False
    server.faults["/a.bin"] = [cut(20_000)]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert server.asked("/a.bin") == [None, None]


def test_an_answer_that_begins_elsewhere_is_not_glued_on(server, tmp_path):
    path = partial(server, tmp_path)
    server.faults["/a.bin"] = [shift_range(100)]
    fetch.download(server.url("/a.bin"), path)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("note", ["", "[]", "{", '{"url": "http://elsewhere", "validator": 1}'])
def test_a_part_of_unknown_origin_is_not_built_upon(server, tmp_path, note):
    (tmp_path / "a.bin.part").write_bytes(OTHER[:9000])
    (tmp_path / "a.bin.part.json").write_text(note, encoding="utf-8")
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_part_of_unknown_origin_with_a_checksum_is_tried(server, tmp_path):
    for begin in (DATA[:9000], OTHER[:9000], DATA, DATA + b"!"):
        (tmp_path / "a.bin").unlink(missing_ok=True)
        (tmp_path / "a.bin.part").write_bytes(begin)
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", size=50_000, md5=MD5)
        assert (tmp_path / "a.bin").read_bytes() == DATA
    # right; wrong, hence from the start; complete, nothing asked; too long, from the start
    assert server.asked("/a.bin") == ["bytes=9000-", "bytes=9000-", None, None]


# --- lies ----------------------------------------------------------------------------------------


def test_a_wrong_checksum_is_deleted_and_never_resumed(server, tmp_path):
    with pytest.raises(ValueError, match=f"a.bin has the md5 {MD5}, .* is wanted; .* is deleted"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", md5="0" * 32)
    assert left(tmp_path) == []
    assert server.asked("/a.bin") == [None]  # in one piece and wrong: asking again is no use


def test_a_wrong_checksum_of_pieces_is_tried_once_more_in_one(server, tmp_path):
    server.faults["/a.bin"] = [cut(20_000)]
    with pytest.raises(ValueError, match="is wanted"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", sha256="0" * 64)
    assert server.asked("/a.bin") == [None, "bytes=20000-", None]
    assert left(tmp_path) == []


def test_a_size_that_the_server_does_not_have(server, tmp_path):
    with pytest.raises(ValueError, match="50,000 bytes by its server's account, 60,000"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", size=60_000)
    assert left(tmp_path) == []


def test_a_length_too_long(server, tmp_path):
    server.faults["/a.bin"] = always(claim_length(70_000))
    with pytest.raises(OSError, match="times in a row"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    server.faults["/a.bin"] = [claim_length(70_000)]  # the next request has the true one
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_length_too_short(server, tmp_path):
    server.faults["/a.bin"] = always(claim_length(40_000))
    with pytest.raises(ValueError, match="40,000 bytes by its server's account"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", size=50_000)
    with pytest.raises(ValueError, match="has the sha256"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin", sha256=SHA256)
    assert left(tmp_path) == []


def test_no_length_and_nothing_to_check_by(server, tmp_path):
    server.faults["/a.bin"] = [cut(20_000, rest=True)]
    with pytest.raises(OSError, match="does not say how long it is"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    server.faults["/a.bin"] = [cut(20_000, rest=True)]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin", size=50_000)
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["text/html", "application/zip"])
def test_a_web_page_is_not_data_and_costs_no_part(server, tmp_path, kind):
    path = partial(server, tmp_path)
    server.faults["/a.bin"] = [page(kind)]
    with pytest.raises(ValueError, match="web page .*Please log in"):
        fetch.download(server.url("/a.bin"), path)
    assert (tmp_path / "a.bin.part").read_bytes() == DATA[:14_000]
    fetch.download(server.url("/a.bin"), path)
    assert path.read_bytes() == DATA


# --- refusals and waiting ------------------------------------------------------------------------


def test_not_found_is_final(server, tmp_path):
    with pytest.raises(OSError, match="/nothing answered 404 Not Found"):
        fetch.download(server.url("/nothing"), tmp_path / "n")
    assert server.asked("/nothing") == [None] and left(tmp_path) == []


def test_trouble_that_passes(server, tmp_path):
    server.faults["/a.bin"] = [status(500), status(503), status(429)]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert len(server.requests) == 4 and (tmp_path / "a.bin").read_bytes() == DATA


@pytest.fixture
def naps(monkeypatch):
    """How long it would have waited."""
    naps = []
    monkeypatch.setattr(transfer, "BACKOFF", 1.0)
    monkeypatch.setattr(transfer.time, "sleep", naps.append)
    return naps


def test_waits_grow_and_the_server_may_ask_for_longer(server, tmp_path, naps):
    server.faults["/a.bin"] = [status(500), status(429, 17), status(500), status(429, "soon")]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert naps == [1, 17, 4, 8]


def test_a_server_that_asks_for_an_hour_is_left_alone(server, tmp_path, naps):
    server.faults["/a.bin"] = [status(429, 3600)]
    with pytest.raises(OSError, match="429 .* wait for 60 minutes"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert naps == []


def test_trouble_that_stays(server, tmp_path, naps):
    server.faults["/a.bin"] = always(status(503))
    with pytest.raises(OSError, match="503 Service Unavailable, 7 times in a row"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert naps == [1, 2, 4, 8, 16, 32]


def test_small_documents(server):
    server.files["/api"] = b'{"files": []}'
    server.faults["/api"] = [status(502), cut(3)]
    assert json.loads(fetch.get(server.url("/api"))) == {"files": []}
    server.faults["/api"] = [page()]
    with pytest.raises(ValueError, match="web page"):
        fetch.get(server.url("/api"))


# --- the disk ------------------------------------------------------------------------------------


def small_disk(monkeypatch, free):
    usage = namedtuple("usage", "total used free")(10**12, 10**12 - free, free)
    monkeypatch.setattr(common.shutil, "disk_usage", lambda folder: usage)


def test_a_full_disk_is_found_before_a_byte_is_fetched(server, tmp_path, monkeypatch):
    small_disk(monkeypatch, 49_999)
    with pytest.raises(OSError, match="a.bin needs 50 kB on the disk of .*, 50 kB is free"):
        fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert left(tmp_path) == []


def test_what_is_there_already_needs_no_space(server, tmp_path, monkeypatch):
    path = partial(server, tmp_path)
    small_disk(monkeypatch, 36_000)
    fetch.download(server.url("/a.bin"), path)
    assert path.read_bytes() == DATA


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no file size limit on this system")
def test_a_disk_that_fills_on_the_way(server, tmp_path):
    """A file size limit stands in for the disk: the write itself fails."""
    code = (
        "import resource, signal, sys\n"
        "from nodule_lesson.data.sources import fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "sys.exit(fetch.one_line_errors(lambda: fetch.download(*sys.argv[1:]) and 0))\n"
    )
    command = [sys.executable, "-c", code, server.url("/a.bin"), str(tmp_path / "a.bin")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error:" in done.stderr and "could not be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert left(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert server.asked("/a.bin")[1].startswith("bytes=")
    assert (tmp_path / "a.bin").read_bytes() == DATA


# --- interruptions, and two at once --------------------------------------------------------------

# As at a keyboard: a shell lets what runs in its background ignore Ctrl+C.
SCRIPT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import sys\n"
    "from nodule_lesson.data.sources import fetch\n"
    "from nodule_lesson.data.sources.fetch import transfer\n"
    "transfer.CHUNK = 1000\n"
    "sys.exit(fetch.one_line_errors(lambda: fetch.download(*sys.argv[1:]) and 0))\n"
)


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to that")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_and_resumed(server, tmp_path, number):
    server.faults["/a.bin"] = [slow(10.0, after=20_480)]
    part = tmp_path / "a.bin.part"
    command = [sys.executable, "-c", SCRIPT, server.url("/a.bin"), str(tmp_path / "a.bin")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: part.exists() and part.stat().st_size >= 20_000)
        process.send_signal(number)
        _, message = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "kept" in message and "Traceback" not in message
    assert part.read_bytes() == DATA[:20_000]
    fetch.download(server.url("/a.bin"), tmp_path / "a.bin")
    assert server.asked("/a.bin") == [None, "bytes=20000-"]
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert left(tmp_path) == ["a.bin"]


def test_two_processes_and_one_file(server, tmp_path):
    server.faults["/a.bin"] = [slow(0.02)]
    context = multiprocessing.get_context("spawn")
    arguments = (server.url("/a.bin"), tmp_path / "a.bin")
    both = [context.Process(target=fetch.download, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert server.asked("/a.bin") == [None]  # the second one waited, and found it there
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert left(tmp_path) == ["a.bin"]
