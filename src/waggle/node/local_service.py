"""The swarm of one process as a `Service`: the gateway and the page work without a network, and so do their tests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TypeVar

from waggle.core.engine_values import EngineCard, GenerateRequest, StreamedToken
from waggle.core.errors import EngineUnavailable, UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer
from waggle.core.round_values import Record
from waggle.engines.protocol import Engine
from waggle.node.planning import AskOptions, check_turns
from waggle.node.runner import Watch
from waggle.node.service import ServedModel
from waggle.node.swarm import Swarm

T = TypeVar("T")
HERE = NodeId("here")


class LocalService:
    """A `Service` over engines of this process; every engine is a node of its own. `make_local_service` makes one."""

    def __init__(self, swarm: Swarm, cards: Mapping[NodeId, EngineCard]) -> None:
        """Serve a swarm whose engines described themselves as `cards`."""
        self._swarm = swarm
        self._cards = dict(cards)
        self._running = 0

    @property
    def id(self) -> NodeId:
        """The process."""
        return HERE

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question; errors as those of `Service.ask`."""
        with self._at_work():
            return await self._swarm.ask(question, options, watch, request)

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        """Have one model write; errors as those of `Service.generate`."""
        engine = self._engine(model)
        check_turns(asked.turns)
        with self._at_work():
            ends = asyncio.get_running_loop().time() + seconds
            async with aclosing(engine.stream(asked)) as tokens:
                while (token := await _before(ends, anext(tokens, None), model)) is not None:
                    yield token

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        """One unit-length vector per text; errors as those of `Service.embed`."""
        engine = self._engine(model)
        with self._at_work():
            return await _before(asyncio.get_running_loop().time() + seconds, engine.embed(texts), model)

    def models(self) -> tuple[ServedModel, ...]:
        """Every engine's model, by name."""
        found: dict[str, ServedModel] = {}
        for node, card in sorted(self._cards.items(), key=lambda item: item[1].model):
            known = found.get(card.model)
            found[card.model] = ServedModel(
                name=card.model,
                family=card.family,
                context_tokens=card.context_tokens,
                nodes=(*(known.nodes if known else ()), node),
                skills=card.skills,
                tokens_per_second=card.tokens_per_second,
            )
        return tuple(found.values())

    def peers(self) -> tuple[Peer, ...]:
        """Nobody: there is no network."""
        return ()

    @property
    def load(self) -> Load:
        """Questions under way."""
        return Load(running=self._running, waiting=0, capacity=max(1, self._running))

    async def close(self) -> None:
        """Close every engine."""
        await self._swarm.close()

    def _engine(self, model: str) -> Engine:
        for node, card in self._cards.items():
            if model in (card.model, node):
                return self._swarm.engines[node]
        names = ", ".join(served.name for served in self.models())
        raise UsageError(f"no model {model!r} in this swarm; there are {names}")

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def _before(ends: float, work: Awaitable[T], model: str) -> T:
    try:
        async with asyncio.timeout_at(ends):
            return await work
    except TimeoutError:
        raise EngineUnavailable(f"{model} did not answer in time") from None


async def make_local_service(swarm: Swarm) -> LocalService:
    """Serve a swarm; asks every engine what it is. Raises EngineError."""
    cards = {node: await engine.describe() for node, engine in swarm.engines.items()}
    return LocalService(swarm, cards)
