"""What the checks on engines are told, and the assertions that they share."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from waggle.core.chat_values import Role, Tool, Turn
from waggle.core.engine_values import Finish, GenerateRequest, Generation, Judgement, JudgeRequest, Sampling
from waggle.core.errors import EngineRefused
from waggle.engines.protocol import Engine

POLL_S = 0.001  # between two looks at the probe

Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the checks need to know.

    Attributes:
        make_engine: a fresh engine, open; the checks close it.
        busy: how many generations, judgements or requests are under way inside the engine's machinery (for a server:
            on the server), so that work that goes on unseen is found.
        question: its completion must have at least 4 tokens and its generation take the engine some time.
        proposals: two answers to be judged.
        max_tokens: enough for the whole completion, or at least for 4 tokens.
        embeds: False where `embed` must be EngineRefused.
        judges: False where every verdict must be None at once.
        patience_s: what one check may take.
        settle_s: how soon cancelled work must have ended.
    """

    make_engine: Callable[[], Awaitable[Engine]]
    busy: Callable[[], int]
    question: str = "What is 17 + 25?"
    proposals: tuple[str, str] = ("42", "32")
    max_tokens: int = 64
    embeds: bool = True
    judges: bool = True
    patience_s: float = 50.0
    settle_s: float = 2.0

    def request(self, *, max_tokens: int | None = None, seed: int = 0, stop: tuple[str, ...] = ()) -> GenerateRequest:
        """The question; greedy, or sampled where a seed is given."""
        return GenerateRequest(
            question=self.question,
            max_tokens=max_tokens or self.max_tokens,
            sampling=Sampling(temperature=0.8, seed=seed) if seed else Sampling(),
            stop=stop,
        )

    def conversation(self) -> GenerateRequest:
        """The question as the last turn of a conversation with instructions."""
        turns = (
            Turn(role=Role.SYSTEM, content="Be brief."),
            Turn(role=Role.USER, content="Are you a bee?"),
            Turn(role=Role.ASSISTANT, content="I am."),
            Turn(role=Role.USER, content=self.question),
        )
        return msgspec.structs.replace(self.request(), turns=turns)

    def with_tools(self, choice: str = "auto") -> GenerateRequest:
        """The conversation, with a tool at hand."""
        schema = '{"type": "object", "properties": {"place": {"type": "string"}}}'
        tool = Tool(name="look_up", description="Looks something up.", parameters=schema)
        return msgspec.structs.replace(self.conversation(), tools=(tool,), tool_choice=choice)

    def pair(self) -> JudgeRequest:
        """The two proposals in the order given."""
        return JudgeRequest(question=self.question, first=self.proposals[0], second=self.proposals[1])


def typed(value: Value, shape: type[Value]) -> Value:
    """The value itself, every field of which was found to have its declared type."""
    assert type(value) is shape, f"{type(value).__name__} where {shape.__name__} is due"
    try:
        msgspec.convert(msgspec.to_builtins(value), shape)
    except (msgspec.ValidationError, TypeError) as error:
        raise AssertionError(f"{shape.__name__}: {error}") from None
    return value


def is_duration(seconds: float) -> bool:
    """Whether this can be how long something took."""
    return math.isfinite(seconds) and seconds >= 0


def assert_judgement(judged: Judgement) -> None:
    """Every field of a judgement is in range."""
    typed(judged, Judgement)
    assert judged.p is None or 0 <= judged.p <= 1, f"P is {judged.p}"
    assert min(judged.prompt_tokens, judged.completion_tokens) >= 0, "a negative number of tokens"
    assert is_duration(judged.seconds), f"took {judged.seconds} seconds"


def assert_calls(done: Generation, asked: GenerateRequest) -> None:
    """The calls of a generation name tools that were offered, each has an id of its own, and the end says so."""
    typed(done, Generation)
    offered = {tool.name for tool in asked.tools}
    assert all(call.name in offered for call in done.tool_calls), f"it calls {[call.name for call in done.tool_calls]}"
    ids = [call.id for call in done.tool_calls]
    assert all(ids), "a call without an id"
    assert len(set(ids)) == len(ids), f"the calls have the ids {ids}"
    assert (done.finish is Finish.TOOL_CALLS) == bool(ids), f"{len(ids)} calls, but it finished with {done.finish}"


async def assert_refuses_to_embed(engine: Engine, texts: list[str]) -> None:
    """An engine without embeddings says so by EngineRefused."""
    try:
        await engine.embed(texts)
    except EngineRefused:
        return
    raise AssertionError("it embeds, though said not to")


async def assert_cancellable(work: Coroutine[None, None, Generation | Judgement], subject: Subject) -> None:
    """Cancelling the task ends it by CancelledError, and its work as well."""
    task = await begun(work, subject)
    task.cancel()
    ended = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(ended, asyncio.CancelledError), f"cancelled, it came back with {ended!r}"
    await assert_idle(subject, "after it was cancelled")


async def begun(work: Coroutine[None, None, Result], subject: Subject) -> asyncio.Task[Result]:
    """A task whose work the probe has seen under way."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)  # short work in another thread may be over before the first look after a pause
    while subject.busy() == 0:
        await asyncio.sleep(POLL_S)
        assert not task.done(), "cannot be checked: it was done before it was seen at work; ask for more"
    return task


async def assert_idle(subject: Subject, when: str) -> None:
    """No work is under way any more, or none after `settle_s`."""
    for _ in range(max(1, round(subject.settle_s / POLL_S))):
        if subject.busy() == 0:
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{when}, {subject.busy()} pieces of work still went on")
