"""The gateway's bench: its clients read what servers write, and its counts find what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice

import pytest

from waggle.bench.gateway.http import Crowd, Reply, Target, connect, read_reply, run_crowd
from waggle.bench.gateway.load import Load, load_goals
from waggle.bench.gateway.processes import OPTILLM, PYTHONS, start_stub, why_not
from waggle.bench.gateway.suite import GatewayBench, run_gateway_bench
from waggle.bench.gateway.values import TWICE, UNREADABLE, WRONG, Matching, Pairs, crowd_row, questions, ratio_row
from waggle.core.errors import PeerUnreachable, UsageError

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 429 Too Many\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
ENDLESS = b"HTTP/1.0 200 OK\r\n\r\nhi"


@asynccontextmanager
async def answering(*answers: bytes, stays: bool = True) -> AsyncIterator[str]:
    """A server that answers one connection after the other with these bytes, then waits for the end, or closes."""

    left, visits = list(answers), set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # a client that gives up
            await reader.readuntil(b"\r\n\r\n")
            writer.write(left.pop(0))
            await writer.drain()
            if stays:
                await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    await asyncio.gather(*(visit for visit in visits if visit))


@pytest.mark.parametrize("data", [WHOLE, CHUNKED, CLOSING])
def test_a_reply_is_read_when_it_is_whole_and_not_sooner(data: bytes) -> None:
    for size in range(len(data)):
        assert read_reply(data[:size], ended=False) is None
    reply = read_reply(data + b"next", ended=False)
    assert reply is not None
    assert (reply.body, reply.size, reply.last) == (b"hi", len(data), data is CLOSING)


@pytest.mark.parametrize(("told", "pause"), [(b"Retry-After: 3\r\n", 3.0), (b"retry-after: 900\r\n", 5.0), (b"", 1.0)])
def test_a_client_comes_again_when_it_is_told_to(told: bytes, pause: float) -> None:
    reply = read_reply(b"HTTP/1.1 429 Full\r\n" + told + b"content-length: 0\r\n\r\n", ended=False)
    assert reply is not None
    assert reply.pause == pause


def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    assert read_reply(ENDLESS, ended=False) is None
    assert read_reply(ENDLESS, ended=True) == Reply(200, b"hi", len(ENDLESS), True)


async def test_a_server_that_answers_twice_is_found_out() -> None:
    async with answering(WHOLE + WHOLE) as url:
        connection = await connect(url)
        assert (await connection.ask(b"x\r\n\r\n")).body == b"hi"
        assert connection.surplus == len(WHOLE)
        connection.close()


async def test_a_reply_that_breaks_off_is_an_error_and_no_answer() -> None:
    async with answering(WHOLE[:-1], stays=False) as url:
        connection = await connect(url)
        with pytest.raises(PeerUnreachable):
            await connection.ask(b"x\r\n\r\n")


async def test_a_crowd_asks_every_question_once_and_matches_each_reply() -> None:
    async with start_stub() as stub:
        asked = islice(questions(1), 200)
        crowd = await run_crowd(Target(stub.url, "stub"), asked, 8, Matching(echo=True), 50.0)
    assert len(crowd.ms) == 200
    assert crowd.failures.total() == crowd.full == crowd.surplus == 0


async def test_a_server_that_is_always_full_is_given_up() -> None:
    async with answering(*[CLOSING] * 10_000) as url:
        crowd = await run_crowd(
            Target(url, "stub"), islice(questions(1), 1), 1, Matching(echo=True), 30.0, patience=2.0
        )
    assert crowd.full > 1
    assert crowd.failures == {"TimeoutError": 1}


async def test_a_crowd_counts_what_it_did_not_get() -> None:
    async with answering(CLOSING, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as url:
        crowd = await run_crowd(Target(url, "stub"), islice(questions(1), 1), 1, lambda *_: "odd", 30.0)
    assert crowd.full == 1
    assert crowd.ms == []
    assert crowd.failures.total() == 1


def reply_of(text: str, round_id: str = "") -> Reply:
    body = f'{{"choices":[{{"message":{{"content":"{text}"}}}}],"waggle":{{"round_id":"{round_id}"}}}}'.encode()
    return Reply(200, body, len(body))


def test_replies_are_matched_with_their_questions() -> None:
    first, second = islice(questions(7), 2)
    echo, sums = Matching(echo=True), Matching(echo=False)
    assert echo(first, reply_of(first)) == ""
    assert echo(first, reply_of(second)) == WRONG
    assert sums(first, reply_of("7500", "a")) == ""
    assert sums(first, reply_of("7503", "b")) == ""  # wrong, but an answer to this question
    assert sums(second, reply_of("7503", "c")) == WRONG
    assert sums(second, reply_of("8500", "a")) == TWICE
    assert sums(first, reply_of("seven", "d")) == UNREADABLE
    assert echo(first, Reply(200, b"error", 5)) == UNREADABLE


def load_of(good: int, resident: list[int], **more: int) -> Load:
    crowd = Crowd(ms=[1.0] * good, surplus=more.get("surplus", 0), seconds=1.0)
    return Load("a run", 4, 8, crowd, resident, more.get("upstream"))


@pytest.mark.parametrize(
    ("load", "missed"),
    [
        (load_of(8, [100, 100, 100, 104]), []),
        (load_of(7, [100] * 4), ["a run: lost"]),
        (load_of(8, [100] * 4, surplus=1), ["a run: answered twice"]),
        (load_of(8, [100] * 4, upstream=9), ["a run: answered twice"]),
        (load_of(8, [100, 100, 110, 120]), ["a run: memory in the last quarter, times the first"]),
    ],
)
def test_a_load_run_misses_the_goal_that_it_breaks(load: Load, missed: list[str]) -> None:
    assert [goal["name"] for goal in load_goals(load) if not goal["met"]] == missed


def test_what_the_gateway_adds_is_told_question_by_question() -> None:
    rows = Pairs([1.0, 100.0, 3.0], [3.0, 102.0, 6.0], 0.3, 0.9).rows(1)
    assert rows[-1]["p50_ms"] == 2.0
    assert rows[-1]["cpu_ms"] == pytest.approx(200.0)


def test_a_rival_that_answers_nothing_still_gives_a_ratio() -> None:
    ours, none = Crowd(ms=[1.0] * 50, seconds=1.0), Crowd(seconds=1.0)
    row = ratio_row("it", 4, [ours, ours], [none, none], 1)
    assert row["times_as_many"] == 50.0
    assert crowd_row("it", 4, [none, none])["p50_ms"] is None


def test_a_rival_that_is_not_there_is_skipped_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHONS[OPTILLM], raising=False)
    assert "pip install 'optillm'" in why_not(OPTILLM)
    monkeypatch.setenv(PYTHONS[OPTILLM], "python3")
    assert why_not(OPTILLM) == ""


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="the bench needs"):
        run_gateway_bench(1, GatewayBench(repeats=1))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_suite_reports_on_a_real_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in PYTHONS.values():
        monkeypatch.delenv(variable, raising=False)
    small = GatewayBench(questions=5, repeats=2, seconds=0.2, load=20, clients=(2,))
    found = run_gateway_bench(1, small)
    names = [row.get("name") for row in found["rows"]]
    assert {"added by the gateway", "a round of seven", "waggle", "the stub alone"} <= set(names)
    assert sum("skipped" in str(row.get("note")) for row in found["rows"]) == 2
    assert all(goal["met"] for goal in found["goals"] if "lost" in goal["name"] or "twice" in goal["name"])
