"""Tokens of calls that came to nothing are counted, as far as the engine knows them, and never twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import httpx
import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.carried import counting_waste, waste
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, Record
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.protocol import Engine
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.chance import draw
from waggle.node.rounds.swarm import Swarm
from waggle.strategies.machine import check_record
from waggle.strategies.ways import begin
from waggle.testing.clock import VirtualClock

QUESTION = "What is 6 * 7?"  # five words
ASKED = GenerateRequest(question=QUESTION, max_tokens=64)
TRUTH = {QUESTION: "42"}
EVENT = b'data: {"choices": [{"delta": {"content": " word"}}]}\n\n'
BUDGET = Budget(seconds=10.0)


def engine(name: str, *, seconds_per_token: float) -> ScriptedEngine:
    script = Script(name=name, skill=1.0, seconds_per_token=seconds_per_token)
    return ScriptedEngine(script, TRUTH, clock=VirtualClock())


@in_virtual_time
async def round_of(**engines: Engine) -> Record:
    """A round of ten seconds; it can be replayed, whatever was wasted."""
    swarm = Swarm({NodeId(name): engine for name, engine in engines.items()}, clock=VirtualClock())
    record = await swarm.ask(QUESTION, AskOptions(strategy="vote", budget=BUDGET, min_confidence=0.0))
    check_record(begin(record.plan), record, draw)
    return record


class Breaks(ScriptedEngine):
    """Dies after three words."""

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        count = 0
        async with aclosing(super().stream(request)) as tokens:
            async for token in tokens:
                count += 1
                if count > 3:
                    raise EngineUnavailable("the server broke the connection")
                yield token


def test_a_round_in_which_nothing_fails_wastes_nothing() -> None:
    record = round_of(a=engine("a", seconds_per_token=0.1), b=engine("b", seconds_per_token=0.1))
    assert (record.wasted_tokens, record.wasted_prompt_tokens) == (0, 0)
    assert record.outcome.spent.proposing_tokens > 0


def test_what_a_call_had_used_when_the_time_was_over_is_counted() -> None:
    record = round_of(a=engine("a", seconds_per_token=0.1), slow=engine("slow", seconds_per_token=1.5))
    assert "slow" in record.outcome.failures
    assert record.wasted_prompt_tokens == 5
    assert 5 + 2 <= record.wasted_tokens <= 5 + 8


def test_what_a_call_had_used_when_it_failed_is_counted() -> None:
    breaks = Breaks(Script(name="b", skill=1.0), TRUTH)
    record = round_of(a=engine("a", seconds_per_token=0.1), b=breaks)
    assert record.outcome.failures.keys() == {"b"}
    assert (record.wasted_tokens, record.wasted_prompt_tokens) == (5 + 4, 5)


class Server(httpx.AsyncBaseTransport):
    """Writes four words, and then breaks off or says nothing more."""

    def __init__(self, *, breaks: bool) -> None:
        self.breaks = breaks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Words(self.breaks))


class Words(httpx.AsyncByteStream):
    def __init__(self, breaks: bool) -> None:
        self.breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(4):
            yield EVENT
        if self.breaks:
            raise httpx.ReadError("gone")
        await asyncio.sleep(1e6)


@pytest.mark.parametrize("breaks", [True, False])
@in_virtual_time
async def test_what_a_server_had_written_before_it_died_or_hung_is_counted(breaks: bool) -> None:
    settings = ServerSettings(base_url="http://bees.test/v1", model="bee")
    server = OpenAIHttpEngine(settings, transport=Server(breaks=breaks))
    with counting_waste() as wasted:
        try:
            async with asyncio.timeout(5.0):
                await server.generate(replace(ASKED, question="x" * 40))
        except (TimeoutError, EngineUnavailable):
            pass
    assert (wasted.prompt_tokens, wasted.tokens) == (10, 14)


@in_virtual_time
async def test_a_server_that_is_never_reached_costs_nothing() -> None:
    class Nowhere(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("nobody")

    settings = ServerSettings(base_url="http://bees.test/v1", model="bee")
    with counting_waste() as wasted, pytest.raises(EngineUnavailable):
        await OpenAIHttpEngine(settings, transport=Nowhere()).generate(ASKED)
    assert wasted.tokens == 0


async def test_counts_inside_counts_are_told_to_the_outer_one_and_to_tasks() -> None:
    async def work() -> None:
        waste(2, 1)

    waste(100, 100)  # nobody counts
    with counting_waste() as outer:
        with counting_waste() as inner:
            await asyncio.gather(asyncio.create_task(work()), asyncio.create_task(work()))
        waste(0, 5)
    assert (inner.prompt_tokens, inner.tokens) == (4, 6)
    assert (outer.prompt_tokens, outer.tokens) == (4, 11)
