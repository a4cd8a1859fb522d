"""Work that several want is done once: those who come while it runs join it, those who come later get its result.

A question may reach a node twice: its first coordinator died, and the next one asks the same thing. Results are kept
for `keep_seconds`, at most `capacity` of them, the oldest forgotten first. A failure is told to everybody who waits and
then forgotten. When the last one who waits gives up, the work itself is stopped.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from waggle.core.errors import EngineUnavailable

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

    def __init__(self, *, capacity: float = MAX_KEPT, keep_seconds: float = KEEP_SECONDS) -> None:
        """Nothing is under way; `inf` keeps all there is, or for good."""
        self._capacity = capacity
        self._keep_seconds = keep_seconds
        self._running: dict[Hashable, _Shared[Result]] = {}
        self._done: OrderedDict[Hashable, tuple[float, Result]] = OrderedDict()  # the oldest first

    async def do(self, key: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of the work known by `key`; `work` is called only where there is none and none under way.

        Raises what the work raises, and EngineUnavailable where it was stopped.
        """
        self._forget_old()
        if key in self._done:
            return self._done[key][1]
        shared = self._running.get(key)
        if shared is None:
            shared = self._running[key] = _Shared(asyncio.ensure_future(self._run(key, work)))
        return await self._join(key, shared)

    def stop(self) -> None:
        """End what is under way, and forget everything."""
        for shared in self._running.values():
            shared.task.cancel()
        self._running.clear()
        self._done.clear()

    async def _join(self, key: Hashable, shared: _Shared[Result]) -> Result:
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        except asyncio.CancelledError:
            if shared.task.cancelled() and not _is_cancelled():
                raise EngineUnavailable("the engine was closed: make a new one") from None
            raise
        finally:
            shared.waiting -= 1
            if shared.waiting == 0 and not shared.task.done():
                self._end(key, shared.task)  # whoever comes now starts afresh
                shared.task.cancel()

    async def _run(self, key: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            result = await work()
            self._done[key] = (asyncio.get_running_loop().time(), result)
            return result
        finally:
            self._end(key, asyncio.current_task())

    def _end(self, key: Hashable, task: "asyncio.Task[Result] | None") -> None:
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


def _is_cancelled() -> bool:
    """Whether it is this task itself that somebody cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
