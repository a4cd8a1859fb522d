"""A large swarm on the simulated network and the virtual clock, with churn and loss.

Every node is whole where it matters here: its own key, signed adverts, gossip, pings, a partial view of the swarm, its
engine, its part in other nodes' rounds, and rounds of its own. Left out are model files, clients and libp2p itself.
Nodes are killed without a farewell and come back under the same key as a new incarnation.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import perf_counter

from msgspec import Struct

from waggle.core.asking import AskOptions
from waggle.core.errors import WaggleError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import ModelOffer
from waggle.core.round_values import Budget, Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.adverts.signed import AdvertReader
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.members.membership import Membership
from waggle.mesh.members.own_advert import Description
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.mesh.messages import ROUND_PROTOCOL
from waggle.mesh.transport import Stream
from waggle.node.network.mesh_party import MeshParty
from waggle.node.peers.participant import Participant
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.coordinator import CommitteeSize, Coordinator
from waggle.node.rounds.work import NodeWork
from waggle.testing.clock import VirtualClock, run_virtual
from waggle.trust.keys import NodeKey

MODELS = 7
DATE = 1_700_000_000.0
REMEMBERED_ADVERTS = 200_000

Progress = Callable[[str], None]


class SimOptions(Struct, frozen=True, kw_only=True):
    """One simulation. Seconds are virtual; `churn` is the share of nodes killed per minute."""

    nodes: int
    seed: int = 0
    minutes: float = 2.0
    rounds_per_second: float = 5.0
    churn: float = 0.1
    down_seconds: float = 20.0
    view_limit: int = 32
    budget_seconds: float = 20.0
    engine_seconds: float = 0.2
    start_seconds: float = 30.0
    settle_seconds: float = 15.0
    conditions: Conditions = Conditions(delay=0.02, jitter=0.08, loss=0.05)
    pace: Pace = Pace(tick=1.5, ping_every=3.0, exchange_every=10.0)
    committee: CommitteeSize = CommitteeSize()


@dataclass
class Simulated:
    """What was counted. `frames` are those that coordinators sent and got on the streams of completed rounds."""

    options: SimOptions
    asked: int = 0
    in_time: int = 0
    orphaned: int = 0
    """Rounds whose coordinator was killed meanwhile; they count as not answered."""
    completed: int = 0
    whole: int = 0
    """Rounds that had as many proposers planned as a committee has."""
    frames: int = 0
    frame_bytes: int = 0
    seconds: list[float] = field(default_factory=list)
    killed: int = 0
    background_messages: float = 0.0
    background_bytes: float = 0.0
    """Everything but rounds' frames, per node and second while questions are asked."""
    wall_seconds: float = 0.0


class Meter:
    """Counts the frames of one round."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.frames = 0
        self.bytes = 0

    def count(self, frame: bytes) -> None:
        """One more."""
        self.frames += 1
        self.bytes += len(frame)


class MeteredStream:
    """A stream whose frames are counted both ways."""

    def __init__(self, stream: Stream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    @property
    def peer(self) -> NodeId:
        """The other side."""
        return self._stream.peer

    async def send(self, frame: bytes) -> None:
        """Count and send."""
        self._meter.count(frame)
        await self._stream.send(frame)

    async def receive(self) -> bytes | None:
        """Receive and count."""
        frame = await self._stream.receive()
        if frame is not None:
            self._meter.count(frame)
        return frame

    async def close(self) -> None:
        """Close it."""
        await self._stream.close()


class SimNode:
    """One start of one node."""

    def __init__(self, world: "World", key: NodeKey, index: int) -> None:
        """Join the network; `start` begins."""
        script = Script(
            name=f"model {index % MODELS}", seed=index, skill=0.6, seconds_per_call=world.options.engine_seconds
        )
        offer = ModelOffer(model=script.name, family="scripted", context_tokens=4_096)
        self.key = key
        self.index = index
        self.offers = (offer,)
        self.options = world.options
        self.transport = world.network.join(key.node_id)
        self.rounds: set[asyncio.Task[None]] = set()
        engine = ScriptedEngine(script, truth, clock=VirtualClock())
        self.work = NodeWork({script.name: engine}, Admission(capacity=8, queue=64, queue_per_asker=32))
        self.membership = Membership(
            self.transport,
            key,
            Description(version="0", offers=self.offers),
            rng=Random(world.rng.random()),
            wall=lambda: DATE + asyncio.get_running_loop().time(),
            load=lambda: self.work.load,
            pace=world.options.pace,
            view_limit=world.options.view_limit,
            reader=world.reader,
        )

    async def start(self, invites: list[str]) -> None:
        """Serve and join."""
        await Participant(self.key, self.work).serve(self.transport)
        await self.membership.start(invites)

    async def ask(self, question: str, meter: Meter) -> Record:
        """Coordinate one round."""

        async def open_stream(node: NodeId) -> Stream:
            await self.membership.reach(node)
            return MeteredStream(await self.transport.open(node, ROUND_PROTOCOL, seconds=5.0), meter)

        party = MeshParty(
            self.key,
            self.work,
            lambda: self.offers,
            self.membership.usable,
            open_stream,
            size=self.options.committee,
            clock=VirtualClock(),
        )
        budget = Budget(seconds=self.options.budget_seconds)
        return await Coordinator(party, clock=VirtualClock()).ask(
            question, AskOptions(budget=budget, min_confidence=0.0)
        )


def truth(question: str) -> str:
    """The right answer to every question of the simulation: its number and one."""
    return str(int(question.split()[-1]) + 1)


class World:
    """All nodes, those that kill and revive them, and those that ask."""

    def __init__(self, options: SimOptions) -> None:
        """An empty network."""
        self.options = options
        self.rng = Random(options.seed)
        self.network = MemoryNetwork(options.seed, options.conditions)
        self.reader = AdvertReader(REMEMBERED_ADVERTS)
        self.nodes: dict[int, SimNode] = {}
        self.found = Simulated(options)

    async def run(self, on_progress: Progress) -> Simulated:
        """Start everybody, let them settle, ask for some minutes under churn."""
        async with asyncio.TaskGroup() as group:
            await self._start_all(group)
            churn = group.create_task(self._churn(group))
            await asyncio.sleep(self.options.settle_seconds)
            on_progress(f"{self.options.nodes} simulated nodes are up")
            before = (self.network.messages, self.network.bytes)
            await self._ask_for_minutes(group)
            self._count_background(before)
            churn.cancel()
            await self._until_answered()
            await self._end()
        return self.found

    # --- nodes -------------------------------------------------------------------------------------------------------

    async def _start_all(self, group: asyncio.TaskGroup) -> None:
        for index in range(self.options.nodes):
            self._start(group, index, NodeKey.generate())
            await asyncio.sleep(self.options.start_seconds / self.options.nodes)

    def _start(self, group: asyncio.TaskGroup, index: int, key: NodeKey) -> None:
        known = [self.nodes[other] for other in self.rng.sample(list(self.nodes), min(3, len(self.nodes)))]
        invites = [f"/memory/{node.key.node_id}/p2p/{node.key.node_id}" for node in known]
        node = self.nodes[index] = SimNode(self, key, index)
        group.create_task(_start_quietly(node, invites))

    async def _churn(self, group: asyncio.TaskGroup) -> None:
        """Kill one node after the other; each comes back after a while."""
        every = 60.0 / (self.options.churn * self.options.nodes)
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / every))
            node = self.nodes.pop(self.rng.choice(list(self.nodes)))
            self.found.killed += 1
            group.create_task(self._kill_and_revive(group, node))

    async def _kill_and_revive(self, group: asyncio.TaskGroup, node: SimNode) -> None:
        await self._kill(node)
        await asyncio.sleep(self.rng.expovariate(1 / self.options.down_seconds))
        self._start(group, node.index, node.key)

    async def _kill(self, node: SimNode) -> None:
        self.network.kill(node.key.node_id)
        for task in node.rounds:
            task.cancel()
        await node.membership.close()

    async def _end(self) -> None:
        for node in list(self.nodes.values()):
            await self._kill(node)

    # --- questions ---------------------------------------------------------------------------------------------------

    async def _ask_for_minutes(self, group: asyncio.TaskGroup) -> None:
        until = asyncio.get_running_loop().time() + 60.0 * self.options.minutes
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self.rng.expovariate(self.options.rounds_per_second))
            node = self.rng.choice(list(self.nodes.values()))
            self.found.asked += 1
            task = group.create_task(self._ask(node, f"What comes after {self.found.asked}"))
            node.rounds.add(task)
            task.add_done_callback(node.rounds.discard)

    async def _until_answered(self) -> None:
        """Until no round is open any more; none outlives its budget by much."""
        if rounds := [task for node in self.nodes.values() for task in node.rounds]:
            await asyncio.wait(rounds, timeout=self.options.budget_seconds + 1)

    async def _ask(self, node: SimNode, question: str) -> None:
        meter, began = Meter(), asyncio.get_running_loop().time()
        try:
            record = await node.ask(question, meter)
        except asyncio.CancelledError:
            self.found.orphaned += 1
            return
        except WaggleError:
            return
        self._note(record, meter, asyncio.get_running_loop().time() - began)

    def _note(self, record: Record, meter: Meter, seconds: float) -> None:
        found, options = self.found, self.options
        found.completed += 1
        found.in_time += record.outcome.answer is not None and seconds <= options.budget_seconds
        found.whole += len(record.plan.proposers) == options.committee.proposers
        found.frames += meter.frames
        found.frame_bytes += meter.bytes
        found.seconds.append(seconds)

    def _count_background(self, before: tuple[int, int]) -> None:
        node_seconds = self.options.nodes * 60.0 * self.options.minutes
        messages, size = self.network.messages - before[0], self.network.bytes - before[1]
        self.found.background_messages = (messages - self.found.frames) / node_seconds
        self.found.background_bytes = (size - self.found.frame_bytes) / node_seconds


async def _start_quietly(node: SimNode, invites: list[str]) -> None:
    """Start a node, be it killed meanwhile."""
    try:
        await node.start(invites)
    except WaggleError:
        return


def run_simulation(options: SimOptions, on_progress: Progress = lambda _: None) -> Simulated:
    """Run one simulation; everything but its wall time is the seed's alone, ids and signatures apart."""
    began = perf_counter()
    found = run_virtual(World(options).run(on_progress))
    found.wall_seconds = perf_counter() - began
    on_progress(f"{options.nodes} simulated nodes: {found.in_time} of {found.asked} answered in time")
    return found
