"""A node of a mesh as a `Service`: rounds with the swarm, and any one model of it, wherever that is.

One model alone: our own engine where we have the model and room, else the peer that has it and is least busy, then
nearest. Whoever fails, falls silent, stalls or is full is replaced by the next one, and for a while is tried last.
`solo_resume` is the rule by which a text goes on at another node. A peer that says the request itself is at fault is
believed once a second one says so, or nobody else is left.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import (
    EngineRefused,
    LocalProtocolError,
    PeerBusy,
    PeerRefused,
    PeerUnreachable,
    RemoteProtocolError,
    UsageError,
    WaggleError,
)
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, ModelOffer, Peer
from waggle.core.round_values import Record
from waggle.mesh.message_bounds import fault_of
from waggle.mesh.messages import PleaseGenerate
from waggle.node.logs import facts
from waggle.node.mesh_node import MeshNode
from waggle.node.planning import AskOptions, check_turns
from waggle.node.runner import Watch
from waggle.node.service import ServedModel
from waggle.node.solo_client import SoloClient
from waggle.node.solo_resume import Resumption

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_TRIES = 8  # nodes that are asked for one text
LEAST_PATIENCE = 5.0  # seconds for one token, while there is another node to go on
PATIENCE_SHARE = 1 / 3  # of the time left, for the same
MOST_PATIENCE = 60.0
BLAME_SECONDS = 30.0  # for which one who failed is tried last
MAX_BLAMED = 1_024


@dataclass(frozen=True)
class _Place:
    """A model at a node."""

    node: NodeId
    offer: ModelOffer
    busy: float
    away: float


class MeshService:
    """Serves what a started node can do; it owns the node no more than its callers do."""

    def __init__(self, node: MeshNode) -> None:
        self._node = node
        self._client = SoloClient(node.key, node.open)
        self._out = Counter[NodeId]()  # what we have peers do now, which their own load may not say yet
        self._blamed: dict[NodeId, float] = {}

    @property
    def id(self) -> NodeId:
        """Our own node."""
        return self._node.id

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question with the swarm; errors as those of `Service.ask`."""
        return await self._node.ask(question, options, watch, request)

    async def generate(
        self, model: str, asked: GenerateRequest, seconds: float, request: str | None = None
    ) -> AsyncGenerator[StreamedToken, None]:
        """Have one model write, wherever it is; errors as those of `Service.generate`."""
        request = request or secrets.token_hex(16)
        _check(request, asked)
        search = _Search(self, model, seconds)
        text = Resumption()
        while (place := search.next()) is not None:
            text.begin()
            with search.try_at(place):
                async with aclosing(self._write_at(place, asked, search.left, request)) as tokens:
                    while (token := await search.wait(anext(tokens, None))) is not None:
                        shown = text.take(token)
                        if shown is not None:
                            yield shown
                        if token.generation is not None:
                            return
                raise PeerUnreachable(f"{place.node} ended without a word")
        raise search.failure

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        """One unit-length vector per text, all of one node; errors as those of `Service.embed`."""
        search = _Search(self, model, seconds)
        request = secrets.token_hex(16)
        while (place := search.next()) is not None:
            with search.try_at(place):
                return await search.wait(self._embed_at(place, texts, search.left, request))
        raise search.failure

    def models(self) -> tuple[ServedModel, ...]:
        """All models of nodes that can be used now, by name. What peers say of theirs is their word."""
        served: dict[str, ServedModel] = {}
        for place in self.places():
            name, known = place.offer.model, served.get(place.offer.model)
            served[name] = _served(place) if known is None else _merged(known, place)
        return tuple(served[name] for name in sorted(served))

    def peers(self) -> tuple[Peer, ...]:
        """The other nodes that are known."""
        return self._node.peers()

    @property
    def load(self) -> Load:
        """How busy our own node is."""
        return self._node.load

    def places(self) -> list[_Place]:
        """Every model of every node that can be used now, our own first."""
        own = [_Place(self.id, offer, _busy(self.load), 0.0) for offer in self._node.offers]
        return own + [
            _Place(peer.node, offer, self._busy_peer(peer), peer.round_trip or 0.0)
            for peer in self._node.membership.usable()
            for offer in peer.advert.offers
            if offer.model
        ]

    def rank(self, place: _Place) -> tuple[bool, bool, float, float]:
        """Small for a good place: who did not fail lately, ourselves unless full, the least busy, the nearest."""
        blamed = self._blamed.get(place.node, 0.0) > asyncio.get_running_loop().time()
        at_home = place.node == self.id and place.busy < 1
        return blamed, not at_home, place.busy, place.away

    def blame(self, node: NodeId) -> None:
        """This one failed: try it last for a while."""
        if len(self._blamed) >= MAX_BLAMED:
            self._blamed.clear()
        self._blamed[node] = asyncio.get_running_loop().time() + BLAME_SECONDS

    @contextmanager
    def at_work(self, node: NodeId) -> Iterator[None]:
        """Count what a node does for us."""
        self._out[node] += 1
        try:
            yield
        finally:
            self._out[node] -= 1
            if not self._out[node]:
                del self._out[node]

    def _busy_peer(self, peer: Peer) -> float:
        load = peer.load or Load()
        return max(load.running + load.waiting, self._out[peer.node]) / max(1, load.capacity)

    def _write_at(
        self, place: _Place, asked: GenerateRequest, seconds: float, request: str
    ) -> AsyncGenerator[StreamedToken, None]:
        if place.node == self.id:
            return self._node.work.generate(self.id, place.offer.model, asked)
        return self._client.generate(
            place.node, PleaseGenerate(request=request, model=place.offer.model, asked=asked, seconds=seconds)
        )

    async def _embed_at(self, place: _Place, texts: Sequence[str], seconds: float, request: str) -> list[list[float]]:
        if place.node == self.id:
            return await self._node.work.embed(self.id, place.offer.model, texts)
        return await self._client.embed(place.node, place.offer.model, texts, seconds, request)


class _Search:
    """The search for a node that does one thing: whom to ask next, for how long, and what went wrong so far."""

    def __init__(self, service: MeshService, model: str, seconds: float) -> None:
        """Raises UsageError where nobody has the model."""
        self._service = service
        self._model = model
        self._ends = asyncio.get_running_loop().time() + seconds
        self._tried: set[NodeId] = set()
        self._failures: list[WaggleError] = []
        self._others = False
        if not self._left_over():
            names = ", ".join(served.name for served in service.models())
            raise UsageError(f"no model {model!r} in this swarm; there are {names or 'none'}")

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._ends - asyncio.get_running_loop().time())

    @property
    def failure(self) -> WaggleError:
        """Why nobody could: a fault of the request first, then that all are full, then the last failure."""
        refusals = [failure for failure in self._failures if isinstance(failure, EngineRefused)]
        if refusals:
            return refusals[0]
        busy = [failure for failure in self._failures if isinstance(failure, PeerBusy)]
        if busy and len(busy) == len(self._failures):
            return PeerBusy("all nodes with this model are full", min(failure.retry_after or 0.0 for failure in busy))
        return self._failures[-1] if self._failures else PeerUnreachable("no answer in time")

    def next(self) -> _Place | None:
        """The best place not tried yet; None where asking on makes no sense."""
        refused = sum(isinstance(failure, EngineRefused) for failure in self._failures)
        if refused > 1 or len(self._tried) >= MAX_TRIES or not self.left:
            return None
        places = sorted(self._left_over(), key=self._service.rank)
        self._others = len({place.node for place in places}) > 1
        return places[0] if places else None

    async def wait(self, work: Awaitable[T]) -> T:
        """Bounded by the time left, and by less while somebody else could go on. Raises TimeoutError."""
        share = min(max(LEAST_PATIENCE, self.left * PATIENCE_SHARE), MOST_PATIENCE)
        async with asyncio.timeout(min(share, self.left) if self._others else self.left):
            return await work

    @contextmanager
    def try_at(self, place: _Place) -> Iterator[None]:
        """Note what goes wrong at a place, and go on."""
        self._tried.add(place.node)
        with self._service.at_work(place.node):
            try:
                yield
            except TimeoutError:
                self._note(place, PeerUnreachable(f"{self._model} did not answer in time"))
            except RemoteProtocolError as error:
                self._note(place, PeerRefused(str(error)))
            except (PeerBusy, EngineRefused) as error:  # it is there, and says so
                self._failures.append(error)
                log.info("a node cannot take it", extra=facts(node=place.node, kind=type(error).__name__))
            except (UsageError, LocalProtocolError):
                raise
            except WaggleError as error:
                self._note(place, error)

    def _note(self, place: _Place, error: WaggleError) -> None:
        self._failures.append(error)
        log.info("a node failed", extra=facts(node=place.node, kind=type(error).__name__))
        if self.left:  # else it may only have been given too little time
            self._service.blame(place.node)

    def _left_over(self) -> list[_Place]:
        return [
            place
            for place in self._service.places()
            if self._model in (place.offer.model, place.node) and place.node not in self._tried
        ]


def _check(request: str, asked: GenerateRequest) -> None:
    """Raise UsageError for what no node would take."""
    check_turns(asked.turns)
    if fault := fault_of(PleaseGenerate(request=request, model="", asked=asked, seconds=0.0)):
        raise UsageError(f"this cannot be asked: {fault}")


def _busy(load: Load) -> float:
    return (load.running + load.waiting) / max(1, load.capacity)


def _served(place: _Place) -> ServedModel:
    offer = place.offer
    return ServedModel(
        name=offer.model,
        family=offer.family,
        context_tokens=offer.context_tokens,
        nodes=(place.node,),
        skills=offer.skills,
        tokens_per_second=offer.tokens_per_second,
    )


def _merged(known: ServedModel, place: _Place) -> ServedModel:
    """One more node with it: the first one's description, the least context, the best speed."""
    contexts = [tokens for tokens in (known.context_tokens, place.offer.context_tokens) if tokens]
    speeds = [speed for speed in (known.tokens_per_second, place.offer.tokens_per_second) if speed]
    return ServedModel(
        name=known.name,
        family=known.family,
        context_tokens=min(contexts, default=0),
        nodes=known.nodes if place.node in known.nodes else (*known.nodes, place.node),
        skills=known.skills,
        tokens_per_second=max(speeds, default=None),
    )
