"""Finds and reads `waggle.toml`: plain keys without sections, strictly typed, every fault told with file and line.

The first of these that is there is read, and no other: the file that --config names, the one that $WAGGLE_CONFIG
names, `waggle.toml` in the working folder, `waggle.toml` in the home folder. A file that is only come across in the
working folder is passed over, with a warning, where somebody else could have written it.
"""

import os
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.node.config.table import SETTINGS, Value

FILE_NAME = "waggle.toml"
MOST_BYTES = 1024 * 1024


class FoundFile(Struct, frozen=True):
    """A file to read; `by_chance` where nobody named it and it lay in the working folder."""

    path: Path
    by_chance: bool = False


def find_file(
    named: str | None, in_environment: str | None, folder: Path, home: Path
) -> tuple[FoundFile | None, tuple[str, ...]]:
    """The file to read, if there is one, and warnings."""
    if wanted := named or in_environment:
        return FoundFile(folder / wanted), ()
    warnings: tuple[str, ...] = ()
    here, at_home = folder / FILE_NAME, home / FILE_NAME
    if os.path.isfile(here) and not _is_ours(here):
        warnings = (f"{here} is not read: somebody else can write it; --config {FILE_NAME} reads it nevertheless",)
    elif os.path.isfile(here):
        return FoundFile(here, by_chance=True), ()
    return FoundFile(at_home) if os.path.isfile(at_home) else None, warnings


def _is_ours(path: Path) -> bool:
    """Whether this user or the system's owner wrote it, and not everybody can."""
    facts = path.stat()
    return facts.st_uid in (os.geteuid(), 0) and not facts.st_mode & 0o002


def read_file(path: Path) -> dict[str, tuple[Value, str]]:
    """The settings in a file, each with where it stands.

    Raises:
        UsageError: not readable, not TOML, an unknown key, or a value of the wrong type.
    """
    text = _read_text(path)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    return {key: _read_value(key, value, _place(path, text, key)) for key, value in content.items()}


def _read_value(key: str, value: object, place: str) -> tuple[Value, str]:
    if key not in SETTINGS:
        sections = "; settings stand outside sections" if isinstance(value, dict) else ""
        raise UsageError(f"{place}: there is no setting {key!r}{nearest(key, SETTINGS)}{sections}")
    try:
        return SETTINGS[key].read(value), place
    except ValueError as error:
        raise UsageError(f"{place}: {key} {error}") from None


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path} is too large for settings: it has more than {MOST_BYTES // 1024} KiB")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None


def _place(path: Path, text: str, key: str) -> str:
    """The file, and the line where it is plain which one sets the key."""
    starts = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if starts.match(line)]
    return f"{path}, line {lines[0]}" if len(lines) == 1 else str(path)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was perhaps meant, as the end of a sentence; empty where none is near."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
