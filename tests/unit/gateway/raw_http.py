"""Bytes on a socket, and calls of an ASGI application without one: what no well-behaved client would send."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """What came back; status 0 where the connection was closed without an answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        """The one value of a header."""
        (value,) = self.all(name)
        return value

    @property
    def code(self) -> str:
        """The code of an error in OpenAI's shape; fails where the body is none."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"]
        return str(error["code"])


async def call(
    app: App,
    method: str = "GET",
    target: str = "/v1/models",
    headers: Pairs = (("host", "127.0.0.1:8080"),),
    body: Sequence[bytes] = (b"",),
    **scope: object,
) -> Reply:
    """Call an application as a server would; after `body` is read, the caller stays and waits."""
    path, _, query = target.partition("?")
    whole = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 5), **scope,
    }  # fmt: skip
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    parts[-1]["more_body"] = False
    sent: list[Message] = []

    async def receive() -> Message:
        if parts:
            return parts.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(30):
        await app(whole, receive, send)
    return _read(sent)


def _read(sent: list[Message]) -> Reply:
    if not sent:
        return Reply(0)
    pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"])
    return Reply(sent[0]["status"], pairs, b"".join(message.get("body", b"") for message in sent[1:]))


async def exchange(port: int, data: bytes, *, seconds: float = 30.0) -> Reply:
    """Send bytes over TCP and read one answer, whatever is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        async with asyncio.timeout(seconds):
            return await read_reply(reader)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """One answer in full; the body as its length says, or up to the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Reply(0)
    pairs = tuple(
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)
    )
    lengths = [int(value) for name, value in pairs if name == "content-length"]
    status = int(head[0].split()[1])
    try:
        body = await reader.readexactly(lengths[0]) if lengths else await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError):
        body = b""
    return Reply(status, pairs, body)


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain TCP connection, closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
