"""A swarm that a program may ask, whether its models are in this process or somewhere else."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Unpack

from waggle.core.asking import AskOptions
from waggle.core.errors import EngineError, EngineUnavailable, UsageError
from waggle.core.round_picture import RoundPicture
from waggle.core.round_values import Event, Record
from waggle.library.answers import Answer
from waggle.library.asking import Asking, options_of
from waggle.node.observing.ending import Ending, ending_of, why_none
from waggle.node.observing.watching import Watched
from waggle.strategies.machine import Moment, Watch

Ask = Callable[[str, AskOptions, Watch | None], Awaitable[Record]]
"""Answers a question; errors as those of `Swarm.ask`."""


class Swarm:
    """Answers questions, many at once if wanted; `open` and `join` give one."""

    def __init__(self, ask: Ask) -> None:
        """Ask by way of `ask`, until closed."""
        self._ask = ask
        self._followed: set[asyncio.Task[Answer]] = set()
        self._closed = False

    async def ask(self, question: str, **asking: Unpack[Asking]) -> Answer:
        """Answer one question. What can be said by keyword is described in `Asking`.

        Raises:
            UsageError: nothing that can be asked, or an option that cannot be.
            EngineError: no model could answer. MeshError: a swarm elsewhere cannot be reached, or has no room.
        """
        return await self._answer(question, asking, None)

    async def follow(self, question: str, **asking: Unpack[Asking]) -> AsyncGenerator[RoundPicture | Answer, None]:
        """Answer one question and show how it is found: pictures as things happen, and the answer last.

        A reader who is slow is shown the newest picture alone. Leaving the loop ends the work; where it has to end at
        once, leave it by `contextlib.aclosing`. Keywords and errors as those of `ask`.
        """
        watched, news = Watched(), asyncio.Event()

        def watch(moment: Moment, event: Event) -> None:
            watched.watch(moment, event)
            news.set()

        task = asyncio.create_task(self._answer(question, asking, watch))
        self._followed.add(task)
        task.add_done_callback(lambda done: news.set())
        try:
            while not task.done() or news.is_set():
                await news.wait()
                news.clear()
                if picture := watched.take():
                    yield picture
            if task.cancelled():
                raise EngineUnavailable("the swarm was closed before it had answered")
            yield task.result()
        finally:
            self._followed.discard(task)
            await _stop({task})

    async def aclose(self) -> None:
        """Stop all that is still followed; nothing more can be asked."""
        self._closed = True
        await _stop(self._followed)

    async def _answer(self, question: str, asking: Asking, watch: Watch | None) -> Answer:
        if self._closed:
            raise UsageError("this swarm is closed: ask it within its block")
        record = await self._ask(question, options_of(question, asking), watch)
        if ending_of(record.outcome, record.events) is Ending.FAILED:
            raise EngineError(why_none(record))
        return Answer(record)


async def _stop(tasks: set[asyncio.Task[Answer]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
