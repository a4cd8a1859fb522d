"""A connection is kept only where its last answer ended cleanly: no call ever gets the answer to another."""

import asyncio
import socket
import struct
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.unit.engines.openai.visited_server import (
    LOOPS,
    ONCE,
    House,
    Run,
    Visit,
    answer_for,
    asks,
    body_for,
    certified,
    check,
    engine_for,
    house,
    talking,
)
from waggle.core.errors import EngineRefused, EngineUnavailable
from waggle.engines.openai.connection import Connection

pytestmark = pytest.mark.network

FORGED = answer_for("forged")


@pytest.mark.parametrize("more", [FORGED, b"x", b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", FORGED[:-40]])
async def test_bytes_behind_an_answer_never_begin_the_next_one(more: bytes) -> None:
    async def chatty(visit: Visit) -> None:
        visit.send(answer_for(await visit.question()) + more)
        assert await visit.gone()

    async with talking(chatty) as (there, engine):
        await check(engine, "one", "two")
        assert there.numbers == [0, 1]


async def test_bytes_that_come_while_nobody_asks_close_the_connection() -> None:
    async def chatty(visit: Visit) -> None:
        visit.send(answer_for(await visit.question()))
        await asyncio.sleep(0.01)
        visit.send(FORGED)
        assert await visit.gone()

    async with talking(chatty, msgspec.structs.replace(ONCE, kept_s=60.0)) as (there, engine):
        await check(engine, "one")
        await there.until(lambda: not there.open)
        await check(engine, "two")
        assert there.numbers == [0, 1]


async def test_bytes_that_come_before_the_first_call_close_the_connection() -> None:
    class Wire(asyncio.Transport):
        def abort(self) -> None:
            aborted.append(self)

    aborted: list[Wire] = []
    forgotten: list[Connection] = []
    connection = Connection(forgotten.append)
    connection.connection_made(Wire())
    connection.data_received(FORGED)
    assert len(aborted) == len(forgotten) == 1
    with pytest.raises(httpx.WriteError):
        await connection.ask(httpx.Request("GET", "http://bees.test/"), 1.0)


async def test_an_answer_to_half_a_request_ends_its_connection() -> None:
    async def hasty(visit: Visit) -> None:
        await visit.head()
        visit.send(answer_for("hasty"))
        while await visit.reader.read(2**20):
            pass

    async with talking(hasty) as (there, engine):
        for _ in range(2):
            assert (await engine.generate(asks("long" * 4_000_000))).text == "hasty"
        assert there.visits == 2


async def test_interim_answers_and_heads_have_a_bound() -> None:
    async def interim(visit: Visit) -> None:
        while True:
            question = await visit.question()
            visit.send(b"HTTP/1.1 102 Wait\r\n\r\n" * int(question) + answer_for(question))

    async def heady(visit: Visit) -> None:
        await visit.question()
        visit.send(b"HTTP/1.1 200 Fine\r\nX: " + b"x" * 2**20)
        assert await visit.gone()

    async with talking(interim) as (_, engine):
        await check(engine, "3")
        with pytest.raises(EngineUnavailable, match="broke the connection"):
            await engine.generate(asks("1000"))
    async with talking(heady) as (_, engine):
        with pytest.raises(EngineUnavailable, match="broke the connection"):
            await engine.generate(asks("one"))


async def test_a_body_over_the_limit_ends_its_connection() -> None:
    async def stuffed(visit: Visit) -> None:
        while True:
            await visit.question()
            visit.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 2000\r\n\r\n" + b": x\n" * 500)

    async with talking(stuffed, msgspec.structs.replace(ONCE, max_body_bytes=1_000)) as (there, engine):
        for _ in range(2):
            with pytest.raises(EngineRefused, match="more than 1000 bytes"):
                await engine.generate(asks("one"))
        assert there.numbers == [0, 1]


async def test_a_server_cannot_send_faster_than_it_is_read() -> None:
    async def flood(visit: Visit) -> None:
        body = body_for(await visit.question()).partition(b"\n")
        visit.send(b"HTTP/1.1 200 Fine\r\n\r\n" + body[0] + b"\n\n")
        for _ in range(512):
            visit.send((b": " + b"x" * 2**13 + b"\n") * 8)
            await visit.writer.drain()
            flowed.append(2**16)
        visit.send(body[2])

    flowed: list[int] = []
    async with talking(flood, msgspec.structs.replace(ONCE, max_body_bytes=2**27)) as (_, engine):
        stream = engine.stream(asks("one"))
        assert (await anext(stream)).text == "one"
        before = -1
        while before < len(flowed):
            before = len(flowed)
            await asyncio.sleep(0.05)
        assert sum(flowed) < 2**24
        assert [token.generation.text async for token in stream if token.generation] == ["one"]
        assert sum(flowed) == 2**25


async def test_a_connection_that_breaks_is_not_the_end_of_a_body() -> None:
    async def reset(visit: Visit) -> None:
        *most, _, _ = body_for(await visit.question()).split(b"\n\n")
        visit.send(b"HTTP/1.1 200 Fine\r\n\r\n" + b"\n\n".join([*most, b""]))
        await read.wait()
        visit.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        visit.writer.transport.abort()

    read = asyncio.Event()
    async with talking(reset) as (_, engine):
        stream = engine.stream(asks("one"))
        assert (await anext(stream)).text == "one"
        read.set()
        with pytest.raises(EngineUnavailable, match="broke the connection"):
            await anext(stream)


# --- calls that end early ---------------------------------------------------------------------------------------------


async def test_a_cancelled_call_closes_its_connection_and_nobody_gets_its_answer() -> None:
    async def slow(visit: Visit) -> None:
        question = await visit.question()
        if question == "warm":
            visit.send(answer_for(question))
            question = await visit.question()
        if question == "next":
            visit.send(answer_for(question))
        gone.append(await visit.gone())

    gone: list[bool] = []
    async with talking(slow) as (there, engine):
        await check(engine, "warm")
        task = asyncio.create_task(engine.generate(asks("slow")))
        await there.until(lambda: len(there.asked) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await there.until(lambda: gone == [True])
        await check(engine, "next")
        assert there.numbers == [0, 0, 1]


@LOOPS
@pytest.mark.parametrize("encrypted", [True, False], ids=["https", "http"])
@pytest.mark.parametrize("warm", [True, False], ids=["kept", "new"])
def test_whenever_a_call_is_cancelled_the_next_one_gets_its_own_answer(
    warm: bool, encrypted: bool, run: Run, tmp_path: Path
) -> None:
    async def in_bits(visit: Visit) -> None:
        while True:
            answer = answer_for(await visit.question())
            for start in range(0, len(answer), 40):
                visit.send(answer[start : start + 40])
                await asyncio.sleep(0)

    async def end_after(turns: int, there: House) -> None:
        async with engine_for(there, client=client if encrypted else None) as engine:
            await check(engine, *["warm"] * warm)
            task = asyncio.create_task(engine.generate(asks("left")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.gather(*(check(engine, f"a{n}", f"b{n}") for n in range(3)))

    async def scene() -> None:
        async with house(in_bits, encrypted=server if encrypted else None) as there:
            for turns in range(40):
                await end_after(turns, there)
            await there.until(lambda: not there.open)

    server, client = certified(tmp_path)
    run(scene())


async def test_a_stop_string_ends_the_connection_of_a_server_that_writes_on() -> None:
    async def writes_on(visit: Visit) -> None:
        body = body_for(await visit.question())
        visit.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 100000\r\n\r\n" + body.partition(b"\n")[0] + b"\n\n")
        assert await visit.gone()

    async with talking(writes_on) as (there, engine):
        for _ in range(2):
            assert (await engine.generate(asks("no more", stop=["more"]))).text == "no "
        assert there.numbers == [0, 1]
