"""data.sources.fetch.unpack against good archives, cut ones, and archives with malice."""

import io
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodule_lesson.data.sources import fetch
from nodule_lesson.data.sources.fetch import archives, common

GOOD = {"subset0/a.mhd": b"header", "subset0/a.raw": bytes(300_000), "empty.txt": b""}


def make_zip(path, contents=GOOD, change=None, compression=zipfile.ZIP_DEFLATED):
    """contents: name -> bytes; change(info): what to do to each entry."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name)
            info.filename = name  # ZipInfo cleans some names
            info.compress_type = compression
            if change:
                change(info)
            archive.writestr(info, data)
    return path


def make_tar(path, contents=GOOD, kind=tarfile.REGTYPE, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, 1_600_000_000
            if kind == tarfile.REGTYPE:
                info.size = len(data)
            else:
                info.linkname = data.decode()
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(folder):
    """name -> bytes of all files, without locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_all_that_is_in_it(tmp_path, make):
    made = fetch.unpack(make(tmp_path / "a"), tmp_path / "out")
    assert contents(tmp_path / "out") == GOOD
    assert sorted(made) == sorted(tmp_path / "out" / name for name in GOOD)
    assert fetch.names(tmp_path / "a") == list(GOOD)
    assert not list((tmp_path / "out").glob("*.lock"))


names = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=50), max_size=6))
def test_as_the_standard_library_unpacks(tmp_path_factory, wanted):
    folder = tmp_path_factory.mktemp("zip")
    archive = make_zip(folder / "a.zip", wanted)
    nested = any(a != b and b.startswith(a + "/") for a in wanted for b in wanted)
    if nested:
        with pytest.raises(ValueError, match="as a file and as a folder"):
            fetch.unpack(archive, folder / "out")
        assert not (folder / "out").exists()
        return
    fetch.unpack(archive, folder / "out")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "theirs")
    assert contents(folder / "out") == contents(folder / "theirs")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_second_time_only_what_is_missing_or_wrong(tmp_path, make, monkeypatch):
    archive, out = make(tmp_path / "a"), tmp_path / "out"
    fetch.unpack(archive, out)
    (out / "empty.txt").unlink()
    (out / "subset0" / "a.mhd").write_bytes(b"other!")  # same size: told by CRC, or by time
    (out / "subset0" / "mine.txt").write_bytes(b"mine")
    written = []
    write = archives._write
    monkeypatch.setattr(
        archives, "_write", lambda m, *rest: (written.append(m.name), write(m, *rest))
    )
    fetch.unpack(archive, out)
    assert sorted(written) == ["empty.txt", "subset0/a.mhd"]
    assert contents(out) == {**GOOD, "subset0/mine.txt": b"mine"}


def test_an_interruption_leaves_whole_files_and_the_next_call_goes_on(tmp_path, monkeypatch):
    archive, out = make_zip(tmp_path / "a.zip"), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(common.tqdm, "update", interrupt_at(100_000))
        with pytest.raises(KeyboardInterrupt):
            fetch.unpack(archive, out)
    assert contents(out) == {"subset0/a.mhd": b"header"}
    fetch.unpack(archive, out)
    assert contents(out) == GOOD


def interrupt_at(count):
    def update(bar, n):
        if n > count:
            raise KeyboardInterrupt

    return update


# --- malice -----------------------------------------------------------------------------------

OUTSIDE = ["../x", "a/../../x", "/x", "//host/x", "..\\x", "C:\\x", "C:x", "\\x", "a/..", "."]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_outside(tmp_path, make, name):
    archive = make(tmp_path / "a", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(ValueError, match="outside its folder"):
        fetch.unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]  # not even what is good


def test_links_in_a_zip(tmp_path):
    def link(info):
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    archive = make_zip(tmp_path / "a.zip", {"a": b"/etc/passwd"}, link)
    with pytest.raises(ValueError, match="has a link, 'a'"):
        fetch.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(tmp_path, kind):
    archive = make_tar(tmp_path / "a.tar", {"a": b"/etc/passwd"}, kind)
    with pytest.raises(ValueError, match="has a link or device, 'a'"):
        fetch.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_of_one_name(tmp_path):
    for pair in (("a", "A"), ("a", "./a"), ("a", "a//"), ("x", "x.part")):
        with pytest.raises(ValueError, match="twice|beside|outside|folder"):
            fetch.unpack(make_tar(tmp_path / "a", dict.fromkeys(pair, b"")), tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb(tmp_path, make, monkeypatch):
    archive = make(tmp_path / "a", {f"{k}": bytes(10_000_000) for k in range(3)})
    assert archive.stat().st_size < 100_000
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 20_000_000)
    monkeypatch.setattr(common.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="a, unpacked, needs 30 MB on the disk .* 20 MB is free"):
        fetch.unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_bomb_that_lies_about_its_size(tmp_path):
    """10 MB that claim to be 10 bytes: nobody unpacks more than is claimed."""
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(10_000_000)})
    data = archive.read_bytes()
    assert data.count((10_000_000).to_bytes(4, "little")) == 2
    archive.write_bytes(
        data.replace((10_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    )
    with pytest.raises(ValueError, match="damaged: Bad CRC-32"):
        fetch.unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_cut_archive(tmp_path, make):
    archive = make(tmp_path / "a")
    data = archive.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 30):
        archive.write_bytes(data[:length])
        with pytest.raises(ValueError, match="neither a zip nor a tar|is damaged"):
            fetch.unpack(archive, tmp_path / "out")
        assert contents(tmp_path).keys() <= {"a", *(f"out/{name}" for name in GOOD)}
        assert all(
            contents(tmp_path / "out")[name] == GOOD[name] for name in contents(tmp_path / "out")
        )


def test_a_changed_byte(tmp_path):
    archive = make_zip(
        tmp_path / "a.zip", {"a": b"0123456789" * 100}, compression=zipfile.ZIP_STORED
    )
    archive.write_bytes(archive.read_bytes().replace(b"0123456789", b"0123456798", 1))
    with pytest.raises(ValueError, match="a.zip is damaged: Bad CRC-32"):
        fetch.unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_what_python_cannot_read_may_be_unpacked_by_hand(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": b"data"})
    data = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.find(signature) + place] = 9  # Deflate64
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="7-Zip"):
        fetch.unpack(archive, tmp_path / "out")
    (tmp_path / "out" / "a").write_bytes(b"data")
    assert fetch.unpack(archive, tmp_path / "out") == [tmp_path / "out" / "a"]


def test_a_password(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": b"data"})
    data = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + place] |= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="asks for a password for 'a'"):
        fetch.unpack(archive, tmp_path / "out")


def test_no_archive(tmp_path):
    (tmp_path / "a.zip").write_text("<html>log in</html>", encoding="utf-8")
    with pytest.raises(ValueError, match="neither a zip nor a tar"):
        fetch.unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(OSError):
        fetch.unpack(tmp_path / "missing.zip", tmp_path / "out")
