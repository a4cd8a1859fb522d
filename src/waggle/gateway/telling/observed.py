"""What the gateway notes of every request and of all that its service does: log lines, metrics, spans.

Three pieces round the guard and the service, so that no route has to think of it: `ObservedCalls` stands outside the
guard and notes how each request ended, `NamedCalls` inside it gives the request's id to everything that the request
starts, and `ObservedService` notes rounds and tokens. Only metadata is noted, and nothing that a client made up.
"""

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waggle.core.asking import AskOptions
from waggle.core.carried import working_for
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer
from waggle.core.round_values import Record
from waggle.gateway.door.asked import is_api
from waggle.gateway.telling.metrics import Metrics, route_of, strategy_of
from waggle.node.observing.logs import facts, fault_of, logged_request, request_id
from waggle.node.observing.telemetry import NoTelemetry, Telemetry
from waggle.node.services.service import ServedModel, Service
from waggle.strategies.machine import Watch

log = logging.getLogger(__name__)

CRASHED, GONE = 500, 499
QUIET = frozenset({"/health/live", "/health/ready", "/metrics", "pages"})
"""Routes whose requests are logged only at the level debug."""


@dataclass
class Call:
    """What is noted of one request while it runs."""

    tokens: int = 0
    model: str | None = None


_call: ContextVar[Call | None] = ContextVar("call", default=None)


class NamedCalls:
    """Gives request id and owner to all that is done for a request of the API; inside the guard, which knows them."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pages are left alone: what a person does there later is no part of the request that fetched the page."""
        if scope["type"] != "http" or not is_api(scope["path"]):
            return await self._app(scope, receive, send)
        call = scope.setdefault("state", {})["call"] = Call()
        before = _call.get()
        _call.set(call)
        try:
            key = scope["state"].get("key")
            with logged_request(str(scope["state"].get("request", ""))), working_for(key.id if key else ""):
                log.debug("request begins", extra=facts(route=route_of(scope["path"])))
                await self._app(scope, receive, send)
        finally:
            _call.set(before)


class ObservedCalls:
    """Notes how every request ended, also those that the guard turned away; outside the guard."""

    def __init__(self, app: ASGIApp, metrics: Metrics, telemetry: Telemetry | None = None) -> None:
        """Wrap an application."""
        self._app = app
        self._metrics = metrics
        self._telemetry = telemetry or NoTelemetry()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; sockets and the application's own start and end pass."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, at = time.perf_counter(), time.time()
        told, whole = 0, False
        fault: str | None = None

        async def listen(message: Message) -> None:
            nonlocal told, whole
            if message["type"] == "http.response.start":
                told = int(message["status"])
            await send(message)
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, listen)
        except Exception as error:
            told, whole, fault = CRASHED, True, fault_of(error)
            raise
        finally:
            self._note(scope, told if whole else GONE, at, time.perf_counter() - began, fault)

    def _note(self, scope: Scope, status: int, at: float, seconds: float, fault: str | None) -> None:
        state = scope.get("state", {})
        route, request = route_of(scope["path"]), str(state.get("request", ""))
        call, key = state.get("call") or Call(), state.get("key")
        self._metrics.observe_request(route, status, seconds)
        self._telemetry.observe_request(request, route=route, status=status, at=at, seconds=seconds)
        level = level_of(route, status)
        if not log.isEnabledFor(level if fault is None else logging.ERROR):
            return
        with logged_request(request):
            log.log(
                level if fault is None else logging.ERROR,
                "request ended",
                extra=facts(
                    route=route,
                    status=status,
                    seconds=seconds,
                    model=call.model,
                    tokens=call.tokens or None,
                    key=getattr(key, "name", None),
                    fault=fault,
                ),
            )


def level_of(route: str, status: int) -> int:
    """How much an end matters: what the gateway could not do is seen without asking for more words."""
    if route in QUIET:
        return logging.INFO if status >= CRASHED else logging.DEBUG
    return logging.WARNING if status >= CRASHED else logging.INFO


class ObservedService:
    """A service that notes what it does; `inner` is the one that does it."""

    def __init__(self, inner: Service, metrics: Metrics, telemetry: Telemetry | None = None) -> None:
        """Watch `inner`."""
        self.inner = inner
        self._metrics = metrics
        self._telemetry = telemetry or NoTelemetry()

    @property
    def id(self) -> NodeId:
        """Our own node."""
        return self.inner.id

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """As `Service.ask`."""
        with logged_request(request_id() or request or ""):
            at = time.time()
            record = await self.inner.ask(question, options, watch, request)
            _charge(record.used_tokens, strategy_of(record.plan.strategy))
            self._metrics.observe_record(record)
            name = request_id() or record.plan.round_id
            self._telemetry.observe_record(record, request=name, at=at, within=_call.get() is not None)
            return record

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        """As `Service.generate`."""
        async with aclosing(self.inner.generate(model, asked, seconds, request)) as tokens:
            async for token in tokens:
                if (made := token.generation) is not None:
                    used = made.prompt_tokens + made.completion_tokens
                    _charge(used, model)  # a name that the service knows, or there would be no token
                    self._metrics.observe_tokens("generate", used)
                yield token

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        """As `Service.embed`."""
        vectors = await self.inner.embed(model, texts, seconds)
        _charge(0, model)
        return vectors

    def models(self) -> tuple[ServedModel, ...]:
        """As `Service.models`."""
        return self.inner.models()

    def peers(self) -> tuple[Peer, ...]:
        """As `Service.peers`."""
        return self.inner.peers()

    @property
    def load(self) -> Load:
        """As `Service.load`."""
        return self.inner.load

    @property
    def troubles(self) -> tuple[str, ...]:
        """As `Service.troubles`."""
        return self.inner.troubles


def _charge(tokens: int, model: str) -> None:
    """Note what the request that this task works for has used."""
    call = _call.get()
    if call is not None:
        call.tokens += max(0, tokens)
        call.model = model
