"""The smallest engine: a function of a program, which is given the question and gives the answer.

It counts words in place of tokens, reads no conversation, calls no tools and makes no vectors. It compares answers only
where it has a second function for that; without one every verdict is None, never a guess. What a function raises costs
its engine that one call.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from waggle.core.engine_values import EngineCard, GenerateRequest, Generation, Judgement, JudgeRequest, StreamedToken
from waggle.core.errors import EngineError, EngineRefused, EngineUnavailable
from waggle.engines.answer import bounded, count_tokens, last_generation

Answering = Callable[[str], Awaitable[str]]
"""Given a question, the answer."""
Comparing = Callable[[str, str, str], Awaitable[float | None]]
"""Given a question and two answers, P(the first is right, not the second) in [0, 1]; None where it cannot tell."""
CONTEXT_TOKENS = 2**20
"""What the card says of a function, whose context nobody knows."""
T = TypeVar("T")


def engine(name: str, answer: Answering, *, judge: Comparing | None = None) -> "FunctionEngine":
    """An engine made of a function; it proposes, and judges where `judge` is given.

    Args:
        name: of its model; the node is called so, and `solo:NAME` asks it alone.
        answer: given a question, the answer. It may be called many times at once.
        judge: given a question and two answers, P(the first is right, not the second); None where it cannot tell.
    """
    return FunctionEngine(name, answer, judge)


class FunctionEngine:
    """An `Engine`; `engine` makes one."""

    def __init__(self, name: str, answer: Answering, judge: Comparing | None = None) -> None:
        """Nothing is called yet."""
        self._name = name
        self._answer = answer
        self._compare = judge
        self._calls: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def generate(self, request: GenerateRequest) -> Generation:
        """The function's answer, cut where it is longer than asked for."""
        return await last_generation(self.stream(request))

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """The same word by word, once the function has returned."""
        if request.tools and request.tool_choice not in ("auto", "none"):
            raise EngineRefused(f"{self._name} calls no tools")
        began = time.monotonic()
        text = await self._call(lambda: self._answer(request.question))
        if not isinstance(text, str):
            raise EngineRefused(f"{self._name} gave no text but {type(text).__name__}")
        pieces, finish = bounded(text, request)
        for piece in pieces:
            yield StreamedToken(text=piece)
        written = "".join(pieces)
        generation = Generation(
            text=written,
            answer=written.strip(),
            trace="",
            prompt_tokens=count_tokens(request.question),
            completion_tokens=len(pieces),
            seconds=time.monotonic() - began,
            finish=finish,
        )
        yield StreamedToken(text="", generation=generation)

    async def judge(self, request: JudgeRequest) -> Judgement:
        """The second function's verdict; None without one."""
        compare, began = self._compare, time.monotonic()
        if compare is None:
            self._refuse_when_closed()
            return Judgement(p=None, reason="it judges nothing", prompt_tokens=0, completion_tokens=0, seconds=0.0)
        p = await self._call(lambda: compare(request.question, request.first, request.second))
        if not _is_verdict(p):
            raise EngineRefused(f"{self._name} judged {p!r}, which is no probability")
        shown = count_tokens(f"{request.question} {request.first} {request.second}")
        seconds = time.monotonic() - began
        return Judgement(p=p, reason="", prompt_tokens=shown, completion_tokens=0, seconds=seconds)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Refused: a function makes no vectors."""
        raise EngineRefused(f"{self._name} makes no vectors")

    async def describe(self) -> EngineCard:
        """Its name, and what it cannot do."""
        return EngineCard(
            model=self._name, family="function", context_tokens=CONTEXT_TOKENS, converses=False, embeds=False
        )

    async def close(self) -> None:
        """Stop what is under way; later calls are refused."""
        self._closed = True
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await the function; whatever goes wrong in it is an EngineError."""
        self._refuse_when_closed()
        call = asyncio.ensure_future(_awaited(function))
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            if not _is_cancelled():
                self._refuse_when_closed()
            raise
        except EngineError:
            raise
        except Exception as error:  # whatever a stranger's function raises
            raise EngineRefused(f"{self._name} failed: {type(error).__name__}: {error}") from error
        finally:
            self._calls.discard(call)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"{self._name} is closed: make a new engine")


def _is_verdict(p: object) -> bool:
    return p is None or (isinstance(p, float | int) and 0 <= p <= 1)


def _is_cancelled() -> bool:
    """Whether it is the caller who gave up."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _awaited(function: Callable[[], Awaitable[T]]) -> T:
    return await function()
