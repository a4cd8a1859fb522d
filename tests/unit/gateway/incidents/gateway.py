"""A gateway on a real socket, with a probe behind its guard that notes what got past it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.unit.gateway.conftest import bees, make_play
from waggle.gateway.app import make_app
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions
from waggle.gateway.server import serving


class Probe:
    """Notes the path of everything that reaches the application."""

    def __init__(self, app: ASGIApp, passed: list[str]) -> None:
        self._app = app
        self._passed = passed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self._passed.append(scope["path"])
        await self._app(scope, receive, send)


@dataclass
class Gateway:
    """Where it is, what got past its guard, and keys for it."""

    app: FastAPI
    port: int
    ask: str
    admin: str
    passed: list[str] = field(default_factory=list)

    def routes(self) -> list[tuple[str, str]]:
        """Every route of the API's description as (method, path), and those that are not in it."""
        paths: dict[str, dict[str, object]] = self.app.openapi()["paths"]
        described = [(method.upper(), path) for path, methods in paths.items() for method in methods]
        others = (
            "/", "/metrics", "/docs", "/redoc", "/openapi.json", "/rounds", "/_nicegui/x.js", "/_nicegui_ws/socket.io/",
        )  # fmt: skip
        return sorted({*described, *(("GET", path) for path in others)} - {("GET", "/health/live")})


@asynccontextmanager
async def running(folder: Path, *, keys: bool, options: GatewayOptions | None = None) -> AsyncIterator[Gateway]:
    """A gateway to three engines that are always right; with an asker's key and an admin's where keys are in use."""
    options = options or GatewayOptions(port=0, drain_seconds=1.0)
    playing = await make_play(**bees())
    with closing(KeyStore(folder / "keys.sqlite")) as store:
        ask, admin = store.create("asker")[0], store.create("ruler", ("ask", "admin"))[0]
        app, passed = make_app(playing.service, options, keys=store if keys else None), list[str]()
        app.user_middleware.append(Middleware(Probe, passed=passed))  # the innermost one
        async with serving(app, options) as url:
            yield Gateway(app, int(url.rpartition(":")[2]), ask, admin, passed)
    await playing.service.close()
