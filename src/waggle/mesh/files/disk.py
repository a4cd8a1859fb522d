"""The file system, handled so that nothing outside a folder is opened and a kill at any moment leaves no half file.

Blocking: call it `in_thread`. Long work reports each piece to a `Step`, which may raise to end it.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.mesh.files.formats import MAX_PATH_DEPTH, path_fault
from waggle.mesh.files.manifest import CHUNK_BYTES, MAX_FILES, FileEntry

Value = TypeVar("Value")
Step = Callable[[int], None]
"""Told the bytes just done; raises to end the work."""

LOCK_POLL_SECONDS = 0.05
UNFINISHED = ".new"
"""How the name of a file ends that is to replace another."""
SETTLED_NS = 20_000_000
"""A file that changed less than this ago may change again without a new stamp: kernels date files in ticks of 4 ms."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Stamp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes when a file does: bytes, nanoseconds, the file's number."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


def is_full(error: OSError) -> bool:
    """Whether the disk, or our share of it, has no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def no_step(_: int) -> None:
    """A `Step` for work that nobody watches."""


class Stopped(Exception):
    """Raised inside the thread when its task was cancelled; nobody else sees it."""


async def in_thread(work: Callable[[Step], Value], told: Callable[[int], None] = no_step) -> Value:
    """Run blocking work, given a step that ends it on cancellation; gives its result.

    A cancelled task waits until the work has noticed, so that no file is touched after a lock was given back.

    Args:
        work: calls its step often.
        told: called on the loop with what each step reports.
    """
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def step(done: int) -> None:
        if stop.is_set():
            raise Stopped
        loop.call_soon_threadsafe(told, done)

    future = loop.run_in_executor(None, work, step)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        future.exception()  # seen; the cancellation says enough
        raise


@contextmanager
def opened(folder: Path, path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    """The descriptor of a regular file below `folder`; no symbolic link is followed on the way. Raises OSError."""
    *folders, name = path.split("/")
    at = os.open(folder, _FOLDER)
    try:
        for part in folders:
            deeper = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = deeper
        file = os.open(name, flags | _FILE, 0o600, dir_fd=at)
    finally:
        os.close(at)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(f"{path} is not a regular file")
        yield file
    finally:
        os.close(file)


def stamp_of(file: int) -> Stamp:
    """The stamp of an open file."""
    now = os.fstat(file)
    return Stamp(size=now.st_size, modified_ns=now.st_mtime_ns, changed_ns=now.st_ctime_ns, inode=now.st_ino)


def hash_file(folder: Path, path: str, step: Step = no_step) -> tuple[FileEntry, Stamp]:
    """Read a whole file. Raises UsageError where it changes meanwhile, OSError where it cannot be read."""
    whole, chunks = hashlib.sha256(), bytearray()
    with opened(folder, path) as file:
        if 0 <= time.time_ns() - stamp_of(file).changed_ns < SETTLED_NS:
            time.sleep(SETTLED_NS / 1e9)
        before = stamp_of(file)
        for offset in range(0, before.size, CHUNK_BYTES):
            data = read_range(file, offset, min(CHUNK_BYTES, before.size - offset))
            whole.update(data)
            chunks += hashlib.sha256(data).digest()
            step(len(data))
        if stamp_of(file) != before:
            raise UsageError(f"{folder / path} changed while it was read; try again when nothing writes to it")
    return FileEntry(path=path, size=before.size, sha256=whole.digest(), chunks=bytes(chunks)), before


def read_range(file: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes from `offset`; fewer only at the file's end."""
    data = os.pread(file, length, offset)
    while len(data) < length and (more := os.pread(file, length - len(data), offset + len(data))):
        data += more
    return data


def write_range(file: int, offset: int, data: bytes) -> None:
    """All of `data` at `offset`. Raises OSError, with ENOSPC where the disk is full."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def list_files(folder: Path, *, leave_out: bool) -> list[str]:
    """The sorted paths of the files to be shared from a folder. Names that begin with a dot are left out.

    Raises UsageError naming the file that cannot be shared; with `leave_out` such files are left out instead.
    """
    found: list[str] = []
    for path, fault in _walk(folder, ""):
        if fault is None:
            found.append(path)
        elif not leave_out:
            raise UsageError(f"{folder} cannot be shared as it is: {fault}")
        if len(found) > MAX_FILES:
            raise UsageError(f"{folder} has more than {MAX_FILES} files to share")
    if not found:
        raise UsageError(f"{folder} holds no file that could be shared")
    return sorted(found)


def _walk(folder: Path, below: str) -> Iterator[tuple[str, str | None]]:
    """Every file as (path, why it cannot be shared)."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = below + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                yield path, f"{path!r} is a symbolic link; share a folder of real files (`cp -rL` makes one)"
            elif entry.is_dir(follow_symlinks=False) and path.count("/") < MAX_PATH_DEPTH:
                yield from _walk(folder / entry.name, f"{path}/")
            elif entry.is_file(follow_symlinks=False):
                yield path, path_fault(path)
            else:
                yield path, f"{path!r} is no regular file, or lies too deep"


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step: after a kill or a power cut it holds the old or the new bytes. Raises OSError."""
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlast a power cut."""
    at = os.open(folder, _FOLDER)
    try:
        os.fsync(at)
    finally:
        os.close(at)


@contextmanager
def locked(path: Path, seconds: float, busy: str) -> Iterator[None]:
    """Hold a lock that dies with the process. Raises UsageError(busy) where another holds it after `seconds`."""
    until = time.monotonic() + seconds
    while (file := _try_lock(path)) is None:
        if time.monotonic() >= until:
            raise UsageError(busy)
        time.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(file)


def _try_lock(path: Path) -> int | None:
    """The descriptor that holds the lock; None where another has it, or removed the file while we took it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return file
    except BlockingIOError:
        pass
    os.close(file)
    return None
