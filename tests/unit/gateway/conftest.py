"""A swarm of scripted engines behind a gateway on loopback."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import openai
import pytest
from fastapi import FastAPI

from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, Generation, StreamedToken
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer
from waggle.core.round_values import Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine, Sleeper
from waggle.gateway.app import make_app
from waggle.gateway.jobs import watching
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions
from waggle.gateway.server import serving
from waggle.node.clock import SystemClock
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service
from waggle.node.services.service import ServedModel
from waggle.strategies.machine import Watch

QUESTION, ANSWER = "What is 6 * 7?", "42"
TRUTH = {QUESTION: ANSWER, "What is 2 + 3?": "5"}
HERE, IDLE = NodeId("here"), Load()
PATIENCE = 30.0
"""Seconds to wait for what takes none where nothing else runs."""
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

    async def until(self, in_flight: int) -> None:
        """Wait until so many calls are at work."""
        async with asyncio.timeout(PATIENCE):
            while self.in_flight != in_flight:  # noqa: ASYNC110 - engines do not tell
                await asyncio.sleep(0.005)

    async def until_idle(self) -> None:
        """Wait until no call is at work and no place is taken."""
        await self.until(0)
        async with asyncio.timeout(PATIENCE):
            while self.service.load.running:  # noqa: ASYNC110 - services do not tell
                await asyncio.sleep(0.005)


class Standstill:
    """A clock on which no time passes until it is let go, and from then on all at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await self.go.wait()


async def make_play(clock: Sleeper | None = None, /, **scripts: Script) -> Play:
    """A swarm of engines that play these scripts, on the real clock unless another is given."""
    clock = clock or SystemClock()
    engines = {NodeId(name): ScriptedEngine(script, TRUTH, clock=clock) for name, script in scripts.items()}
    return Play(await make_local_service(Swarm(engines)), engines)


def bees(**changes: float) -> dict[str, Script]:
    """Three engines that are always right."""
    return {
        name: Script(name=name, seed=seed, skill=1.0, **changes)  # type: ignore[arg-type]  # numbers only
        for seed, name in enumerate(("ant", "bee", "cat"))
    }


@dataclass
class FakeService:
    """Says what it is told to, and keeps what it was asked; the other parts of a service are not there."""

    tokens: Sequence[StreamedToken] = ()
    fails: Exception | None = None
    record: Record | None = None
    asked: list[AskOptions] = field(default_factory=list)
    generated: list[GenerateRequest] = field(default_factory=list)
    given: int = 0
    id: NodeId = HERE
    load: Load = IDLE

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        self.asked.append(options)
        if self.record is None:
            raise self.fails or EngineUnavailable("nobody is there")
        return self.record

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        self.generated.append(asked)
        for token in self.tokens:
            self.given += 1
            yield token
        if self.fails is not None:
            raise self.fails

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        raise EngineUnavailable("nobody embeds")

    def models(self) -> tuple[ServedModel, ...]:
        return (
            ServedModel(name="ant", skills={"": 0.5}),
            ServedModel(name="bee", skills={"": 0.9}, calls_tools=True),
        )

    def peers(self) -> tuple[Peer, ...]:
        return ()

    @property
    def troubles(self) -> tuple[str, ...]:
        return ()


def tokens_of(*texts: str, **made: object) -> list[StreamedToken]:
    """A stream of these pieces that ends with its generation."""
    text = "".join(texts)
    fields = {"text": text, "answer": text, "trace": "", "prompt_tokens": 5, "completion_tokens": len(texts)}
    generation = msgspec.convert(fields | {"seconds": 0.1, "finish": "stop"} | made, Generation)
    pieces = [StreamedToken(text=piece, logprob=-0.5) for piece in texts]
    return [*pieces, StreamedToken(text="", generation=generation)]


async def until(true: Callable[[], bool]) -> None:
    """Wait for what nothing tells of."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


@dataclass
class Paced(FakeService):
    """Gives a token, or fails, whenever it is let."""

    let: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        for token in self.tokens:
            await self.let.acquire()
            yield token
        if self.fails is not None:
            await self.let.acquire()
            raise self.fails


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails at once may do so slowly: a busy machine can take a second over what should take none."""
    monkeypatch.setattr(watching, "HELD_SECONDS", PATIENCE, raising=False)


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


def caller(app: FastAPI) -> httpx.AsyncClient:
    """A client that calls the application without a socket; a stream comes back whole."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080")


def client_of(url: str) -> openai.AsyncOpenAI:
    """OpenAI's own client, which tries nothing again."""
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    """A store without keys."""
    with closing(KeyStore(tmp_path / "keys.sqlite")) as store:
        yield store


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Calls `app`."""
    async with caller(app) as calling:
        yield calling


@pytest.fixture
async def openai_client(app: FastAPI, serve: Serve) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's own client of `app`, over a socket."""
    async with serve(app) as url, client_of(url) as calling:
        yield calling


@pytest.fixture
def serve() -> Serve:
    """Serves an application on loopback; gives its base URL, without a slash at its end."""

    @asynccontextmanager
    async def served(app: FastAPI) -> AsyncIterator[str]:
        async with serving(app, GatewayOptions(port=0, drain_seconds=1.0)) as url:
            yield url

    return served
