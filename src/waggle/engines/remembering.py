"""An engine that does each distinct piece of work once, for measuring many ways of using the same answers.

Only for engines that give the same answer to the same request, which `check_engine` demands. Token counts and times
are those of the first call, so what a strategy would have spent is still counted in full. Only results are remembered,
so that a server that was away for a moment does not count as wrong in all that follows.
"""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from math import inf

from waggle.core.engine_values import (
    EngineCard,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)
from waggle.engines.protocol import Engine
from waggle.engines.sharing import SharedWork


class RememberingEngine:
    """Wraps an engine and remembers its generations and judgements; streams and embeddings pass through."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._generations = SharedWork[Generation](capacity=inf, keep_seconds=inf)
        self._judgements = SharedWork[Judgement](capacity=inf, keep_seconds=inf)

    async def generate(self, request: GenerateRequest) -> Generation:
        """As the engine, once per request."""
        return await self._generations.do(request, partial(self._engine.generate, request))

    async def judge(self, request: JudgeRequest) -> Judgement:
        """As the engine, once per request."""
        return await self._judgements.do(request, partial(self._engine.judge, request))

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
        self._generations.stop()
        self._judgements.stop()
        await self._engine.close()
