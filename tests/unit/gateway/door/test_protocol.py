"""Heads of requests, bounded before anything is known of who sends them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn

from tests.unit.gateway.conftest import PATIENCE, until
from tests.unit.gateway.door.inner import Inner
from tests.unit.gateway.raw_http import connection, exchange
from waggle.gateway.door import protocol
from waggle.gateway.door.protocol import BoundedProtocol

HEAD = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def port(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where the inner application is served by the protocol alone, without a guard; uvicorn ends nothing by itself."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 300.0)  # where the time is not what is tested
    config = uvicorn.Config(
        inner, port=0, http=BoundedProtocol, lifespan="off", log_config=None, timeout_keep_alive=300
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def test_requests_one_after_the_other_pass(inner: Inner, port: int) -> None:
    async with connection(port) as (reader, writer):
        for number in range(3):
            writer.write(HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)
            reply = await asyncio.wait_for(reader.readuntil(b"inner\r\n0\r\n\r\n"), PATIENCE)
            assert reply.startswith(b"HTTP/1.1 200"), number
    assert len(inner.seen) == 3


@pytest.mark.parametrize(
    "start",
    [
        HEAD + b"X-A: ",
        b"GET /",
        HEAD + b"Content-Length: 3\r\n\r\nabc" + HEAD + b"X-A: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-A: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["header", "target", "second request", "trailer", "chunk extension"],
)
async def test_what_has_no_end_is_cut_off(port: int, start: bytes) -> None:
    async with connection(port) as (_, writer):
        writer.write(start)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send(writer, 20_000_000), PATIENCE)


async def send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size // 50_000):
        writer.write(b"a" * 50_000)
        await writer.drain()


async def test_many_headers_that_are_small_each_are_cut_off_as_well(port: int) -> None:
    reply = await exchange(port, HEAD + b"X-A: 1234567890\r\n" * 20_000)
    assert reply.status in (0, 400)


@pytest.mark.parametrize("start", [b"", b"GET", HEAD, HEAD + b"\r\n" + HEAD], ids=["nothing", "word", "part", "second"])
async def test_a_head_that_does_not_come_ends_in_time(port: int, start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    async with connection(port) as (reader, writer):
        writer.write(start)
        await asyncio.wait_for(reader.read(), PATIENCE)


async def test_a_head_may_come_in_small_pieces(inner: Inner, port: int) -> None:
    async with connection(port) as (reader, writer):
        for byte in HEAD + b"\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await asyncio.wait_for(reader.readuntil(b"inner"), PATIENCE)).startswith(b"HTTP/1.1 200")
    assert len(inner.seen) == 1


@pytest.mark.parametrize(
    "target", [b"http://evil.example/v1/models", b"http://localhost/health/live", b"*", b"evil:80"]
)
async def test_an_address_for_a_proxy_is_refused(inner: Inner, port: int, target: bytes) -> None:
    for method in (b"GET ", b"OPTIONS ", b"CONNECT "):
        reply = await exchange(port, method + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert reply.status in (0, 400)
    assert inner.seen == []


async def test_a_socket_is_opened_through_it(inner: Inner, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 2.0)
    async with connection(port) as (reader, writer):
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        writer.write(HEAD + upgrade + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101")
        await asyncio.sleep(2.5)  # longer than a head may take
        assert not reader.at_eof()
