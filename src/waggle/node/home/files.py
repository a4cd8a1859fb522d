"""Reads and writes the node's own files: strictly typed, bounded in size, replaced whole, every fault a sentence."""

import os
import stat
import time
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TypeVar

import msgspec

from waggle.core.errors import UsageError
from waggle.mesh.files.disk import UNFINISHED, write_whole

PRIVATE, ANYBODY = 0o600, 0o666  # the latter less what the user's umask takes away
LEFT_SECONDS = 60.0  # after which nobody writes a file of ours any longer
Shape = TypeVar("Shape")


def read_json(path: Path, shape: type[Shape], *, name: str, most_bytes: int) -> Shape:
    """The value in a file.

    Raises:
        UsageError: missing, oversize, or not a `name` of this version.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise UsageError(f"{path} is too large to be a {name}")
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not a {name} of this version: {error}") from error


def replace_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all: a kill or a full disk leaves what was there before.

    Args:
        path: where; behind a link it is the file that the link leads to, and a device or a pipe is written to.
        content: all of it.
        private: nobody else may read it, and its folder is there; else it may be read as the one before, or as any new
            file, and its folder is made.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if not private:
            path.parent.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        _sweep(target)
        write_whole(target, content, mode=PRIVATE if private else _mode_of(target))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return ANYBODY


def _sweep(path: Path) -> None:
    """Remove what killed processes left beside the file."""
    for unfinished in path.parent.glob(f"{escape(path.name)}.*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            if time.time() - unfinished.stat().st_mtime > LEFT_SECONDS:
                unfinished.unlink()
