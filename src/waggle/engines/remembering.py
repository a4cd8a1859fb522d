"""An engine that does each distinct piece of work once, for measuring many ways of using the same answers.

Only for engines that give the same answer to the same request, which `check_engine` demands. Token counts and times
are those of the first call, so what a strategy would have spent is still counted in full. Only results are remembered:
a failure is told to everybody who waits for it and then forgotten, so that a server that was away for a moment does
not count as wrong in all that follows. Work goes on while anybody waits for it; it stops with the last one.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from waggle.core.engine_values import (
    EngineCard,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)
from waggle.core.errors import EngineUnavailable
from waggle.engines.protocol import Engine

Request = TypeVar("Request")
Result = TypeVar("Result")


class RememberingEngine:
    """Wraps an engine and remembers its generations and judgements; streams and embeddings pass through."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._generations = _Memory(engine.generate)
        self._judgements = _Memory(engine.judge)

    async def generate(self, request: GenerateRequest) -> Generation:
        """As the engine, once per request."""
        return await self._generations.recall(request)

    async def judge(self, request: JudgeRequest) -> Judgement:
        """As the engine, once per request."""
        return await self._judgements.recall(request)

    def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """The engine's own stream."""
        return self._engine.stream(request)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The engine's own embeddings."""
        return await self._engine.embed(texts)

    async def describe(self) -> EngineCard:
        """The engine's own card."""
        return await self._engine.describe()

    async def close(self) -> None:
        """Stop what is running (whoever waits gets EngineUnavailable), forget everything, close the engine."""
        self._generations.forget()
        self._judgements.forget()
        await self._engine.close()


@dataclass
class _Piece(Generic[Result]):
    """One piece of work, under way or done, and how many wait for it."""

    task: asyncio.Task[Result]
    waiting: int = 0


class _Memory(Generic[Request, Result]):
    def __init__(self, work: Callable[[Request], Coroutine[object, object, Result]]) -> None:
        self._work = work
        self._pieces: dict[Request, _Piece[Result]] = {}

    async def recall(self, request: Request) -> Result:
        """The remembered result; the first to ask starts the work, the last one to give up stops it."""
        piece = self._pieces.get(request)
        if piece is None:
            piece = self._pieces[request] = _Piece(asyncio.create_task(self._work(request)))
        piece.waiting += 1
        try:
            return await asyncio.shield(piece.task)
        except asyncio.CancelledError:
            if piece.task.cancelled() and not _is_cancelled():
                raise EngineUnavailable("the engine was closed: make a new one") from None
            raise
        except Exception:
            self._drop(request, piece)
            raise
        finally:
            piece.waiting -= 1
            if not piece.waiting and not piece.task.done():
                self._drop(request, piece)

    def forget(self) -> None:
        for request, piece in list(self._pieces.items()):
            self._drop(request, piece)

    def _drop(self, request: Request, piece: _Piece[Result]) -> None:
        piece.task.cancel()
        if self._pieces.get(request) is piece:
            del self._pieces[request]


def _is_cancelled() -> bool:
    """Whether it is this task itself that somebody cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
