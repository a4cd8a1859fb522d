"""A make-believe engine with a stated skill, for tests and simulations of whole swarms.

It is right as often as its script says, judges as well as its script says, takes as long as its script says and
misbehaves as its script says. Everything it does is a hash of (its seed, what it is asked): no global randomness, no
order of calls, no clock but the one it is given. It knows nothing of rounds; the truth is the test's and is handed in.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from waggle.core.carried import waste
from waggle.core.chat_values import ToolCall
from waggle.core.engine_values import (
    EngineCard,
    Finish,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)
from waggle.core.errors import EngineUnavailable
from waggle.engines.actor import Actor, shifted
from waggle.engines.answer import (
    answer_start,
    bounded,
    count_tokens,
    last_generation,
    self_confidence,
    split_answer,
)
from waggle.engines.script import Crasher, Hanger, Script, share

EMBEDDING_LENGTH = 64
REMEMBERED = 64


class Sleeper(Protocol):
    """What the engine needs of a clock."""

    def now(self) -> float:
        """Seconds since an arbitrary moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class ScriptedEngine:
    """An `Engine` that plays its script.

    `in_flight` counts the calls at work, `calls` those ever begun; `asked` holds the latest requests to write.
    """

    def __init__(
        self,
        script: Script,
        truth: Callable[[str], str | None] | Mapping[str, str],
        *,
        clock: Sleeper | None = None,
        kind_of: Callable[[str], str] = lambda question: "",
        wrong: Callable[[str, int], str] = shifted,
    ) -> None:
        """Play `script`.

        Args:
            script: skill, manners and speed.
            truth: the right answer to a question; a question without one is answered "I do not know".
            clock: what latency is slept on; without one no time passes.
            kind_of: the kind of a question, for skills that differ by kind.
            wrong: the wrong answer number n (from 1) for a given truth.
        """
        self.script = script
        self.calls = 0
        self.asked = deque[GenerateRequest](maxlen=REMEMBERED)
        self.in_flight = 0
        known = truth if callable(truth) else truth.get
        self._actor = Actor(script=script, truth=known, kind_of=kind_of, wrong=wrong)
        self._clock = clock
        self._closed = asyncio.Event()

    async def generate(self, request: GenerateRequest) -> Generation:
        """Answer one question as the script has it."""
        return await last_generation(self.stream(request))

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """The same, piece by piece."""
        self.asked.append(request)
        async with _Call(self) as call:
            called = self._actor.tool_calls(request)
            if called:
                await call.spend(self.script.seconds_per_token)
                yield StreamedToken(text="", generation=_calling(called, request, call.seconds))
                return
            pieces, finish = bounded(self._actor.completion(request), request)
            logprobs = [self._actor.logprob(request, index, piece) for index, piece in enumerate(pieces)]
            call.used = (_prompt_tokens(request), 0)
            for index, (piece, logprob) in enumerate(zip(pieces, logprobs, strict=True), start=1):
                await call.spend(self.script.seconds_per_token)
                call.used = (_prompt_tokens(request), index)
                yield StreamedToken(text=piece, logprob=logprob)
            call.used = (0, 0)
            text, marker = "".join(pieces), self.script.answer_marker
            trace, answer = split_answer(text, marker)
            generation = Generation(
                text=text,
                answer=answer,
                trace=trace,
                prompt_tokens=_prompt_tokens(request),
                completion_tokens=len(pieces),
                seconds=call.seconds,
                finish=finish,
                logprobs=tuple(logprobs),
                self_confidence=self_confidence(logprobs[answer_start(pieces, marker) :]),
            )
            yield StreamedToken(text="", generation=generation)

    async def judge(self, request: JudgeRequest) -> Judgement:
        """Prefer the right proposal as often as the script's judge skill says."""
        async with _Call(self) as call:
            p = self._actor.verdict(request)
            reason = self._actor.reason(p)
            spent = count_tokens(reason)
            shown = request.question + " " + request.first + " " + request.second
            call.used = (count_tokens(shown), 0)
            await call.spend(self.script.seconds_per_token * spent)
            call.used = (0, 0)
            return Judgement(
                p=p,
                reason=reason,
                prompt_tokens=count_tokens(shown),
                completion_tokens=spent,
                seconds=call.seconds,
            )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Bags of hashed words: texts that share words are near each other."""
        async with _Call(self):
            return [_bag_of_words(text) for text in texts]

    async def describe(self) -> EngineCard:
        """The script's name and skills."""
        return EngineCard(
            model=self.script.name,
            family="scripted",
            context_tokens=4_096,
            answer_marker=self.script.answer_marker,
            skills={**self.script.skills, "": self.script.skill},
            calls_tools=self.script.tool_call is not None,
        )

    async def close(self) -> None:
        """Calls at work end with EngineUnavailable, and so do later ones."""
        self._closed.set()


class _Call:
    """One call at work: counted, timed, and stopped when the engine is closed."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.seconds = 0.0
        self.used = (0, 0)  # tokens that nothing came of so far, of the prompt and of the completion
        self._engine = engine

    async def __aenter__(self) -> "_Call":
        engine = self._engine
        engine.calls += 1
        engine.in_flight += 1
        try:
            await self._misbehave()
            await self.spend(engine.script.seconds_per_call)
        except BaseException:
            engine.in_flight -= 1
            raise
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._engine.in_flight -= 1
        waste(*self.used)

    async def spend(self, seconds: float) -> None:
        engine = self._engine
        if engine._clock is not None and seconds > 0 and not engine._closed.is_set():
            started = engine._clock.now()
            await engine._clock.sleep(seconds)
            self.seconds += engine._clock.now() - started
        self._stop_if_closed()

    async def _misbehave(self) -> None:
        engine = self._engine
        match engine.script.conduct:
            case Crasher(after_calls=good) if engine.calls > good:
                raise EngineUnavailable(f"{engine.script.name} crashed after {good} calls, as its script says")
            case Hanger(after_calls=good) if engine.calls > good:
                await engine._closed.wait()

    def _stop_if_closed(self) -> None:
        if self._engine._closed.is_set():
            raise EngineUnavailable(f"{self._engine.script.name} is closed: make a new engine")


def _prompt_tokens(request: GenerateRequest) -> int:
    """Those of the whole conversation, where there is one."""
    said = [text for turn in request.turns for text in (turn.content, *(call.arguments for call in turn.tool_calls))]
    return sum(map(count_tokens, said)) if said else count_tokens(request.question)


def _calling(called: tuple[ToolCall, ...], request: GenerateRequest, seconds: float) -> Generation:
    spent = sum(count_tokens(f"{call.name} {call.arguments}") for call in called)
    return Generation(
        text="",
        answer="",
        trace="",
        prompt_tokens=_prompt_tokens(request),
        completion_tokens=min(spent, max(1, request.max_tokens)),
        seconds=seconds,
        finish=Finish.TOOL_CALLS,
        tool_calls=called,
    )


def _bag_of_words(text: str) -> list[float]:
    vector = [0.0] * EMBEDDING_LENGTH
    for word in [*text.casefold().split(), ""]:
        vector[int(share("place", word) * EMBEDDING_LENGTH)] += 1.0
    length = math.hypot(*vector)
    return [value / length for value in vector]
