"""Remembers results that are asked for again and again, and lets nobody compute what another is just computing."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """The latest results, `most` of them; a computation that fails or is cancelled leaves nothing behind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Key, Value] = OrderedDict()
        self._locks: dict[Key, asyncio.Lock] = {}

    async def get(self, key: Key, compute: Callable[[], Awaitable[Value]]) -> Value:
        """The result for `key`; one of those who ask at the same time computes it, the others wait for that."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if key not in self._results:
                    self._results[key] = await compute()
                self._results.move_to_end(key)
                return self._results[key]
        finally:
            self._forget(key, lock)

    def _forget(self, key: Key, lock: asyncio.Lock) -> None:
        if not lock.locked():
            self._locks.pop(key, None)
        while len(self._results) > self._most:
            self._results.popitem(last=False)
