"""What the tests of rounds over a network share: nodes with make-believe engines on a simulated network."""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from tests.adverts import alive
from tests.swarm import crowd
from tests.swarm.crowd import TRUTH
from waggle.core.ids import NodeId
from waggle.core.mesh_values import ModelOffer, Peer
from waggle.core.round_values import Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.memory import Conditions, MemoryNetwork, MemoryTransport
from waggle.mesh.messages import ROUND_PROTOCOL, PleaseAnswer
from waggle.mesh.transport import Stream
from waggle.node.network.mesh_party import MeshParty
from waggle.node.peers.client import Client
from waggle.node.peers.participant import Participant
from waggle.node.peers.question_server import QuestionServer
from waggle.node.peers.questions import Questions
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.coordinator import CommitteeSize, Coordinator
from waggle.node.rounds.work import NodeWork
from waggle.strategies.machine import Watch
from waggle.testing.clock import VirtualClock
from waggle.trust.keys import NodeKey


class MeshNode:
    """One node: an engine, its work, both protocols served; `peers` is what it is told of the others."""

    def __init__(self, network: MemoryNetwork, part: Script, speed: float | None = None, capacity: int = 8) -> None:
        self.key = NodeKey.generate()
        self.id = self.key.node_id
        self.engine = ScriptedEngine(part, TRUTH, clock=VirtualClock())
        self.offer = ModelOffer(model=part.name, family="scripted", context_tokens=4096, tokens_per_second=speed)
        self.network = network
        self.transport = network.join(self.id)
        admission = Admission(capacity=capacity, queue=256, queue_per_asker=128)
        self.work = NodeWork({part.name: self.engine}, admission)
        self.peers: tuple[Peer, ...] = ()
        self.party = MeshParty(
            self.key,
            self.work,
            lambda: (self.offer,),
            lambda: self.peers,
            self._open,
            clock=VirtualClock(),
            size=CommitteeSize(proposers=5, standby=2, judges=5, hedge_factor=3.0),
        )
        self.swarm = Coordinator(self.party, clock=VirtualClock())
        self.questions = Questions(self._answer)

    async def _open(self, node: NodeId) -> Stream:
        return await self.transport.open(node, ROUND_PROTOCOL, seconds=5.0)

    async def _answer(self, asked: PleaseAnswer, watch: Watch) -> Record:
        return await self.swarm.ask(asked.question, asked.options, watch, asked.request)

    async def start(self) -> None:
        await Participant(self.key, self.work).serve(self.transport)
        await QuestionServer(self.key, self.questions).serve(self.transport)

    def seen(self) -> Peer:
        return replace(alive(self.id, offers=(self.offer,)), round_trip=0.01)


async def make_mesh(
    parts: Sequence[Script],
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    speed: float | None = None,
    capacity: int = 8,
) -> list[MeshNode]:
    """Nodes that all know and can dial each other."""
    network = MemoryNetwork(seed, conditions)
    nodes = [MeshNode(network, part, speed, capacity) for part in parts]
    for node in nodes:
        await node.start()
        node.peers = tuple(other.seen() for other in nodes if other is not node)
    for node in nodes:
        for other in nodes:
            if other is not node:
                await node.transport.connect(await other.transport.addresses())
    return nodes


async def make_client(nodes: Sequence[MeshNode]) -> tuple[Client, MemoryTransport]:
    """Somebody outside who can dial them all."""
    key = NodeKey.generate()
    transport = nodes[0].network.join(key.node_id)
    for node in nodes:
        await transport.connect(await node.transport.addresses())
    return Client(transport, key), transport


assert_sound = partial(crowd.assert_sound, slack_seconds=0.05)
"""A network takes its time."""
