"""Which engines of this process work: learnt from their own calls, and by asking the idle ones what they are.

An engine in trouble is left out of what is offered, and looked at again until it answers. One that is at work is never
looked at: its calls tell, and some servers give up a text for a question about their models. What an engine said of its
trouble names no address here, since it is shown to those who ask.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

from waggle.core.engine_values import EngineCard, GenerateRequest, Generation, Judgement, JudgeRequest, StreamedToken
from waggle.core.errors import EngineError, EngineRefused, EngineUnavailable
from waggle.engines.protocol import Engine
from waggle.node.observing.logs import facts

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0  # between two looks at an idle engine
PAUSE_SECONDS = 1.0  # at least, however much fails
DESCRIBE_SECONDS = 10.0  # for an engine to say what it is
MOST_FAILURES = 3  # times that calls fail although it says what it is, until nobody is sent to it for a while
REST_SECONDS = 60.0  # for an engine that says what it is and fails at all else
MAX_REASON = 200


class WatchedEngine:
    """An `Engine` as it is, with what can be told of its state; `in_flight` counts its calls."""

    def __init__(self, name: str, inner: Engine, suspected: asyncio.Event) -> None:
        """Nothing known of it yet; `suspected` is set where somebody should look."""
        self.name = name
        self.inner = inner
        self.card: EngineCard | None = None
        self.trouble = ""
        """Why it cannot be used now; empty where it can."""
        self.in_flight = 0
        self._suspected = suspected
        self._failed = 0  # times that calls failed, with a look between each two and no success
        self._counted = False  # whether one failed since the latest look
        self._succeeded = False  # the latest call
        self._resting_until = 0.0

    async def generate(self, request: GenerateRequest) -> Generation:
        """As the engine does."""
        with self._noting():
            return await self.inner.generate(request)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """As the engine does."""
        with self._noting():
            async with aclosing(self.inner.stream(request)) as tokens:
                async for token in tokens:
                    if token.generation is not None:  # nobody may ask for more
                        self._has_succeeded()
                    yield token

    async def judge(self, request: JudgeRequest) -> Judgement:
        """As the engine does."""
        with self._noting():
            return await self.inner.judge(request)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """As the engine does."""
        with self._noting():
            return await self.inner.embed(texts)

    async def describe(self) -> EngineCard:
        """As the engine does."""
        self.card = await self.inner.describe()
        return self.card

    async def close(self) -> None:
        """As the engine does."""
        await self.inner.close()

    async def look(self) -> EngineError | None:
        """Ask an idle engine what it is; gives why it does not say."""
        if self.in_flight or asyncio.get_running_loop().time() < self._resting_until:
            return None
        self._counted = False
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS):
                await self.describe()
        except TimeoutError:
            return self._refused_to_say(EngineUnavailable(f"it did not say within {DESCRIBE_SECONDS:g} s what it is"))
        except EngineError as error:
            return self._refused_to_say(error)
        if self.trouble:
            self._is_back()
        return None

    def _refused_to_say(self, error: EngineError) -> EngineError:
        if not (isinstance(error, EngineRefused) and self._succeeded):  # else it may only hide its list of models
            self._is_down(error)
        return error

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Learn from a call how the engine is."""
        self.in_flight += 1
        try:
            yield
        except EngineUnavailable as error:
            self._has_failed(error)
            raise
        except EngineRefused:
            self._succeeded = False
            raise
        else:
            self._has_succeeded()
        finally:
            self.in_flight -= 1

    def _has_succeeded(self) -> None:
        self._succeeded = True
        self._is_back()

    def _has_failed(self, error: EngineUnavailable) -> None:
        """Many calls that broke at one moment count as one failure."""
        self._succeeded = False
        self._failed += not self._counted
        self._counted = True
        self._suspected.set()
        if self._failed >= MOST_FAILURES:
            self._is_down(error)
            self._resting_until = asyncio.get_running_loop().time() + REST_SECONDS

    def _is_down(self, error: EngineError) -> None:
        was, self.trouble = self.trouble, _reason(error)
        if not was:
            log.warning("an engine cannot be used now", extra=facts(engine=self.name, reason=self.trouble))

    def _is_back(self) -> None:
        was, self.trouble, self._failed, self._resting_until = self.trouble, "", 0, 0.0
        if was:
            log.warning("an engine can be used again", extra=facts(engine=self.name))


class EngineWatch:
    """The engines of a process, each watched; `changed` is set when one has gone or is back."""

    def __init__(self, engines: Mapping[str, Engine], cards: Mapping[str, EngineCard] | None = None) -> None:
        """Nothing asked yet; `cards` is what is known of them already."""
        self._suspected = asyncio.Event()
        self.engines = {name: WatchedEngine(name, inner, self._suspected) for name, inner in engines.items()}
        self.changed = asyncio.Event()
        for name, card in (cards or {}).items():
            self.engines[name].card = card

    async def begin(self) -> None:
        """Ask all what they are; those that do not say are in trouble, and may be back later.

        Raises:
            EngineRefused: none can be used, and waiting mends none of them.
        """
        found = await asyncio.gather(*(engine.look() for engine in self.engines.values()))
        refused = [error for error in found if isinstance(error, EngineRefused)]
        if refused and len(refused) == len(self.engines):
            raise refused[0]

    async def keep_looking(self) -> None:
        """Look at the idle ones from time to time, and soon after a call failed; runs until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._suspected.wait()
            except TimeoutError:
                pass
            self._suspected.clear()
            before = [engine.trouble for engine in self.engines.values()]
            await asyncio.gather(*(engine.look() for engine in self.engines.values()))
            if before != [engine.trouble for engine in self.engines.values()]:
                self.changed.set()
            await asyncio.sleep(PAUSE_SECONDS)

    def usable(self) -> list[str]:
        """The names of those that can be used."""
        return [name for name, engine in self.engines.items() if not engine.trouble]

    def card(self, name: str) -> EngineCard:
        """What is known of an engine: its own words, else those of its settings, else its name."""
        engine = self.engines[name]
        stated = getattr(engine.inner, "stated", None)
        known = engine.card or (stated if isinstance(stated, EngineCard) else None)
        return known or EngineCard(model=name, family="", context_tokens=0)


def trouble_of(engine: Engine) -> str:
    """Why an engine cannot be used now, where that is known; empty for all others."""
    return engine.trouble if isinstance(engine, WatchedEngine) else ""


def reads_conversations(engine: Engine) -> bool:
    """Whether an engine reads more than the question, as far as it said; True for those that said nothing."""
    card = engine.card if isinstance(engine, WatchedEngine) else None
    return card is None or card.converses


def _reason(error: EngineError) -> str:
    """What may be shown of it: no address, no path."""
    told = re.sub(r"https?://\S+", "its server", str(error))
    return re.sub(r"(?<![\w.])['\"]?/\S+", "a file", told)[:MAX_REASON]
