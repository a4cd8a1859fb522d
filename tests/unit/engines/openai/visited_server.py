"""A server for tests of connections, and engines for it: what happens on each connection is a coroutine of the test.

It answers a chat with the question itself, so that an answer to another's question is seen.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from waggle.core.engine_values import GenerateRequest
from waggle.engines.openai.bounded_http import HttpBounds
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.kept_connections import KeptConnections
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.openai.wire import ChatAsk


def body_for(question: str) -> bytes:
    """A whole streamed answer."""
    delta = msgspec.json.encode({"choices": [{"delta": {"content": question}}]})
    return b"data: " + delta + b'\n\ndata: {"choices": [{"finish_reason": "stop", "delta": {}}]}\n\ndata: [DONE]\n\n'


def answer_for(question: str, *more: str, status: int = 200) -> bytes:
    """A whole response with its length; `more` are further headers."""
    body = body_for(question)
    head = [f"HTTP/1.1 {status} Fine", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(head).encode() + body


class Visit:
    """One connection; `number` counts from 0."""

    def __init__(self, house: "House", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.house, self.number = house, house.visits
        self.reader, self.writer = reader, writer

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()

    async def question(self) -> str:
        """Read one request."""
        head = await self.head()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        ask = msgspec.json.decode(await self.reader.readexactly(length), type=ChatAsk)
        self.house.heads.append(head)
        self.house.asked.append((self.number, ask.messages[-1].content or ""))
        return self.house.asked[-1][1]

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():  # uvloop would raise
            self.writer.write(data)

    async def gone(self) -> bool:
        """Wait until the client has left without another word."""
        with suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True


Script = Callable[[Visit], Awaitable[None]]


class House:
    """What happened."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = ""
        self.visits = 0
        self.most = 0
        self.asked: list[tuple[int, str]] = []
        self.heads: list[str] = []
        self.open: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self.listener: asyncio.Server | None = None

    @property
    def numbers(self) -> list[int]:
        """The connections on which questions came, in turn."""
        return [number for number, _ in self.asked]

    async def until(self, reached: Callable[[], bool]) -> None:
        for _ in range(15_000):
            if reached():
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"it did not happen: {self.visits} visits, {len(self.open)} of them at work, {self.asked}")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].removesuffix("/v1"))

    async def stop(self) -> None:
        """Receive nobody any more, and send away who is there."""
        assert self.listener is not None
        self.listener.close()
        visits = list(self.open)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        await self.listener.wait_closed()

    def visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(self, reader, writer)
        self.visits += 1
        task = asyncio.ensure_future(self._receive(visit))
        self.open.add(task)
        self.most = max(self.most, len(self.open))
        task.add_done_callback(self._left)

    async def _receive(self, visit: Visit) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.script(visit)
        finally:
            visit.writer.close()

    def _left(self, task: asyncio.Task[None]) -> None:
        self.open.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)


async def polite(visit: Visit) -> None:
    """Answer on and on."""
    while True:
        visit.send(answer_for(await visit.question()))


@asynccontextmanager
async def house(
    script: Script = polite, *, port: int = 0, encrypted: ssl.SSLContext | None = None
) -> AsyncIterator[House]:
    """Receive visits on loopback until the block ends."""
    there = House(script)
    there.listener = await asyncio.start_server(there.visited, "127.0.0.1", port, ssl=encrypted)
    scheme = "http" if encrypted is None else "https"
    there.url = f"{scheme}://127.0.0.1:{there.listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield there
    finally:
        await there.stop()
    assert not there.failures, f"the server itself broke: {there.failures}"


ONCE = HttpBounds(retries=0, read_s=10.0)
"""No try but the first: what succeeds has done so at once."""


@asynccontextmanager
async def engine_for(
    there: House, bounds: HttpBounds = ONCE, *, client: ssl.SSLContext | None = None
) -> AsyncIterator[OpenAIHttpEngine]:
    settings = ServerSettings(base_url=there.url, model="m", bounds=bounds)
    trusting = KeptConnections(httpx.URL(there.url), client, connect_s=5.0, read_s=10.0, kept_s=60.0)
    engine = OpenAIHttpEngine(settings, transport=None if client is None else trusting)
    try:
        yield engine
    finally:
        await engine.close()
        assert engine.in_flight == 0


@asynccontextmanager
async def talking(script: Script = polite, bounds: HttpBounds = ONCE) -> AsyncIterator[tuple[House, OpenAIHttpEngine]]:
    """A server and an engine; in the end no connection is left."""
    async with house(script) as there:
        async with engine_for(there, bounds) as engine:
            yield there, engine
        await there.until(lambda: not there.open)


def asks(question: str, **more: object) -> GenerateRequest:
    return msgspec.convert({"question": question, "max_tokens": 64} | more, GenerateRequest)


async def check(engine: OpenAIHttpEngine, *questions: str) -> None:
    """Ask one after the other; each answer is the one to its own question."""
    for question in questions:
        assert (await engine.generate(asks(question))).text == question


LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Coroutine[None, None, None]], None]


def certified(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for 127.0.0.1, and one of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bees")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    plain, unlocked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = folder / "both.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, plain, unlocked)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=pem)
