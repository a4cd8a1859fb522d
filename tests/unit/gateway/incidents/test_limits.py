"""One caller's load is that caller's: limits of a key, room for all, and readers that take their time."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.unit.gateway.conftest import PATIENCE, FakeService, Standstill, make_play, tokens_of, until
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.engines.script import Script
from waggle.gateway import server
from waggle.gateway.app import make_app
from waggle.gateway.door.admission import Admission
from waggle.gateway.jobs.streaming import EventStream
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions
from waggle.gateway.server import bound, serving

BODY = {"model": "solo/ant", "messages": [{"role": "user", "content": "What is 6 * 7?"}]}
CHAT = "/v1/chat/completions"


class Limited(NamedTuple):
    """The keys of a small gateway, a client of it, and its room."""

    keys: KeyStore
    client: httpx.AsyncClient
    admission: Admission


@pytest.fixture
def clock() -> Standstill:
    """Let go, unless a test holds it: then no answer comes."""
    clock = Standstill()
    clock.go.set()
    return clock


@pytest.fixture
async def limited(tmp_path: Path, clock: Standstill) -> AsyncIterator[Limited]:
    """One request runs, two may wait, of each key one."""
    playing = await make_play(clock, ant=Script(name="ant", skill=1.0, seconds_per_call=1.0))
    options = GatewayOptions(port=0, drain_seconds=1.0, max_running=1, max_waiting=2, max_waiting_per_key=1)
    with closing(KeyStore(tmp_path / "keys.sqlite")) as keys:
        app = make_app(playing.service, options, keys=keys)
        async with (
            serving(app, options) as url,
            httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
        ):
            yield Limited(keys, client, app.state.admission)
    await playing.service.close()


async def ask(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.post(CHAT, json=BODY, headers={"authorization": f"Bearer {key}"})


def assert_told_to_wait(reply: httpx.Response) -> None:
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"


async def test_a_key_above_its_rate_is_told_to_wait_while_another_is_served(
    limited: Limited,
) -> None:
    keys, client, _ = limited
    greedy, modest = keys.create("greedy", requests_per_minute=2)[0], keys.create("modest", requests_per_minute=2)[0]
    assert [(await ask(client, greedy)).status_code for _ in range(2)] == [200, 200]
    assert_told_to_wait(await ask(client, greedy))
    assert (await ask(client, modest)).status_code == 200


async def test_what_answers_cost_counts_against_the_key(limited: Limited) -> None:
    keys, client, _ = limited
    greedy, modest = keys.create("greedy", tokens_per_minute=1)[0], keys.create("modest", tokens_per_minute=9_999)[0]
    assert (await ask(client, greedy)).status_code == 200
    assert_told_to_wait(await ask(client, greedy))
    assert [(await ask(client, modest)).status_code for _ in range(2)] == [200, 200]


async def test_one_key_cannot_take_all_the_room(limited: Limited, clock: Standstill) -> None:
    keys, client, admission = limited
    greedy, modest = keys.create("greedy")[0], keys.create("modest")[0]
    clock.go.clear()
    many = [asyncio.create_task(ask(client, greedy)) for _ in range(8)]
    await until(lambda: sum(task.done() for task in many) == 6)
    for task in many:
        if task.done():
            assert_told_to_wait(task.result())
    other = asyncio.create_task(ask(client, modest))
    await until(lambda: admission.load.waiting == 2)
    clock.go.set()
    assert (await other).status_code == 200
    replies = await asyncio.gather(*many)
    assert sorted(reply.status_code for reply in replies) == [200, 200, *[429] * 6]


PIECES, PIECE_BYTES, STREAMS = 60, 2_000, 100


def narrow(host: str, port: int) -> socket.socket:
    """A listener whose connections hold little, so that who does not read holds its writer up."""
    listener = bound(host, port)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    return listener


class Writer(FakeService):
    """Writes a long text, a piece every hundredth of a second."""

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        for token in tokens_of(*(["x" * PIECE_BYTES] * PIECES)):
            await asyncio.sleep(0.01)
            yield token


class Reader:
    """Reads one stream; before each of its first pieces it waits for the event, for so many seconds at most."""

    def __init__(self, port: int, waits: list[float], event: asyncio.Event) -> None:
        self.text = b""
        self._port = port
        self._waits = waits
        self._event = event

    async def read(self) -> None:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(line, ("127.0.0.1", self._port))
        body = json.dumps(BODY | {"stream": True}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        await loop.sock_sendall(line, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        waits = iter(self._waits)
        while data := await self._receive(line, next(waits, 0.0)):
            self.text += data
        line.close()

    async def _receive(self, line: socket.socket, seconds: float) -> bytes:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        return await asyncio.get_running_loop().sock_recv(line, 4_096)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_slow_readers_stall_nobody_else_and_every_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "bound", narrow)
    defaults = EventStream.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "send_seconds", 300.0)  # nobody is dropped
    options = GatewayOptions(port=0, drain_seconds=1.0, max_running=STREAMS)
    async with serving(make_app(Writer(), options), options) as url:
        port = int(url.rpartition(":")[2])
        ended = asyncio.Event()  # all that are fast have ended
        late = [Reader(port, [100.0], ended) for _ in range(10)]
        slow = [Reader(port, [1.0] * 1_000, ended) for _ in range(30)]
        fast = [Reader(port, [], ended) for _ in range(STREAMS - 40)]
        others = [asyncio.create_task(reader.read()) for reader in (*late, *slow)]
        async with asyncio.timeout(60):  # some three seconds where nothing else runs
            await asyncio.gather(*(reader.read() for reader in fast))
        ended.set()
        await asyncio.gather(*others)
    assert [reader for reader in (*fast, *slow, *late) if reader.text.count(b"data: [DONE]\n\n") != 1] == []
    assert {reader.text.count(b"x" * PIECE_BYTES) for reader in fast} == {PIECES}
