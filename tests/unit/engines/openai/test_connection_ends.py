"""Kept connections end in time, with the engine and with the event loop; TLS and both kinds of loop."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.unit.engines.openai.visited_server import (
    LOOPS,
    ONCE,
    House,
    Run,
    Script,
    Visit,
    answer_for,
    asks,
    body_for,
    certified,
    check,
    engine_for,
    house,
    polite,
    talking,
)
from waggle.core.errors import EngineUnavailable
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings

pytestmark = pytest.mark.network


async def test_an_idle_connection_is_dropped_after_its_time() -> None:
    async with talking(bounds=msgspec.structs.replace(ONCE, kept_s=0.05)) as (there, engine):
        await check(engine, "one")
        await there.until(lambda: not there.open)
        await check(engine, "two")
        assert there.numbers == [0, 1]


async def test_closing_the_engine_closes_its_idle_connections_and_those_at_work() -> None:
    async def slow(visit: Visit) -> None:
        question = await visit.question()
        if question == "slow":
            visit.send(b"HTTP/1.1 200 Fine\r\n\r\n" + body_for(question).partition(b"\n")[0] + b"\n\n")
        else:
            visit.send(answer_for(question))
        assert await visit.gone()

    async with house(slow) as there, engine_for(there) as engine:
        stream = engine.stream(asks("slow"))
        assert (await anext(stream)).text == "slow"
        await check(engine, "one")
        await engine.close()
        await there.until(lambda: not there.open)
        with pytest.raises(EngineUnavailable, match="closed"):
            await anext(stream)
        with pytest.raises(EngineUnavailable, match="closed"):
            await check(engine, "two")


async def test_where_others_wait_long_a_connection_makes_room_for_them() -> None:

    async def one_at_a_time(visit: Visit) -> None:
        async with thread:
            question = await visit.question()
            await asyncio.sleep(0.3)
            visit.send(answer_for(question))
            assert await visit.gone()

    thread = asyncio.Lock()
    async with talking(one_at_a_time, msgspec.structs.replace(ONCE, kept_s=60.0)) as (there, engine):
        async with asyncio.timeout(60.0):
            await asyncio.gather(check(engine, "one"), check(engine, "two"))
        assert there.visits == 2


@pytest.mark.parametrize(("encrypted", "visits"), [(False, 3), (True, 2)], ids=["http", "https"])
async def test_only_where_a_connection_is_cheap_does_it_make_room(encrypted: bool, visits: int, tmp_path: Path) -> None:
    async def choosy(visit: Visit) -> None:
        while True:
            question = await visit.question()
            if question == "slow":
                await asyncio.wait_for(go_on.wait(), 10.0)
            visit.send(answer_for(question))

    go_on = asyncio.Event()
    server, client = certified(tmp_path) if encrypted else (None, None)
    async with house(choosy, encrypted=server) as there, engine_for(there, client=client) as engine:
        slow = asyncio.create_task(check(engine, "slow"))
        await there.until(lambda: len(there.asked) == 1)
        await asyncio.sleep(0.3)
        await check(engine, "quick", "quicker")
        go_on.set()
        await slow
        assert there.visits == visits


@LOOPS
def test_connections_over_tls_are_kept_as_well(run: Run, tmp_path: Path) -> None:
    async def scene() -> None:
        async with house(encrypted=server) as there:
            async with engine_for(there, client=client) as engine:
                await check(engine, "one", "two", "three")
                assert there.numbers == [0, 0, 0]
            await there.until(lambda: not there.open)

    server, client = certified(tmp_path)
    run(scene())


async def test_an_unknown_certificate_is_refused(tmp_path: Path) -> None:
    server, _ = certified(tmp_path)
    async with house(encrypted=server) as there, engine_for(there) as engine:
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            await engine.generate(asks("one"))
        assert there.asked == []


# --- other event loops ------------------------------------------------------------------------------------------------


@contextmanager
def house_elsewhere(script: Script = polite) -> Iterator[House]:
    """A server in a thread of its own."""
    ready: Future[House] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with house(script) as there:
            ready.set_result(there)
            await asyncio.to_thread(over.wait, 30)

    with ThreadPoolExecutor() as threads:
        served = threads.submit(asyncio.run, serve())
        try:
            yield ready.result(10)
        finally:
            over.set()
    served.result()


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(15_000):
        if reached():
            return
        time.sleep(0.002)
    raise AssertionError("it did not happen")


@LOOPS
def test_an_engine_that_nobody_closes_leaves_nothing_when_its_loop_ends(run: Run) -> None:
    with house_elsewhere() as there:
        engine = OpenAIHttpEngine(ServerSettings(base_url=there.url, model="m", bounds=ONCE))
        for n in range(3):
            run(check(engine, "one", "two"))
            wait_until(lambda: not there.open)
            gc.collect()  # sockets left open would warn here
            assert there.visits == n + 1


@LOOPS
def test_what_came_unread_since_the_last_answer_is_seen_before_the_next_call(run: Run) -> None:
    go, gone = threading.Event(), threading.Event()

    async def chatty(visit: Visit) -> None:
        while True:
            visit.send(answer_for(await visit.question()))
            if visit.number == 0:
                await asyncio.to_thread(go.wait, 10)
                visit.send(answer_for("forged"))
                gone.set()

    async def scene(engine: OpenAIHttpEngine) -> None:
        await check(engine, "one")
        go.set()
        assert gone.wait(10)  # with this loop at rest
        await check(engine, "two")
        await engine.close()

    with house_elsewhere(chatty) as there:
        run(scene(OpenAIHttpEngine(ServerSettings(base_url=there.url, model="m", bounds=ONCE))))
        assert there.numbers == [0, 1]


async def test_two_event_loops_at_once_have_connections_of_their_own() -> None:
    with house_elsewhere() as there:
        async with engine_for(there) as engine:
            await check(engine, "one")
            await asyncio.to_thread(asyncio.run, check(engine, "two", "three"))
            await check(engine, "four")
            assert there.numbers == [0, 1, 1, 0]
