"""Partitions, cuts, kills and restarts on the simulated network, and who learns of them when."""

import asyncio

import pytest

from tests.unit.mesh.memory_pair import ANN, BOB, ECHO, echo, linked_pair, now
from tests.virtual import in_virtual_time
from waggle.core.errors import PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.memory import Conditions, MemoryNetwork, MemoryTransport
from waggle.mesh.memory.network import SILENT_LINK_SECONDS
from waggle.mesh.transport import Stream

DELAY = Conditions(delay=0.1)


async def failing(work: "asyncio.Future[bytes] | asyncio.Task[bytes | None]") -> float:
    """Seconds until the work ends with PeerUnreachable."""
    began = now()
    with pytest.raises(PeerUnreachable):
        await work
    return now() - began


async def linked(node: MemoryTransport) -> list[NodeId]:
    return [link.peer for link in await node.links()]


@in_virtual_time
async def test_under_a_partition_calls_time_out_on_both_sides_and_pass_within_a_group() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, bob = await linked_pair(network)
    cat = network.join(NodeId("cat"))
    await cat.connect(await bob.addresses())
    network.partition([ANN])
    for caller, callee in ((ann, BOB), (bob, ANN)):
        took = await failing(asyncio.ensure_future(caller.call(callee, ECHO, b"", seconds=2)))
        assert took == pytest.approx(2)
    assert await cat.call(BOB, ECHO, b"bee") == b"bee"
    network.heal()
    assert await ann.call(BOB, ECHO, b"bee") == b"bee"


@in_virtual_time
async def test_frames_sent_during_a_short_partition_arrive_after_the_heal_in_order() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, _ = await linked_pair(network)
    stream = await ann.open(BOB, ECHO)
    network.partition([ANN], [BOB])
    for number in range(10):
        await stream.send(bytes([number]))
    reading = asyncio.create_task(stream.receive())
    await asyncio.sleep(20)
    assert not reading.done()
    network.heal()
    assert await reading == b"\x00"
    assert [await stream.receive() for _ in range(9)] == [bytes([number]) for number in range(1, 10)]
    assert now() < 22


@in_virtual_time
async def test_a_lasting_partition_breaks_the_links_across_it_and_only_those() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, bob = await linked_pair(network)
    cat = network.join(NodeId("cat"))
    await cat.connect(await bob.addresses())
    stream = await ann.open(BOB, ECHO)
    await stream.send(b"lost")
    network.partition([ANN])
    took = await failing(asyncio.create_task(_read_all(stream)))
    assert took == pytest.approx(SILENT_LINK_SECONDS)
    assert await linked(ann) == []
    assert await linked(bob) == ["cat"]
    took = await failing(asyncio.ensure_future(ann.call(BOB, ECHO, b"", seconds=3)))
    assert took == pytest.approx(3), "dialling into a partition is met with silence"
    network.heal()
    assert await ann.call(BOB, ECHO, b"bee") == b"bee"


async def _read_all(stream: Stream) -> bytes | None:
    while await stream.receive() is not None:
        pass
    return None


@in_virtual_time
async def test_a_healed_partition_does_not_break_links_later() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, _ = await linked_pair(network)
    for _ in range(3):
        network.partition([ANN])
        await asyncio.sleep(SILENT_LINK_SECONDS - 1)
        network.heal()
    await asyncio.sleep(2 * SILENT_LINK_SECONDS)
    assert await linked(ann) == [BOB]


@in_virtual_time
async def test_a_dial_that_waits_for_the_heal_succeeds() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, bob = network.join(ANN), network.join(BOB)
    network.partition([ANN])
    dialling = asyncio.create_task(ann.connect(await bob.addresses(), seconds=10))
    await asyncio.sleep(5)
    network.heal()
    assert await dialling == BOB


@in_virtual_time
async def test_a_cut_is_loud_at_both_ends_and_holds_until_the_heal() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, bob = await linked_pair(network)
    stream = await ann.open(BOB, ECHO)
    reading = asyncio.create_task(stream.receive())
    await asyncio.sleep(0)
    network.cut(ANN, BOB)
    assert await failing(reading) == 0
    assert await linked(ann) == await linked(bob) == []
    for caller, callee in ((ann, BOB), (bob, ANN)):
        took = await failing(asyncio.ensure_future(caller.call(callee, ECHO, b"")))
        assert took == pytest.approx(0.2)
    network.heal()
    assert await bob.call(ANN, ECHO, b"bee") == b"bee"


@in_virtual_time
async def test_a_killed_node_breaks_its_streams_and_calls_and_refuses_dials_fast() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, bob = await linked_pair(network)
    stream = await ann.open(BOB, ECHO)
    hanging = asyncio.Event()
    stopped = asyncio.Event()

    async def hang(_: NodeId, __: bytes) -> bytes:
        try:
            await hanging.wait()
        finally:
            stopped.set()
        return b""

    await bob.serve_calls("/hang", hang)
    calling = asyncio.create_task(ann.call(BOB, "/hang", b"", seconds=100))
    reading = asyncio.create_task(stream.receive())
    await asyncio.sleep(1)
    network.kill(BOB)
    assert await failing(calling) == pytest.approx(0.1)
    assert await failing(reading) == 0
    assert stopped.is_set()
    assert await failing(asyncio.ensure_future(ann.call(BOB, ECHO, b""))) == pytest.approx(0.2)
    assert await failing(asyncio.ensure_future(bob.call(ANN, ECHO, b""))) == 0


@in_virtual_time
async def test_a_kill_behind_a_partition_is_not_noticed_before_the_link_goes_silent() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, _ = await linked_pair(network)
    network.partition([ANN])
    network.kill(BOB)
    await asyncio.sleep(SILENT_LINK_SECONDS - 1)
    assert await linked(ann) == [BOB]
    await asyncio.sleep(2)
    assert await linked(ann) == []


@in_virtual_time
async def test_a_restarted_node_is_reached_at_its_address_and_knows_nothing_of_before() -> None:
    network = MemoryNetwork(0, DELAY)
    ann, _ = await linked_pair(network)
    network.kill(BOB)
    again = network.join(BOB)
    with pytest.raises(PeerUnreachable):
        await again.call(ANN, ECHO, b"")
    with pytest.raises(PeerUnreachable):
        await ann.call(BOB, ECHO, b"")  # over the old link, whose end has not been heard of yet
    await again.serve_calls(ECHO, echo)
    assert await ann.call(BOB, ECHO, b"bee") == b"bee"


@in_virtual_time
async def test_an_id_that_is_up_cannot_join_twice_nor_one_with_a_slash() -> None:
    network = MemoryNetwork()
    network.join(ANN)
    for node_id in (ANN, NodeId("a/b"), NodeId("")):
        with pytest.raises(UsageError):
            network.join(node_id)


@in_virtual_time
async def test_an_address_reaches_nobody_under_another_id() -> None:
    network = MemoryNetwork()
    ann, _ = network.join(ANN), network.join(BOB, name="hive")
    assert await ann.connect(["/memory/hive/p2p/bob"]) == BOB
    with pytest.raises(PeerUnreachable):
        await ann.connect(["/memory/hive/p2p/mallory"])
    assert await ann.connect(["/memory/nowhere/p2p/bob", "/memory/hive/p2p/bob"]) == BOB
