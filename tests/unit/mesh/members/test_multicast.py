"""Beacons are sealed, opened, refused; multicast on the loopback interface, with a port of its own for every test."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mesh.adverts.making import TODAY, make_key
from waggle.core.errors import RemoteProtocolError
from waggle.mesh.addresses import Scope
from waggle.mesh.members.multicast import MAX_BEACON_BYTES, Beacon, Multicast, open_beacon, seal_beacon

KEY = make_key(1)
ADDRESSES = tuple(f"/ip4/{host}/tcp/4001/p2p/{KEY.node_id}" for host in ("127.0.0.1", "192.168.1.5", "169.254.169.254"))


def make_beacon(date: float = TODAY) -> Beacon:
    return Beacon("waggle", KEY.node_id, date, ADDRESSES, True)


def test_a_beacon_reads_back_with_the_addresses_fit_for_the_way_it_came() -> None:
    data = seal_beacon(KEY, make_beacon())
    assert open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY).addresses == ADDRESSES[1:2]
    assert open_beacon(data, nearest=Scope.LOOPBACK, wall=TODAY).addresses == ADDRESSES[:2]


def test_forged_old_and_mangled_beacons_are_refused() -> None:
    good = seal_beacon(KEY, make_beacon())
    forged = seal_beacon(make_key(2), make_beacon())
    flipped = good[:40] + bytes([good[40] ^ 1]) + good[41:]
    for data in (forged, flipped, good[:-1], good + b"x", b"", bytes(10_000)):
        with pytest.raises(RemoteProtocolError):
            open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY)
    for off in (-700.0, 700.0):
        with pytest.raises(RemoteProtocolError):
            open_beacon(good, nearest=Scope.PRIVATE, wall=TODAY + off)


def test_a_beacon_fits_into_one_packet_however_many_addresses_there_are() -> None:
    many = tuple(f"/ip6/2a00:1111:2222:3333:4444:5555:6666:{n:x}/tcp/4001/p2p/{KEY.node_id}" for n in range(8))
    beacon = Beacon("n" * 64, KEY.node_id, TODAY, many, False)
    data = seal_beacon(KEY, beacon)
    assert len(data) <= MAX_BEACON_BYTES
    assert len(open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY).addresses) >= 6


@given(st.binary(max_size=1_300))
def test_any_bytes_are_refused_quietly(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY)


def make(
    number: int,
    found: list[tuple[str, ...]],
    *,
    port: int,
    network: str = "waggle",
    on_double: Callable[[tuple[str, ...]], None] = print,
    **more: str,
) -> Multicast:
    key = make_key(number)

    async def addresses() -> Sequence[str]:
        return [f"/ip4/127.0.0.1/tcp/{5_000 + number}/p2p/{key.node_id}"]

    options = {"interface": "127.0.0.1"} | more
    return Multicast(
        key,
        addresses,
        found.append,
        rng=Random(number),
        wall=time.time,
        network=network,
        port=port,
        on_double=on_double,
        **options,
    )


def any_port() -> int:
    return 20_000 + os.getpid() * 7 % 10_000


@pytest.mark.network
async def test_nodes_on_one_machine_find_each_other_and_hear_themselves() -> None:
    found: dict[int, list[tuple[str, ...]]] = {1: [], 2: [], 3: []}
    networks = {1: "waggle", 2: "waggle", 3: "wasps"}
    nodes = [make(number, found[number], port=any_port(), network=networks[number]) for number in found]
    try:
        for node in nodes:
            await node.start()
        async with asyncio.timeout(50):
            while not (found[1] and found[2] and all(node.state.hears_itself for node in nodes)):  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.05)
        assert found[1][0] == (f"/ip4/127.0.0.1/tcp/5002/p2p/{make_key(2).node_id}",)
        assert nodes[0].state.found == (make_key(2).node_id,)
        assert found[3] == []
        assert nodes[0].state.open
    finally:
        for node in nodes:
            await node.close()
    assert not nodes[0].state.open


@pytest.mark.network
@pytest.mark.parametrize("wrong", [{"interface": "203.0.113.9"}, {"group": "10.0.0.1"}, {"interface": "nonsense"}])
async def test_trouble_is_a_state_and_no_failure(wrong: dict[str, str]) -> None:
    node = make(1, [], port=any_port() + 1, on_double=print, **wrong)
    await node.start()
    assert not node.state.open
    assert "multicast" in node.state.trouble
    await node.close()


async def test_a_flood_is_refused_without_work() -> None:
    found: list[tuple[str, ...]] = []
    node = make(1, found, port=any_port() + 2)
    for _ in range(10_000):
        node.hear(b"junk", "192.168.1.66")
    assert node.state.refused == 10_000
    node.hear(b"junk", "192.168.1.67")
    assert found == []


async def test_what_another_one_says_under_our_key_is_told_apart_from_what_we_say() -> None:
    doubles: list[tuple[str, ...]] = []
    key = make_key(1)
    ours = Beacon("waggle", key.node_id, time.time(), (f"/ip4/127.0.0.1/tcp/5001/p2p/{key.node_id}",), asks=True)
    theirs = Beacon("waggle", key.node_id, time.time() + 1, (f"/ip4/127.0.0.1/tcp/1/p2p/{key.node_id}",), asks=True)
    node = make(1, [], port=any_port() + 3, on_double=doubles.append)
    node._said.append(ours.issued_at)
    node.hear(seal_beacon(key, ours), "127.0.0.1")
    assert (doubles, node.state.hears_itself) == ([], True)
    for _ in range(5):
        node.hear(seal_beacon(key, theirs), "127.0.0.1")
    assert doubles == [theirs.addresses]
    wasps = Beacon("wasps", key.node_id, time.time() + 2, theirs.addresses, asks=True)
    other = make(1, [], port=any_port() + 3, on_double=doubles.append)
    other.hear(seal_beacon(key, wasps), "127.0.0.1")
    assert len(doubles) == 1
