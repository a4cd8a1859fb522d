"""A crowd of HTTP clients that costs little itself: bytes in, bytes out, one connection each, kept open.

Every client asks one question after the other and reads each reply to its end. What comes without having been asked
for is counted: a server that answers twice is found out. A server that says it is full is asked again.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

from waggle.core.errors import PeerUnreachable

REPLY_SECONDS = 60.0
CONNECT_SECONDS = 10.0
MOST_PAUSE_SECONDS, PAUSE_SECONDS = 5.0, 1.0
"""How long a client waits at most that was told to come again, and how long where it was not told when."""
MAX_REPLY_BYTES = 2**20
OK, FULL = 200, 429
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_AFTER = re.compile(rb"\r\nretry-after: *(\d{1,4})\r\n", re.IGNORECASE)
_LAST = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """One response; `size` is how many bytes of the stream it took, `last` whether the server closes after it."""

    status: int
    body: bytes
    size: int
    last: bool = False
    pause: float = PAUSE_SECONDS
    """Seconds to wait before asking again, where the server is full."""


def read_reply(data: bytes, *, ended: bool) -> Reply | None:
    """The response that the data begins with; None where more must come. `ended`: nothing more will."""
    head, mark, rest = data.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if not mark or status is None:
        return None
    fields, start = head + b"\r\n", len(head) + len(mark)
    last, code = _LAST.search(fields) is not None, int(status[1])
    if length := _LENGTH.search(fields):
        size = int(length[1])
        pause = _pause(fields) if code == FULL else PAUSE_SECONDS
        return Reply(code, rest[:size], start + size, last, pause) if len(rest) >= size else None
    if _CHUNKED.search(fields):
        chunks = _read_chunks(data, start)
        return chunks and Reply(code, *chunks, last)
    return Reply(code, rest, len(data), True) if ended else None


def _pause(fields: bytes) -> float:
    told = _AFTER.search(fields)
    return min(float(told[1]), MOST_PAUSE_SECONDS) if told else PAUSE_SECONDS


def _read_chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The body, and where it ends."""
    body = b""
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        at = line + 2 + size + 2
        if len(data) < at:
            return None
        if size == 0:
            return body, at
        body += data[line + 2 : line + 2 + size]
    return None


class Connection(asyncio.Protocol):
    """One connection; `ask` one thing at a time."""

    def __init__(self) -> None:
        """Not connected yet."""
        self.surplus = 0
        """Bytes that nobody had asked for."""
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._waiting: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    def data_received(self, data: bytes) -> None:
        """A part of a reply, or something nobody asked for."""
        self._data += data
        self._settle(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed; a reply whose end is the connection's is whole now."""
        self.open = False
        self._settle(ended=True)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(PeerUnreachable("the connection ended in the middle of a reply"))

    def _settle(self, *, ended: bool) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            self.surplus += len(self._data)
            self._data = b""
        elif (reply := read_reply(self._data, ended=ended)) is not None:
            self.surplus += len(self._data) - reply.size
            self._data = b""
            self.open = self.open and not reply.last
            waiting.set_result(reply)
        elif len(self._data) > MAX_REPLY_BYTES:
            waiting.set_exception(PeerUnreachable("a reply without an end"))

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for its reply. Raises PeerUnreachable, TimeoutError."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await self._waiting
        finally:
            self._waiting = None

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()


@dataclass
class Crowd:
    """What a crowd met with. `ms` has one entry per good reply, from the question to the end of its reply."""

    ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """By kind; a question whose client could not get a good reply is lost."""
    full: int = 0
    """Replies that said to come again."""
    surplus: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Good replies a second."""
        return len(self.ms) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Target:
    """A server's address and the model to ask for; `extra` goes into every request's JSON, with a comma before it."""

    url: str
    model: str
    extra: str = ""

    def request(self, question: str) -> bytes:
        """A chat request with one question, which must need no escaping."""
        body = f'{{"model":"{self.model}","messages":[{{"role":"user","content":"{question}"}}]{self.extra}}}'
        host = urlsplit(self.url)
        return (
            f"POST {host.path}/chat/completions HTTP/1.1\r\nhost: {host.netloc}\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer bench\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()


Check = Callable[[str, Reply], str]
"""What is wrong with the reply to a question, in a word; empty where nothing is."""


async def run_crowd(
    target: Target,
    questions: Iterator[str],
    clients: int,
    check: Check,
    seconds: float,
    *,
    patience: float = REPLY_SECONDS,
) -> Crowd:
    """Let so many clients ask until the questions or the seconds are used up.

    A question begun is seen to its end, for `patience` seconds at most.
    """
    crowd, until = Crowd(), asyncio.get_running_loop().time() + seconds
    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_Client(target, crowd, patience).run(questions, check, until))
    crowd.seconds = perf_counter() - began
    return crowd


class _Client:
    def __init__(self, target: Target, crowd: Crowd, patience: float) -> None:
        self._target, self._crowd, self._patience = target, crowd, patience
        self._connection = Connection()

    async def run(self, questions: Iterator[str], check: Check, until: float) -> None:
        clock, crowd = asyncio.get_running_loop().time, self._crowd
        try:
            while clock() < until and (question := next(questions, None)) is not None:
                began = perf_counter()
                if fault := await self._ask(question, check):
                    crowd.failures[fault] += 1
                    self._leave()
                else:
                    crowd.ms.append(1000 * (perf_counter() - began))
        finally:
            self._leave()

    async def _ask(self, question: str, check: Check) -> str:
        """What went wrong, in a word; empty where nothing did."""
        request = self._target.request(question)
        try:
            async with asyncio.timeout(self._patience):
                while (reply := await self._send(request)).status == FULL:
                    self._crowd.full += 1
                    await asyncio.sleep(reply.pause)
        except (OSError, TimeoutError, PeerUnreachable) as error:
            return type(error).__name__
        return f"status {reply.status}" if reply.status != OK else check(question, reply)

    async def _send(self, request: bytes) -> Reply:
        if not self._connection.open:
            self._leave()
            self._connection = await connect(self._target.url)
        return await self._connection.ask(request)

    def _leave(self) -> None:
        self._crowd.surplus += self._connection.surplus
        self._connection.surplus = 0
        self._connection.close()
        self._connection.open = False


async def connect(url: str) -> Connection:
    """A new connection. Raises OSError, TimeoutError."""
    host = urlsplit(url)
    async with asyncio.timeout(CONNECT_SECONDS):
        _, made = await asyncio.get_running_loop().create_connection(Connection, host.hostname or "", host.port or 80)
    return made
