"""Files are opened inside their folder only, locks die with their holder, and replaced files are never half."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waggle.core.errors import UsageError
from waggle.mesh.files import disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.json").write_text("inside")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_text("outside")
    return tmp_path / "in"


def read(folder: Path, path: str) -> bytes:
    with disk.opened(folder, path) as file:
        return disk.read_range(file, 0, 100)


def test_a_file_below_is_opened(folder: Path) -> None:
    assert read(folder, "sub/a.json") == b"inside"


@pytest.mark.parametrize("linked", ["file", "folder", "root"])
def test_no_link_is_followed_on_the_way(folder: Path, linked: str) -> None:
    link, target, path = {
        "file": (folder / "b.json", folder.parent / "out" / "a.json", "b.json"),
        "folder": (folder / "link", folder.parent / "out", "link/a.json"),
        "root": (folder.parent / "link", folder, "../link/sub/a.json"),
    }[linked]
    link.symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic|Not a directory"):
        read(link if linked == "root" else folder, "sub/a.json" if linked == "root" else path)


@pytest.mark.parametrize("path", ["sub", "missing.json", "sub/missing.json", "sub/a.json/b"])
def test_what_is_no_file_is_an_error(folder: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"regular|No such|Not a directory"):
        read(folder, path)


def test_a_pipe_is_an_error_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read(folder, "pipe")


def test_no_descriptor_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("sub/a.json", "sub", "missing.json", "sub/a.json/b", "x/y"):
        try:
            read(folder, path)
        except OSError:
            continue
    with (
        disk.locked(folder / "lock", 0.0, "busy"),
        pytest.raises(UsageError),
        disk.locked(folder / "lock", 0.0, "busy"),
    ):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_changes_while_it_is_read_is_not_shared(folder: Path) -> None:
    def grow(_: int) -> None:
        (folder / "sub" / "a.json").write_text("other")

    with pytest.raises(UsageError, match="changed while it was read"):
        disk.hash_file(folder, "sub/a.json", grow)


def test_a_replaced_file_holds_the_old_or_the_new_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    disk.write_whole(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            disk.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    disk.write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_lock_is_held_by_one_at_a_time_and_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = f"""
from pathlib import Path
from waggle.mesh.files.disk import locked
with locked(Path({str(path)!r}), 0.0, "busy"):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="busy"), disk.locked(path, 0.1, "busy"):
            pass
        process.kill()
        process.wait(60)
    with disk.locked(path, 0.0, "busy"):
        pass


def test_a_lock_whose_file_was_removed_is_not_held_twice(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with disk.locked(path, 0.0, "busy"):
        path.unlink()
        with (
            disk.locked(path, 0.0, "busy"),
            pytest.raises(UsageError, match="busy"),
            disk.locked(path, 0.0, "busy"),
        ):
            pass
