"""A swarm of scripted engines behind a gateway on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI

from waggle.core.ids import NodeId
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions
from waggle.gateway.server import serving
from waggle.node.clock import SystemClock
from waggle.node.local_service import LocalService, make_local_service
from waggle.node.swarm import Swarm

QUESTION, ANSWER = "What is 6 * 7?", "42"
TRUTH = {QUESTION: ANSWER, "What is 2 + 3?": "5"}
Serve = Callable[[FastAPI], AbstractAsyncContextManager[str]]


@dataclass(frozen=True)
class Play:
    """A swarm whose engines can be looked at while it works."""

    service: LocalService
    engines: dict[NodeId, ScriptedEngine]

    @property
    def in_flight(self) -> int:
        return sum(engine.in_flight for engine in self.engines.values())

    @property
    def calls(self) -> int:
        return sum(engine.calls for engine in self.engines.values())


async def make_play(**scripts: Script) -> Play:
    """A swarm of engines that play these scripts on the real clock."""
    engines = {NodeId(name): ScriptedEngine(script, TRUTH, clock=SystemClock()) for name, script in scripts.items()}
    return Play(await make_local_service(Swarm(engines)), engines)


def bees(**changes: float) -> dict[str, Script]:
    """Three engines that are always right."""
    return {
        name: Script(name=name, seed=seed, skill=1.0, **changes)  # type: ignore[arg-type]  # numbers only
        for seed, name in enumerate(("ant", "bee", "cat"))
    }


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    """Three engines that are always right and take no time."""
    playing = await make_play(**bees())
    yield playing
    await playing.service.close()


@pytest.fixture
def service(play: Play) -> LocalService:
    """The swarm of `play`."""
    return play.service


@pytest.fixture
def app(service: LocalService) -> FastAPI:
    """A gateway to it, as it is without options."""
    return make_app(service, GatewayOptions())


@pytest.fixture
def serve() -> Serve:
    """Serves an application on loopback; gives its base URL, without a slash at its end."""

    @asynccontextmanager
    async def served(app: FastAPI) -> AsyncIterator[str]:
        async with serving(app, GatewayOptions(port=0, drain_seconds=1.0)) as url:
            yield url

    return served
