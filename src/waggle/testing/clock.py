"""Virtual time for asyncio: hours pass in an instant, in the same order on every run.

`run_virtual` runs a coroutine on an event loop whose clock stands still while anything can run and jumps to the next
timer when everything waits (trio's autojump). `asyncio.sleep`, `asyncio.timeout` and every library built on them keep
virtual time without knowing it. While work handed to a thread with `run_in_executor` or `asyncio.to_thread` is under
way, time stands still. Two faults that would otherwise be silent waits are raised at once: everybody waits and no
timer is set (`NobodyWillWake`), and virtual time running on without end (`RanTooLong`).

It is for tests inside one process. Real sockets work, but time does not stand still for a packet under way: test what
talks to a socket on an ordinary loop.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple, Unpack

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

THREAD_GRACE_SECONDS = 1.0  # real time in which a thread we know nothing of may still wake the loop


class NobodyWillWake(AssertionError):
    """Every task waits for another one and no timer is set: for ever, on a real clock."""


class RanTooLong(AssertionError):
    """More virtual time passed than the test allowed."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number, moved on only by `_JumpingSelector`."""

    def __init__(self, limit_seconds: float) -> None:
        """Begin at 0; raise RanTooLong when time would pass `limit_seconds`."""
        self.virtual_now = 0.0
        self.limit_seconds = limit_seconds
        self.threads_at_work = 0
        super().__init__(_JumpingSelector(self))
        self._threads = ThreadPoolExecutor(thread_name_prefix="virtual")
        self.set_default_executor(self._threads)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.virtual_now

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """As ever, with the work counted until it ends (not only until nobody waits for it any longer)."""
        self.threads_at_work += 1
        work = (executor or self._threads).submit(func, *args)
        result = asyncio.wrap_future(work, loop=self)  # registers first: its result is there when the count goes down
        work.add_done_callback(lambda _: self.call_soon_threadsafe(self._thread_ended))
        return result

    async def shutdown_default_executor(self, *limit: float | None) -> None:
        """As ever; time stands still meanwhile, so the limit that later Pythons hand in is of no use."""
        self.threads_at_work += 1
        await super().shutdown_default_executor()
        self.threads_at_work -= 1

    def _thread_ended(self) -> None:
        self.threads_at_work -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for the next timer, moves the loop's time to it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.threads_at_work:
            return super().select(None)
        if timeout is None:
            return self._last_chance()
        self._jump(timeout)
        return []

    def _last_chance(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(THREAD_GRACE_SECONDS)
        if not ready:
            raise NobodyWillWake(f"at {self._loop.time():g} s every task waits and no timer is set: put a bound on it")
        return ready

    def _jump(self, seconds: float) -> None:
        if self._loop.virtual_now + seconds > self._loop.limit_seconds:
            raise RanTooLong(f"the test did not end within {self._loop.limit_seconds:g} s of virtual time")
        self._loop.virtual_now += seconds


class VirtualClock:
    """A `Clock` that works only under `run_virtual`, so that no test waits for real seconds by mistake."""

    def now(self) -> float:
        """Virtual seconds since the test began."""
        return _virtual_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait that many virtual seconds."""
        _virtual_loop()
        await asyncio.sleep(max(0.0, seconds))


def run_virtual(work: Coroutine[None, None, Result], *, limit_seconds: float = 7 * 86_400.0) -> Result:
    """Run a coroutine in virtual time, beginning at 0, and return its result.

    Args:
        work: the test's body.
        limit_seconds: virtual time after which RanTooLong is raised; the default is a week.

    Raises:
        NobodyWillWake: the test would hang.
        RanTooLong: a timer loop keeps going past the limit.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_seconds)) as runner:
        return runner.run(work)


def _virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop), "a VirtualClock needs the loop of waggle.testing.clock.run_virtual"
    return loop
