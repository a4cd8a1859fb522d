"""A small OpenAI-compatible server on loopback, for tests: real sockets, scripted answers, faults on demand.

It runs on the test's own event loop, one request a connection. Each fault queued in `faults` spoils one request. A
client that leaves is noticed at once: `busy` counts the requests at work and `abandoned` those whose client left
before the end. A bug in the server itself fails the test that uses it, when it ends.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

import msgspec
from msgspec import Struct

from waggle.engines.answer import count_tokens, cut_at_stop, tokens_of
from waggle.engines.openai.wire import ChatAsk, EmbeddingAsk

MAX_REQUEST_BYTES = 4 * 2**20
OVERSIZE_CHUNK = b"data: " + b" " * 2**16 + b"\n"


class Fault(StrEnum):
    """What may happen to one request instead of an answer."""

    TOO_MANY = "429 with Retry-After"
    SERVER_ERROR = "500 with a secret in its body"
    BAD_REQUEST = "400 with a secret in its body"
    UNAUTHORIZED = "401"
    REDIRECT = "307 to another path of this server"
    HANG = "the request is read and never answered"
    GARBAGE = "200 with bytes that are not JSON"
    WRONG_SHAPE = "200 with JSON of another shape"
    OVERSIZE = "200 with a body that never ends"
    LONG_LINE = "200 with a line that never ends"
    DRIP = "200 with one comment after the other and no answer"
    DISCONNECT = "the connection is closed in the middle of the answer"
    MID_ERROR = "an error event in the middle of the answer"
    GZIP = "200 with a compressed body"


STATUSES: dict[Fault | None, int] = {
    Fault.TOO_MANY: 429,
    Fault.SERVER_ERROR: 500,
    Fault.BAD_REQUEST: 400,
    Fault.UNAUTHORIZED: 401,
    Fault.REDIRECT: 307,
}
BODIES: dict[Fault | None, bytes] = {
    Fault.GARBAGE: b'data: {"choices": [{"del\xff\xfe\n\n',
    Fault.WRONG_SHAPE: b'data: {"choices": "many", "data": 7}\n\n',
}
ENDLESS: dict[Fault | None, bytes] = {
    Fault.OVERSIZE: OVERSIZE_CHUNK,
    Fault.LONG_LINE: b"data: " + b"x" * 2**16,
    Fault.DRIP: b": still thinking\n\n",
}


class Asked(Struct, frozen=True, kw_only=True):
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def chat(self) -> ChatAsk:
        """The body of a chat request."""
        return msgspec.json.decode(self.body, type=ChatAsk)


def plain_reply(prompt: str) -> str:
    """A default answer: the same for the same prompt, long enough to be cut."""
    return f"I read {count_tokens(prompt)} words and thought about them for a while.\nAnswer: {len(prompt)}"


class OpenAIServer:
    """What the server does; change its attributes at any time. Made by `serve_openai`."""

    def __init__(self, reply: Callable[[str], str] = plain_reply) -> None:
        """Answer the last message of a chat with `reply` of it, unless `tool` is to be called instead."""
        self.reply = reply
        self.base_url = ""
        self.logprobs = True
        self.tool: str | None = None
        """Called where it is offered and the last message is not a tool's."""
        self.tool_arguments = '{"place": "the hive"}'
        self.tool_deltas: list[dict[str, object]] | None = None
        """What a call is streamed as, in place of what a good server streams."""
        self.verdict_p = 0.8
        self.embeddings = True
        self.model = "test-model"
        self.context_tokens: int | None = 2_048
        self.usage = True
        self.obeys_limits = True
        self.seconds_per_token = 0.0
        self.retry_after = "0"
        self.faults: deque[Fault] = deque()
        self.resumed = asyncio.Event()
        """Set, it has requests that hang answered after all."""
        self.asked: list[Asked] = []
        self.abandoned = 0
        self.failures: list[BaseException] = []
        self._visits: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """Requests at work."""
        return len(self._visits)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something to happen on this server, for at most half a minute."""
        for _ in range(15_000):
            if reached():
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"it did not happen: {self.busy} requests at work, {len(self.asked)} asked in all")

    def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.ensure_future(self._visit(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._left)

    def _left(self, visit: asyncio.Task[None]) -> None:
        self._visits.discard(visit)
        if not visit.cancelled() and (failure := visit.exception()) is not None:
            self.failures.append(failure)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                asked = await _read_request(reader)
                self.asked.append(asked)
                await self._answer_unless_left(asked, reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer_unless_left(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        work = asyncio.ensure_future(self._answer(asked, writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            self.abandoned += not work.done()
            if work.done():
                work.result()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        fault = self.faults.popleft() if self.faults else None
        if fault in STATUSES:
            return await _send(writer, STATUSES[fault], b'{"error": "secret"}', **self._headers_of(fault))
        if fault is Fault.HANG:
            await self.resumed.wait()
        if fault in BODIES:
            return await _send(writer, 200, BODIES[fault])
        if fault in ENDLESS:
            return await _send_for_ever(writer, ENDLESS[fault])
        if fault is Fault.GZIP:
            return await _send(writer, 200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
        await self._answer_well(asked, writer, fault)
        return None

    async def _answer_well(self, asked: Asked, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        match asked.method, asked.path:
            case "POST", "/v1/chat/completions":
                await self._answer_chat(asked.chat(), writer, fault)
            case "POST", "/v1/embeddings" if self.embeddings:
                await _send(writer, 200, _embedded(msgspec.json.decode(asked.body, type=EmbeddingAsk)))
            case "GET", "/v1/models":
                listed = {"id": self.model, "object": "model", "max_model_len": self.context_tokens}
                await _send(writer, 200, msgspec.json.encode({"object": "list", "data": [listed]}))
            case _:
                await _send(writer, 404, b'{"error": "no such path"}')

    async def _answer_chat(self, ask: ChatAsk, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        if self._calls(ask):
            return await self._answer_by_call(writer)
        text, finish = self._completion(ask)
        usage = {"prompt_tokens": count_tokens(_last(ask)), "completion_tokens": len(tokens_of(text))}
        if not ask.stream:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            return await _send(writer, 200, msgspec.json.encode({"choices": [choice], "usage": usage}))
        writer.write(_head(200, {"Content-Type": "text/event-stream"}))
        for count, token in enumerate(tokens_of(text)):
            if fault is Fault.DISCONNECT and count == 2:
                return None
            if fault is Fault.MID_ERROR and count == 2:
                await _write(writer, _event({"error": {"message": "secret"}}))
            await asyncio.sleep(self.seconds_per_token)
            await _write(writer, _event({"choices": [self._choice(token, ask)]}))
        await _write(writer, _event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
        if self.usage and ask.stream_options is not msgspec.UNSET:
            await _write(writer, _event({"choices": [], "usage": usage}))
        await _write(writer, b": the end\n\ndata: [DONE]\n\n")
        return None

    def _calls(self, ask: ChatAsk) -> bool:
        offered = {tool.function.name for tool in ask.tools} if isinstance(ask.tools, tuple) else set()
        wanted = self.tool_deltas is not None or self.tool in offered
        return wanted and ask.tool_choice != "none" and ask.messages[-1].role != "tool"

    async def _answer_by_call(self, writer: asyncio.StreamWriter) -> None:
        """Stream a call as most servers do: its id and name first, then its arguments in pieces."""
        half = len(self.tool_arguments) // 2
        pieces = self.tool_deltas or [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": self.tool, "arguments": ""}},
            {"index": 0, "function": {"arguments": self.tool_arguments[:half]}},
            {"index": 0, "function": {"arguments": self.tool_arguments[half:]}},
        ]
        writer.write(_head(200, {"Content-Type": "text/event-stream"}))
        for piece in pieces:
            await asyncio.sleep(self.seconds_per_token)
            await _write(writer, _event({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}))
        end = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        usage = {"prompt_tokens": 9, "completion_tokens": len(pieces)}
        await _write(writer, _event({"choices": [end], "usage": usage}) + b"data: [DONE]\n\n")

    def _completion(self, ask: ChatAsk) -> tuple[str, str]:
        pieces = tokens_of(self.reply(_last(ask)))
        kept = pieces[: ask.max_tokens] if self.obeys_limits else pieces
        stops = ask.stop if isinstance(ask.stop, tuple) and self.obeys_limits else ()
        before = cut_at_stop("".join(kept), stops)
        if before is not None:
            return before, "stop"
        return "".join(kept), "stop" if len(kept) == len(pieces) else "length"

    def _choice(self, token: str, ask: ChatAsk) -> dict[str, object]:
        choice: dict[str, object] = {"index": 0, "delta": {"content": token}, "finish_reason": None}
        if self.logprobs and ask.logprobs is True:
            choice["logprobs"] = {"content": [self._logprobs(token)]}
        return choice

    def _logprobs(self, token: str) -> dict[str, object]:
        """A word has probability 0.9; a verdict's letter shares 1 with the other letter by `verdict_p`."""
        if token.strip() not in ("A", "B"):
            return {"token": token, "logprob": math.log(0.9), "top_logprobs": []}
        shares = {" A": self.verdict_p, " B": 1.0 - self.verdict_p}
        rivals = [{"token": side, "logprob": math.log(share)} for side, share in shares.items() if share > 0]
        return {"token": token, "logprob": math.log(shares[f" {token.strip()}"]), "top_logprobs": rivals}

    def _headers_of(self, fault: Fault | None) -> dict[str, str]:
        if fault is Fault.TOO_MANY:
            return {"Retry-After": self.retry_after}
        return {"Location": "/v1/elsewhere"} if fault is Fault.REDIRECT else {}


@asynccontextmanager
async def serve_openai(reply: Callable[[str], str] = plain_reply) -> AsyncIterator[OpenAIServer]:
    """A server on a free port of 127.0.0.1; when the block ends so do all its requests.

    Example: `async with serve_openai(lambda prompt: "Answer: 42") as server: ... server.base_url ...`
    """
    fake = OpenAIServer(reply)
    listener = await asyncio.start_server(fake._visited, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    fake.base_url = f"http://{host}:{port}/v1"
    try:
        yield fake
    finally:
        listener.close()
        visits = list(fake._visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        await listener.wait_closed()
    assert not fake.failures, f"the fake server itself broke: {fake.failures}"


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    length = int(headers.get("content-length", "0"))
    assert length <= MAX_REQUEST_BYTES, "a test sends the fake server more than it reads"
    return Asked(method=method, path=path, headers=headers, body=await reader.readexactly(length))


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", "Connection: close", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, **headers: str) -> None:
    length = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    await _write(writer, _head(status, {**length, **headers}) + body)


async def _send_for_ever(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    """Until the client leaves; a short chunk comes every 10 ms."""
    writer.write(_head(200, {"Content-Type": "text/event-stream"}))
    while True:
        await _write(writer, chunk)
        await asyncio.sleep(0.01 if len(chunk) < 100 else 0)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _event(what: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(what) + b"\n\n"


def _last(ask: ChatAsk) -> str:
    return ask.messages[-1].content or ""


def _embedded(ask: EmbeddingAsk) -> bytes:
    """Vectors that are not of unit length, in reverse order: both are the client's to mend."""
    data = [{"index": index, "embedding": [3.0, 4.0, float(len(text))]} for index, text in enumerate(ask.input)]
    return msgspec.json.encode({"object": "list", "data": data[::-1]})
