"""A file of this user's that several processes use at once: made private, known by what it is, moved by one alone."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_TRIES, LOCK_PAUSE = 200, 0.01
"""Others hold the lock for milliseconds; 2 s outlasts a busy disk."""


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there, be its name what it may; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def make_private(path: Path) -> tuple[int, int]:
    """Make the file, or see to it that only its owner can read it; SQLite gives its other files the same mode.

    A file that is there is not opened: closing it would drop the locks of our other connections (POSIX).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "the history is not a plain file")
    if facts.st_mode & 0o077:
        path.chmod(0o600)
    return facts.st_dev, facts.st_ino


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone, among the processes that open or move this file."""
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(handle)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(LOCK_PAUSE)
    raise OSError(errno.EBUSY, "another process holds the history")
