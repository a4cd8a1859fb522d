"""A swarm of memberships on the simulated network: started, killed, cut in two, looked at."""

import asyncio
import time
from collections.abc import Callable, Iterable
from random import Random

from tests.unit.mesh.adverts.making import TODAY, make_key
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, ModelOffer
from waggle.mesh.adverts.signed import AdvertReader
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.members.membership import Membership
from waggle.mesh.members.own_advert import Description
from waggle.mesh.memory import Conditions, MemoryNetwork, MemoryTransport

OFFER = ModelOffer(
    model="bee-s",
    family="hive",
    context_tokens=2048,
    parameters=1_000_000,
    skills={"sums": 0.61, "dates": 0.55, "spelling": 0.7, "lists": 0.4},
    tokens_per_second=812.5,
)
NODE = Description(version="0.1", name="bee", offers=(OFFER,))


class Crowd:
    """Nodes by number; number 0 is everybody's invite unless told otherwise."""

    def __init__(
        self,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        pace: Pace | None = None,
        skew: Callable[[int], float] = lambda _: 0.0,
        view_limit: int | None = None,
        reader_size: int = 65_536,
    ) -> None:
        """Without nodes."""
        self.network = MemoryNetwork(seed, conditions or Conditions(delay=0.001, jitter=0.001))
        self.rng = Random(seed)
        self.pace = pace
        self.skew = skew
        self.view_limit = view_limit
        self.reader = AdvertReader(reader_size)
        self.loads: dict[int, Load] = {}
        self.nodes: dict[int, Membership] = {}
        self.transports: dict[int, MemoryTransport] = {}

    def id(self, number: int) -> NodeId:
        return make_key(number).node_id

    def ids(self, numbers: Iterable[int]) -> set[NodeId]:
        return {self.id(number) for number in numbers}

    def address(self, number: int) -> str:
        return f"/memory/{self.id(number)}/p2p/{self.id(number)}"

    def wall(self, number: int) -> Callable[[], float]:
        loop = asyncio.get_running_loop()
        return lambda: TODAY + loop.time() + self.skew(number)

    def make(
        self, number: int, transport: MemoryTransport, *, description: Description = NODE, network: str = "waggle"
    ) -> Membership:
        """A node that has not started."""
        return Membership(
            transport,
            make_key(number),
            description,
            rng=Random(self.rng.random()),
            wall=self.wall(number),
            network=network,
            load=lambda: self.loads.get(number, Load()),
            pace=self.pace,
            view_limit=self.view_limit,
            reader=self.reader,
        )

    async def add(self, number: int, invites: Iterable[int] = (0,)) -> Membership:
        """Start a node that joins by the addresses of others."""
        transport = self.network.join(self.id(number))
        node = self.make(number, transport)
        self.nodes[number], self.transports[number] = node, transport
        await node.start([self.address(invite) for invite in invites if invite != number])
        return node

    async def start(self, count: int) -> None:
        """Start nodes 0 to count - 1, all but the first at once."""
        await self.add(0)
        await asyncio.gather(*(self.add(number) for number in range(1, count)))

    async def kill(self, number: int) -> None:
        """As kill -9."""
        self.network.kill(self.id(number))
        await self.nodes.pop(number).close()

    async def leave(self, number: int) -> None:
        """With a farewell."""
        await self.nodes.pop(number).leave()
        await self.transports[number].close()

    def usable(self, number: int) -> set[NodeId]:
        return {peer.node for peer in self.nodes[number].usable()}

    def listed(self, number: int) -> set[NodeId]:
        return {peer.node for peer in self.nodes[number].peers()}

    def whole(self) -> bool:
        """Whether everybody finds everybody else usable, and lists nobody else."""
        everybody = self.ids(self.nodes)
        return all(self.usable(number) == everybody - {self.id(number)} == self.listed(number) for number in self.nodes)

    async def until(self, fact: Callable[[], bool], seconds: float) -> float:
        """Wait until something holds; the virtual seconds that it took. Fails where it takes longer."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not fact():
            assert loop.time() - start < seconds, f"not so after {seconds:g} s"
            await asyncio.sleep(0.05)
        return loop.time() - start

    async def stop(self) -> None:
        """Close everything; a failure of any node's task is raised."""
        for number in list(self.nodes):
            await self.nodes.pop(number).close()
        for transport in self.transports.values():
            await transport.close()


async def whole_crowd(
    count: int,
    *,
    seconds: float = 10.0,
    seed: int = 0,
    conditions: Conditions | None = None,
    skew: Callable[[int], float] = lambda _: 0.0,
) -> Crowd:
    """Nodes that have found each other, within so many seconds."""
    crowd = Crowd(seed=seed, conditions=conditions, skew=skew)
    await crowd.start(count)
    await crowd.until(crowd.whole, seconds)
    return crowd


def stopwatch() -> Callable[[], float]:
    """CPU seconds since now."""
    start = time.process_time()
    return lambda: time.process_time() - start
