"""Reads and writes the node's own JSON files: strictly typed, bounded in size, every fault a sentence for a person."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from waggle.core.errors import UsageError

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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, and the folder it is in. Raises UsageError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, whole or not at all. Raises UsageError where that is not possible."""
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
