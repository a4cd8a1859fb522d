"""Links are dropped only while both ends stand still, and a peer that never does is asked ever more rarely."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from tests.unit.mesh.libp2p.test_direct import ANN, BOB, WrittenNetwork, known
from tests.unit.mesh.libp2p.test_relay_places import ONE, WrittenRelays, advert
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.direct import MAX_REFUSALS, MAX_TRIES, DirectSeeker
from waggle.mesh.libp2p.relay_places import REFUSED_SECONDS, RelayPlaces
from waggle.testing.clock import run_virtual

MINUTE = 60.0


class Agreement:
    """Stands in for the other ends; notes when each was asked, and whether the block is left."""

    def __init__(self, agrees: Callable[[float], bool]) -> None:
        self._agrees = agrees
        self.asked: list[float] = []
        self.still: set[NodeId] = set()

    @asynccontextmanager
    async def __call__(self, peer: NodeId) -> AsyncIterator[bool]:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        self.still.add(peer)
        try:
            yield self._agrees(now)
        finally:
            self.still.discard(peer)


class StillNetwork(WrittenNetwork):
    """Fails where a link is dropped without agreement, or dialled outside it."""

    agreement: Agreement

    async def disconnect(self, peer: NodeId) -> None:
        assert peer in self.agreement.still
        await super().disconnect(peer)


def seek(network: StillNetwork, agreement: Agreement, seconds: float) -> DirectSeeker:
    network.agreement = agreement
    seeker = DirectSeeker(network, known, Random(0), still=agreement)

    async def story() -> None:
        task = asyncio.create_task(seeker.run())
        await asyncio.sleep(seconds)
        assert not task.done()
        task.cancel()

    run_virtual(story(), limit_seconds=2 * seconds + 1)
    return seeker


def test_a_link_is_cut_and_dialled_while_both_stand_still() -> None:
    network = StillNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: dial < 3
    agreement = Agreement(lambda now: True)
    seek(network, agreement, MINUTE)
    assert network.cuts == [BOB] * 3
    assert len(agreement.asked) == 3
    assert network.relayed == {BOB: False}
    assert agreement.still == set()


def test_a_refusal_is_no_try_and_the_link_stays() -> None:
    network = StillNetwork(ANN, BOB)
    network.dialled = lambda peer, dial: False
    agreement = Agreement(lambda now: now > MINUTE)
    seeker = seek(network, agreement, 3 * MINUTE)
    assert network.cuts == [BOB]
    assert network.times(BOB)[0] > MINUTE
    assert network.relayed == {BOB: False}
    assert seeker.tries == {}


def test_a_peer_that_never_stands_still_is_asked_ever_more_rarely_and_keeps_its_link() -> None:
    network = StillNetwork(ANN, BOB)
    agreement = Agreement(lambda now: False)
    seeker = seek(network, agreement, 60 * MINUTE)
    assert network.cuts == []
    assert network.dials == []
    assert seeker.tries == {}
    waits = [later - earlier for earlier, later in itertools.pairwise(agreement.asked)]
    assert waits[0] < 1.5
    assert all(wait > 0.9 * MINUTE for wait in waits[MAX_REFUSALS:])
    assert len(waits) > MAX_REFUSALS + 10


def test_all_tries_are_left_to_a_peer_that_refused_for_long() -> None:
    network = StillNetwork(ANN, BOB)
    seek(network, Agreement(lambda now: now > 5 * MINUTE), 14 * MINUTE)
    assert len(network.dials) == MAX_TRIES


def test_a_relay_reached_through_another_one_is_cut_only_while_both_stand_still() -> None:
    network = WrittenRelays(advert(ONE))
    network.relayed[ONE] = True
    agreement = Agreement(lambda now: now > MINUTE)
    places = RelayPlaces(
        network, network, network.known, network.consents, network.tell, Random(0), still=agreement, wanted=1
    )

    async def story() -> None:
        task = asyncio.create_task(places.run())
        await asyncio.sleep(MINUTE)
        assert network.cuts == []
        assert len(agreement.asked) <= MINUTE / REFUSED_SECONDS + 1
        await asyncio.sleep(2 * REFUSED_SECONDS)
        assert network.cuts == [ONE]
        assert network.relays == {ONE}
        task.cancel()

    run_virtual(story(), limit_seconds=5 * MINUTE)
