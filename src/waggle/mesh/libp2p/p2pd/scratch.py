"""Folders for as long as a command takes: ours alone, gone with it, swept by the next one where it was killed.

A command that asks from outside makes a key for the occasion and keeps it in such a folder. Its owner holds a lock in
it, which the kernel drops with the process however that ends: what nobody holds is a dead one's. A folder without a
lock is not touched; it is somebody else's, or its owner is just about to take it.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "waggle-now-"
LOCK = "owner.lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in the directory for temporary files, until the end of the block."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        handle = _own(Path(name))
        try:
            yield Path(name)
        finally:
            os.close(handle)


def _own(folder: Path) -> int:
    """Lock the folder; the lock file gets its name when it is locked, so that nobody finds it free before."""
    unready = folder / f"{LOCK}.new"
    handle = os.open(unready, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unready.rename(folder / LOCK)
    return handle


def sweep() -> None:
    """Remove the folders of this user whose owner is dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if _is_ours(folder) and _is_free(folder / LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()


def _is_free(lock: Path) -> bool:
    """Whether nobody holds it; raises OSError where there is none, or somebody does."""
    handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)
    return True
