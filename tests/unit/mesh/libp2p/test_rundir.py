"""The directory of the sockets: ours alone, swept of the dead, never of the living."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from waggle.core.errors import UsageError
from waggle.mesh.libp2p.p2pd import rundir


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with TemporaryDirectory(prefix="wr", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def bound(path: Path, *, listening: bool) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    if listening:
        server.listen()
    return server


def test_the_directory_is_made_for_us_alone(tmp_path: Path) -> None:
    folder = rundir.prepare(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert rundir.prepare(folder) == folder


def test_a_directory_open_to_others_is_shut(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir(mode=0o755)
    assert rundir.prepare(tmp_path / "r").stat().st_mode & 0o777 == 0o700


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="no directory"):
        rundir.prepare(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    os.chown(tmp_path / "r", 12345, 12345)
    with pytest.raises(UsageError, match="another user"):
        rundir.prepare(tmp_path / "r")


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("")
    with pytest.raises(UsageError):
        rundir.prepare(tmp_path / "r")


def test_a_name_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        rundir.prepare(tmp_path / ("x" * 100))


def test_the_system_s_own_directory_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert rundir.default_folder() == tmp_path / "waggle"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert rundir.default_folder().name == f"waggle-{os.geteuid()}"


def test_only_sockets_of_the_dead_that_nobody_listens_to_are_swept(tmp_path: Path, dead_pid: int) -> None:
    names = {
        f"control-{dead_pid}-0a.sock": False,
        f"control-{dead_pid}-0b.sock": True,  # its maker lives where we cannot see it
        f"control-{os.getpid()}-0c.sock": False,
        "control-x-0d.sock": False,
    }
    servers = [bound(tmp_path / name, listening=listening) for name, listening in names.items()]
    (tmp_path / "notes.txt").write_text("")
    rundir.sweep(tmp_path)
    for server in servers:
        server.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*list(names)[1:], "notes.txt"])
