"""A relay in use that gives no sign of life loses its link; one that answers anything at all keeps it."""

import asyncio

from tests.unit.mesh.libp2p.links_only import LinksOnly
from waggle.core.errors import MeshError, PeerBusy, PeerRefused, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.relay_watch import ANSWER_SECONDS, STRIKES, WATCH_SECONDS, RelayWatch
from waggle.mesh.transport import Link
from waggle.testing.clock import run_virtual

RELAY, OTHER, FRIEND = NodeId("relay"), NodeId("other"), NodeId("friend")
LONGEST_SECONDS = STRIKES * (WATCH_SECONDS + ANSWER_SECONDS)


class WrittenNetwork(LinksOnly):
    """A transport with links to two nodes that could relay; what these answer is written down."""

    node_id = NodeId("home")

    def __init__(self) -> None:
        self.answers: dict[NodeId, MeshError] = {RELAY: PeerRefused("unknown"), OTHER: PeerRefused("unknown")}
        self.links_now = [Link(peer=RELAY), Link(peer=OTHER)]
        self.own: tuple[str, ...] = (f"/ip4/5.77.0.1/tcp/1/p2p/{RELAY}/p2p-circuit/p2p/home",)
        self.asked: list[NodeId] = []
        self.cuts: list[tuple[float, NodeId]] = []

    async def addresses(self) -> tuple[str, ...]:
        return self.own

    async def links(self) -> tuple[Link, ...]:
        return tuple(self.links_now)

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        self.asked.append(peer)
        if isinstance(self.answers[peer], PeerUnreachable):
            await asyncio.sleep(seconds)
        raise self.answers[peer]

    async def disconnect(self, peer: NodeId) -> None:
        self.cuts.append((asyncio.get_running_loop().time(), peer))
        self.links_now = [link for link in self.links_now if link.peer != peer]


def watch(network: WrittenNetwork, seconds: float) -> None:
    """Watch for so long."""

    async def look() -> None:
        task = asyncio.create_task(RelayWatch(network).run())
        await asyncio.sleep(seconds)
        assert not task.done()
        task.cancel()

    run_virtual(look(), limit_seconds=2 * seconds + 1)


def test_a_silent_relay_is_cut_within_twelve_seconds_and_nobody_else() -> None:
    network = WrittenNetwork()
    network.answers[RELAY] = PeerUnreachable("nothing")
    watch(network, 60.0)
    ((date, relay),) = network.cuts
    assert relay == RELAY
    assert date <= LONGEST_SECONDS == 12.0


def test_a_relay_that_answers_anything_is_left_alone() -> None:
    for answer in (PeerRefused("unknown"), PeerBusy("later")):
        network = WrittenNetwork()
        network.answers[RELAY] = answer
        watch(network, 60.0)
        assert network.cuts == []
        assert len(network.asked) >= 10


def test_only_relays_in_use_are_asked() -> None:
    network = WrittenNetwork()
    network.own = ()
    watch(network, 60.0)
    assert network.asked == []
    way = f"/ip4/5.77.0.1/tcp/1/p2p/{OTHER}/p2p-circuit"
    network.links_now.append(Link(peer=FRIEND, addresses=(way,), relayed=True))
    watch(network, 60.0)
    assert set(network.asked) == {OTHER}
