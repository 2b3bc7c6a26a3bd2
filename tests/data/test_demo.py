"""The demo sets: small, verified, repaired, and safe with two processes at once."""

import multiprocessing
import shutil

import numpy as np
import pytest

from nodule_lesson.data import demo


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NODULE_LESSON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("domain", ["luna_like", "clinic_like"])
def test_a_demo_set_opens_with_both_classes(cache, domain):
    found = demo.open_demo(domain)
    assert found.images.shape[1:] == (128, 128) and found.images.dtype == np.int16
    assert 0 < found.slices["has_nodule"].sum() < len(found) and found.masks.max() == 1
    assert found.images.min() >= -1024 and found.images.max() > 200
    assert [path.name for path in cache.iterdir()] == [found.path.name]


def test_both_together_take_at_most_two_megabytes():
    assert sum(path.stat().st_size for path in demo.HERE.glob("*.xz")) <= 2_000_000


def test_a_damaged_or_incomplete_copy_is_unpacked_anew(cache):
    path = demo.open_demo().path
    whole = (path / "images.npy").read_bytes()
    (path / "images.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    demo.open_demo()
    assert (path / "images.npy").read_bytes() == whole
    (path / "masks.npy").unlink()
    assert len(demo.open_demo().masks)
    shutil.rmtree(path)
    path.mkdir()
    assert len(demo.open_demo()) and len(list(cache.iterdir())) == 1


def _open(_):
    return len(demo.open_demo("clinic_like"))


def test_two_processes_at_once(cache):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_open, range(4), chunksize=1))) == 1
    assert len(list(cache.iterdir())) == 1


def test_a_damaged_package_and_a_wrong_name_are_said(cache, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="domain must be one of luna_like, clinic_like"):
        demo.open_demo("moon")
    shutil.copytree(demo.HERE, tmp_path / "package")
    monkeypatch.setattr(demo, "HERE", tmp_path / "package")
    packed = (tmp_path / "package" / "luna_like.xz").read_bytes()
    (tmp_path / "package" / "luna_like.xz").write_bytes(packed[:-9])
    with pytest.raises(ValueError, match="is damaged"):
        demo.open_demo()
    assert not cache.exists() or not list(cache.iterdir())
