"""A guarded application that remembers what reached it, and what a browser's requests look like."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.unit.gateway.raw_http import App, Message, Pairs, Reply, call
from waggle.gateway.door.guard import Guard
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions

HOST = ("host", "127.0.0.1:8080")
LOCAL = (HOST,)
FAR = "http://evil.example"


@dataclass
class Inner:
    """An application that answers everything, and remembers what reached it."""

    headers: Pairs = ()
    seen: list[Message] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                self.told.append(message)
            self.told.append(message)
            return
        self.bodies.append((await receive())["body"])
        pairs = [(name.encode(), value.encode()) for name, value in self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send({"type": "http.response.body", "body": b"inner"})


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def bearer(text: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {text}")


def guarded(inner: App, keys: KeyStore | None = None, **options: Any) -> Guard:  # noqa: ANN401
    return Guard(inner, options=GatewayOptions(**options), keys=keys, now=Hand())


CROSS = [
    [("origin", FAR)],
    [("origin", "null")],
    [("origin", "")],
    [("origin", "*")],
    [("origin", "http://127.0.0.1:3000")],
    [("origin", "http://localhost:8080")],
    [("origin", "http://127.0.0.1:8080.evil.example")],
    [("origin", "ftp://127.0.0.1:8080")],
    [("origin", "http://user@127.0.0.1:8080")],
    [("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "same-site")],
    [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
    [("sec-fetch-site", "nonsense")],
    [("origin", FAR), ("sec-fetch-site", "same-origin")],
]


async def sign_in(guard: Guard, text: str, *more: tuple[str, str], scheme: str = "http") -> Reply:
    form = ("content-type", "application/x-www-form-urlencoded")
    return await call(guard, "POST", "/login", [HOST, form, *more], [urlencode({"key": text}).encode()], scheme=scheme)


def cookie_of(reply: Reply) -> str:
    return reply.header("set-cookie").partition(";")[0]
