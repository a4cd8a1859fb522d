"""Which relays a node takes a place at, and when it takes another: on a virtual clock and a written network."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from tests.unit.mesh.libp2p.links_only import LinksOnly
from tests.virtual import in_virtual_time
from waggle.core.errors import PeerRefused, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.libp2p.relay_choice import MAX_RELAYS
from waggle.mesh.libp2p.relay_places import LOOK_SECONDS, REFUSED_SECONDS, RENEW_SECONDS, RelayPlaces
from waggle.mesh.transport import Link
from waggle.trust.keys import NodeKey

RELAYS = [NodeKey.from_seed(bytes([number]) * 32).node_id for number in range(5)]
ONE, TWO, THREE, FOUR, _ = RELAYS
AT_ONCE = 3 * LOOK_SECONDS
MINUTE = 60.0


def advert(node: NodeId, host: str = "5.77.0.1", *, relays: bool = True) -> Advert:
    """Of a node that consents to relay unless told otherwise."""
    return Advert(
        node=node,
        network="waggle",
        incarnation=1,
        sequence=1,
        issued_at=0.0,
        ttl=90.0,
        version="1",
        addresses=(f"/ip4/{host}/udp/1/quic-v1/p2p/{node}", f"/ip4/{host}/tcp/1/p2p/{node}"),
        relays=relays,
    )


class WrittenRelays(LinksOnly):
    """A transport and its places: who is there, who consents, and what a node does with them."""

    node_id = NodeId("home")

    def __init__(self, *adverts: Advert) -> None:
        self.adverts = {advert.node: advert for advert in adverts}
        self.dead: set[NodeId] = set()
        self.full: set[NodeId] = set()
        self.busy: set[NodeId] = set()
        self.relayed: dict[NodeId, bool] = {}
        self.in_use: dict[NodeId, tuple[str, ...]] = {}
        self.ways: dict[NodeId, str] = {}
        self.takes: list[tuple[float, NodeId]] = []
        self.dials: list[str] = []
        self.cuts: list[NodeId] = []
        self.told: list[frozenset[NodeId]] = []
        self.deaf_tellings = 0
        self.down = False

    # --- what the node knows ------------------------------------------------------------------------------------------

    def known(self) -> list[Advert]:
        return list(self.adverts.values())

    def consents(self, node: NodeId) -> bool:
        return node in self.adverts and self.adverts[node].relays

    async def tell(self) -> None:
        if self.deaf_tellings:
            self.deaf_tellings -= 1
            raise PeerUnreachable("the daemon is being started again")
        self.told.append(self.relays)

    def kill(self, node: NodeId, *, silently: bool = False) -> None:
        """It is doubted; its link goes too, unless nobody noticed."""
        self.dead.add(node)
        del self.adverts[node]
        if not silently:
            del self.relayed[node]

    # --- places -------------------------------------------------------------------------------------------------------

    @property
    def relays(self) -> frozenset[NodeId]:
        return frozenset(self.ways)

    async def take(self, relay: str) -> None:
        node = NodeId(relay.rpartition("/")[2])
        self.takes.append((asyncio.get_running_loop().time(), node))
        if node in self.dead:
            await asyncio.sleep(3.0)
            raise PeerUnreachable("no answer")
        if node in self.full or self.relayed.get(node, True):
            raise PeerRefused("it gives us no place")
        self.ways[node] = relay

    def leave(self, relay: NodeId) -> None:
        self.ways.pop(relay, None)

    # --- transport ----------------------------------------------------------------------------------------------------

    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        self.dials += addresses
        node = NodeId(addresses[0].rpartition("/")[2])
        if node in self.dead:
            await asyncio.sleep(seconds)
            raise PeerUnreachable("nobody there")
        self.relayed.setdefault(node, False)
        return node

    async def disconnect(self, peer: NodeId) -> None:
        self.cuts.append(peer)
        self.relayed.pop(peer, None)

    async def links(self) -> tuple[Link, ...]:
        if self.down:
            raise PeerUnreachable("the daemon is being started again")
        return tuple(
            Link(peer=peer, relayed=relayed, addresses=self.in_use.get(peer, ()))
            for peer, relayed in self.relayed.items()
        )


@asynccontextmanager
async def kept(network: WrittenRelays) -> AsyncIterator[None]:
    """Keep places while the block runs."""
    places = RelayPlaces(
        network, network, network.known, network.consents, network.tell, Random(0), busy=network.busy.__contains__
    )
    task = asyncio.create_task(places.run())
    yield
    assert not task.done()
    task.cancel()


async def keep_for(network: WrittenRelays, seconds: float) -> None:
    """Keep places for so long."""
    async with kept(network):
        await asyncio.sleep(seconds)


@in_virtual_time
async def test_places_are_taken_at_two_consenting_relays_and_the_swarm_is_told() -> None:
    network = WrittenRelays(*map(advert, RELAYS))
    await keep_for(network, AT_ONCE)
    assert len(network.relays) == MAX_RELAYS == 2
    assert network.told == [network.relays]


@in_virtual_time
async def test_others_are_led_through_the_address_that_has_been_seen_to_work() -> None:
    network = WrittenRelays(advert(ONE), advert(TWO))
    network.relayed[ONE] = False
    network.in_use[ONE] = ("/ip4/5.77.0.1/tcp/1",)
    await keep_for(network, AT_ONCE)
    assert network.ways == {
        ONE: f"/ip4/5.77.0.1/tcp/1/p2p/{ONE}",  # linked already; a dial would say nothing of QUIC
        TWO: f"/ip4/5.77.0.1/udp/1/quic-v1/p2p/{TWO}",
    }


@in_virtual_time
async def test_nodes_that_do_not_consent_or_have_no_public_address_are_never_asked() -> None:
    network = WrittenRelays(
        advert(ONE, relays=False), advert(TWO, "192.168.1.5"), advert(THREE, "127.0.0.1"), advert(FOUR)
    )
    await keep_for(network, MINUTE)
    assert network.relays == {FOUR}
    assert {address.rpartition("/")[2] for address in network.dials} == {FOUR}


@in_virtual_time
async def test_a_relay_that_appears_later_is_taken_at_once() -> None:
    network = WrittenRelays()
    async with kept(network):
        await asyncio.sleep(MINUTE)
        assert network.takes == []
        network.adverts[ONE] = advert(ONE)
        await asyncio.sleep(AT_ONCE)
        assert network.relays == {ONE}


@in_virtual_time
async def test_a_relay_that_dies_is_replaced_and_forgotten() -> None:
    network = WrittenRelays(advert(ONE), advert(TWO))
    async with kept(network):
        await asyncio.sleep(AT_ONCE)
        network.adverts[THREE] = advert(THREE)
        network.kill(ONE)
        await asyncio.sleep(AT_ONCE)
        assert network.relays == {TWO, THREE}
        assert network.told[-1] == {TWO, THREE}


@in_virtual_time
async def test_a_doubted_relay_is_kept_until_there_is_another() -> None:
    network = WrittenRelays(advert(ONE), advert(TWO))
    async with kept(network):
        await asyncio.sleep(AT_ONCE)
        network.kill(ONE, silently=True)
        await asyncio.sleep(MINUTE)
        assert network.relays == {ONE, TWO}
        network.adverts[THREE] = advert(THREE)
        await asyncio.sleep(AT_ONCE)
        assert network.relays == {TWO, THREE}


@in_virtual_time
async def test_a_dead_relay_in_the_directory_does_not_keep_the_living_one_waiting() -> None:
    network = WrittenRelays(advert(ONE), advert(TWO))
    network.dead.add(ONE)
    await keep_for(network, 2 * AT_ONCE)
    assert network.told[0] == {TWO}


@in_virtual_time
async def test_places_are_renewed_and_one_that_the_relay_forgot_is_given_up() -> None:
    network = WrittenRelays(advert(ONE))
    async with kept(network):
        await asyncio.sleep(3 * RENEW_SECONDS)
        assert len(network.takes) in (3, 4)
        network.full.add(ONE)
        await asyncio.sleep(RENEW_SECONDS + AT_ONCE)
        assert network.relays == frozenset()
        assert network.told[-1] == frozenset()


@in_virtual_time
async def test_a_relay_that_is_full_is_left_alone_for_a_while_and_another_one_taken() -> None:
    network = WrittenRelays(advert(ONE), advert(TWO), advert(THREE))
    network.full |= {ONE, TWO}
    async with kept(network):
        await asyncio.sleep(REFUSED_SECONDS - AT_ONCE)
        assert network.relays == {THREE}
        assert len(network.takes) == 3
        network.full.clear()
        await asyncio.sleep(2 * AT_ONCE)
        assert len(network.relays) == 2


@in_virtual_time
async def test_places_lost_with_the_daemon_are_taken_anew() -> None:
    network = WrittenRelays(advert(ONE))
    async with kept(network):
        await asyncio.sleep(AT_ONCE)
        network.down = True
        await asyncio.sleep(MINUTE)
        network.ways.clear()
        network.down = False
        await asyncio.sleep(AT_ONCE)
        assert network.relays == {ONE}


@in_virtual_time
async def test_a_relay_that_reached_us_through_another_is_dialled_directly_first() -> None:
    network = WrittenRelays(advert(ONE), advert(TWO))
    network.relayed[ONE] = True
    await keep_for(network, AT_ONCE)
    assert network.cuts == [ONE]
    assert network.relays == {ONE, TWO}


@in_virtual_time
async def test_a_link_under_way_is_not_cut_for_a_place() -> None:
    network = WrittenRelays(advert(ONE))
    network.relayed[ONE] = True
    network.busy.add(ONE)
    async with kept(network):
        await asyncio.sleep(MINUTE)
        assert network.cuts == []
        assert network.takes == []
        network.busy.clear()
        await asyncio.sleep(AT_ONCE)
        assert network.relays == {ONE}


@in_virtual_time
async def test_a_place_whose_direct_link_became_a_relayed_one_is_lost_and_taken_anew() -> None:
    network = WrittenRelays(advert(ONE))
    async with kept(network):
        await asyncio.sleep(AT_ONCE)
        network.relayed[ONE] = True
        await asyncio.sleep(AT_ONCE)
        assert network.cuts == [ONE]
        assert network.relays == {ONE}


@in_virtual_time
async def test_the_swarm_is_told_again_where_the_first_telling_failed() -> None:
    network = WrittenRelays(advert(ONE))
    network.deaf_tellings = 3
    await keep_for(network, 6 * LOOK_SECONDS)
    assert network.told == [{ONE}]


@in_virtual_time
async def test_a_relay_that_can_only_be_reached_through_others_loses_its_link_once_in_five_minutes() -> None:
    network = WrittenRelays(advert(ONE))
    network.relayed[ONE] = True
    network.dead.add(ONE)
    async with kept(network):
        while asyncio.get_running_loop().time() < 9.5 * MINUTE:
            await asyncio.sleep(LOOK_SECONDS)
            network.relayed.setdefault(ONE, True)  # it comes back at once
        assert len(network.cuts) == 2
        assert network.takes == []


@in_virtual_time
async def test_a_relay_without_a_public_address_never_loses_its_link() -> None:
    network = WrittenRelays(advert(ONE, "192.168.1.5"))
    network.relayed[ONE] = True
    await keep_for(network, 10 * MINUTE)
    assert network.cuts == []


@in_virtual_time
async def test_relays_that_do_not_answer_are_dialled_a_few_times_a_minute() -> None:
    network = WrittenRelays(advert(ONE))
    network.dead.add(ONE)
    await keep_for(network, MINUTE)
    assert 3 <= len(network.dials) / 2 <= 5


@in_virtual_time
async def test_a_renewal_that_is_not_answered_costs_no_place() -> None:
    network = WrittenRelays(advert(ONE))
    async with kept(network):
        await asyncio.sleep(AT_ONCE)
        network.dead.add(ONE)
        await asyncio.sleep(RENEW_SECONDS + AT_ONCE)
        assert len(network.takes) > 1
        assert network.relays == {ONE}


@in_virtual_time
async def test_a_relay_whose_relayed_link_was_dropped_once_is_taken_again_at_once_when_its_direct_link_breaks() -> None:
    network = WrittenRelays(advert(ONE))
    network.relayed[ONE] = True
    async with kept(network):
        await asyncio.sleep(AT_ONCE)
        assert network.relays == {ONE}
        del network.relayed[ONE]
        await asyncio.sleep(AT_ONCE)
        assert network.told == [{ONE}] * len(network.told)
        assert network.relays == {ONE}
        assert len(network.cuts) == 1
