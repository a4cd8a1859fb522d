"""Relayed links are dialled again, in moderation, until they are direct: on a virtual clock and a written network."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from random import Random

from tests.unit.mesh.libp2p.links_only import LinksOnly
from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.direct import (
    FORGET_SECONDS,
    MAX_AT_ONCE,
    MAX_RESCUES,
    MAX_TRIES,
    OTHER_SIDE_SECONDS,
    DirectSeeker,
)
from waggle.mesh.transport import Link
from waggle.testing.clock import run_virtual

ANN, BOB, CAT = NodeId("ann"), NodeId("bob"), NodeId("cat")
MINUTE = 60.0


class WrittenNetwork(LinksOnly):
    """A transport whose links are what `dialled` makes of them; it notes every dial and cut, with its date."""

    def __init__(self, node: NodeId, *relayed: NodeId) -> None:
        self.node_id = node
        self.relayed = dict.fromkeys(relayed, True)
        self.dialled: Callable[[NodeId, int], bool | None] = lambda peer, dial: True
        """Of a peer and how often it was dialled: whether the new link is relayed, None where none came about."""
        self.cuts: list[NodeId] = []
        self.dials: list[tuple[float, NodeId]] = []
        self.at_once = self.most_at_once = 0
        self.dial_seconds = 0.1
        self.down = False

    def times(self, peer: NodeId) -> list[float]:
        return [date for date, dialled in self.dials if dialled == peer]

    async def links(self) -> tuple[Link, ...]:
        if self.down:
            raise PeerUnreachable("the daemon is being started again")
        return tuple(Link(peer=peer, relayed=relayed) for peer, relayed in self.relayed.items())

    async def disconnect(self, peer: NodeId) -> None:
        self.cuts.append(peer)
        self.relayed.pop(peer, None)

    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        peer = NodeId(addresses[0].rpartition("/")[2])
        self.dials.append((asyncio.get_running_loop().time(), peer))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.dial_seconds)
        self.at_once -= 1
        relayed = self.dialled(peer, len(self.times(peer)))
        if relayed is None:
            raise PeerUnreachable("nobody there")
        self.relayed[peer] = relayed
        return peer


def known(peer: NodeId) -> Sequence[str]:
    return (f"/ip4/5.77.0.11/udp/1/quic-v1/p2p/relay/p2p-circuit/p2p/{peer}",)


def seeking(
    network: WrittenNetwork,
    seconds: float,
    *,
    addresses_of: Callable[[NodeId], Sequence[str]] = known,
    busy: Callable[[NodeId], bool] = lambda _: False,
) -> DirectSeeker:
    """Seek for so long."""
    seeker = DirectSeeker(network, addresses_of, Random(0), busy=busy)

    async def seek() -> None:
        task = asyncio.create_task(seeker.run())
        await asyncio.sleep(seconds)
        assert not task.done()
        task.cancel()

    run_virtual(seek(), limit_seconds=2 * seconds + 1)
    return seeker


def test_a_direct_link_is_left_alone() -> None:
    network = WrittenNetwork(ANN)
    network.relayed[BOB] = False
    seeking(network, 10 * MINUTE)
    assert network.cuts == []
    assert network.dials == []


def test_a_relayed_link_is_dialled_again_until_it_is_direct_and_then_left_alone() -> None:
    network = WrittenNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: dial < 3
    seeker = seeking(network, 10 * MINUTE)
    assert len(network.dials) == 3
    assert network.relayed == {BOB: False}
    assert seeker.tries == {}


def test_a_link_that_stays_relayed_is_given_up_after_five_dials_ever_farther_apart() -> None:
    network = WrittenNetwork(ANN, BOB)
    seeker = seeking(network, FORGET_SECONDS - MINUTE)
    times = network.times(BOB)
    assert len(times) == MAX_TRIES
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits == sorted(waits)
    assert times[-1] < MINUTE
    assert network.relayed == {BOB: True}
    assert seeker.tries == {BOB: MAX_TRIES}


def test_a_peer_that_was_given_up_is_tried_again_a_quarter_of_an_hour_later() -> None:
    network = WrittenNetwork(ANN, BOB)
    seeking(network, FORGET_SECONDS + 2 * MINUTE)
    assert len(network.dials) == 2 * MAX_TRIES
    assert network.times(BOB)[MAX_TRIES] > FORGET_SECONDS


def test_a_link_in_use_is_not_cut_until_it_is_free() -> None:
    network = WrittenNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: False
    seeking(network, MINUTE, busy=lambda _: asyncio.get_running_loop().time() < 30.0)
    assert len(network.cuts) == 1
    assert 30.0 <= network.times(BOB)[0] < 31.0


def test_a_link_to_a_peer_whose_address_is_not_known_is_not_cut() -> None:
    network = WrittenNetwork(ANN, BOB)
    seeker = seeking(network, MINUTE, addresses_of=lambda _: ())
    assert network.cuts == []
    assert seeker.tries == {}


def test_the_side_with_the_smaller_id_dials_first_and_the_other_one_only_much_later() -> None:
    smaller, larger = WrittenNetwork(ANN, BOB), WrittenNetwork(BOB, ANN)
    seeking(smaller, MINUTE)
    seeking(larger, MINUTE)
    assert smaller.times(BOB)[0] < 4.0
    assert larger.times(ANN)[0] > OTHER_SIDE_SECONDS


def test_many_relayed_links_are_dialled_a_few_at_a_time() -> None:
    peers = [NodeId(f"peer{index:03}") for index in range(40)]
    network = WrittenNetwork(ANN, *peers)
    network.dialled, network.dial_seconds = lambda peer, dial: False, 1.0
    seeking(network, 2 * MINUTE)
    assert set(network.relayed.values()) == {False}
    assert network.most_at_once == MAX_AT_ONCE


def test_a_relayed_link_that_is_lost_is_dialled_without_a_cut() -> None:
    network = WrittenNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: dial <= MAX_TRIES

    async def lose() -> None:
        await asyncio.sleep(2 * MINUTE)  # given up as relayed by then
        del network.relayed[BOB]

    _alongside(network, lose(), 3 * MINUTE)
    assert len(network.dials) == MAX_TRIES + 1
    assert len(network.cuts) == MAX_TRIES
    assert 2 * MINUTE <= network.times(BOB)[-1] < 2 * MINUTE + 1
    assert network.relayed == {BOB: False}


def test_a_lost_peer_that_does_not_answer_is_given_up_after_three_dials() -> None:
    network = WrittenNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: None if dial > MAX_TRIES else True

    async def lose() -> None:
        await asyncio.sleep(2 * MINUTE)
        del network.relayed[BOB]

    _alongside(network, lose(), 10 * MINUTE)
    assert len(network.dials) == MAX_TRIES + MAX_RESCUES


def test_a_daemon_that_is_being_started_again_does_not_end_the_search() -> None:
    network = WrittenNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: False
    network.down = True

    async def repair() -> None:
        await asyncio.sleep(MINUTE)
        network.down = False

    _alongside(network, repair(), 2 * MINUTE)
    assert network.relayed == {BOB: False}


def _alongside(network: WrittenNetwork, other: Coroutine[None, None, None], seconds: float) -> None:
    """Seek while something else happens."""

    async def seek() -> None:
        task = asyncio.create_task(DirectSeeker(network, known, Random(0)).run())
        async with asyncio.TaskGroup() as group:
            group.create_task(other)
            group.create_task(asyncio.sleep(seconds))
        task.cancel()

    run_virtual(seek(), limit_seconds=2 * seconds + 1)
