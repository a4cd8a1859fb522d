"""What one peer may make us verify, and where from its adverts may say their authors are."""

import asyncio
from collections.abc import Iterable
from random import Random

import pytest
from msgspec.structs import replace

from tests.unit.mesh.adverts.making import TODAY, make_key, sealed
from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import Scope
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.adverts.signed import AdvertReader, OpenAdvert
from waggle.mesh.limits import MAX_CLOCK_SKEW_SECONDS
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.members.gossip import ADVERTS_AT_ONCE, ADVERTS_PER_SECOND, Gossip
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.testing.clock import run_virtual

STRANGER, OTHER = NodeId("stranger"), NodeId("other")
LATE = TODAY - 2 * MAX_CLOCK_SKEW_SECONDS


class Counting(AdvertReader):
    """Counts the signatures that are checked."""

    def __init__(self) -> None:
        super().__init__(0)
        self.checked = 0

    def check(self, advert: OpenAdvert, sender: str) -> None:
        self.checked += 1
        super().check(advert, sender)


class Node:
    """A directory and the exchange that fills it; everybody is so far away as told."""

    def __init__(self, scope: Scope = Scope.PUBLIC) -> None:
        own = make_key(0).node_id
        self.directory = Directory(own, "waggle")
        self.reader = Counting()
        dialer = Dialer(MemoryNetwork(0, Conditions()).join(own), lambda node: ())
        dialer._scopes = dict.fromkeys((STRANGER, OTHER), (scope, float("inf")))
        self.gossip = Gossip(
            self.directory,
            dialer,
            self.reader,
            wall=lambda: TODAY,
            rng=Random(0),
            on_advert=lambda advert, verdict: None,
            on_own=lambda advert: None,
            on_refusal=lambda refusal: None,
        )

    async def take(self, adverts: Iterable[OpenAdvert], by: NodeId = STRANGER) -> None:
        await self.gossip.take_in([advert.signed for advert in adverts], by)

    def hosts(self, number: int) -> set[str]:
        entry = self.directory.entry(make_key(number).node_id)
        return {text.split("/")[2] for text in entry.advert.advert.addresses} if entry else set()


def test_one_peer_can_make_us_verify_so_many_a_second_and_others_as_many() -> None:
    """Adverts with a wrong date count against nothing else, so that only the rate stops them."""
    junk = [sealed(number, issued_at=LATE) for number in range(1, round(ADVERTS_AT_ONCE) + 201)]

    async def run() -> list[int]:
        node, counts = Node(), []
        for seconds, by in ((0.0, STRANGER), (0.5, STRANGER), (0.0, OTHER)):
            await asyncio.sleep(seconds)
            before = node.reader.checked
            node.directory = node.gossip._directory = Directory(make_key(0).node_id, "waggle")
            await node.take(junk, by)
            counts.append(node.reader.checked - before)
        return counts

    assert run_virtual(run()) == [ADVERTS_AT_ONCE, ADVERTS_PER_SECOND / 2, ADVERTS_AT_ONCE]


def test_one_forged_advert_and_nothing_of_the_message_counts() -> None:
    async def run() -> int:
        node, forged = Node(), replace(sealed(2).signed, signature=sealed(1).signed.signature)
        with pytest.raises(RemoteProtocolError, match="signature"):
            await node.gossip.take_in([sealed(1).signed, forged, sealed(3).signed], STRANGER)
        return len(node.directory)

    assert run_virtual(run()) == 0


@pytest.mark.parametrize(
    ("scope", "hosts"),
    [
        (Scope.LOOPBACK, {"127.0.0.1", "10.0.0.1", "5.5.5.5"}),
        (Scope.PRIVATE, {"10.0.0.1", "5.5.5.5"}),
        (Scope.PUBLIC, {"5.5.5.5"}),
    ],
)
def test_who_is_far_away_cannot_point_us_at_machines_beside_us(scope: Scope, hosts: set[str]) -> None:
    async def run() -> set[str]:
        node = Node(scope)
        await node.take([sealed(1)])
        return node.hosts(1)

    assert run_virtual(run()) == hosts
