"""The one seam between waggle and anything that produces text.

Every engine passes `waggle.testing.check_engine`. All methods are cancellable: cancelling the awaiting task
stops the work itself, not only the waiting. Failures are `EngineError`s and nothing else.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from waggle.core.engine_values import (
    EngineCard,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)


class Engine(Protocol):
    """Generates, judges, embeds and describes itself; any number of calls may run at once."""

    async def generate(self, request: GenerateRequest) -> Generation:
        """Answer one question. Raises EngineError; whatever else runs, the same seed gives the same text."""
        ...

    def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """Answer one question token by token; the last item carries the finished `Generation`."""
        ...

    async def judge(self, request: JudgeRequest) -> Judgement:
        """Compare two proposals; an unreadable verdict is `p=None`, not an error and not a guess."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit-length vector per text."""
        ...

    async def describe(self) -> EngineCard:
        """The engine's model, family, context length, skills and speed."""
        ...

    async def close(self) -> None:
        """Stop all work and free what is held; calling it twice is harmless."""
        ...
