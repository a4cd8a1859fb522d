"""A file that is replaced is whole at every moment: the old one or the new one, whatever ends the writing."""

import multiprocessing
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from waggle.core.errors import UsageError
from waggle.node.home.files import LEFT_SECONDS, replace_file

OLD, NEW = b"a" * 1_000_000, b"b" * 1_000_000


def write_on(path: Path) -> None:
    while True:
        replace_file(path, NEW)
        replace_file(path, OLD)


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    replace_file(path, OLD)
    for _ in range(10):
        writer = multiprocessing.get_context("fork").Process(target=write_on, args=(path,))
        writer.start()
        before = path.stat().st_ino
        while path.stat().st_ino == before:
            assert writer.is_alive()
        writer.kill()
        writer.join(60)
        assert path.read_bytes() in (OLD, NEW)


@pytest.mark.parametrize("private", [False, True])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "calibration.json"
    replace_file(path, OLD, private=private)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UsageError, match=r"cannot write .*calibration\.json: No space left"):
        replace_file(path, NEW, private=private)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_writers_at_once_leave_the_file_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a"
    writers = [threading.Thread(target=replace_file, args=(path, bytes([n]) * 300_000)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found = path.read_bytes()
    assert len(found) == 300_000
    assert len(set(found)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_it_stays_as_it_was_unless_nobody_may(tmp_path: Path) -> None:
    path = tmp_path / "a"
    old_mask = os.umask(0o022)
    try:
        replace_file(path, OLD)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o640)
        replace_file(path, NEW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        replace_file(path, OLD, private=True)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old_mask)


def test_a_link_stays_a_link_and_its_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "below" / "file")
    (tmp_path / "below").mkdir()
    replace_file(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "below" / "file").read_bytes() == NEW
    replace_file(tmp_path / "new" / "file", NEW)
    assert (tmp_path / "new" / "file").read_bytes() == NEW


def test_what_is_no_plain_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(pipe, b"a record")
        assert os.read(reader, 100) == b"a record"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    with pytest.raises(UsageError, match="cannot write"):
        replace_file(tmp_path, b"")


def test_what_a_killed_process_left_is_removed_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    left, fresh, others = tmp_path / "a[1].12ab.new", tmp_path / "a[1].34cd.new", tmp_path / "a1.12ab.new"
    for file in (left, fresh, others):
        file.touch()
    for file in (left, others):
        os.utime(file, (time.time() - 2 * LEFT_SECONDS,) * 2)
    replace_file(tmp_path / "a[1]", NEW)
    assert {file.name for file in tmp_path.iterdir()} == {"a[1]", fresh.name, others.name}
