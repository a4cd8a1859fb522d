"""The engine behind an OpenAI-compatible server, on real sockets: conformance, faults, and connections that end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from waggle.core.chat_values import Role, Tool, ToolCall, Turn
from waggle.core.engine_values import Finish, GenerateRequest, JudgeRequest
from waggle.core.errors import EngineError, EngineRefused, EngineUnavailable
from waggle.engines.openai.bounded_http import HttpBounds
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.protocol import Engine
from waggle.testing.check_engine import CHECKS, Check, run_check
from waggle.testing.engine_subject import Subject
from waggle.testing.openai_server import Fault, OpenAIServer, plain_reply, serve_openai

pytestmark = pytest.mark.network

CALM = HttpBounds(retries=1, backoff_s=0.01, max_body_bytes=2**18)
IMPATIENT = {
    Fault.HANG: msgspec.structs.replace(CALM, read_s=0.8),
    Fault.DRIP: msgspec.structs.replace(CALM, total_s=0.8),
}
QUESTION = GenerateRequest(question="What is 17 + 25?", max_tokens=64)
PAIR = JudgeRequest(question="What is 17 + 25?", first="42", second="41")
ANSWER = plain_reply(QUESTION.question)


def reply(prompt: str) -> str:
    """Answers questions, and judges where it is asked for a verdict."""
    return "Looked at both. Verdict: B" if "Verdict: tie" in prompt else plain_reply(prompt)


@asynccontextmanager
async def connected(bounds: HttpBounds = CALM) -> AsyncIterator[tuple[OpenAIServer, OpenAIHttpEngine]]:
    async with serve_openai(reply) as server:
        engine = OpenAIHttpEngine(settings_for(server, bounds))
        try:
            yield server, engine
            assert engine.in_flight == 0
            await server.until(lambda: server.busy == 0)
        finally:
            await engine.close()


def settings_for(server: OpenAIServer, bounds: HttpBounds = CALM) -> ServerSettings:
    return ServerSettings(base_url=server.base_url, model="test-model", answer_marker="Answer:", bounds=bounds)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("complete", [True, False], ids=["a complete server", "a server without extras"])
def test_the_engine_conforms(check: Check, complete: bool) -> None:
    async def scene() -> None:
        async with serve_openai(reply) as server:
            server.seconds_per_token = 0.002
            server.logprobs = server.usage = server.embeddings = server.obeys_limits = complete

            async def make_engine() -> Engine:
                return OpenAIHttpEngine(settings_for(server))

            await run_check(check, Subject(make_engine=make_engine, busy=lambda: server.busy, embeds=complete))

    asyncio.run(scene())


async def test_an_answer_comes_with_counts_and_confidence() -> None:
    async with connected() as (_, engine):
        done = await engine.generate(QUESTION)
        assert (done.text, done.answer, done.finish) == (ANSWER, "16", Finish.STOP)
        assert (done.prompt_tokens, done.completion_tokens, len(done.logprobs)) == (5, 13, 13)
        assert done.self_confidence == pytest.approx(0.9)


async def test_a_judge_gives_the_probability_of_its_verdicts_token() -> None:
    async with connected() as (server, engine):
        assert (await engine.judge(PAIR)).p == pytest.approx(0.8)
        server.logprobs = False
        assert (await engine.judge(PAIR)).p == 0.0


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.SERVER_ERROR])
async def test_a_passing_trouble_is_outlived(fault: Fault) -> None:
    async with connected() as (server, engine):
        server.faults.append(fault)
        assert (await engine.generate(QUESTION)).text == ANSWER
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "complaint"),
    [
        (Fault.TOO_MANY, EngineUnavailable, "too much to do"),
        (Fault.SERVER_ERROR, EngineUnavailable, "failed inside"),
        (Fault.BAD_REQUEST, EngineRefused, "status 400"),
        (Fault.UNAUTHORIZED, EngineRefused, "environment variable"),
        (Fault.REDIRECT, EngineRefused, "final address"),
        (Fault.HANG, EngineUnavailable, "sent nothing for 0.8 s"),
        (Fault.GARBAGE, EngineRefused, "wrong shape"),
        (Fault.WRONG_SHAPE, EngineRefused, "wrong shape"),
        (Fault.OVERSIZE, EngineRefused, "more than 262144 bytes"),
        (Fault.LONG_LINE, EngineRefused, "more than 262144 bytes"),
        (Fault.DRIP, EngineUnavailable, "did not finish within 0.8 s"),
        (Fault.DISCONNECT, EngineUnavailable, "broke"),
        (Fault.MID_ERROR, EngineUnavailable, "in the middle"),
        (Fault.GZIP, EngineRefused, "compressed"),
    ],
)
async def test_a_fault_is_one_clear_sentence_and_the_engine_lives_on(
    fault: Fault, kind: type[EngineError], complaint: str
) -> None:
    async with connected(IMPATIENT.get(fault, CALM)) as (server, engine):
        server.faults.extend([fault] * 3)
        with pytest.raises(kind, match=complaint) as caught:
            await engine.generate(QUESTION)
        assert caught.match(r"^[^\n]{20,200}$")
        assert "secret" not in str(caught.value)
        server.faults.clear()
        assert (await engine.generate(QUESTION)).text == ANSWER
        assert not any("elsewhere" in asked.path for asked in server.asked)


@pytest.mark.parametrize("fault", [Fault.OVERSIZE, Fault.GARBAGE, Fault.HANG, Fault.REDIRECT, Fault.SERVER_ERROR])
async def test_every_kind_of_call_survives_a_fault(fault: Fault) -> None:
    async with connected(IMPATIENT.get(fault, CALM)) as (server, engine):
        for call in (engine.judge(PAIR), engine.embed(["bee"]), engine.describe()):
            server.faults.extend([fault] * 2)
            with pytest.raises(EngineError):
                await call
            server.faults.clear()


async def test_a_line_without_end_is_cut_off_at_its_own_bound() -> None:
    async with connected(HttpBounds(max_line_bytes=100_000)) as (server, engine):
        server.faults.append(Fault.LONG_LINE)
        with pytest.raises(EngineRefused, match="a line over 100000 bytes"):
            await engine.generate(QUESTION)


async def test_nobody_listening_is_a_clear_sentence() -> None:
    async with connected() as (server, _):
        settings = msgspec.structs.replace(settings_for(server), base_url="http://127.0.0.1:1/v1")
        with pytest.raises(EngineUnavailable, match=r"127.0.0.1:1/v1 cannot be reached.*tried 2 times"):
            await OpenAIHttpEngine(settings).generate(QUESTION)


async def test_cancelling_closes_the_connection_while_the_server_still_thinks() -> None:
    async with connected() as (server, engine):
        server.faults.append(Fault.HANG)
        task = asyncio.create_task(engine.generate(QUESTION))
        await server.until(lambda: len(server.asked) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until(lambda: server.busy == 0)
        assert server.abandoned == 1


@pytest.mark.parametrize("leave", ["cancel", "close"])
def test_no_connection_is_left_over_at_whatever_moment_a_call_ends(leave: str) -> None:
    async def end_after(turns: int, server: OpenAIServer) -> None:
        engine = OpenAIHttpEngine(settings_for(server))
        task = asyncio.create_task(engine.generate(QUESTION))
        for _ in range(turns):
            await asyncio.sleep(0)
        if leave == "cancel":
            task.cancel()
        await engine.close()
        await asyncio.gather(task, return_exceptions=True)
        assert engine.in_flight == 0
        await server.until(lambda: server.busy == 0)

    async def scene() -> None:
        async with serve_openai(reply) as server:
            for turns in range(30):
                await end_after(turns, server)

    asyncio.run(scene())


async def test_a_stop_string_that_the_server_ignores_closes_the_connection() -> None:
    async with connected() as (server, engine):
        server.obeys_limits = False
        server.seconds_per_token = 0.005
        done = await engine.generate(msgspec.structs.replace(QUESTION, stop=("words",)))
        assert done.text == "I read 5 "
        await server.until(lambda: server.busy == 0)
        assert server.abandoned == 1


async def test_more_calls_than_there_are_places_all_get_their_turn() -> None:
    async with connected(HttpBounds(max_connections=3)) as (_, engine):
        done = await asyncio.gather(*(engine.generate(QUESTION) for _ in range(20)))
        assert {generation.text for generation in done} == {ANSWER}


async def test_a_proxy_in_the_environment_never_sees_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async with connected() as (_, engine):
        assert (await engine.generate(QUESTION)).text == ANSWER


async def test_the_card_is_what_the_server_tells() -> None:
    async with connected() as (_, engine):
        card = await engine.describe()
        assert (card.model, card.family, card.context_tokens) == ("test-model", "test", 2_048)


# --- conversations and tools ------------------------------------------------------------------------------------------

WEATHER = Tool(name="weather", description="Tells the weather.", parameters='{"type": "object"}')


async def test_a_model_calls_a_tool_and_answers_what_came_of_it() -> None:
    async with connected() as (server, engine):
        server.tool = "weather"
        asked = msgspec.structs.replace(QUESTION, tools=(WEATHER,))
        made = await engine.generate(asked)
        call = ToolCall(id="call_1", name="weather", arguments='{"place": "the hive"}')
        assert (made.tool_calls, made.finish, made.text) == ((call,), Finish.TOOL_CALLS, "")
        turns = (
            Turn(role=Role.USER, content=QUESTION.question),
            Turn(role=Role.ASSISTANT, content="", tool_calls=made.tool_calls),
            Turn(role=Role.TOOL, content="rain", tool_call_id=call.id),
        )
        answered = await engine.generate(msgspec.structs.replace(asked, turns=turns))
        assert (answered.text, answered.finish) == (plain_reply("rain"), Finish.STOP)
        sent = server.asked[-1].chat()
        assert [message.role for message in sent.messages] == ["user", "assistant", "tool"]
        assert sent.messages[1].tool_calls[0].id == sent.messages[2].tool_call_id == "call_1"


@pytest.mark.parametrize(
    "deltas",
    [
        [{"index": 0, "id": "1", "function": {"name": "rm", "arguments": "{}"}}],
        [{"index": 0, "id": "1", "function": {"name": "weather", "arguments": {"place": 1}}}],
        [{"index": 10**9, "id": "1", "function": {"name": "weather", "arguments": "{}"}}],
        [{"index": n, "id": f"{n}", "function": {"name": "weather", "arguments": "x" * 60_000}} for n in range(5)],
    ],
    ids=["not offered", "no text", "a great index", "too long"],
)
async def test_a_server_that_calls_wrongly_is_refused(deltas: list[dict[str, object]]) -> None:
    async with connected(msgspec.structs.replace(CALM, max_body_bytes=2**22)) as (server, engine):
        server.tool_deltas = deltas
        with pytest.raises(EngineRefused):
            await engine.generate(msgspec.structs.replace(QUESTION, tools=(WEATHER,)))


async def test_a_server_that_calls_although_nothing_was_offered_is_refused() -> None:
    async with connected() as (server, engine):
        server.tool_deltas = [{"index": 0, "id": "1", "function": {"name": "weather", "arguments": "{}"}}]
        with pytest.raises(EngineRefused, match="not offered"):
            await engine.generate(QUESTION)
