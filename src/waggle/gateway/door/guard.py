"""The guard before every route of the gateway: who may call, by which name, from which page, with how much.

An ASGI middleware that stands outside everything else and is closed by default: it knows the few routes that need
nothing, not those that need a key. It asks, in this order: is the request spelled in one way only, is it called by a
name of ours, by a page of ours, with a key that may, not too often, with a body that fits. What passes carries its
request id, its key and a way to charge tokens in `scope["state"]` (`request`, `key`, `charge`). A HEAD passes as a GET,
and only its head comes out: monitors ask so.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waggle.gateway.door.asked import Asked, RequestIds, is_api, read_asked, refused
from waggle.gateway.door.body import Bodies, CallerGone, replay
from waggle.gateway.door.callers import Callers, Keys, need_of
from waggle.gateway.door.hosts import Hosts
from waggle.gateway.door.origins import Origins, is_preflight, preflight_headers
from waggle.gateway.door.sessions import (
    LOGIN,
    LOGOUT,
    MOST_FORM_BYTES,
    Sessions,
    existing,
    goal_of,
    key_of_form,
    page,
    sign_in_address,
)
from waggle.gateway.errors import ApiError, error_body, in_seconds
from waggle.gateway.keys.rates import Rates
from waggle.gateway.keys.store import ADMIN, KeyInfo
from waggle.gateway.options import GatewayOptions

Headers = Sequence[tuple[bytes, bytes]]

ALWAYS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer a browser sends Origin: null with our own forms
    (b"cross-origin-resource-policy", b"same-origin"),
)
MOST_SOCKET_BYTES = 1024 * 1024
POLICY_VIOLATION, TOO_BIG = 1008, 1009  # closing codes of web sockets (RFC 6455)
STAYING = (429,)
"""Elsewhere the connection is closed: a body may still be on its way that nobody will read."""


class Guard:
    """Wraps an application; `Guard(app, options=options, keys=keys)`, `keys` None where none are in use."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        options: GatewayOptions,
        keys: Keys | None = None,
        rates: Rates | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Guard `app`; `now` counts seconds and never goes back."""
        self._app = app
        self._open_metrics = options.open_metrics
        self._hosts = Hosts(options)
        self._origins = Origins(options.allowed_origins)
        self._sessions = Sessions(now=now)
        self._callers = None if keys is None else Callers(keys, self._sessions)
        self._rates = rates or Rates(now=now)
        self._bodies = Bodies(most_bytes=options.max_body_bytes)
        self._forms = Bodies(most_bytes=MOST_FORM_BYTES)
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, one socket, or the application's own start and end."""
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http":
                await self._request(scope, receive, send)
            case "websocket":
                await self._socket(scope, receive, send)
            case _:
                raise ValueError("the gateway speaks HTTP and web sockets only")

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        extra = [*ALWAYS, (b"x-request-id", self._begin(scope).encode())]
        send = _dressed(send, extra)
        async with AsyncExitStack() as held:
            try:
                asked = read_asked(scope)
                self._hosts.check(asked)
                extra += self._origins.check(asked, socket=False)
                extra += preflight_headers(asked)
                if await self._answered_here(scope, asked, receive, send):
                    return
                self._admit(scope, asked)
                receive = replay(await held.enter_async_context(self._bodies.held(asked, receive)), receive)
            except ApiError as error:
                await _turn_away(scope, error, send)
                return
            except CallerGone:
                return
            if asked.method == "HEAD":
                scope, send = {**scope, "method": "GET"}, _without_body(send)
            await self._app(scope, receive, send)

    async def _answered_here(self, scope: Scope, asked: Asked, receive: Receive, send: Send) -> bool:
        """Answer what is the guard's own business."""
        if is_preflight(asked):
            await _reply(send, 204, ())
        elif asked.path in (LOGIN, LOGOUT):
            await self._sign(scope, asked, receive, send)
        else:
            return False
        return True

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        extra = [(b"x-request-id", self._begin(scope).encode())]
        try:
            asked = read_asked(scope)
            self._hosts.check(asked)
            self._origins.check(asked, socket=True)
            key = self._admit(scope, asked)
        except ApiError:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})  # the server answers 403
            return
        await self._app(scope, self._watched(receive, key), _dressed(send, extra))

    def _begin(self, scope: Scope) -> str:
        """Give the request its id, and the state that the routes read."""
        state = scope.setdefault("state", {})
        asked = [value for name, value in scope["headers"] if name.lower() == b"x-request-id"]
        state |= {"request": self._ids.name(asked), "key": None, "charge": _charge_nobody}
        return str(state["request"])

    def _admit(self, scope: Scope, asked: Asked) -> KeyInfo | None:
        """See to it that the caller may do this, and not too often."""
        if (callers := self._checking()) is None:
            self._ids.use(scope["state"]["request"])
            return None
        need = need_of(asked.method, asked.path, open_metrics=self._open_metrics)
        key = callers.check(asked, need)
        if key is None:
            return None
        if is_api(asked.path) and asked.changes:
            self._check_rate(key)
        self._ids.use(scope["state"]["request"])
        scope["state"] |= {"key": key, "charge": partial(self._rates.charge, key)}
        return key

    def _check_rate(self, key: KeyInfo) -> None:
        """Count a request of this key. Raises ApiError where it has reached a limit."""
        if (reached := self._rates.reached(key)) is None:
            self._rates.take(key)
            return
        limit = f"{reached.per_minute} {reached.what} a minute"
        message = f"this key has used up its {limit}: try again in {in_seconds(reached.wait)}"
        raise refused(429, message, "rate_limit_exceeded", retry_after=reached.wait)

    def _checking(self) -> Callers | None:
        """Who knows the callers; None while no key is needed."""
        return self._callers if self._callers is not None and self._callers.are_checked() else None

    def _watched(self, receive: Receive, key: KeyInfo | None) -> Receive:
        """A socket lives long: it ends with its key, and its messages are bounded."""

        async def watched() -> Message:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            if (callers := self._checking()) and (key is None or not callers.is_live(key)):
                return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
            size = len(message.get("text") or message.get("bytes") or b"")
            return message if size <= MOST_SOCKET_BYTES else {"type": "websocket.disconnect", "code": TOO_BIG}

        return watched

    async def _sign(self, scope: Scope, asked: Asked, receive: Receive, send: Send) -> None:
        """Sign in to the pages, or out."""
        secure, goal = asked.scheme == "https", goal_of(scope.get("query_string", b""))
        if (callers := self._checking()) is None:
            await _redirect(send, existing(scope, goal))
        elif asked.method != "POST":
            await _reply(send, 200, *page(goal=goal))
        elif asked.path == LOGOUT:
            await _redirect(send, LOGIN, self._sessions.close(secure=secure))
        else:
            async with self._forms.held(asked, receive) as body:
                key, goal = callers.of_text(key_of_form(body)), goal_of(body)
            if key is None:
                await _reply(send, 401, *page("That is no key of this gateway.", goal))
            elif ADMIN not in key.scopes:
                await _reply(send, 403, *page("That key may ask, but not see these pages.", goal))
            else:
                await _redirect(send, existing(scope, goal), self._sessions.open(key, secure=secure))


def _charge_nobody(tokens: int) -> None:
    """Without keys there are no accounts."""


def _dressed(send: Send, extra: Sequence[tuple[bytes, bytes]]) -> Send:
    """Put our headers on the answer; which pages may read it is for the guard alone to say."""

    async def dressed(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            taken = {name for name, _ in extra}
            kept = [pair for pair in message.get("headers", ()) if not _is_ours(pair[0].lower(), taken)]
            message = {**message, "headers": [*kept, *extra]}
        await send(message)

    return dressed


def _without_body(send: Send) -> Send:
    async def head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head


def _is_ours(name: bytes, taken: set[bytes]) -> bool:
    return name.startswith(b"access-control-") or (name in taken and name != b"vary")


async def _turn_away(scope: Scope, error: ApiError, send: Send) -> None:
    """Say no; a person who opens a page is shown where to sign in."""
    accepts = b"".join(value for name, value in scope["headers"] if name.lower() == b"accept")
    if error.status == 401 and scope["method"] == "GET" and b"text/html" in accepts and not is_api(scope["path"]):
        await _redirect(send, sign_in_address(scope))
    else:
        await _reply(send, error.status, *_told(error))


def _told(error: ApiError) -> tuple[Headers, bytes]:
    """Headers and body of an error in the shape of OpenAI's."""
    body = json.dumps(error_body(error)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))} | error.headers
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status not in STAYING:
        headers["connection"] = "close"
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


async def _redirect(send: Send, to: str, cookie: str | None = None) -> None:
    cookies = [] if cookie is None else [(b"set-cookie", cookie.encode())]
    await _reply(send, 303, [(b"location", to.encode()), (b"content-length", b"0"), *cookies])


async def _reply(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
