"""Delay, loss, order and bandwidth of the simulated network, and that one seed gives one run."""

import asyncio
import random

import pytest

from tests.unit.mesh.memory_pair import ANN, BOB, ECHO, echo, linked_pair, now
from tests.virtual import in_virtual_time
from waggle.core.errors import PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.limits import BURST_BYTES, MAX_BYTES_PER_SECOND, MIB
from waggle.mesh.memory import Conditions, MemoryNetwork, MemoryTransport
from waggle.mesh.memory.calls import HEADER_BYTES
from waggle.mesh.transport import Stream
from waggle.testing.clock import run_virtual


async def pair_under(conditions: Conditions) -> tuple[MemoryTransport, MemoryNetwork]:
    network = MemoryNetwork(5, conditions)
    ann, _ = await linked_pair(network)
    return ann, network


@in_virtual_time
async def test_a_call_takes_the_delay_twice_and_its_first_dial_twice_more() -> None:
    network = MemoryNetwork(0, Conditions(delay=0.1))
    ann, bob = network.join(ANN), network.join(BOB)
    await bob.serve_calls(ECHO, echo)
    await ann.connect(await bob.addresses())
    assert now() == pytest.approx(0.2)
    await ann.call(BOB, ECHO, b"")
    assert now() == pytest.approx(0.4)
    await ann.disconnect(BOB)
    await ann.call(BOB, ECHO, b"")
    assert now() == pytest.approx(0.8)


@in_virtual_time
async def test_jitter_adds_up_to_its_bound() -> None:
    ann, _ = await pair_under(Conditions(delay=0.1, jitter=0.05))
    took = []
    for _number in range(200):
        began = now()
        await ann.call(BOB, ECHO, b"")
        took.append(now() - began)
    assert 0.2 <= min(took) < 0.22
    assert 0.28 < max(took) <= 0.3


@in_virtual_time
async def test_one_direction_can_be_slower_than_the_other_and_back_to_normal() -> None:
    ann, network = await pair_under(Conditions(delay=0.1))
    network.set_way(BOB, ANN, Conditions(delay=2.0))
    await ann.call(BOB, ECHO, b"")
    assert now() == pytest.approx(2.1)
    network.set_way(BOB, ANN, None)
    await ann.call(BOB, ECHO, b"")
    assert now() == pytest.approx(2.3)


def test_calls_overtake_each_other_only_where_asked() -> None:
    async def order_of_arrival(conditions: Conditions) -> list[int]:
        arrived: list[int] = []

        async def note(_: NodeId, request: bytes) -> bytes:
            arrived.append(request[0])
            return b""

        network = MemoryNetwork(5, conditions)
        ann, bob = await linked_pair(network)
        await bob.serve_calls("/note", note)
        for first in range(0, 100, 10):  # within the limit of calls in flight
            await asyncio.gather(*(ann.call(BOB, "/note", bytes([first + number])) for number in range(10)))
        return arrived

    straight = list(range(100))
    assert run_virtual(order_of_arrival(Conditions())) == straight
    assert run_virtual(order_of_arrival(Conditions(delay=0.1))) == straight
    for mixing in (Conditions(delay=0.1, jitter=0.1), Conditions(delay=0.1, reordering=0.3)):
        arrived = run_virtual(order_of_arrival(mixing))
        assert arrived != straight
        assert sorted(arrived) == straight


@in_virtual_time
async def test_frames_never_overtake_each_other_whatever_the_conditions() -> None:
    ann, network = await pair_under(Conditions(delay=0.05, jitter=0.2, reordering=0.5, loss=0.1, bandwidth=1e6))
    stream = await ann.open(BOB, ECHO)
    for number in range(200):
        await stream.send(bytes([number]))
        if number == 100:
            network.conditions = Conditions()
    assert [await stream.receive() for _ in range(200)] == [bytes([number]) for number in range(200)]


@in_virtual_time
async def test_a_lost_call_times_out_and_as_many_are_lost_as_the_conditions_say() -> None:
    ann, _ = await pair_under(Conditions(delay=0.01, loss=0.1))
    lost = 0
    for _number in range(1000):
        began = now()
        try:
            await ann.call(BOB, ECHO, b"", seconds=3)
        except PeerUnreachable:
            lost += 1
            assert now() - began == pytest.approx(3)
    assert 140 < lost < 240  # 1 - 0.9**2 = 19 %


@in_virtual_time
async def test_loss_on_a_stream_is_a_wait_and_nothing_is_missing() -> None:
    ann, _ = await pair_under(Conditions(delay=0.01, loss=0.1))
    stream = await ann.open(BOB, ECHO)
    waits = []
    for number in range(200):
        began = now()
        await stream.send(bytes([number]))
        assert await stream.receive() == bytes([number])
        waits.append(now() - began)
    late = sum(wait > 0.1 for wait in waits)
    assert 15 < late < 65  # 1 - 0.9**2 = 19 % of 200
    assert all(wait == pytest.approx(0.02) or wait > 0.2 for wait in waits)


@in_virtual_time
async def test_a_stream_on_which_everything_is_lost_breaks_in_bounded_time() -> None:
    ann, network = await pair_under(Conditions(delay=0.01))
    stream = await ann.open(BOB, ECHO)
    network.set_way(ANN, BOB, Conditions(loss=1.0))
    await stream.send(b"bee")
    with pytest.raises(PeerUnreachable):
        await stream.receive()
    assert 12 < now() < 14
    assert await ann.links() == ()


@in_virtual_time
async def test_bytes_leave_one_after_the_other_at_the_bandwidth() -> None:
    ann, _ = await pair_under(Conditions(bandwidth=MIB))
    request = bytes(MIB - HEADER_BYTES)
    await ann.call(BOB, ECHO, request)
    assert now() == pytest.approx(2.0)
    began = now()
    await asyncio.gather(ann.call(BOB, ECHO, request), ann.call(BOB, ECHO, request))
    assert now() - began == pytest.approx(3.0)  # the second request leaves while the first is answered


@in_virtual_time
async def test_a_frame_sent_on_a_faster_wire_waits_behind_the_slower_one() -> None:
    ann, network = await pair_under(Conditions())
    stream = await ann.open(BOB, ECHO)
    network.set_way(ANN, BOB, Conditions(delay=1.0))
    await stream.send(b"slow")
    network.set_way(ANN, BOB, None)
    await stream.send(b"fast")
    assert await stream.receive() == b"slow"
    assert now() == pytest.approx(1.0)


@in_virtual_time
async def test_what_an_opener_sends_is_read_at_the_peer_rate_and_what_it_is_sent_is_not() -> None:
    frames = (BURST_BYTES + 2 * MAX_BYTES_PER_SECOND) // MIB
    took: list[float] = []

    async def read_and_write(stream: Stream) -> None:
        for _ in range(frames):
            assert await stream.receive() is not None
        took.append(now())
        for _ in range(frames):
            await stream.send(bytes(MIB))

    ann, network = await pair_under(Conditions())
    cat = network.join(NodeId("cat"))
    await cat.serve_streams("/much", read_and_write)
    stream = await ann.open(await ann.connect(await cat.addresses()), "/much")
    for _ in range(frames):
        await stream.send(bytes(MIB))
    for _ in range(frames):
        assert await stream.receive() is not None
    assert 1.4 < took[0] < 2.1  # the pause of the last frame comes after it
    assert now() == took[0]


@in_virtual_time
async def test_a_farewell_does_not_overtake_the_frames_before_it() -> None:
    ann, network = await pair_under(Conditions(delay=0.1))
    got: list[bytes | None] = []

    async def read(stream: Stream) -> None:
        while got[-1:] != [None]:
            got.append(await stream.receive())

    bob = network.join(NodeId("bob2"))
    await bob.serve_streams("/read", read)
    stream = await ann.open(await ann.connect(await bob.addresses()), "/read")
    for number in range(10):
        await stream.send(bytes([number]))
    await stream.close()
    await ann.close()
    await asyncio.sleep(1)
    assert got == [*(bytes([number]) for number in range(10)), None]


async def busy_hour(seed: int) -> list[tuple[float, int, str]]:
    """What happened when, on a bad network with much going on."""
    network = MemoryNetwork(seed, Conditions(delay=0.02, jitter=0.05, loss=0.05, reordering=0.1))
    nodes = [network.join(NodeId(f"node{number}")) for number in range(10)]
    happened: list[tuple[float, int, str]] = []
    for node in nodes:
        await node.serve_calls(ECHO, echo)

    async def talk(number: int) -> None:
        rng = random.Random(number)
        for _ in range(20):
            try:
                peer = await nodes[number].connect(await rng.choice(nodes[:number]).addresses())
                await nodes[number].call(peer, ECHO, b"bee", seconds=1)
                happened.append((now(), number, peer))
            except PeerUnreachable as error:
                happened.append((now(), number, str(error)))

    await asyncio.gather(*(talk(number) for number in range(1, 10)))
    return happened


def test_one_seed_gives_one_run_and_another_seed_another() -> None:
    assert run_virtual(busy_hour(1)) == run_virtual(busy_hour(1))
    assert run_virtual(busy_hour(1)) != run_virtual(busy_hour(2))


@in_virtual_time
async def test_ten_thousand_idle_nodes_cost_no_task_and_no_timer() -> None:
    network = MemoryNetwork()
    nodes = [network.join(NodeId(str(number))) for number in range(10_000)]
    await nodes[0].connect(await nodes[1].addresses())
    assert len(asyncio.all_tasks()) == 1
    before = now()
    await asyncio.sleep(1e5)
    assert now() == before + 1e5


@in_virtual_time
async def test_messages_and_bytes_are_counted() -> None:
    ann, network = await pair_under(Conditions())
    messages_before, bytes_before = network.messages, network.bytes
    await ann.call(BOB, ECHO, bytes(1000))
    assert network.messages - messages_before == 2
    assert network.bytes - bytes_before == 2 * (1000 + HEADER_BYTES)


@pytest.mark.parametrize(
    "impossible",
    [{"loss": 1.1}, {"loss": -0.1}, {"reordering": 2.0}, {"delay": -1.0}, {"jitter": float("nan")}, {"bandwidth": 0.0}],
)
def test_impossible_conditions_are_refused(impossible: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Conditions(**impossible)
