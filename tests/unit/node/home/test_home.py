"""One node per home, whatever was killed there before; and nobody else gets in."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.node.home.home import LONGEST_SOCKET_PATH, NodeHome, RunInfo, find_running, make_private

INFO = RunInfo(
    name="node", pid=7, node=NodeId("n"), network="w", addresses=("/ip4/1.2.3.4",), control="/c.sock", started=1.5
)
HOLDER = """
import sys, time
from pathlib import Path
from waggle.core.ids import NodeId
from waggle.node.home.home import NodeHome, RunInfo
home = NodeHome(Path(sys.argv[1]), sys.argv[2])
with home.lock():
    home.publish(RunInfo(name=home.name, pid=0, node=NodeId("n"), network="w", addresses=(), control="", started=0.0))
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    return NodeHome(tmp_path / "root", "node")


@contextmanager
def running(root: Path, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own that runs this node until the end of the block."""
    process = subprocess.Popen((sys.executable, "-c", HOLDER, str(root), name), stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_is_made_for_its_owner_alone(home: NodeHome, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with home.lock():
            home.publish(INFO)
            assert {mode(path) for path in (tmp_path / "root", home.folder.parent, home.folder)} == {0o700}
            assert {mode(path) for path in home.folder.iterdir()} == {0o600}
    finally:
        os.umask(old)


def test_a_home_that_others_could_enter_is_closed(home: NodeHome) -> None:
    home.folder.mkdir(parents=True)
    home.folder.chmod(0o755)
    with home.lock():
        assert mode(home.folder) == 0o700


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="must be a folder of your own"):
        make_private(tmp_path)


def test_a_link_in_place_of_a_home_is_refused(home: NodeHome, tmp_path: Path) -> None:
    home.folder.parent.mkdir(parents=True)
    home.folder.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="must be a folder of your own"), home.lock():
        pass


@pytest.mark.parametrize("where", ["/proc/x", "/dev/null/x"])
def test_a_home_that_cannot_be_made_is_a_sentence(where: str) -> None:
    with pytest.raises(UsageError, match=f"cannot make {where}"), NodeHome(Path(where), "node").lock():
        pass


def test_a_second_node_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    with running(tmp_path, "node") as process:
        told = rf"runs already \(process {process.pid}, .*--name"
        with pytest.raises(UsageError, match=told), NodeHome(tmp_path, "node").lock():
            pass
        assert NodeHome(tmp_path, "node").running() is not None, "the refused one must leave the run file alone"


def test_the_same_process_is_refused_as_well(home: NodeHome) -> None:
    with home.lock(), pytest.raises(UsageError, match=f"process {os.getpid()}"), home.lock():
        pass


def test_another_name_is_another_home(tmp_path: Path) -> None:
    with NodeHome(tmp_path, "one").lock(), NodeHome(tmp_path, "two").lock():
        pass


def test_what_a_killed_node_left_is_no_obstacle(tmp_path: Path) -> None:
    home = NodeHome(tmp_path, "node")
    with running(tmp_path, "node") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert home.run_file.exists()
        assert find_running(tmp_path) == []
        with home.lock():
            assert not home.run_file.exists()


def test_a_look_at_a_home_does_not_stop_a_node_from_starting(home: NodeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    with home.lock():
        pass
    looking = os.open(home.folder / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.close(looking))
    with home.lock():
        assert home.is_locked()


def test_what_runs_is_found_and_gone_at_its_end(home: NodeHome, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert find_running(root) == []
    with home.lock():
        assert find_running(root) == [], "not ready yet"
        home.publish(INFO)
        assert find_running(root) == [INFO]
        home.publish(replace(INFO, addresses=()))
        assert find_running(root) == [replace(INFO, addresses=())]
    assert find_running(root) == []
    assert not home.run_file.exists()


def test_the_run_file_goes_when_the_node_fails(home: NodeHome) -> None:
    def fail() -> None:
        with home.lock():
            home.publish(INFO)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not home.run_file.exists()
    assert not home.is_locked()


def test_nodes_are_found_by_name_among_what_else_lies_there(tmp_path: Path) -> None:
    with running(tmp_path, "bee"), running(tmp_path, "ant"):
        (tmp_path / "nodes" / "file").write_text("")
        (tmp_path / "nodes" / "empty").mkdir()
        assert [info.name for info in find_running(tmp_path)] == ["ant", "bee"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"name": 1}', b" " * 100_000])
def test_a_damaged_run_file_is_no_node(home: NodeHome, content: bytes) -> None:
    with home.lock():
        home.run_file.write_bytes(content)
        assert home.running() is None


def test_the_control_socket_lies_in_the_home(home: NodeHome) -> None:
    assert home.control_path() == home.folder / "control.sock"


def test_a_home_too_deep_for_a_socket_has_it_in_a_short_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    one, two = NodeHome(deep, "one").control_path(), NodeHome(deep, "two").control_path()
    assert one != two
    assert one == NodeHome(deep, "one").control_path()
    assert len(os.fsencode(one)) <= LONGEST_SOCKET_PATH
    assert mode(one.parent) == 0o700


def test_the_longest_path_that_fits_is_used(tmp_path: Path) -> None:
    room = LONGEST_SOCKET_PATH - len(os.fsencode(tmp_path / "x" / "nodes" / "n" / "control.sock"))
    assert room > 0
    fits, over = tmp_path / ("x" * (room + 1)), tmp_path / ("x" * (room + 2))
    assert NodeHome(fits, "n").control_path().parent == fits / "nodes" / "n"
    assert NodeHome(over, "n").control_path().parent == Path(f"/tmp/waggle-{os.geteuid()}")


def full(*_: object, **__: object) -> int:
    """As the system where the disk is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_lock_on_a_full_disk_is_told_with_its_path(home: NodeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(UsageError, match=f"cannot write {home.folder}/lock: No space left on device"), home.lock():
            pass
    with home.lock():
        pass


def test_a_run_file_on_a_full_disk_is_told_with_its_path(home: NodeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    with home.lock():
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(UsageError, match=f"cannot write {home.run_file}: No space left on device"):
                home.publish(INFO)
        assert home.running() is None
