"""Connections to a server are kept for the next call, also where servers leave."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.unit.engines.openai.visited_server import (
    ONCE,
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

pytestmark = pytest.mark.network


async def test_calls_in_a_row_share_one_connection() -> None:
    async with talking() as (there, engine):
        await check(engine, "one", "two", "three")
        assert there.numbers == [0, 0, 0]


async def test_calls_at_once_have_a_connection_each_and_their_own_answers(tmp_path: Path) -> None:
    async def later_ones_first(visit: Visit) -> None:
        while True:
            question = await visit.question()
            await asyncio.sleep(0.02 - int(question) % 16 / 1000)
            visit.send(answer_for(question))

    server, client = certified(tmp_path)  # over TLS none makes room for another, however slow this machine is
    async with house(later_ones_first, encrypted=server) as there, engine_for(there, client=client) as engine:
        await asyncio.gather(*(check(engine, str(n), str(n + 16), str(n + 32)) for n in range(16)))
        assert there.most == there.visits == 16
        assert len(there.asked) == 48


async def test_there_are_never_more_connections_than_places(tmp_path: Path) -> None:
    server, client = certified(tmp_path)
    three = msgspec.structs.replace(ONCE, max_connections=3)
    async with house(encrypted=server) as there, engine_for(there, three, client=client) as engine:
        await asyncio.gather(*(check(engine, str(n)) for n in range(20)))
        assert there.visits == 3


async def test_a_body_whose_end_comes_a_little_later_is_read_to_it() -> None:
    async def in_pieces(visit: Visit) -> None:
        while True:
            body = body_for(await visit.question())
            visit.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body))
            for _ in range(5):
                await asyncio.sleep(0)
            visit.send(b"0\r\n\r\n")

    async with talking(in_pieces) as (there, engine):
        await check(engine, "one", "two")
        assert there.numbers == [0, 0]


async def test_a_body_without_end_holds_up_nobody() -> None:
    async def never_done(visit: Visit) -> None:
        body = body_for(await visit.question())
        visit.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body))
        assert await visit.gone()

    async with talking(never_done) as (there, engine):
        async with asyncio.timeout(10.0):
            await check(engine, "one", "two")
        assert there.numbers == [0, 1]


async def test_a_refusal_keeps_the_connection_and_a_long_one_closes_it() -> None:
    async def refuse(visit: Visit) -> None:
        while True:
            words = int(await visit.question())
            visit.send(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n%s" % (words, b"x" * words))

    async with talking(refuse) as (there, engine):
        for words in ("10", "10", "5000", "10"):
            with pytest.raises(EngineRefused, match="404"):
                await engine.generate(asks(words))
        assert there.numbers == [0, 0, 0, 1]


async def test_no_cookie_is_sent_back() -> None:
    async def sweet(visit: Visit) -> None:
        while True:
            visit.send(answer_for(await visit.question(), "Set-Cookie: who=you; Path=/"))

    async with talking(sweet) as (there, engine):
        await check(engine, "one", "two")
        assert there.numbers == [0, 0]
        assert not any("cookie" in head for head in there.heads)


async def test_of_the_addresses_of_a_name_the_first_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def addresses(host: str, port: int, **_: object) -> Sequence[tuple[object, ...]]:
        assert host == "bees.test"
        last = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (("127.0.0.1", 1), full)] + [last]

    with deaf_socket() as full:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
        async with house() as there:
            there.url = there.url.replace("127.0.0.1", "bees.test")
            async with engine_for(there) as engine:
                await check(engine, "one", "two")
            assert there.numbers == [0, 0]
            assert "host: bees.test:" in there.heads[0]


@contextmanager
def deaf_socket() -> Iterator[tuple[str, int]]:
    """An address whose queue is full, so that whoever connects waits in vain."""
    with ExitStack() as sockets:
        deaf = sockets.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        yield deaf.getsockname()


# --- servers that leave -----------------------------------------------------------------------------------------------


async def test_a_server_that_closes_an_idle_connection_gets_a_new_one() -> None:
    async def one_answer(visit: Visit) -> None:
        visit.send(answer_for(await visit.question()))

    async with talking(one_answer) as (there, engine):
        for n in range(20):
            await check(engine, str(n))
            if n % 2:
                await there.until(lambda: not there.open)
        assert there.numbers == list(range(20))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_server_that_says_it_will_close_is_believed(version: str) -> None:
    async def closing(visit: Visit) -> None:
        answer = answer_for(await visit.question(), *(["Connection: close"] if version == "1.1" else []))
        visit.send(answer.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        assert await visit.gone()

    async with talking(closing) as (there, engine):
        await check(engine, "one", "two")
        assert there.numbers == [0, 1]


async def test_a_body_that_ends_with_its_connection_is_read() -> None:
    async def endless(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 Fine\r\n\r\n" + body_for(await visit.question()))

    async with talking(endless) as (there, engine):
        await check(engine, "one", "two")
        assert there.numbers == [0, 1]


async def test_a_kept_connection_that_ends_without_a_byte_is_replaced_at_once() -> None:
    async def tired(visit: Visit) -> None:
        visit.send(answer_for(await visit.question()))
        await visit.question()

    async with talking(tired) as (there, engine):
        await check(engine, "one", "two", "three")
        assert there.asked == [(0, "one"), (0, "two"), (1, "two"), (1, "three"), (2, "three")]


async def test_a_request_is_repeated_once_and_never_on_another_kept_connection() -> None:
    async def broken(visit: Visit) -> None:
        for _ in range(1 if visit.number < 2 else 0):
            question = await visit.question()
            await there.until(lambda: len(there.asked) >= 2)
            visit.send(answer_for(question))
        await visit.question()

    async with talking(broken) as (there, engine):
        await asyncio.gather(check(engine, "one"), check(engine, "two"))
        with pytest.raises(EngineUnavailable, match="broke the connection"):
            await engine.generate(asks("three"))
        assert there.numbers[2:] == [there.numbers[2], 2]


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 Fine\r\nContent-Length: 50\r\n\r\n"])
async def test_a_request_is_not_repeated_once_any_byte_of_an_answer_came(said: bytes) -> None:
    async def stutter(visit: Visit) -> None:
        visit.send(answer_for(await visit.question()))
        await visit.question()
        visit.send(said)

    async with talking(stutter) as (there, engine):
        await check(engine, "one")
        with pytest.raises(EngineUnavailable, match="broke the connection"):
            await engine.generate(asks("two"))
        assert there.asked == [(0, "one"), (0, "two")]


async def test_silence_on_a_kept_connection_is_not_asked_again() -> None:
    async def mute(visit: Visit) -> None:
        visit.send(answer_for(await visit.question()))
        await visit.question()
        assert await visit.gone()

    async with talking(mute, msgspec.structs.replace(ONCE, read_s=2.0)) as (there, engine):
        await check(engine, "one")
        with pytest.raises(EngineUnavailable, match="sent nothing"):
            await engine.generate(asks("two"))
        assert there.asked == [(0, "one"), (0, "two")]


async def test_a_server_that_starts_anew_between_calls_is_asked_again() -> None:
    async with house() as there, engine_for(there) as engine:
        await check(engine, "one")
        await there.stop()
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            await engine.generate(asks("two"))
        async with house(port=there.port) as again:
            await check(engine, "three", "four")
            assert again.numbers == [0, 0]
