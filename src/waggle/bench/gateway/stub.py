"""A stub of an OpenAI server that costs as little as Python allows: its answer to a chat is the last message itself.

`python -m waggle.bench.gateway.stub` prints its URL as one JSON line and serves until its standard input ends. It
counts the chats that it is asked for; GET /v1/counts tells.
"""

import asyncio
import json
import re
import sys
from collections import Counter

import msgspec
from msgspec import Struct

MODEL = "stub"
MAX_REQUEST_BYTES = 2**20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_MODELS = b'{"object":"list","data":[{"id":"stub","object":"model","created":0,"owned_by":"waggle"}]}'
_USAGE = '"usage":{"prompt_tokens":8,"completion_tokens":8,"total_tokens":16}'


class Message(Struct):
    """One turn; a text, or parts of which the first counts."""

    content: str | list[dict[str, object]] = ""


class Chat(Struct):
    """What the stub reads of a chat request."""

    messages: list[Message]
    stream: bool = False


class Stub(asyncio.Protocol):
    """One connection, which stays open."""

    def __init__(self, asked: Counter[str]) -> None:
        """Count the questions in `asked`."""
        self._asked = asked
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        assert self._transport is not None
        self._data += data
        while (mark := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[: mark + 2]
            length = _LENGTH.search(head)
            end = mark + 4 + (int(length[1]) if length else 0)
            if end > MAX_REQUEST_BYTES:
                self._transport.abort()
                return
            if len(self._data) < end:
                return
            body, self._data = self._data[mark + 4 : end], self._data[end:]
            self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"POST "):
            return self._chat(body)
        if b"/counts " in head.split(b"\r\n", 1)[0]:
            return whole(msgspec.json.encode({"asked": self._asked.total()}))
        return whole(_MODELS)

    def _chat(self, body: bytes) -> bytes:
        chat = msgspec.json.decode(body, type=Chat)
        content = chat.messages[-1].content
        question = content if isinstance(content, str) else str(content[0].get("text", ""))
        self._asked[question] += 1
        return whole(_stream_of(question), b"text/event-stream") if chat.stream else whole(_completion_of(question))


def whole(body: bytes, kind: bytes = b"application/json") -> bytes:
    """A response on a connection that stays open."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind, len(body), body)


def _completion_of(text: str) -> bytes:
    message = f'{{"role":"assistant","content":{json.dumps(text)}}}'
    return (
        f'{{"id":"chatcmpl-stub","object":"chat.completion","created":0,"model":"{MODEL}",'
        f'"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}],{_USAGE}}}'
    ).encode()


def _stream_of(text: str) -> bytes:
    events = (
        _chunk(f'[{{"index":0,"delta":{{"role":"assistant","content":{json.dumps(text)}}},"finish_reason":null}}]'),
        _chunk('[{"index":0,"delta":{},"finish_reason":"stop"}]'),
        _chunk("[]", f",{_USAGE}"),
        "[DONE]",
    )
    return "".join(f"data: {event}\n\n" for event in events).encode()


def _chunk(choices: str, more: str = "") -> str:
    head = f'"id":"chatcmpl-stub","object":"chat.completion.chunk","created":0,"model":"{MODEL}"'
    return f'{{{head},"choices":{choices}{more}}}'


async def serve() -> None:
    """Serve on a free port of loopback until standard input ends."""
    asked: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(asked), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
