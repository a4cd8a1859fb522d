"""A node's own folder: its key, its lock, what runs there, its files and its log; nobody else may read it.

    HOME/nodes/NAME/  node.key  lock  run.json  last.json  control.sock  files/  node.log

The lock is the truth about what runs: the kernel drops it with the process, however that ends, so a `run.json` that
`kill -9` left behind is known for what it is. Whoever starts a node takes the lock before anything else.
"""

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.node.home.files import read_json, replace_file

NODES = "nodes"
LONGEST_SOCKET_PATH = 103
"""Bytes; the least of what systems allow (macOS: 104 with the closing zero)."""
MOST_RUN_BYTES = 64 * 1024
LOCK_TRIES, LOCK_PAUSE = 5, 0.02
"""Somebody who only looks whether a node runs holds its lock for a moment; 0.1 s outlasts that."""


class RunInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A running node of this user, for the commands that talk to it; `started` in seconds since 1970."""

    name: str
    pid: int
    node: NodeId
    network: str
    addresses: tuple[str, ...]
    control: str
    started: float
    gateway: str = ""
    """Where its gateway serves, if it has one."""


class NodeHome:
    """The folder of the node `name` of the user whose files lie in `root`."""

    def __init__(self, root: Path, name: str) -> None:
        """Nothing is made yet; `name` is one that `Settings` accepts."""
        self.name = name
        self._root = root
        self.folder = root / NODES / name

    @property
    def key(self) -> Path:
        """The node's Ed25519 key."""
        return self.folder / "node.key"

    @property
    def last(self) -> Path:
        """Its ports and peers of last time, as JSON."""
        return self.folder / "last.json"

    @property
    def files(self) -> Path:
        """The folder of the model files that it fetched."""
        return self.folder / "files"

    @property
    def log(self) -> Path:
        """What happened."""
        return self.folder / "node.log"

    @property
    def run_file(self) -> Path:
        """The `RunInfo`, as JSON."""
        return self.folder / "run.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own this home until the end of the block, or of the process and all that it forked; makes the folder.

        Raises:
            UsageError: a node runs here already, or the folder is not ours alone.
        """
        handle = self._open_lock()
        try:
            self._take(handle)
            self.retire()  # what a killed node left
            try:
                yield
            finally:
                self.retire()
        finally:
            os.close(handle)

    def _open_lock(self) -> int:
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(self.folder.parent)
            make_private(self.folder)
            return os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise UsageError(f"cannot make {self.folder}: {error.strerror}") from None

    def _take(self, handle: int) -> None:
        """Lock the open file and write who we are into it; raises UsageError where another one holds it."""
        for _ in range(LOCK_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with _writing(self._lock_file):
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
                return
            time.sleep(LOCK_PAUSE)
        pid = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        raise UsageError(
            f"node {self.name!r} runs already (process {pid or 'unknown'}, {self.folder}): "
            "stop it with waggle leave, or give this one another --name"
        )

    @property
    def _lock_file(self) -> Path:
        return self.folder / "lock"

    def is_locked(self) -> bool:
        """Whether a live process owns this home."""
        try:
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def publish(self, info: RunInfo) -> None:
        """Tell this user's commands of the node that runs here; whole or not at all. Only under the lock.

        Raises:
            UsageError: the file cannot be written; names it.
        """
        replace_file(self.run_file, msgspec.json.encode(info), private=True)

    def retire(self) -> None:
        """Nothing runs here any more."""
        self.run_file.unlink(missing_ok=True)

    def running(self) -> RunInfo | None:
        """The node that runs here now, if one does and is ready for commands."""
        try:
            info = read_json(self.run_file, RunInfo, name="run file", most_bytes=MOST_RUN_BYTES)
        except UsageError:
            return None
        return info if self.is_locked() else None

    def control_path(self) -> Path:
        """Where the node's control socket is: here, or in a short folder of this user where this path is too long.

        Raises:
            UsageError: somebody else has taken the short folder.
        """
        path = (self.folder / "control.sock").absolute()
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        short = Path(f"/tmp/waggle-{os.geteuid()}")
        make_private(short)
        return short / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.sock"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def find_running(root: Path) -> list[RunInfo]:
    """The live nodes of the user whose files lie in `root`, by name."""
    try:
        names = sorted(os.listdir(root / NODES))
    except OSError:
        return []
    found = (NodeHome(root, name).running() for name in names)
    return [info for info in found if info is not None]


def make_private(folder: Path) -> None:
    """Make a folder that only its owner can enter, or see to it that it is one.

    Raises:
        UsageError: it is not ours, or not a folder; OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise UsageError(f"{folder} must be a folder of your own: move it away, or set WAGGLE_HOME to another place")
    if facts.st_mode & 0o077:
        folder.chmod(0o700)
