"""The swarm of one process as a `Service`: the gateway and the page work without a network, and so do their tests.

Every engine is a node. A model that several of them have is written by the one that is least busy, and by another one
where that fails (`search`); an engine in trouble is told as such, and tried again until it works (`engine_watch`).
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

from waggle.core.asking import AskOptions, check_turns
from waggle.core.engine_values import EngineCard, GenerateRequest, StreamedToken
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer
from waggle.core.round_values import Record
from waggle.node.engines.offers import offer_of
from waggle.node.engines.watch import EngineWatch
from waggle.node.rounds.swarm import HERE, Swarm
from waggle.node.services.served import served_at
from waggle.node.services.service import ServedModel
from waggle.node.solo.search import Lately, Place, Search, do, write
from waggle.strategies.machine import Watch


class LocalService:
    """A `Service` over engines of this process; `make_local_service` makes one that watches them."""

    def __init__(self, swarm: Swarm, cards: Mapping[NodeId, EngineCard]) -> None:
        """Serve a swarm whose engines described themselves as `cards`; nothing is asked of them yet."""
        self._watch = EngineWatch(
            {str(node): engine for node, engine in swarm.engines.items()},
            {str(node): card for node, card in cards.items()},
        )
        watched = {NodeId(name): engine for name, engine in self._watch.engines.items()}
        self._swarm = Swarm(watched, swarm.calibration, swarm.clock)
        self._lately = Lately()
        self._looking: asyncio.Task[None] | None = None
        self._running = 0

    async def start(self) -> None:
        """Ask all engines what they are, and look after them from now on. Raises EngineRefused where none is usable."""
        await self._watch.begin()
        self._looking = asyncio.create_task(self._watch.keep_looking(), name="looking after engines")

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
        check_turns(asked.turns)
        search = Search(self.places, self._lately, model, seconds, late=EngineUnavailable)
        with self._at_work():
            text = write(search, lambda place: self._swarm.works[place.node].generate(HERE, "", asked))
            async with aclosing(text) as tokens:
                async for token in tokens:
                    yield token

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        """One unit-length vector per text; errors as those of `Service.embed`."""
        search = Search(self.places, self._lately, model, seconds, late=EngineUnavailable)
        with self._at_work():
            return await do(search, lambda place: self._swarm.works[place.node].embed(HERE, "", texts))

    def models(self) -> tuple[ServedModel, ...]:
        """Every engine's model, by name."""
        return served_at(self.places())

    def places(self) -> list[Place]:
        """Every engine."""
        return [
            Place(NodeId(name), offer_of(self._watch.card(name)), float(engine.in_flight), down=engine.trouble)
            for name, engine in self._watch.engines.items()
        ]

    def peers(self) -> tuple[Peer, ...]:
        """Nobody: there is no network."""
        return ()

    @property
    def load(self) -> Load:
        """Questions under way."""
        return Load(running=self._running, waiting=0, capacity=max(1, self._running))

    @property
    def troubles(self) -> tuple[str, ...]:
        """None: there is no network."""
        return ()

    async def close(self) -> None:
        """Close every engine."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._swarm.close()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def make_local_service(swarm: Swarm) -> LocalService:
    """Serve a swarm; engines that do not say what they are, are tried again later. Raises EngineRefused for none."""
    service = LocalService(swarm, {})
    try:
        await service.start()
    except BaseException:
        await service.close()
        raise
    return service
