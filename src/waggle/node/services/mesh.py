"""A node of a mesh as a `Service`: rounds with the swarm, and any one model of it, wherever that is.

One model alone: our own engine where we have the model and room, else the peer that has it and is least busy, then
nearest; `search` says what happens where one fails.
"""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from waggle.core.asking import AskOptions, check_turns
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer
from waggle.core.round_values import Record
from waggle.mesh.message_bounds import fault_of
from waggle.mesh.messages import PleaseGenerate
from waggle.node.network.mesh_node import MeshNode
from waggle.node.services.served import served_at
from waggle.node.services.service import ServedModel
from waggle.node.solo.client import SoloClient
from waggle.node.solo.search import Lately, Place, Search, do, write
from waggle.strategies.machine import Watch


class MeshService:
    """Serves what a started node can do; it owns the node no more than its callers do."""

    def __init__(self, node: MeshNode) -> None:
        self._node = node
        self._client = SoloClient(node.key, node.open)
        self._lately = Lately(node.id)

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
        search = Search(self.places, self._lately, model, seconds)
        text = write(search, lambda place: self._write_at(place, asked, search.left, request))
        async with aclosing(text) as tokens:
            async for token in tokens:
                yield token

    async def embed(self, model: str, texts: Sequence[str], seconds: float) -> list[list[float]]:
        """One unit-length vector per text, all of one node; errors as those of `Service.embed`."""
        search = Search(self.places, self._lately, model, seconds)
        request = secrets.token_hex(16)
        return await do(search, lambda place: self._embed_at(place, texts, search.left, request))

    def models(self) -> tuple[ServedModel, ...]:
        """All models, by name. What peers say of theirs is their word."""
        return served_at(self.places())

    def peers(self) -> tuple[Peer, ...]:
        """The other nodes that are known."""
        return self._node.peers()

    @property
    def load(self) -> Load:
        """How busy our own node is."""
        return self._node.load

    @property
    def troubles(self) -> tuple[str, ...]:
        """What hinders our own node in the swarm."""
        return self._node.membership.troubles

    def places(self) -> list[Place]:
        """Every model of every node that can be used now, our own first; those of ours, also where they are down."""
        busy = _busy(self.load)
        own = [Place(self.id, offer, busy) for offer in self._node.offers]
        own += [Place(self.id, offer, busy, down=reason) for offer, reason in self._node.offers_down()]
        return own + [
            Place(peer.node, offer, self._busy_peer(peer), peer.round_trip or 0.0)
            for peer in self._node.membership.usable()
            for offer in peer.advert.offers
            if offer.model
        ]

    def _busy_peer(self, peer: Peer) -> float:
        load = peer.load or Load()
        return max(load.running + load.waiting, self._lately.out[peer.node]) / max(1, load.capacity)

    def _write_at(
        self, place: Place, asked: GenerateRequest, seconds: float, request: str
    ) -> AsyncGenerator[StreamedToken, None]:
        if place.node == self.id:
            return self._node.work.generate(self.id, place.offer.model, asked)
        return self._client.generate(
            place.node, PleaseGenerate(request=request, model=place.offer.model, asked=asked, seconds=seconds)
        )

    async def _embed_at(self, place: Place, texts: Sequence[str], seconds: float, request: str) -> list[list[float]]:
        if place.node == self.id:
            return await self._node.work.embed(self.id, place.offer.model, texts)
        return await self._client.embed(place.node, place.offer.model, texts, seconds, request)


def _check(request: str, asked: GenerateRequest) -> None:
    """Raise UsageError for what no node would take."""
    check_turns(asked.turns)
    if fault := fault_of(PleaseGenerate(request=request, model="", asked=asked, seconds=0.0)):
        raise UsageError(f"this cannot be asked: {fault}")


def _busy(load: Load) -> float:
    return (load.running + load.waiting) / max(1, load.capacity)
