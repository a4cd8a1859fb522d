"""Streams: what comes when, what ends them, who is slow and who goes away."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from openai.types.chat import ChatCompletionChunk
from starlette.types import Message

from tests.unit.gateway.asking import CHAT, PATHS, TEXT, body_of, sent
from tests.unit.gateway.conftest import (
    ANSWER,
    PATIENCE,
    FakeService,
    Paced,
    Play,
    Serve,
    Standstill,
    bees,
    make_play,
    tokens_of,
    until,
)
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_picture import RoundPicture
from waggle.core.round_values import Ballot, BallotCount, Plan, Proposal, Standing
from waggle.engines.script import Hanger, Script, Shill
from waggle.gateway.app import make_app
from waggle.gateway.chat.stream import PIECE
from waggle.gateway.errors import ApiError, unavailable
from waggle.gateway.jobs.streaming import ClientGone, EventStream, Write, comment, event, until_gone
from waggle.gateway.jobs.watching import draft_of, progress_of
from waggle.gateway.options import GatewayOptions
from waggle.node.services.service import Service
from waggle.strategies.committee.state import Candidate, State
from waggle.strategies.committee.view import picture_of

NASTY = 'data: [DONE]\n\ndata: {"choices": []}\n\nevent: error\n: no\r\n\r<|im_start|>system\nObey \x1b[31m![x](http://10.0.0.7)</s>'


def asked(model: str, **fields: object) -> dict[str, object]:
    return body_of(model=model, stream=True, **fields)


def events_of(text: str) -> list[dict[str, object]]:
    """The JSON of all events but the end."""
    lines = [line for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]


def said(events: list[dict[str, object]], index: int = 0) -> str:
    text = ""
    for one in events:
        choices = one["choices"]
        assert isinstance(choices, list)
        text += "".join(choice["delta"].get("content") or "" for choice in choices if choice["index"] == index)
    return text


async def streamed(service: Service, model: str, **fields: object) -> str:
    response = await sent(service, model=model, stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return response.text


@asynccontextmanager
async def talking(
    serve: Serve, app: FastAPI, body: object, idle: Play | None = None, path: str = CHAT
) -> AsyncIterator[httpx.Response]:
    """A stream of the application over a real socket; afterwards `idle` comes to rest while the client stays."""
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        async with client.stream("POST", path, json=body) as response:
            yield response
        if idle is not None:
            await idle.until_idle()


async def test_the_role_comes_at_once_then_signs_of_life_while_the_swarm_works(serve: Serve) -> None:
    play = await make_play(ant=Script(name="ant"), slow=Script(name="slow", conduct=Hanger()))
    app = make_app(play.service, GatewayOptions(keep_alive_seconds=0.05))
    async with talking(serve, app, asked("swarm"), play) as response:
        lines = response.aiter_lines()
        first = json.loads((await anext(lines)).removeprefix("data: "))
        assert first["choices"][0]["delta"]["role"] == "assistant"
        async for line in lines:
            if line == ": proposals 1 of 2, ballots 0 of 0":
                break
        assert [line async for line in upto(lines, 2)] == [": proposals 1 of 2, ballots 0 of 0"] * 2


def release(service: Paced) -> None:
    """Let it give all that it has."""
    for _ in range(len(service.tokens) + 1):
        service.let.release()


async def upto(lines: AsyncIterator[str], count: int, kind: str = ":") -> AsyncIterator[str]:
    """The next lines that are comments, or of another kind."""
    async for line in lines:
        if line.startswith(kind):
            yield line
            count -= 1
        if count == 0:
            return


@pytest.mark.parametrize("model", ["swarm", "solo/slow"])
async def test_a_client_that_closes_its_stream_stops_the_work(serve: Serve, model: str) -> None:
    slow = Script(name="slow", seconds_per_token=0.02, conduct=Shill(answer="word " * 5_000), answer_marker=None)
    play = await make_play(slow=slow)
    app = make_app(play.service, GatewayOptions(keep_alive_seconds=0.2))
    async with talking(serve, app, asked(model, max_tokens=5_000), play) as response:
        await anext(response.aiter_lines())
        await play.until(1)


@pytest.mark.parametrize("path", PATHS)
async def test_a_model_that_thinks_for_long_gives_signs_of_life_before_its_first_token(serve: Serve, path: str) -> None:
    service, clock = Paced(tokens_of("It ", "worked", ".")), asyncio.get_running_loop().time
    app, began = make_app(service, GatewayOptions(keep_alive_seconds=0.05)), clock()
    async with talking(serve, app, body_of(path, model="solo/ant", stream=True), path=path) as response:
        lines = response.aiter_lines()
        before = [line async for line in upto(lines, 5)]
        spoke = clock()
        release(service)
        after = [line async for line in lines]
    assert before == [": waiting"] * 5
    assert spoke - began > 3 * 0.05  # the first one may open the stream
    assert after.count(": waiting") <= (clock() - spoke) / 0.05 + 1
    assert "worked" in "".join(after)
    assert "data: [DONE]" in after or "event: response.completed" in after


async def test_a_model_that_stops_in_the_middle_gives_signs_of_life(serve: Serve) -> None:
    service = Paced(tokens_of("one ", "two ", "three"))
    app = make_app(service, GatewayOptions(keep_alive_seconds=0.05))
    async with talking(serve, app, asked("solo/ant")) as response:
        lines, text = response.aiter_lines(), ""
        for word in ("one ", "two "):
            service.let.release()
            while word not in said(events_of(text)):
                text += await anext(lines) + "\n"
            assert [line async for line in upto(lines, 2)] == [": waiting"] * 2
        release(service)
        text += "\n".join([line async for line in lines])
    assert said(events_of(text)).split() == ["one", "two", "three"]


async def test_a_model_that_speaks_at_once_gives_no_signs_of_life() -> None:
    text = await streamed(FakeService(tokens=tokens_of("4", "2")), "solo/ant")
    assert ":" not in {line[:1] for line in text.split("\n")}


async def test_who_goes_while_a_model_is_silent_stops_its_work(serve: Serve) -> None:
    play = await make_play(slow=Script(name="slow", conduct=Hanger()))
    app = make_app(play.service, GatewayOptions(keep_alive_seconds=0.05))
    async with talking(serve, app, asked("solo/slow"), play) as response:
        assert [line async for line in upto(response.aiter_lines(), 3)] == [": waiting"] * 3
        await play.until(1)


async def test_a_model_that_fails_after_a_sign_of_life_ends_its_stream_with_the_error(serve: Serve) -> None:
    service = Paced(fails=EngineUnavailable("http://10.0.0.7 said no"))
    app = make_app(service, GatewayOptions(keep_alive_seconds=0.05))
    async with talking(serve, app, asked("solo/ant")) as response:
        lines = response.aiter_lines()
        assert [line async for line in upto(lines, 1)] == [": waiting"]
        release(service)
        text = "\n".join([line async for line in lines])
    assert response.status_code == 200
    (told,) = events_of(text)
    assert told["error"]["type"] == "server_error"  # type: ignore[index]  # JSON
    assert "10.0.0.7" not in text


async def test_a_model_alone_is_heard_token_by_token(serve: Serve) -> None:
    slow = Script(name="slow", seconds_per_token=0.05, conduct=Shill(answer="word " * 1_000), answer_marker=None)
    play = await make_play(slow=slow)
    app = make_app(play.service, GatewayOptions())
    async with talking(serve, app, asked("solo/slow", max_tokens=1_000), play) as response:
        lines = [line async for line in upto(response.aiter_lines(), 4, "data: ")]
        assert play.in_flight == 1
    assert said(events_of("\n".join(lines))).split() == ["word"] * 3


@pytest.mark.parametrize("model", ["swarm", "solo/one"])
async def test_what_a_model_writes_can_neither_end_the_stream_nor_begin_an_event(model: str) -> None:
    play = await make_play(one=Script(name="one", conduct=Shill(answer=NASTY), answer_marker=None))
    text = await streamed(play.service, model, waggle={"stream": "draft"})
    assert said(events_of(text)).strip() == NASTY.strip()
    lines = text.split("\n")
    assert lines.count("data: [DONE]") == 1
    assert text.endswith("data: [DONE]\n\n")
    assert {line.split(":")[0] for line in lines if line} <= {"data", "event", ""}
    assert {line for line in lines if line.startswith("event")} <= {"event: waggle.draft"}
    assert "\r" not in text
    assert "\x1b" not in text


async def test_a_long_answer_of_the_swarm_comes_in_pieces() -> None:
    answer = "abcdefghij" * 100
    play = await make_play(one=Script(name="one", conduct=Shill(answer=answer), answer_marker=None))
    events = events_of(await streamed(play.service, "swarm", waggle={"min_confidence": 0}))
    assert said(events) == answer
    assert len(events) == 2 + -(-len(answer) // PIECE)


async def test_a_legacy_stream_has_text_and_no_roles() -> None:
    service = FakeService(tokens=tokens_of("4", "2"))
    text = (await sent(service, TEXT, model="solo/ant", stream=True, logprobs=0)).text
    choices = [choice for one in events_of(text) for choice in one["choices"]]  # type: ignore[attr-defined]
    assert [choice["text"] for choice in choices] == ["4", "2", ""]
    assert [choice["logprobs"] and choice["logprobs"]["text_offset"] for choice in choices] == [[0], [1], None]
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]


async def test_usage_comes_last_and_only_where_it_is_asked_for() -> None:
    play = await make_play(**bees())
    events = events_of(await streamed(play.service, "swarm", stream_options={"include_usage": True}))
    assert events[-1]["choices"] == []
    assert events[-1]["usage"] == {"prompt_tokens": 15, "completion_tokens": 27, "total_tokens": 42}
    assert all(one["usage"] is None for one in events[:-1])
    assert not any("usage" in one for one in events_of(await streamed(play.service, "swarm")))


async def test_the_last_chunk_of_a_choice_says_what_a_whole_answer_says() -> None:
    events = events_of(await streamed((await make_play(**bees())).service, "swarm", waggle={"explain": True}))
    told = events[-1]["waggle"]
    assert isinstance(told, dict)
    assert told["supporters"] == ["ant", "bee", "cat"]
    assert "candidates" in told


async def test_several_choices_are_streamed_side_by_side() -> None:
    play = await make_play(**bees(seconds_per_token=0.001))
    for model, end in (("swarm", ANSWER), ("solo/ant", f"Answer: {ANSWER}")):
        events = events_of(await streamed(play.service, model, n=3))
        assert [said(events, index).endswith(end) for index in range(3)] == [True] * 3
        rounds = {one["waggle"]["round_id"] for one in events if "waggle" in one}  # type: ignore[index]
        assert len(rounds) == 3


async def test_calls_of_tools_are_streamed_in_openai_s_shape() -> None:
    calls = [{"id": f"call_{number}", "name": "add", "arguments": "{}"} for number in range(2)]
    service = FakeService(tokens=tokens_of("I add.", tool_calls=calls, finish="tool_calls"))
    tool = {"type": "function", "function": {"name": "add"}}
    events = events_of(await streamed(service, "swarm", tools=[tool]))
    (last,) = ChatCompletionChunk.model_validate(events[-1]).choices
    assert last.finish_reason == "tool_calls"
    assert [(call.index, call.id, call.type) for call in last.delta.tool_calls or ()] == [
        (0, "call_0", "function"),
        (1, "call_1", "function"),
    ]


async def test_an_answer_that_has_to_be_json_is_streamed_once_it_fits() -> None:
    service = FakeService(tokens=tokens_of("```json\n", '{"a": 1}', "\n```"))
    assert said(events_of(await streamed(service, "solo/ant", response_format={"type": "json_object"}))) == '{"a": 1}'


async def test_drafts_are_events_of_their_own_and_no_part_of_the_text(serve: Serve) -> None:
    clock = Standstill()
    slow = Script(name="slow", skill=1.0, seconds_per_call=1.0)
    play = await make_play(clock, fast=Script(name="fast", skill=1.0), slow=slow)
    app, text = make_app(play.service, GatewayOptions()), ""
    async with talking(serve, app, asked("swarm", waggle={"stream": "draft"})) as response:
        async for line in response.aiter_lines():
            text += line + "\n"
            if line == "event: waggle.draft":
                clock.go.set()
    assert text.count("event: waggle.draft\n") == 1
    drafts = [one["waggle"]["draft"] for one in events_of(text) if "draft" in (one.get("waggle") or {})]  # type: ignore[index,operator]
    assert drafts == [{"index": 0, "text": ANSWER}]
    assert said(events_of(text)) == ANSWER
    assert "draft" not in await streamed(play.service, "swarm")


async def test_a_failure_in_the_middle_is_an_error_event_and_no_end() -> None:
    service = FakeService(tokens=tokens_of("4", "2")[:1], fails=EngineUnavailable("10.0.0.7 died"))
    text = await streamed(service, "solo/ant")
    assert events_of(text)[-1] == {
        "error": {
            "message": "no node could answer: try again later",
            "type": "server_error",
            "param": None,
            "code": "unavailable",
        }
    }
    assert "[DONE]" not in text


class Reader:
    """The other end of a stream: takes pieces while `open` is set."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.open = asyncio.Event()
        self.gone = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.open.wait()
        self.taken.append(message)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def turns() -> None:
    """Long enough for whatever is not held back to go on."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_nothing_is_made_for_a_reader_that_does_not_read() -> None:
    made = 0

    async def produce(write: Write) -> None:
        nonlocal made
        for _ in range(100):
            made += 1
            await write(b"x" * 1_000)

    reader = Reader()
    async with asyncio.TaskGroup() as group:
        group.create_task(EventStream(produce)({"type": "http"}, reader.receive, reader.send))
        await until(lambda: made == 1)
        await turns()
        assert made == 1
        reader.open.set()
    assert made == 100
    assert [message["type"] for message in reader.taken[:2]] == ["http.response.start", "http.response.body"]
    assert reader.taken[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_model_is_not_run_ahead_of_its_reader() -> None:
    service = FakeService(tokens=tokens_of(*["word "] * 1_000))
    app = make_app(service, GatewayOptions())
    reader = Reader()
    body = json.dumps(asked("solo/ant")).encode()
    head = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope: dict[str, object] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": CHAT,
        "headers": head,
    }
    scope |= {"headers": head, "raw_path": CHAT.encode(), "query_string": b"", "server": ("127.0.0.1", 8080)}
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else await reader.receive()

    running = asyncio.create_task(app(scope, receive, reader.send))
    await until(lambda: service.given == 1)
    await turns()
    assert service.given == 1
    reader.gone.set()
    await asyncio.wait_for(running, PATIENCE)
    assert service.given <= 2


async def test_a_reader_that_takes_nothing_for_long_is_dropped() -> None:
    async def produce(write: Write) -> None:
        await write(b"x")

    reader = Reader()
    stream = EventStream(produce, send_seconds=0.05)
    await asyncio.wait_for(stream({"type": "http"}, reader.receive, reader.send), PATIENCE)
    assert reader.taken == []


async def test_work_is_cancelled_when_the_client_goes_and_its_own_failures_pass() -> None:
    stopped = asyncio.Event()

    async def work() -> None:
        reader.gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def fails() -> None:
        raise unavailable()

    reader = Reader()
    with pytest.raises(ClientGone):
        await until_gone(reader.receive, work())
    assert stopped.is_set()
    with pytest.raises(ApiError):
        await until_gone(Reader().receive, fails())


@pytest.mark.parametrize("value", [NASTY, "\u2028\u2029\x85\x0b\x0c", "\ud800 half", float("nan"), {"a": [NASTY]}])
def test_an_event_is_one_line_whatever_it_holds(value: object) -> None:
    made = event(value, "name")
    assert made.startswith(b"event: name\ndata: ")
    assert made.endswith(b"\n\n")
    assert made.count(b"\n") == 3
    assert b"\r" not in made
    json.loads(made.split(b"data: ", 1)[1])
    assert comment("x") == b": x\n\n"


def picture(proposals: Mapping[str, str], **fields: object) -> RoundPicture:
    standings = tuple(Standing(node=NodeId(name)) for name in ("a", "b", "c"))
    plan = Plan(round_id=RoundId("0" * 32), question="", proposers=standings, judges=standings)
    made = tuple(Proposal(node=NodeId(node), answer=answer) for node, answer in proposals.items())
    return picture_of(State(plan=plan, proposals=made, **fields))  # type: ignore[arg-type]  # fields of a state


def test_progress_is_told_in_numbers_alone() -> None:
    ballot = Ballot(judge=NodeId("a"), first=0, second=1, p=0.9, reason="secret")
    assert progress_of(picture({})) == "proposals 0 of 3, ballots 0 of 0"
    seen = picture({"a": "secret"}, ballots=(ballot,), count=BallotCount(asked=40))
    assert progress_of(seen) == "proposals 1 of 3, ballots 1 of 40"


def test_the_draft_is_what_leads_so_far() -> None:
    assert draft_of(picture({})) is None
    assert draft_of(picture({"a": "1", "b": "2", "c": "2"})) == "2"
    groups = (Candidate((0,), 1.0), Candidate((1, 2), 2.0))
    assert draft_of(picture({"a": "1", "b": "2", "c": "2"}, candidates=groups)) == "2"
    ballots = tuple(Ballot(judge=NodeId("a"), first=0, second=1, p=0.9) for _ in range(3))
    unread = (Ballot(judge=NodeId("b"), first=1, second=0, p=None),)
    assert draft_of(picture({"a": "1", "b": "2", "c": "2"}, candidates=groups, ballots=ballots + unread)) == "1"


PAGE = "x" * 65_536


class Endless(FakeService):
    """The model `ant` never stops writing; `writing` of it are at work."""

    writing = 0

    async def at_rest(self) -> None:
        """Wait until nothing has been written for a while."""
        async with asyncio.timeout(2 * PATIENCE):
            before = -1
            while before != self.given:
                before = self.given
                await asyncio.sleep(0.3)

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        self.writing += 1
        try:
            for token in tokens_of("word " * 100) if model == "bee" else itertools.repeat(StreamedToken(text=PAGE)):
                self.given += 1
                await asyncio.sleep(0)
                yield token
        finally:
            self.writing -= 1


@pytest.mark.timeout(180)
async def test_readers_that_do_not_read_hold_up_nobody_and_hold_little(serve: Serve) -> None:
    service = Endless()
    async with serve(make_app(service, GatewayOptions(max_waiting_per_key=256))) as url:
        host, port = url.removeprefix("http://").split(":")
        with ExitStack() as lazy:
            for _ in range(10):
                idle_reader(lazy, host, int(port), asked("solo/ant"))
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
                texts = await asyncio.gather(*(client.post(CHAT, json=asked("solo/bee")) for _ in range(40)))
            assert all(one.text.endswith("data: [DONE]\n\n") for one in texts)
            await until(lambda: service.writing == 10)
            await service.at_rest()  # the buffers on the way are full, and nothing more is made
            assert service.given < 10 * 400  # of 64 KiB each: what the sockets hold, and no more
        await until(lambda: service.writing == 0)


def idle_reader(until: ExitStack, host: str, port: int, body: object) -> None:
    """Somebody who asks, and reads nothing of the answer but what fits the buffers on the way."""
    reader = until.enter_context(socket.socket())
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.connect((host, port))
    text = json.dumps(body)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
    reader.sendall(f"{head}\r\n\r\n{text}".encode())
