"""Files that are whole or not there, and two configurations compared."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from nodule_lesson.files import difference, whole_file, write_whole


def test_a_file_is_replaced_whole_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "file"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_name_of_ones_own_overwrites_what_a_killed_process_has_left(tmp_path):
    path, partial = tmp_path / "a", tmp_path / "a.part"
    partial.write_bytes(b"left over, and longer")
    with whole_file(path, partial) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and [*tmp_path.iterdir()] == [path]


def test_what_is_cut_off_leaves_the_last_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"first")

    def full(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]  # a full disk is not filled further


def test_threads_that_write_the_same_file_do_not_mix(tmp_path):
    path, contents = tmp_path / "file", [bytes([k]) * 300_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda data: write_whole(path, data), contents))
            assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_difference_is_named_by_its_path():
    found, wanted = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}
    assert difference(found, found) == ""
    assert difference(found, wanted) == "a.c: 2, wanted 4, d: 3, wanted None, e: None, wanted 5"
