"""Ending a long-running verb in good order: the first Ctrl-C asks for it, the second does not wait."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress

AGAIN_SECONDS = 0.5
"""A signal counts once where it reaches us alone and with our process group, as that of timeout(1) does."""


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on the first SIGINT, SIGTERM or SIGHUP; later ones act as ever. Only inside a running loop."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def give_back() -> None:
        for number in signals:
            with suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(number)

    def once() -> None:
        if not stop.is_set():
            loop.call_later(AGAIN_SECONDS, give_back)
        stop.set()

    for number in signals:
        loop.add_signal_handler(number, once)
    try:
        yield
    finally:
        give_back()


async def until(told: asyncio.Event, work: Coroutine[None, None, None], leave: Callable[[], bool] = bool) -> None:
    """Do the work until it ends, or is told to: then it is cancelled. Its failure is ours.

    Args:
        leave: asks the work to end in good order; False where it is not so far that it could.
    """
    working, waiting = asyncio.create_task(work), asyncio.create_task(told.wait())
    try:
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        if working.done() or leave():
            await working
    finally:
        waiting.cancel()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
