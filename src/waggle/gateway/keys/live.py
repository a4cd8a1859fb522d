"""The keys of one file while a gateway runs: a file that may appear, be replaced, vanish or become unreadable.

It is looked at once a second. Until a key was ever made there, callers need none; from the first key on they need one
for as long as the process lives: a file that is gone or cannot be read opens nothing, it only lets nobody in.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from waggle.core.errors import UsageError, WaggleError
from waggle.gateway.keys.store import KeyInfo, KeyStore

LOOK_SECONDS = 1.0


class LiveKeys:
    """What a `KeyStore` knows, of whatever file stands at its path now; all methods belong to one event loop."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Look for the first time; no file is made. `now` counts seconds and never goes back.

        Raises:
            UsageError: there is a file, and it cannot be used.
        """
        self._path, self._now = path, now
        self._store: KeyStore | None = None
        self._file: tuple[int, int] | None = None
        self._needed = False
        self._look()
        self._next = now() + LOOK_SECONDS

    def needed(self) -> bool:
        """Whether callers need a key; costs a look at the clock, and once a second one at the file."""
        now = self._now()
        if now >= self._next:
            self._next = now + LOOK_SECONDS
            try:
                self._look()
            except WaggleError:
                self._needed = True
        return self._needed

    def check(self, text: str) -> KeyInfo | None:
        """As `KeyStore.check`. Raises UsageError where the file is gone or cannot be used."""
        return self._opened().check(text)

    def get(self, id: str) -> KeyInfo | None:  # noqa: A002
        """As `KeyStore.get`. Raises UsageError where the file is gone or cannot be used."""
        return self._opened().get(id)

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys; none where there is no file."""
        return () if self._store is None else self._store.list()

    def has_live(self) -> bool:
        """Whether anybody could get in with a key."""
        return self._store is not None and self._store.has_live()

    def close(self) -> None:
        """Close the file; whoever asks for a key after that gets none."""
        store, self._store, self._file = self._store, None, None
        if store is not None:
            store.close()

    def _opened(self) -> KeyStore:
        if self._store is None:
            raise UsageError(f"the keys in {self._path} cannot be used now")
        return self._store

    def _look(self) -> None:
        """Turn to the file that is there now. Raises UsageError where there is one that cannot be used."""
        try:
            file = _file_at(self._path)
            if file != self._file:
                self.close()
            if file is not None and self._store is None:
                self._store, self._file = KeyStore(self._path), file
        except WaggleError:
            self.close()
            raise
        if self._store is not None and not self._needed:
            self._needed = bool(self._store.list())


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands there, None for none. Raises UsageError where that cannot be told."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot look at the keys in {path}: {error.strerror}") from None
    return found.st_dev, found.st_ino
