"""Blocking work in a thread that never outlives the task that asked for it."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from waggle.mesh.files.disk import Step, no_step

Value = TypeVar("Value")


class Stopped(Exception):
    """Raised inside the thread when its task was cancelled; nobody else sees it."""


async def in_thread(work: Callable[[Step], Value], told: Callable[[int], None] = no_step) -> Value:
    """Run blocking work, given a step that ends it on cancellation; gives its result.

    A cancelled task waits until the work has noticed, so that no file is touched after a lock was given back.

    Args:
        work: calls its step often.
        told: called on the loop with what each step reports.
    """
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def step(done: int) -> None:
        if stop.is_set():
            raise Stopped
        loop.call_soon_threadsafe(told, done)

    future = loop.run_in_executor(None, work, step)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        future.exception()  # seen; the cancellation says enough
        raise
