"""Two nodes behind NATs reach each other: directly where the NATs allow it, through relays where they do not."""

import asyncio

import pytest

from waggle.core.ids import NodeId
from waggle.mesh.libp2p.direct import MAX_TRIES
from waggle.mesh.libp2p.relay_choice import relay_of
from waggle.mesh.limits import MIB
from waggle.testing.netlab import AgentFailed, Machine, Nat, open_lab
from waggle.testing.netlab.orders import (
    Addresses,
    AwaitCircuit,
    AwaitDirect,
    Call,
    Connect,
    Converse,
    SeekCounts,
    Start,
    Started,
)
from waggle.testing.netlab.pairs import link, link_between, run_pair, start_home, start_pair, start_public

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(90),
    pytest.mark.usefixtures("networks"),
]


async def test_two_nodes_behind_cone_nats_end_up_with_a_direct_link() -> None:
    async with open_lab(nats=[Nat.CONE, Nat.CONE]) as lab:
        run = await run_pair(lab, await start_public(lab, relays=1), 15.0)
    assert run.direct_seconds is not None
    assert run.redials <= 2 * MAX_TRIES
    assert run.failures == ()


@pytest.mark.parametrize("first", [Nat.CONE, Nat.SYMMETRIC])
async def test_every_call_is_answered_through_the_relay_where_a_nat_is_symmetric(first: Nat) -> None:
    async with open_lab(nats=[first, Nat.SYMMETRIC]) as lab:
        run = await run_pair(lab, await start_public(lab, relays=1), 8.0)
    assert run.direct_seconds is None
    assert run.redials > 0
    assert run.calls > 20
    assert run.failures == ()


async def test_a_place_at_the_one_relay_is_had_within_5_seconds_of_the_start() -> None:
    async with open_lab(public=1, nats=[Nat.CONE]) as lab:
        public = await start_public(lab, relays=1)
        home = await start_home(lab.homes[0], public)
    assert home.reservation_seconds <= 5.0
    assert {relay_of(address) for address in home.circuits} == {public[0].node}


async def test_a_public_node_that_does_not_consent_gives_no_place() -> None:
    async with open_lab(public=1, nats=[Nat.CONE]) as lab:
        (public,) = await start_public(lab, relays=0)
        order = Start(relays=(public.address(),), contacts=(public.address(),), reachability="private")
        await lab.homes[0].ask(order, Started)
        assert await lab.homes[0].ask(AwaitCircuit(seconds=5.0), tuple[str, ...]) == ()


async def test_nobody_gets_in_through_a_nat_uninvited() -> None:
    async with open_lab(public=1, nats=[Nat.CONE]) as lab:
        public = await start_public(lab, relays=1)
        home = await start_home(lab.homes[0], public)
        addresses = await home.machine.ask(Addresses(), tuple[str, ...])
        own = next(text for text in addresses if "/ip4/192.168." in text and "/quic-v1/" in text)
        through_the_nat = own.replace(lab.homes[0].address, lab.nats[0])
        await lab.public[0].ask(Start(reachability="public"), Started)  # another node, which the NAT has not met
        for text in (own, through_the_nat):
            with pytest.raises(AgentFailed):
                await lab.public[0].ask(Connect((text,)), str)


async def test_a_conversation_under_way_is_not_cut_by_dialling_again() -> None:
    async with open_lab(nats=[Nat.CONE, Nat.CONE]) as lab:
        first, second = await start_pair(lab, await start_public(lab, relays=1))
        await link(first, second)
        talk = asyncio.create_task(second.machine.ask(Converse(first.node, 7.0), int))
        await asyncio.sleep(6.0)  # dialling again is due after 2
        assert await second.machine.ask(SeekCounts(), dict[str, int]) == {}
        assert await first.machine.ask(SeekCounts(), dict[str, int]) == {}
        assert await talk > 70  # at most 140 in 7 s
        assert await second.machine.ask(AwaitDirect(first.node, 15.0), bool)


async def test_a_direct_link_survives_the_death_of_the_relay_it_began_with() -> None:
    async with open_lab(nats=[Nat.CONE, Nat.CONE]) as lab:
        first, second = await start_pair(lab, await start_public(lab, relays=1))
        await link(first, second)
        assert await second.machine.ask(AwaitDirect(first.node, 15.0), bool)
        talk = asyncio.create_task(second.machine.ask(Converse(first.node, 8.0), int))
        await asyncio.sleep(1.0)
        await lab.public[0].cut_power()
        assert await talk > 100  # at most 160 in 8 s
        await second.machine.ask(Call(first.node, MIB), float)
        found = await link_between(second, first)
        assert found is not None
        assert not found.relayed


async def test_a_relayed_pair_moves_to_another_relay_when_its_own_dies() -> None:
    async with open_lab(public=2, nats=[Nat.SYMMETRIC, Nat.SYMMETRIC]) as lab:
        public = await start_public(lab, relays=2)
        first, second = await start_pair(lab, public, relays=2)
        await link(first, second)
        before = await link_between(second, first)
        assert before is not None
        used = next(index for index, node in enumerate(public) if relay_of(before.addresses[0]) == node.node)
        await lab.public[used].cut_power()
        assert await _seconds_until_answered(second.machine, first.node, 60.0) < 25.0
        after = await link_between(second, first)
        assert after is not None
        assert public[1 - used].node in {relay_of(address) for address in after.addresses}


async def _seconds_until_answered(machine: Machine, peer: NodeId, limit: float) -> float:
    """How long calls go unanswered."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(limit):
        while True:
            try:
                await machine.ask(Call(peer, 1000, 3.0), float)
            except AgentFailed:
                await asyncio.sleep(0.5)
            else:
                return loop.time() - began
