"""Whoever looks at a swarm from outside is done in time, however slowly it is told."""

import asyncio
from random import Random

import pytest

from tests.unit.mesh.adverts.making import TODAY, make_key, sealed
from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.adverts.signed import AdvertReader
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.members.gossip import Gossip
from waggle.mesh.members.messages import COMPARE_PROTOCOL, TRADE_PROTOCOL
from waggle.mesh.members.visit import EXCHANGE_SECONDS, Visitor
from waggle.mesh.memory import MemoryNetwork
from waggle.testing.clock import run_virtual

MANY = 1_000  # adverts: more than fit three messages


def visited(compare_seconds: float, trade_seconds: float) -> tuple[float, int]:
    """How long a visit to a node takes that answers so slowly, and how many nodes it showed."""

    async def run() -> tuple[float, int]:
        network = MemoryNetwork(0)
        host, guest = network.join(make_key(0).node_id), network.join(NodeId("guest"))
        gossip = Gossip(
            Directory(host.node_id, "waggle"),
            Dialer(host, lambda node: ()),
            AdvertReader(),
            wall=lambda: TODAY,
            rng=Random(0),
            on_advert=lambda advert, verdict: None,
            on_own=lambda advert: None,
            on_refusal=lambda refusal: None,
        )
        for number in range(1, MANY, 200):  # of different introducers, who may each bring so many
            brought = [sealed(one, ttl=120.0).signed for one in range(number, number + 200)]
            await gossip.take_in(brought, NodeId(f"introducer{number}"))

        async def compare(caller: NodeId, request: bytes) -> bytes:
            await asyncio.sleep(compare_seconds)
            return await gossip.serve_compare(caller, request)

        async def trade(caller: NodeId, request: bytes) -> bytes:
            await asyncio.sleep(trade_seconds)
            return await gossip.serve_trade(caller, request)

        await host.serve_calls(COMPARE_PROTOCOL, compare)
        await host.serve_calls(TRADE_PROTOCOL, trade)
        visitor = Visitor(guest, wall=lambda: TODAY)
        began = asyncio.get_running_loop().time()
        await visitor.visit([await host.addresses()])
        return asyncio.get_running_loop().time() - began, len(visitor.adverts())

    return run_virtual(run())


def test_a_directory_that_is_told_slowly_is_read_as_far_as_time_goes() -> None:
    seconds, seen = visited(0.1, 2.0)
    assert seconds <= EXCHANGE_SECONDS
    assert 0 < seen < MANY


def test_a_directory_of_which_nothing_comes_in_time_is_an_error() -> None:
    with pytest.raises(PeerUnreachable, match="does not say who is in its swarm"):
        visited(4.0, 4.0)
