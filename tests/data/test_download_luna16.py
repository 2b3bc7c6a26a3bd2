"""data_scripts/download_luna16.py against a small stand-in for Zenodo, faults included."""

import hashlib
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from fault_server import FaultServer, always, cut, page, slow, status

from nodule_lesson.data.sources import fetch, luna16
from nodule_lesson.data.sources.fetch import common, transfer

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "download_luna16.py"
ANNOTATIONS = b"seriesuid,coordX,coordY,coordZ,diameter_mm\r\n1.2.0,-12.5,3.25,-100,5.6\r\n"


def zipped(contents):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:  # stored: cuts fall where they are put
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # no date: equal bytes at any time
    return target.getvalue()


def volumes(subset):
    """Two scans in LUNA16's layout; what is in them does not matter here."""
    data = {f"1.2.{subset}{k}.raw": bytes([subset + k]) * 20_000 for k in range(2)}
    return {**data, **{f"1.2.{subset}{k}.mhd": b"ObjectType = Image\n" for k in range(2)}}


def subset_zip(subset, folder=None):
    folder = f"subset{subset}/" if folder is None else folder
    return zipped({folder + name: data for name, data in volumes(subset).items()})


@pytest.fixture
def zenodo(monkeypatch):
    """Both records with subsets 0, 1 and 7; the known md5 are theirs."""
    with FaultServer() as server:
        monkeypatch.setattr(luna16, "MD5", {})
        monkeypatch.setattr(transfer, "BACKOFF", 0.001)
        monkeypatch.setenv("NODULE_LESSON_ZENODO", server.address)
        server.parts = {
            3723295: {
                "annotations.csv": ANNOTATIONS,
                "subset0.zip": subset_zip(0),
                "subset1.zip": subset_zip(1),
                "seg-lungs-LUNA16.zip": b"not fetched",
            },
            4121926: {"subset7.zip": subset_zip(7)},
        }
        publish(server)
        yield server


def publish(server):
    """The records as Zenodo's API shows them."""
    for record, contents in server.parts.items():
        entries = []
        for name, data in contents.items():
            md5 = hashlib.md5(data).hexdigest()
            server.files[content(record, name)] = data
            luna16.MD5[name] = md5
            link = server.url(content(record, name))
            entry = {"key": name, "size": len(data), "checksum": f"md5:{md5}"}
            entries.append({**entry, "links": {"self": link}})
        server.files[f"/api/records/{record}"] = json.dumps({"files": entries}).encode()


def content(record, name):
    return f"/api/records/{record}/files/{name}/content"


ZIP0 = content(3723295, "subset0.zip")


def run(*arguments):
    """The script in this process: its exit code."""
    spec = importlib.util.spec_from_file_location("download_luna16", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)  # reads the environment
    return fetch.one_line_errors(lambda: script.main([str(part) for part in arguments]))


def expected(*subsets):
    contents = {f"subset{k}/{n}": data for k in subsets for n, data in volumes(k).items()}
    return {"annotations.csv": ANNOTATIONS, **contents}


def there(folder):
    """name -> bytes of what is there, without locks and notes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".json")
    }


def test_a_first_run_says_what_the_chapter_shows(zenodo, tmp_path, monkeypatch, capsys):
    chapter = SCRIPT.parents[1] / "book" / "on_real_scans.md"
    shown = re.search(r"```text\n(LUNA16.*?)```", chapter.read_text(encoding="utf-8"), re.S)[1]
    monkeypatch.chdir(tmp_path)
    assert run("--subsets", "0,1") == 0
    said = capsys.readouterr().out.splitlines()
    for line, found in zip(shown.splitlines(), said, strict=True):
        # The stand-in's zips are small.
        pattern = re.sub(r"137 kB|\.\.\. GB", "SIZE", line)
        pattern = re.escape(pattern).replace("SIZE", r"[\d.]+ \w+").replace(r"\.\.\.", ".*")
        assert re.fullmatch(re.sub(r"(\\ )+", r"\\s+", pattern), found), (line, found)


def test_two_subsets_of_two_records(zenodo, tmp_path, capsys):
    assert run("--subsets", "0,7", "--out", tmp_path) == 0
    assert there(tmp_path) == expected(0, 7)
    assert not list(tmp_path.rglob("*.lock"))
    said = capsys.readouterr().out
    assert "CC BY 4.0" in said and "doi:" in said and "To fetch: at most 81" in said
    assert said.index("To fetch") < said.index("done")
    zenodo.requests.clear()
    assert run("--subsets", "0,7", "--out", tmp_path) == 0  # nothing but the two lists
    assert {path for path, _ in zenodo.requests} == {
        "/api/records/3723295",
        "/api/records/4121926",
    }


def test_a_zip_without_its_folder_and_zips_kept(zenodo, tmp_path):
    zenodo.parts[3723295]["subset0.zip"] = subset_zip(0, folder="")
    publish(zenodo)
    assert run("--out", tmp_path, "--keep-zips") == 0
    assert there(tmp_path) == {**expected(0), "subset0.zip": subset_zip(0, folder="")}


def test_a_list_fetches_nothing(zenodo, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--list") == 0
    said = capsys.readouterr().out
    for name in ("annotations.csv", "subset7.zip", "seg-lungs-LUNA16.zip", "CC BY 4.0"):
        assert name in said
    assert list(tmp_path.iterdir()) == []


def test_what_a_user_took_away_is_fetched_again(zenodo, tmp_path):
    run("--out", tmp_path)
    (tmp_path / "subset0" / "1.2.01.raw").write_bytes(b"cut")
    assert run("--out", tmp_path) == 0
    assert there(tmp_path) == expected(0)


def test_a_cut_resumes(zenodo, tmp_path):
    zenodo.faults[ZIP0] = [cut(30_000)]
    assert run("--out", tmp_path) == 0
    assert len(zenodo.asked(ZIP0)) == 2
    assert there(tmp_path) == expected(0)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (always(cut(10_000)), "times in a row"),
        ([page()], "web page"),
        ([status(404)], "404 Not Found"),
        ([status(429, 7200)], "wait for 120 minutes"),
    ],
)
def test_one_bad_file_and_the_others_go_on(zenodo, tmp_path, capsys, fault, message):
    zenodo.faults[ZIP0] = fault
    assert run("--subsets", "0,1", "--out", tmp_path) == 1
    output = capsys.readouterr()
    assert message in output.out
    assert "error: not complete: subset0.zip" in output.err and "Traceback" not in output.err
    assert {
        name: data for name, data in there(tmp_path).items() if "0.zip" not in name
    } == expected(1)
    zenodo.faults.clear()
    assert run("--subsets", "0,1", "--out", tmp_path) == 0
    assert there(tmp_path) == expected(0, 1)


def test_other_bytes_than_the_record_says(zenodo, tmp_path, capsys):
    right = zenodo.files[ZIP0]
    zenodo.files[ZIP0] = right[:-1] + b"!"
    assert run("--out", tmp_path) == 1
    assert "has the md5" in capsys.readouterr().out
    assert there(tmp_path) == {"annotations.csv": ANNOTATIONS}
    zenodo.files[ZIP0] = right
    assert run("--out", tmp_path) == 0


def test_another_record_than_was_known(zenodo, tmp_path, capsys):
    luna16.MD5["subset0.zip"] = "0" * 32
    assert run("--out", tmp_path / "new") == 1
    assert "the record has changed" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "subset0/../../evil"])
def test_a_zip_that_leads_outside(zenodo, tmp_path, capsys, name):
    zenodo.parts[3723295]["subset0.zip"] = zipped({"subset0/good.mhd": b"good", name: b"evil"})
    publish(zenodo)
    assert run("--out", tmp_path / "out") == 1
    assert "outside its folder" in capsys.readouterr().out
    assert there(tmp_path / "out").keys() == {"annotations.csv", "subset0.zip"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_small_disk(zenodo, tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 100_000)
    monkeypatch.setattr(common.shutil, "disk_usage", lambda folder: usage)
    assert run("--out", tmp_path) == 1  # 40.5 kB of zip, about 1.9 times that unpacked
    output = capsys.readouterr()
    assert "error: LUNA16 needs 117 kB" in output.err and "100 kB is free" in output.err
    assert zenodo.asked(ZIP0) == []


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"files": 3}', b'{"files": [{"key": "a"}]}', b'{"files": []}']
)
def test_not_a_record(zenodo, tmp_path, capsys, answer):
    zenodo.files["/api/records/3723295"] = answer
    assert run("--out", tmp_path) == 1
    said = capsys.readouterr().err
    assert "not a list of files" in said or "have no annotations.csv" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("subsets", ["10", "0,-1"])
def test_a_subset_that_is_not(zenodo, tmp_path, capsys, subsets):
    assert run(f"--subsets={subsets}", "--out", tmp_path) == 1
    assert "subsets 0 to 9" in capsys.readouterr().err


def test_not_a_number(zenodo, capsys):
    with pytest.raises(SystemExit):
        run("--subsets", "all")
    assert "numbers like 0,1 are wanted" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_and_the_same_command_again(zenodo, tmp_path):
    zenodo.faults[ZIP0] = [slow(10.0, after=20_480)]
    # As at a keyboard: a shell lets what runs in its background ignore Ctrl+C.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import runpy, sys\n"
        "from nodule_lesson.data.sources import luna16\n"
        "from nodule_lesson.data.sources.fetch import transfer\n"
        f"luna16.MD5, transfer.CHUNK = {luna16.MD5!r}, 1024\n"
        f"sys.argv = ['download_luna16.py', '--out', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code]
    part = tmp_path / "subset0.zip.part"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(1000):
            if part.exists() and part.stat().st_size == 20_480:
                break
            signal.sigtimedwait([], 0.02)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1]
    assert process.returncode == 130
    assert message.splitlines()[-1].startswith("Interrupted: what has arrived is kept")
    assert there(tmp_path).keys() == {"annotations.csv", "subset0.zip.part"}
    assert run("--out", tmp_path) == 0
    assert zenodo.asked(ZIP0) == [None, "bytes=20480-"]
    assert there(tmp_path) == expected(0)


def test_help_says_what_how_much_and_which_licence():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for word in ("LUNA16", fetch.readable(luna16.BYTES), "CC BY 4.0"):
        assert word in done.stdout
