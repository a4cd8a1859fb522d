"""A place is held only where the relay says so and lets enough through; no other answer changes anything."""

import asyncio
from typing import cast

import pytest

from waggle.core.errors import MeshError, PeerRefused, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.daemon import Daemon
from waggle.mesh.libp2p.p2pd.hop import PlaceAnswer
from waggle.mesh.libp2p.taken_places import LEAST_LINK_BYTES, TakenPlaces

RELAY = NodeId("12D3KooWMSANvJVBTRkmb7Giy4tF37fBgpco8UP23EDaKappn1M4")
WAY = f"/ip4/198.51.100.7/tcp/4001/p2p/{RELAY}"


class Fake:
    """A daemon through which a relay answers as told."""

    def __init__(self, answer: PlaceAnswer) -> None:
        self.lost = asyncio.Event()
        self._answer = answer

    async def ask_for_place(self, relay: NodeId, seconds: float) -> PlaceAnswer:
        assert relay == RELAY
        return self._answer


def places(answer: PlaceAnswer) -> TakenPlaces:
    return TakenPlaces(lambda: cast(Daemon, Fake(answer)))


@pytest.mark.parametrize("most", [0, LEAST_LINK_BYTES, 10 * LEAST_LINK_BYTES])
async def test_a_place_at_a_relay_that_lets_enough_through_is_told_to_others(most: int) -> None:
    held = places(PlaceAnswer("", most))
    await held.take(WAY)
    assert (held.relays, held.circuits) == (frozenset({RELAY}), (f"{WAY}/p2p-circuit",))
    held.leave(RELAY)
    assert (set(held.relays), held.circuits) == (set(), ())


@pytest.mark.parametrize(
    "answer", [PlaceAnswer("", LEAST_LINK_BYTES - 1), PlaceAnswer("", 128 * 1024), PlaceAnswer("no")]
)
async def test_a_relay_that_refuses_or_cuts_links_soon_is_none(answer: PlaceAnswer) -> None:
    held = places(answer)
    with pytest.raises(PeerRefused):
        await held.take(WAY)
    assert held.circuits == ()


@pytest.mark.parametrize("way", ["nonsense", "/ip4/198.51.100.7/tcp/4001"])
async def test_what_is_no_relays_address_is_refused(way: str) -> None:
    held = places(PlaceAnswer(""))
    with pytest.raises((UsageError, MeshError)):
        await held.take(way)
    assert held.circuits == ()


async def test_a_new_daemon_holds_nothing() -> None:
    held = places(PlaceAnswer(""))
    await held.take(WAY)
    held.clear()
    assert held.circuits == ()
