"""One node of a swarm, whole: it finds the others, takes part in their rounds, coordinates its own, serves files.

The composition of everything that a node is; it owns what it is given and ends it. It knows no terminal and no home
directory (`running` does), so that a simulation can hold thousands and one process several.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from waggle import __version__
from waggle.core.errors import MeshError, UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, ModelOffer, Peer
from waggle.core.round_values import Record
from waggle.engines.protocol import Engine
from waggle.mesh.files.serve import FileServer
from waggle.mesh.files.store import FileStore
from waggle.mesh.files.store import shared as shared_files
from waggle.mesh.members.membership import Membership
from waggle.mesh.members.own import Description
from waggle.mesh.members.pace import Pace
from waggle.mesh.messages import ROUND_PROTOCOL, PleaseAnswer
from waggle.mesh.transport import Stream, Transport
from waggle.node.admission import Admission
from waggle.node.calibration import Calibration
from waggle.node.coordinator import Coordinator
from waggle.node.mesh_swarm import CommitteeSize, MeshSwarm
from waggle.node.offers import choose_by, offers_of
from waggle.node.participant import Participant
from waggle.node.planning import AskOptions
from waggle.node.questions import Questions
from waggle.node.runner import Watch
from waggle.node.solo import Solo
from waggle.node.work import NodeWork
from waggle.trust.keys import NodeKey

OPEN_SECONDS = 5.0
REVIEW_SECONDS = 10.0  # how often we look whether our advert still says what is so
SPEED_CHANGE = 0.25  # a change of the measured speed worth telling


@dataclass(frozen=True)
class NodeOptions:
    """What a node is told. Sizes of queues in pieces of work."""

    name: str = ""
    network: str = "waggle"
    capacity: int = 8
    queue: int = 64
    queue_per_asker: int = 32
    relays: bool = False
    committee: CommitteeSize = field(default_factory=CommitteeSize)
    pace: Pace | None = None
    view_limit: int | None = None


class MeshNode:
    """A node; `start` brings it up, `leave` or `close` ends it. `make_node` asks the engines for the offers."""

    def __init__(
        self,
        key: NodeKey,
        transport: Transport,
        engines: Mapping[str, Engine],
        options: NodeOptions | None = None,
        *,
        offers: tuple[ModelOffer, ...] = (),
        calibration: Calibration | None = None,
        store: FileStore | None = None,
        rng: Random | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            key: whose id is the transport's.
            engines: by model name; none for a node that only coordinates and passes on.
            offers: what the engines are, as `offers_of` tells.
            store: its model files, if it shares any.
            wall: the date in seconds since 1970.
        """
        self.options = options or NodeOptions()
        self.key = key
        self.transport = transport
        self.store = store
        self._calibration = calibration
        self._offers = offers
        self.work = NodeWork(
            engines,
            Admission(
                capacity=self.options.capacity,
                queue=self.options.queue,
                queue_per_asker=self.options.queue_per_asker,
            ),
            choose_by(calibration, list(engines)),
        )
        self.membership = Membership(
            transport,
            key,
            self._description(),
            rng=rng or Random(),
            wall=wall,
            network=self.options.network,
            load=lambda: self.work.load,
            pace=self.options.pace,
            view_limit=self.options.view_limit,
        )
        self.swarm = MeshSwarm(
            key,
            self.work,
            lambda: self._offers,
            self.membership.usable,
            self._open,
            calibration=calibration,
            size=self.options.committee,
        )
        self._questions = Questions(self._answer)
        self._review: asyncio.Task[None] | None = None

    @property
    def id(self) -> NodeId:
        """Its peer id."""
        return self.key.node_id

    @property
    def load(self) -> Load:
        """How busy it is."""
        return self.work.load

    @property
    def offers(self) -> tuple[ModelOffer, ...]:
        """The models that it offers."""
        return self._offers

    def peers(self) -> tuple[Peer, ...]:
        """The other nodes that it knows of."""
        return self.membership.peers()

    async def start(self, invites: Sequence[str] = ()) -> tuple[str, ...]:
        """Serve, and join others by these multiaddrs; gives why an invite failed, for each that did.

        Raises:
            UsageError: an invite is no address.
        """
        await Participant(self.key, self.work).serve(self.transport)
        await Coordinator(self.key, self._questions).serve(self.transport)
        await Solo(self.key, self.work).serve(self.transport)
        if self.store is not None:
            await FileServer(self.transport, self.store).start()
        failures = await self.membership.start(invites)
        self._review = asyncio.create_task(self._keep_reviewing())
        return failures

    async def ask(
        self, question: str, options: AskOptions | None = None, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question with the swarm; errors as those of `MeshSwarm.ask`."""
        return await self.swarm.ask(question, options, watch, request)

    async def leave(self) -> None:
        """Say goodbye to the others, and end."""
        await self.membership.leave()
        await self.close()

    async def close(self) -> None:
        """End without a word. Twice is harmless."""
        if self._review is not None:
            self._review.cancel()
            await asyncio.gather(self._review, return_exceptions=True)
        await self._questions.close()
        await self.membership.close()
        await self.transport.close()
        for engine in self.work.engines.values():
            await engine.close()

    async def refresh(self) -> None:
        """Tell the swarm what has changed: models shared since, speeds measured since."""
        self._offers = await offers_of(self.work.engines, self._calibration, self.work.speed)
        await self.membership.update(self._description())

    def _description(self) -> Description:
        return Description(
            version=__version__,
            name=self.options.name,
            offers=self._offers,
            shared=shared_files(self.store) if self.store else (),
            relays=self.options.relays,
        )

    async def _keep_reviewing(self) -> None:
        while True:
            await asyncio.sleep(REVIEW_SECONDS)
            if any(self._has_changed(offer) for offer in self._offers):
                with suppress(MeshError):
                    await self.refresh()

    def _has_changed(self, offer: ModelOffer) -> bool:
        measured, told = self.work.speed(offer.model), offer.tokens_per_second
        return measured is not None and (told is None or abs(measured - told) > SPEED_CHANGE * told)

    async def open(self, node: NodeId, protocol: str) -> Stream:
        """A stream to a node that may have to be dialled first. Raises MeshError."""
        await self.membership.reach(node)
        return await self.transport.open(node, protocol, seconds=OPEN_SECONDS)

    async def _open(self, node: NodeId) -> Stream:
        return await self.open(node, ROUND_PROTOCOL)

    async def _answer(self, asked: PleaseAnswer, watch: Watch) -> Record:
        if asked.budget.seconds <= 0:
            raise UsageError("a question needs some time to be answered in")
        options = AskOptions(
            strategy=asked.strategy,
            budget=asked.budget,
            min_confidence=asked.min_confidence,
            max_tokens=asked.max_tokens,
            sampling=asked.sampling,
            seed=asked.seed,
            turns=asked.turns,
            proposers=asked.proposers,
            judges=asked.judges,
        )
        return await self.swarm.ask(asked.question, options, watch, asked.request)


async def make_node(
    key: NodeKey,
    transport: Transport,
    engines: Mapping[str, Engine],
    options: NodeOptions | None = None,
    *,
    calibration: Calibration | None = None,
    store: FileStore | None = None,
    rng: Random | None = None,
    wall: Callable[[], float] = time.time,
) -> MeshNode:
    """A node that offers these engines; arguments as those of `MeshNode`. Raises EngineError."""
    offers = await offers_of(engines, calibration, lambda model: None)
    return MeshNode(
        key, transport, engines, options, offers=offers, calibration=calibration, store=store, rng=rng, wall=wall
    )
