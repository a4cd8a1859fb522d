"""The keys that may use a gateway: made, listed, revoked and checked in one small SQLite file.

A key is `wk-` and 43 characters that stand for 256 random bits. Only its SHA-256 is kept: nobody can try out 2^256
keys, so a slow password hash would buy nothing, and a stolen file opens no door. The file is its owner's alone (mode
0600), and several processes may use it at once: a key made or revoked by a command holds at once for a gateway that
runs. A text that is no key at all is merely not found, never an error.

The file gets its name when it has its table, so one without it was emptied, or is another file: an error, for it would
say that there was never a key.
"""

import hashlib
import hmac
import os
import re
import secrets
import shlex
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from waggle.core.errors import UsageError

ASK, ADMIN = "ask", "admin"
SCOPES = (ASK, ADMIN)
PREFIX = "wk-"
RANDOM_BYTES = 32
KEY = re.compile(r"wk-[A-Za-z0-9_-]{43}\Z", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z", re.ASCII)
NAME_RULE = "at most 63 letters, digits, dots, dashes or underscores, the first one a letter or digit"
NOT_FOUND = "no live key has that id or name: waggle key list shows them"
REMEDY = "put a copy of the file back, or move it away, and then the gateway begins without keys"
SHOWN_CHARACTERS = 8
MOST_KEYS = 10_000
LARGEST_LIMIT = 1_000_000_000
BUSY_SECONDS = 2.0
"""How long one process waits for another that writes; a write takes a few milliseconds."""

TABLE = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, scopes TEXT NOT NULL,
    requests_per_minute INTEGER, tokens_per_minute INTEGER, created REAL NOT NULL, revoked REAL
) STRICT;
CREATE UNIQUE INDEX live_names ON keys (name) WHERE revoked IS NULL;
"""
COLUMNS = "id, name, prefix, scopes, requests_per_minute, tokens_per_minute, created, revoked"
Value = str | bytes | float | None
Row = tuple[Any, ...]


class KeyInfo(Struct, frozen=True, kw_only=True):
    """What is known of a key, the key itself excepted. Times in seconds since 1970; no limit is None."""

    id: str
    name: str
    prefix: str = ""
    scopes: tuple[str, ...] = (ASK,)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    created: float = 0.0
    revoked: float | None = None


class KeyStore:
    """The keys in one file; usable from several threads and several processes at once."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        """Open the file, or make it.

        Raises:
            UsageError: the place cannot be written, is open to others, or is no file of keys, an empty one for example.
        """
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        _make(path)
        _check_private(path)
        with self._translated():
            self._database = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=16
            )
            if not self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchall():
                self._database.close()
                raise UsageError(f"the keys in {path} are gone: {REMEDY}")
            self._database.execute("PRAGMA journal_mode = WAL")  # who reads never waits for who writes

    def create(
        self,
        name: str,
        scopes: Sequence[str] = (ASK,),
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> tuple[str, KeyInfo]:
        """Make a key; its text is returned this once and kept nowhere.

        Raises:
            UsageError: a name that is taken or cannot be one, an unknown scope, a limit below 1, or too many keys.
        """
        _check_new(name, scopes, requests_per_minute, tokens_per_minute)
        text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        info = KeyInfo(
            id=secrets.token_hex(4),
            name=name,
            prefix=text[:SHOWN_CHARACTERS],
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            created=self._now(),
        )
        self._add(info, _hash(text))
        return text, info

    def needed(self) -> bool:
        """Always: where there is a store, callers need a key of it."""
        return True

    def check(self, text: str) -> KeyInfo | None:
        """The live key whose text this is; None for any other text, whatever it holds."""
        if not KEY.match(text):
            return None
        wanted = _hash(text)
        rows = self._ask(f"SELECT {COLUMNS}, hash FROM keys WHERE hash = ? AND revoked IS NULL", wanted)
        return _info(rows[0]) if rows and hmac.compare_digest(rows[0][-1], wanted) else None

    def get(self, id: str) -> KeyInfo | None:  # noqa: A002
        """The live key of this id."""
        rows = self._ask(f"SELECT {COLUMNS} FROM keys WHERE id = ? AND revoked IS NULL", id)
        return _info(rows[0]) if rows else None

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys, the revoked ones too, the oldest first."""
        return tuple(_info(row) for row in self._ask(f"SELECT {COLUMNS} FROM keys ORDER BY created, rowid"))

    def has_live(self) -> bool:
        """Whether anybody can get in."""
        return bool(self._ask("SELECT 1 FROM keys WHERE revoked IS NULL LIMIT 1"))

    def revoke(self, id_or_name: str) -> KeyInfo:
        """End a live key, at once and for ever; returns what it was.

        Raises:
            UsageError: no live key has this id or name.
        """
        if not NAME.match(id_or_name):
            raise UsageError(NOT_FOUND)
        query = f"UPDATE keys SET revoked = ? WHERE revoked IS NULL AND id = (%s) RETURNING {COLUMNS}"
        by_id = "SELECT id FROM keys WHERE revoked IS NULL AND (id = ? OR name = ?) ORDER BY id = ? DESC LIMIT 1"
        rows = self._ask(query % by_id, self._now(), id_or_name, id_or_name, id_or_name)
        if not rows:
            raise UsageError(NOT_FOUND)
        return _info(rows[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _add(self, info: KeyInfo, hashed: bytes) -> None:
        if len(self.list()) >= MOST_KEYS:
            raise UsageError(f"there are {MOST_KEYS} keys already")
        row = (info.id, info.name, info.prefix, " ".join(info.scopes))
        limits = (info.requests_per_minute, info.tokens_per_minute, info.created, None)
        try:
            self._ask(f"INSERT INTO keys ({COLUMNS}, hash) VALUES (?,?,?,?,?,?,?,?,?)", *row, *limits, hashed)
        except sqlite3.IntegrityError:
            raise UsageError(f"a key named {info.name} is there already: revoke it, or take another name") from None

    def _ask(self, query: str, *values: Value) -> "Sequence[Row]":
        with self._lock, self._translated():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise UsageError(f"the keys in {self._path} cannot be used: {error}") from None


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def _info(row: Row) -> KeyInfo:
    known = dict(zip(COLUMNS.split(", "), row, strict=False))
    return KeyInfo(**(known | {"scopes": tuple(known["scopes"].split())}))


def _check_new(name: str, scopes: Sequence[str], *limits: int | None) -> None:
    if not NAME.match(name):
        raise UsageError(f"a key's name has {NAME_RULE}")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise UsageError(f"a key's scopes are {' and '.join(SCOPES)}")
    if any(limit is not None and not 1 <= limit <= LARGEST_LIMIT for limit in limits):
        raise UsageError(f"a key's limits are whole numbers from 1 to {LARGEST_LIMIT}; leave one away for no limit")


def _make(path: Path) -> None:
    """Make the file where there is none, for its owner alone: under another name until it is whole."""
    if os.path.lexists(path):
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        try:
            with closing(sqlite3.connect(unfinished)) as database:
                database.executescript(TABLE)
            with suppress(FileExistsError):  # somebody else was faster
                os.link(unfinished, path)
        finally:
            os.unlink(unfinished)
    except OSError as error:
        raise UsageError(f"cannot make the keys in {path}: {error.strerror}") from None
    except sqlite3.DatabaseError as error:
        raise UsageError(f"cannot make the keys in {path}: {error}") from None


def _check_private(path: Path) -> None:
    """See to it that it is a plain file of its owner alone."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise UsageError(f"cannot open the keys in {path}: {error.strerror}") from None
    try:
        mode = os.fstat(handle).st_mode
    finally:
        os.close(handle)
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a plain file")
    if mode & 0o077:
        raise UsageError(f"the keys in {path} are open to others; type: chmod 600 {shlex.quote(str(path))}")
