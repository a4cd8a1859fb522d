"""Work as one who waits for it sees it: a sign of life whenever something happens, and when nothing does for long."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from waggle.core.round_values import Event
from waggle.gateway.answering import Answerer
from waggle.gateway.progress import Seen
from waggle.gateway.to_openai import Answer
from waggle.gateway.to_values import Job

BETWEEN_SIGNS_SECONDS = 0.05
Tell = Callable[[Seen | None], Awaitable[None]]


async def watched(answerer: Answerer, job: Job, request: str, keep_alive_seconds: float, tell: Tell) -> Answer:
    """Have a job done, and tell of it meanwhile.

    Args:
        tell: is given the round's state, or None where there is none; who takes long over it misses some.

    Raises:
        ApiError: it could not be done.
    """
    changed = asyncio.Event()
    seen: list[Seen] = []

    def watch(state: Seen, event: Event) -> None:
        seen[:] = [state]
        changed.set()

    work = asyncio.create_task(answerer.answer(job, request, watch))
    work.add_done_callback(lambda _: changed.set())
    try:
        while not work.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(keep_alive_seconds):
                    await changed.wait()
            changed.clear()
            if not work.done():
                await tell(seen[0] if seen else None)
                await asyncio.wait({work}, timeout=BETWEEN_SIGNS_SECONDS)
        return work.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
