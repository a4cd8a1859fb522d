"""Web sockets under the same rules."""

from typing import Any

import pytest

from tests.unit.gateway.door.inner import CROSS, HOST, LOCAL, Inner, bearer, cookie_of, guarded, sign_in
from tests.unit.gateway.raw_http import Message, Pairs
from waggle.gateway.door.guard import Guard
from waggle.gateway.keys.store import KeyStore


async def open_socket(guard: Guard, headers: Pairs, *messages: Message, path: str = "/_nicegui_ws/x") -> list[Message]:
    waiting: list[Message] = [{"type": "websocket.connect"}, *messages]
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "ws",
        "headers": [(name.encode(), value.encode()) for name, value in headers], "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    await guard(scope, receive, send)
    return sent


REFUSED = [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("headers", [[("host", "evil.example")], *([HOST, *pairs] for pairs in CROSS)], ids=str)
async def test_a_socket_from_another_sites_page_is_refused(inner: Inner, headers: Pairs) -> None:
    assert await open_socket(guarded(inner), headers) == REFUSED
    assert inner.seen == []


async def test_our_own_pages_socket_is_opened(inner: Inner) -> None:
    sent = await open_socket(guarded(inner), [HOST, ("origin", "http://127.0.0.1:8080")])
    assert sent[0]["type"] == "websocket.accept"


async def test_under_keys_a_socket_needs_an_admin(inner: Inner, keys: KeyStore) -> None:
    guard = guarded(inner, keys)
    asker, _ = keys.create("asker")
    ruler, _ = keys.create("ruler", ("admin",))
    assert await open_socket(guard, LOCAL) == REFUSED
    assert await open_socket(guard, [HOST, bearer(asker)]) == REFUSED
    assert await open_socket(guard, LOCAL, path="/health/live/") == REFUSED
    assert inner.seen == []
    cookie = ("cookie", cookie_of(await sign_in(guard, ruler)))
    assert (await open_socket(guard, [HOST, cookie]))[0]["type"] == "websocket.accept"
    assert (await open_socket(guard, [HOST, bearer(ruler)]))[0]["type"] == "websocket.accept"


async def test_a_socket_ends_with_its_key(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ruler", ("admin",))
    said: Message = {"type": "websocket.receive", "text": "said"}
    await open_socket(guarded(inner, keys), [HOST, bearer(text)], said)
    assert inner.told[-2] == said

    async def revoking(scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401
        keys.revoke("ruler")
        await inner(scope, receive, send)

    inner.told.clear()
    await open_socket(guarded(revoking, keys), [HOST, bearer(text)], said)
    assert inner.told[-1] == {"type": "websocket.disconnect", "code": 1008}
    assert said not in inner.told


async def test_a_message_of_a_socket_is_bounded(inner: Inner) -> None:
    huge = {"type": "websocket.receive", "bytes": b"x" * (1024 * 1024 + 1)}
    await open_socket(guarded(inner), LOCAL, huge)
    assert inner.told[-1] == {"type": "websocket.disconnect", "code": 1009}
