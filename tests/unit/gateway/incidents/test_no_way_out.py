"""No request makes the gateway connect anywhere: not by a picture, a schema, the address of an engine or a peer."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.gateway.incidents.gateway import Gateway, running
from tests.unit.gateway.raw_http import Reply, read_reply

JsonObject = dict[str, object]


class Watchman:
    """Notes every connection and every look-up of a name that this process begins while he is awake."""

    def __init__(self) -> None:
        self.awake = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)  # for good: hooks cannot be taken away

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.awake and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            self.seen.append(f"{event} {arguments[1:]}")


@pytest.fixture(scope="module")
def watchman() -> Watchman:
    return Watchman()


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A listening socket that nobody should find."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(tmp_path, keys=False) as opened:
        yield opened


def addresses(port: int) -> list[str]:
    names = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"]
    urls = [f"http://{name}:{port}/x" for name in names]
    return [*urls, "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "file:///etc/passwd"]


def chat(**changes: object) -> JsonObject:
    return {"model": "swarm", "messages": [{"role": "user", "content": "What is 6 * 7?"}], **changes}


def with_part(part: JsonObject) -> JsonObject:
    return chat(messages=[{"role": "user", "content": [{"type": "text", "text": "What is 6 * 7?"}, part]}])


def with_schema(schema: JsonObject) -> list[JsonObject]:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    return [chat(tools=[tool]), chat(response_format=form), chat(model="solo/ant", response_format=form)]


def chats(url: str, port: int) -> list[JsonObject]:
    parts: list[JsonObject] = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "input_image", "image_url": url},
        {"type": "file", "file": {"file_data": url, "filename": url}},
        {"type": "file", "file": {"file_id": url}},
        {"type": "video_url", "video_url": {"url": url}},
        {"type": "audio_url", "audio_url": {"url": url}},
    ]
    schemas: list[JsonObject] = [
        {"$ref": url},
        {"$schema": url, "type": "object"},
        {"$id": url, "$ref": "other.json"},
        {"type": "object", "properties": {"a": {"$ref": f"{url}#/a"}}},
        {"$dynamicRef": url},
        {"allOf": [{"$ref": url}]},
    ]
    peer = f"/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    fields: list[JsonObject] = [
        {name: url} for name in ("api_base", "base_url", "endpoint", "engine", "upstream", "callback_url", "proxy")
    ]
    extensions: list[JsonObject] = [{"peers": [peer]}, {"engine": url}, {"api_base": url}, {"join": peer}]
    return [
        *map(with_part, parts),
        *(body for schema in schemas for body in with_schema(schema)),
        *(chat(**field) for field in fields),
        *(chat(waggle=extension) for extension in extensions),
        *(chat(model=model) for model in (url, f"solo/{url}#m", f"{url}#ant", f"openai/{url}", peer)),
        chat(messages=[{"role": "user", "content": f"What is at {url} ?", "name": url}]),
        chat(metadata={"url": url}, user=url),
    ]


def requests(port: int) -> list[tuple[str, JsonObject]]:
    found: list[tuple[str, JsonObject]] = []
    for url in addresses(port):
        found += [("/v1/chat/completions", body) for body in chats(url, port)]
        picture = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
        tool = {"type": "mcp", "server_label": "x", "server_url": url}
        found += [
            ("/v1/responses", {"model": "swarm", "input": [picture]}),
            ("/v1/responses", {"model": "swarm", "input": "What is 6 * 7?", "tools": [tool]}),
            ("/v1/responses", {"model": "swarm", "input": url, "prompt": {"id": url}}),
            ("/v1/embeddings", {"model": "ant", "input": url}),
            ("/v1/embeddings", {"model": url, "input": "a"}),
            ("/v1/completions", {"model": "swarm", "prompt": f"Fetch {url}", "suffix": url}),
        ]
    return found


def as_bytes(path: str, body: JsonObject, url: str) -> bytes:
    data = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(data)}",
        f"Referer: {url}", f"X-Waggle-Api-Base: {url}", f"X-Forwarded-Host: {url}", "Connection: close",
    ]  # fmt: skip
    kept = [line for line in lines if len(body) % 2 or not line.startswith("X-Waggle")]  # an unknown one is refused
    return "\r\n".join([*kept, "", ""]).encode() + data


async def answered(port: int, data: list[bytes], watchman: Watchman) -> list[Reply]:
    """Every connection is made first, so that whatever connects later is not us."""
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in data]
    watchman.awake = True
    try:
        for (_, writer), sent in zip(lines, data, strict=True):
            writer.write(sent)
        return [await asyncio.wait_for(read_reply(reader), 30) for reader, _ in lines]
    finally:
        watchman.awake = False
        for _, writer in lines:
            writer.close()


@pytest.mark.timeout(240)
async def test_nothing_in_a_request_makes_the_gateway_connect(
    gateway: Gateway, trap: socket.socket, watchman: Watchman
) -> None:
    port = trap.getsockname()[1]
    sent = [as_bytes(path, body, f"http://127.0.0.1:{port}/") for path, body in requests(port)]
    assert len(sent) > 300
    statuses = set()
    for start in range(0, len(sent), 50):
        replies = await answered(gateway.port, sent[start : start + 50], watchman)
        statuses |= {reply.status for reply in replies}
    assert watchman.seen == []
    with pytest.raises(BlockingIOError):
        trap.accept()
    assert {200, 400} <= statuses <= {200, 400, 404, 422}


def test_a_connection_would_have_been_seen(trap: socket.socket, watchman: Watchman) -> None:
    watchman.awake = True
    try:
        with socket.create_connection(("localhost", trap.getsockname()[1])):
            trap.setblocking(True)
            trap.accept()[0].close()
    finally:
        watchman.awake = False
    assert [line.split()[0] for line in watchman.seen] == ["socket.getaddrinfo", "socket.connect"]
    watchman.seen.clear()
