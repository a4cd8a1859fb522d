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
from waggle.core.asking import AskOptions
from waggle.core.errors import MeshError, UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, ModelOffer, Peer
from waggle.core.round_values import Record
from waggle.engines.protocol import Engine
from waggle.mesh.files.serve import FileServer
from waggle.mesh.files.store import FileStore
from waggle.mesh.files.store import shared as shared_files
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.members.membership import Membership
from waggle.mesh.members.own_advert import Description
from waggle.mesh.messages import ROUND_PROTOCOL, PleaseAnswer
from waggle.mesh.transport import Stream, Transport
from waggle.node.calibration import Calibration
from waggle.node.engines.offers import MAX_OFFERS, choose_by, offer_of
from waggle.node.engines.watch import EngineWatch
from waggle.node.network.mesh_party import MeshParty
from waggle.node.peers.participant import Participant
from waggle.node.peers.question_server import QuestionServer
from waggle.node.peers.questions import Questions
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.coordinator import CommitteeSize, Coordinator
from waggle.node.rounds.work import NodeWork
from waggle.node.solo.serving import Solo
from waggle.strategies.machine import Watch
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
    price: int = 0
    relays: bool = False
    committee: CommitteeSize = field(default_factory=CommitteeSize)
    pace: Pace | None = None
    view_limit: int | None = None


class MeshNode:
    """A node; `start` brings it up, `leave` or `close` ends it. `make_node` asks the engines what they are."""

    def __init__(
        self,
        key: NodeKey,
        transport: Transport,
        watch: EngineWatch,
        options: NodeOptions | None = None,
        *,
        calibration: Calibration | None = None,
        store: FileStore | None = None,
        rng: Random | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            key: whose id is the transport's.
            watch: the engines, by model name; none for a node that only coordinates and passes on.
            store: its model files, if it shares any.
            wall: the date in seconds since 1970.
        """
        self.options = options or NodeOptions()
        self.key = key
        self.transport = transport
        self.store = store
        self._calibration = calibration
        self._watch = watch
        self._told: tuple[ModelOffer, ...] = ()  # with the latest advert
        self.work = NodeWork(
            watch.engines,
            Admission(
                capacity=self.options.capacity,
                queue=self.options.queue,
                queue_per_asker=self.options.queue_per_asker,
            ),
            choose_by(calibration, lambda: watch.usable() or list(watch.engines)),
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
        self.party = MeshParty(
            key,
            self.work,
            lambda: self.offers,
            self.membership.usable,
            self._open,
            size=self.options.committee,
        )
        self.swarm = Coordinator(self.party, calibration)
        self._questions = Questions(self._answer)
        self._tasks: list[asyncio.Task[None]] = []

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
        """The models that it offers: those whose engines can be used now."""
        return tuple(self._offer(name) for name in self._watch.usable()[:MAX_OFFERS])

    def offers_down(self) -> tuple[tuple[ModelOffer, str], ...]:
        """The models whose engines cannot be used now, and why."""
        engines = self._watch.engines.items()
        return tuple((self._offer(name), engine.trouble) for name, engine in engines if engine.trouble)

    def peers(self) -> tuple[Peer, ...]:
        """The other nodes that it knows of."""
        return self.membership.peers()

    async def start(self, invites: Sequence[str] = ()) -> tuple[str, ...]:
        """Serve, and join others by these multiaddrs; gives why an invite failed, for each that did.

        Raises:
            UsageError: an invite is no address.
        """
        await Participant(self.key, self.work).serve(self.transport)
        await QuestionServer(self.key, self._questions).serve(self.transport)
        await Solo(self.key, self.work).serve(self.transport)
        if self.store is not None:
            await FileServer(self.transport, self.store, tell_owner=self.membership.note).start()
        failures = await self.membership.start(invites)
        self._tasks = [
            asyncio.create_task(self._keep_reviewing(), name="reviewing the advert"),
            asyncio.create_task(self._watch.keep_looking(), name="looking after engines"),
        ]
        return failures

    async def ask(
        self, question: str, options: AskOptions | None = None, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question with the swarm; errors as those of `Coordinator.ask`."""
        return await self.swarm.ask(question, options, watch, request)

    async def leave(self) -> None:
        """Say goodbye to the others, and end."""
        await self.membership.leave()
        await self.close()

    async def close(self) -> None:
        """End without a word. Twice is harmless."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._questions.close()
        await self.membership.close()
        await self.transport.close()
        for engine in self.work.engines.values():
            await engine.close()

    async def refresh(self) -> None:
        """Tell the swarm what has changed: models shared since, speeds measured since, engines gone or back."""
        await self.membership.update(self._description())

    def _offer(self, name: str) -> ModelOffer:
        card, speed = self._watch.card(name), self.work.speed(name)
        return offer_of(card, name, calibration=self._calibration, speed=speed, price=self.options.price)

    def _description(self) -> Description:
        self._told = self.offers
        return Description(
            version=__version__,
            name=self.options.name,
            offers=self._told,
            shared=shared_files(self.store) if self.store else (),
            relays=self.options.relays,
        )

    async def _keep_reviewing(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REVIEW_SECONDS):
                    await self._watch.changed.wait()
            self._watch.changed.clear()
            if self._has_changed():
                with suppress(MeshError):
                    await self.refresh()

    def _has_changed(self) -> bool:
        """Whether the latest advert names other models than can be used now, or has their speeds wrong."""
        if {offer.model for offer in self._told} != {offer.model for offer in self.offers}:
            return True
        return any(self._is_faster_or_slower(offer) for offer in self._told)

    def _is_faster_or_slower(self, offer: ModelOffer) -> bool:
        measured, told = self.work.speed(offer.model), offer.tokens_per_second
        return measured is not None and (told is None or abs(measured - told) > SPEED_CHANGE * told)

    async def open(self, node: NodeId, protocol: str) -> Stream:
        """A stream to a node that may have to be dialled first. Raises MeshError."""
        await self.membership.reach(node)
        return await self.transport.open(node, protocol, seconds=OPEN_SECONDS)

    async def _open(self, node: NodeId) -> Stream:
        return await self.open(node, ROUND_PROTOCOL)

    async def _answer(self, asked: PleaseAnswer, watch: Watch) -> Record:
        if asked.options.budget.seconds <= 0:
            raise UsageError("a question needs some time to be answered in")
        return await self.swarm.ask(asked.question, asked.options, watch, asked.request)


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
    """A node that offers these engines, by model name; arguments as those of `MeshNode`.

    An engine that cannot be reached is offered as soon as it can.

    Raises:
        EngineRefused: none can be used, and waiting mends none of them.
    """
    watch = EngineWatch(engines)
    await watch.begin()
    return MeshNode(key, transport, watch, options, calibration=calibration, store=store, rng=rng, wall=wall)
