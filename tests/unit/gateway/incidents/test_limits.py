"""One caller's load is that caller's: limits of a key, room for all, and readers that take their time."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.unit.gateway.conftest import FakeService, make_play, tokens_of
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.engines.script import Script
from waggle.gateway.app import make_app
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions
from waggle.gateway.server import serving

BODY = {"model": "solo/ant", "messages": [{"role": "user", "content": "What is 6 * 7?"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[tuple[KeyStore, httpx.AsyncClient]]:
    """One request runs, one may wait; every answer takes a fifth of a second."""
    playing = await make_play(ant=Script(name="ant", skill=1.0, seconds_per_call=0.2))
    options = GatewayOptions(port=0, drain_seconds=1.0, max_running=1, max_waiting=2, max_waiting_per_key=1)
    with closing(KeyStore(tmp_path / "keys.sqlite")) as keys:
        async with (
            serving(make_app(playing.service, options, keys=keys), options) as url,
            httpx.AsyncClient(base_url=url, timeout=10) as client,
        ):
            yield keys, client
    await playing.service.close()


async def ask(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.post(CHAT, json=BODY, headers={"authorization": f"Bearer {key}"})


def assert_told_to_wait(reply: httpx.Response) -> None:
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"


async def test_a_key_above_its_rate_is_told_to_wait_while_another_is_served(
    limited: tuple[KeyStore, httpx.AsyncClient],
) -> None:
    keys, client = limited
    greedy, modest = keys.create("greedy", requests_per_minute=2)[0], keys.create("modest", requests_per_minute=2)[0]
    assert [(await ask(client, greedy)).status_code for _ in range(2)] == [200, 200]
    assert_told_to_wait(await ask(client, greedy))
    assert (await ask(client, modest)).status_code == 200


async def test_what_answers_cost_counts_against_the_key(limited: tuple[KeyStore, httpx.AsyncClient]) -> None:
    keys, client = limited
    greedy, modest = keys.create("greedy", tokens_per_minute=1)[0], keys.create("modest", tokens_per_minute=9_999)[0]
    assert (await ask(client, greedy)).status_code == 200
    assert_told_to_wait(await ask(client, greedy))
    assert [(await ask(client, modest)).status_code for _ in range(2)] == [200, 200]


async def test_one_key_cannot_take_all_the_room(limited: tuple[KeyStore, httpx.AsyncClient]) -> None:
    keys, client = limited
    greedy, modest = keys.create("greedy")[0], keys.create("modest")[0]
    many = [asyncio.create_task(ask(client, greedy)) for _ in range(8)]
    done, _ = await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    assert_told_to_wait(done.pop().result())
    assert (await ask(client, modest)).status_code == 200
    replies = await asyncio.gather(*many)
    assert sorted(reply.status_code for reply in replies) == [200, 200, *[429] * 6]


PIECES, PIECE_BYTES, STREAMS = 60, 2_000, 100


class Writer(FakeService):
    """Writes a long text, a piece every hundredth of a second."""

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        for token in tokens_of(*(["x" * PIECE_BYTES] * PIECES)):
            await asyncio.sleep(0.01)
            yield token


class Reader:
    """Reads one stream at its own pace; `stall` is the longest time between two pieces."""

    def __init__(self, port: int, pause: float, late: float = 0.0) -> None:
        self.stall = 0.0
        self.text = b""
        self._port = port
        self._pause = pause
        self._late = late

    async def read(self) -> None:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, ("127.0.0.1", self._port))
        body = json.dumps(BODY | {"stream": True}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        await loop.sock_sendall(line, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await asyncio.sleep(self._late)
        last: float | None = None
        while data := await loop.sock_recv(line, 4_096):
            self.text += data
            now = time.monotonic()
            self.stall = max(self.stall, now - (last or now))
            await asyncio.sleep(self._pause)
            last = time.monotonic()
        line.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_slow_readers_stall_nobody_else_and_every_stream_ends() -> None:
    options = GatewayOptions(port=0, drain_seconds=1.0, max_running=STREAMS)
    async with serving(make_app(Writer(), options), options) as url:
        port = int(url.rpartition(":")[2])
        fast = [Reader(port, 0.0) for _ in range(STREAMS - 40)]
        slow = [Reader(port, 0.05) for _ in range(30)]
        late = [Reader(port, 0.0, late=8.0) for _ in range(10)]
        await asyncio.gather(*(reader.read() for reader in (*fast, *slow, *late)))
    assert [reader for reader in (*fast, *slow, *late) if reader.text.count(b"data: [DONE]\n\n") != 1] == []
    assert {reader.text.count(b"x" * PIECE_BYTES) for reader in fast} == {PIECES}
    assert max(reader.stall for reader in fast) < 1.0
