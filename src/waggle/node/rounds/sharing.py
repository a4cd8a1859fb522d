"""Work that several want is done once: those who come while it runs join it, those who come later get its result.

A question may reach a node twice: its first coordinator died, and the next one asks the same thing. Results are kept
for `KEEP_SECONDS`, at most `capacity` of them, the oldest forgotten first. When the last one who waits gives up, the
work itself is stopped. Failures are not kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")

KEEP_SECONDS = 600.0
MAX_KEPT = 4_096


class _Shared(Generic[Result]):
    """One piece of work and how many wait for it."""

    def __init__(self, task: "asyncio.Task[Result]") -> None:
        self.task = task
        self.waiting = 0


class SharedWork(Generic[Result]):
    """Work by key; the same key must always mean the same work."""

    def __init__(self, *, capacity: int = MAX_KEPT, keep_seconds: float = KEEP_SECONDS) -> None:
        self._capacity = capacity
        self._keep_seconds = keep_seconds
        self._running: dict[bytes, _Shared[Result]] = {}
        self._done: OrderedDict[bytes, tuple[float, Result]] = OrderedDict()  # the oldest first

    async def do(self, key: bytes, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of the work known by `key`; `work` is called only where there is none and none under way."""
        self._forget_old()
        if key in self._done:
            return self._done[key][1]
        shared = self._running.get(key)
        if shared is None:
            shared = self._running[key] = _Shared(asyncio.ensure_future(self._run(key, work)))
        return await self._join(key, shared)

    async def _join(self, key: bytes, shared: _Shared[Result]) -> Result:
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if shared.waiting == 0 and not shared.task.done():
                self._running.pop(key, None)  # whoever comes now starts afresh
                shared.task.cancel()

    async def _run(self, key: bytes, work: Callable[[], Awaitable[Result]]) -> Result:
        task = asyncio.current_task()
        try:
            result = await work()
            self._done[key] = (asyncio.get_running_loop().time(), result)
            return result
        finally:
            running = self._running.get(key)
            if running is not None and running.task is task:
                del self._running[key]

    def _forget_old(self) -> None:
        oldest_kept = asyncio.get_running_loop().time() - self._keep_seconds
        while self._done:
            key, (at, _) = next(iter(self._done.items()))
            if at >= oldest_kept and len(self._done) <= self._capacity:
                return
            del self._done[key]
