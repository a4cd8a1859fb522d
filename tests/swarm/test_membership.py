"""Whole swarms of memberships on the simulated network: who finds whom, and how soon the gone are gone."""

import asyncio
import statistics

import pytest

from tests.swarm.members import NODE, Crowd, stopwatch, whole_crowd
from tests.unit.mesh.adverts.making import make_key
from tests.virtual import in_virtual_time
from waggle.core.mesh_values import Liveness, Load
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.members.own_advert import Description
from waggle.mesh.memory import Conditions

pytestmark = pytest.mark.timeout(300)

LOSSY = Conditions(delay=0.02, jitter=0.02, loss=0.05)
GONE_SECONDS = 15.0
BACK_SECONDS = 5.0


def skewed(number: int) -> float:
    """The clocks of 3 nodes in 10 are five minutes off, one way or the other."""
    return (300.0 if number % 2 else -300.0) if number % 10 < 3 else 0.0


async def gone(crowd: Crowd, number: int) -> tuple[float, float]:
    """Seconds until nobody would choose a node, and until nobody lists it."""
    node, others = crowd.id(number), [other for other in crowd.nodes if other != number]
    unusable = await crowd.until(lambda: not any(node in crowd.usable(other) for other in others), 60)
    unlisted = await crowd.until(lambda: not any(node in crowd.listed(other) for other in others), 60)
    return unusable, unusable + unlisted


async def back(crowd: Crowd, number: int) -> float:
    """Seconds until everybody finds a node usable."""
    node, others = crowd.id(number), [other for other in crowd.nodes if other != number]
    return await crowd.until(lambda: all(node in crowd.usable(other) for other in others), 60)


@in_virtual_time
async def test_a_node_alone_has_a_clear_empty_list_and_no_trouble() -> None:
    crowd = Crowd()
    node = await crowd.add(0)
    await asyncio.sleep(300)
    assert node.usable() == node.peers() == ()
    assert node.troubles == ()
    assert node.peer(crowd.id(1)) is None
    await crowd.stop()


@in_virtual_time
async def test_a_newcomer_has_its_first_usable_peer_within_two_seconds() -> None:
    crowd = await whole_crowd(10)
    await crowd.add(10)
    assert await crowd.until(lambda: bool(crowd.usable(10)), 2) < 0.5
    assert await crowd.until(lambda: len(crowd.usable(10)) == 10, 2) < 2
    await crowd.stop()


@pytest.mark.parametrize("conditions", [Conditions(delay=0.001), LOSSY], ids=["good", "lossy"])
@pytest.mark.parametrize("count", [5, 20])
@in_virtual_time
async def test_nodes_that_start_at_once_find_each_other_and_stay_together(count: int, conditions: Conditions) -> None:
    crowd = await whole_crowd(count, seed=count, conditions=conditions, skew=skewed)
    missing = 0
    for _ in range(240):
        await asyncio.sleep(0.5)
        missing += sum(count - 1 - len(crowd.usable(number)) for number in crowd.nodes)
        assert all(len(crowd.listed(number)) == count - 1 for number in crowd.nodes)
    assert missing <= 0.01 * 240 * count * (count - 1)
    assert not any(node.troubles for node in crowd.nodes.values())
    await crowd.stop()


@pytest.mark.parametrize("conditions", [Conditions(delay=0.001), LOSSY], ids=["good", "lossy"])
@pytest.mark.parametrize("count", [5, 20])
@in_virtual_time
async def test_killed_nodes_vanish_and_rejoin_as_themselves(count: int, conditions: Conditions) -> None:
    crowd = await whole_crowd(count, seed=count, conditions=conditions, skew=skewed)
    await crowd.kill(3)
    unusable, unlisted = await gone(crowd, 3)
    assert (unusable, unlisted) < (10, GONE_SECONDS)
    lost = crowd.nodes[0].peer(crowd.id(3))
    assert lost is not None
    assert lost.liveness is Liveness.DEAD
    assert "given up" in lost.reason
    for _ in range(60):
        await asyncio.sleep(0.5)
        assert not any(crowd.id(3) in crowd.listed(number) for number in crowd.nodes), "a ghost"
    await crowd.add(3, invites=(1,))
    assert await back(crowd, 3) < BACK_SECONDS
    assert all(len(crowd.listed(number)) == count - 1 for number in crowd.nodes)
    await crowd.stop()


@in_virtual_time
async def test_a_restart_at_once_is_not_a_second_node() -> None:
    crowd = await whole_crowd(8)
    others = [number for number in crowd.nodes if number != 5]

    def starts() -> set[int]:
        """The starts of node 5 that the others know of."""
        peers = (crowd.nodes[number].peer(crowd.id(5)) for number in others)
        return {peer.advert.incarnation for peer in peers if peer is not None}

    (first,) = starts()
    await crowd.kill(5)
    await crowd.add(5)
    await crowd.until(lambda: crowd.whole() and first not in starts(), BACK_SECONDS)
    assert len(starts()) == 1
    assert min(starts()) > first
    await crowd.stop()


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_a_restart_of_a_node_that_knows_nobody_is_noticed_by_those_who_knew_it(seed: int) -> None:
    crowd = await whole_crowd(3, seed=seed)
    await asyncio.sleep(3.0)
    await crowd.kill(2)
    await crowd.add(2, invites=())
    await crowd.until(crowd.whole, BACK_SECONDS)
    await crowd.stop()


@in_virtual_time
async def test_a_node_that_comes_back_in_another_network_is_given_up_soon() -> None:
    crowd = await whole_crowd(3)
    await crowd.kill(2)
    transport = crowd.network.join(crowd.id(2))
    moved = crowd.make(2, transport, network="wasps")
    await moved.start()
    await crowd.until(crowd.whole, GONE_SECONDS)
    await asyncio.sleep(200.0)
    assert crowd.whole(), "and not taken back"
    await moved.close()
    await crowd.stop()
    await transport.close()


@in_virtual_time
async def test_a_restart_with_a_clock_set_back_is_believed_all_the_same() -> None:
    crowd = Crowd(skew=lambda number: clock.get(number, 0.0))
    clock: dict[int, float] = {}
    await crowd.start(6)
    await crowd.until(crowd.whole, 10)
    await crowd.leave(4)
    clock[4] = -200.0
    await asyncio.sleep(1)
    await crowd.add(4)
    assert await back(crowd, 4) < BACK_SECONDS
    assert crowd.nodes[4].troubles == ()
    await crowd.stop()


@in_virtual_time
async def test_who_leaves_is_gone_at_once_and_not_looked_for() -> None:
    crowd = await whole_crowd(20)
    await crowd.leave(7)
    assert max(await gone(crowd, 7)) < 3
    left = crowd.nodes[0].peer(crowd.id(7))
    assert left is not None
    assert left.liveness is Liveness.DEPARTED
    await asyncio.sleep(700)  # past every grave
    assert crowd.whole()
    assert crowd.nodes[0].peer(crowd.id(7)) is None
    await crowd.stop()


@pytest.mark.parametrize("seconds", [10.0, 60.0, 600.0])
@in_virtual_time
async def test_two_halves_find_each_other_again(seconds: float) -> None:
    crowd = await whole_crowd(12, seed=round(seconds))
    half = crowd.ids(range(6))
    crowd.network.partition(half, crowd.ids(range(6, 12)))
    await asyncio.sleep(seconds)
    for number in crowd.nodes:
        own = half if number < 6 else crowd.ids(range(6, 12))
        assert seconds < 20 or crowd.usable(number) == own - {crowd.id(number)}
    crowd.network.heal()
    assert await crowd.until(crowd.whole, 30) < 30
    await crowd.stop()


@in_virtual_time
async def test_a_node_cut_off_alone_says_why_and_comes_back() -> None:
    crowd = await whole_crowd(8)
    crowd.network.partition([crowd.id(2)])
    await crowd.until(lambda: not crowd.usable(2), 20)
    suspects = [peer for peer in crowd.nodes[2].peers() if peer.liveness is Liveness.SUSPECT]
    assert suspects
    assert all(peer.reason.startswith("no answer for ") for peer in suspects)
    await asyncio.sleep(100)
    assert crowd.nodes[2].usable() == ()
    crowd.network.heal()
    assert await crowd.until(crowd.whole, 30) < 30
    await crowd.stop()


@in_virtual_time
async def test_a_node_that_only_one_other_cannot_reach_stays_usable_to_the_rest() -> None:
    crowd = await whole_crowd(8)
    crowd.network.cut(crowd.id(1), crowd.id(2))
    await crowd.until(lambda: crowd.id(2) not in crowd.usable(1), 20)
    for _ in range(120):
        await asyncio.sleep(0.5)
        for number in (0, 3, 4, 5, 6, 7):
            assert {crowd.id(1), crowd.id(2)} <= crowd.usable(number) | {crowd.id(number)}
        assert crowd.id(2) not in crowd.usable(1), "what others say made it usable"
    crowd.network.heal()
    await crowd.until(crowd.whole, 60)
    await crowd.stop()


@in_virtual_time
async def test_invites_are_tried_again_until_somebody_is_there() -> None:
    crowd = Crowd()
    early = await crowd.add(1)
    assert early.usable() == ()
    await asyncio.sleep(100)
    await crowd.add(0)
    assert await crowd.until(crowd.whole, 40) < 40
    await crowd.stop()


@in_virtual_time
async def test_a_failed_invite_says_why() -> None:
    crowd = Crowd()
    transport = crowd.network.join(crowd.id(1))
    node = crowd.make(1, transport)
    (failure,) = await node.start([crowd.address(0)])
    assert crowd.address(0) in failure
    await node.close()
    await transport.close()


@in_virtual_time
async def test_load_and_news_of_a_node_reach_the_others() -> None:
    crowd = await whole_crowd(6)
    crowd.loads[2] = Load(running=3, waiting=9, capacity=4)
    await crowd.nodes[2].update(Description(version="0.1", name="renamed"))

    def name(number: int) -> str:
        peer = crowd.nodes[number].peer(crowd.id(2))
        return peer.advert.name if peer else ""

    assert await crowd.until(lambda: all(name(n) == "renamed" for n in (0, 1, 3, 4, 5)), 5) < 2
    await asyncio.sleep(10)
    peer = crowd.nodes[0].peer(crowd.id(2))
    assert peer is not None
    assert peer.load == Load(running=3, waiting=9, capacity=4)
    assert peer.round_trip is not None
    assert 0 < peer.round_trip < 0.1
    await crowd.stop()


@in_virtual_time
async def test_changed_wakes_who_waits_for_it() -> None:
    crowd = await whole_crowd(3)
    await asyncio.sleep(5)
    waiting = asyncio.create_task(crowd.nodes[0].changed())
    await asyncio.sleep(5)
    assert not waiting.done()
    await crowd.leave(2)
    async with asyncio.timeout(3):
        await waiting
    await crowd.stop()


@in_virtual_time
async def test_a_node_with_a_clock_too_far_off_learns_why_nobody_takes_it() -> None:
    crowd = Crowd(skew=lambda number: 1_000.0 if number == 3 else 0.0)
    await crowd.start(5)
    await asyncio.sleep(30)
    assert any("ahead of ours" in trouble for trouble in crowd.nodes[3].troubles)
    assert all(crowd.id(3) not in crowd.listed(number) for number in (0, 1, 2, 4))
    assert all(len(crowd.usable(number)) == 3 for number in (0, 1, 2, 4))
    await crowd.stop()


@pytest.mark.parametrize(("theirs", "way"), [("wasps", "--network wasps"), ("x; rm -r ~", "--network with its name")])
@in_virtual_time
async def test_who_comes_to_another_network_is_told_what_to_give(theirs: str, way: str) -> None:
    crowd = Crowd()
    there = crowd.make(0, crowd.network.join(crowd.id(0)), network=theirs)
    node = crowd.make(1, crowd.network.join(crowd.id(1)))
    await there.start([])
    (failure,) = await node.start([crowd.address(0)])
    assert f"belongs to the network {theirs!r}" in failure
    assert failure.endswith(f"say {way}, or copy the whole invite")
    await node.close()
    await there.close()


@in_virtual_time
async def test_swarms_of_different_networks_do_not_mix() -> None:
    crowd = Crowd()
    await crowd.start(3)
    transport = crowd.network.join(crowd.id(9))
    node = crowd.make(9, transport, network="wasps")
    await node.start([crowd.address(0)])
    await asyncio.sleep(60)
    assert node.usable() == ()
    assert crowd.id(9) not in crowd.listed(0)
    await node.close()
    await crowd.stop()


@in_virtual_time
async def test_a_partial_view_stays_within_its_limit_and_is_of_use() -> None:
    crowd = Crowd(view_limit=12)
    await crowd.start(40)
    await asyncio.sleep(60)
    sizes = [len(crowd.listed(number)) for number in crowd.nodes]
    assert max(sizes) <= 12
    assert min(sizes) >= 6
    assert min(len(crowd.usable(number)) for number in crowd.nodes) >= 6
    await crowd.kill(5)
    assert max(await gone(crowd, 5)) < 60
    await crowd.stop()


@in_virtual_time
async def test_a_node_ends_in_good_order_though_what_ends_wants_to_begin_something() -> None:
    crowd = Crowd()
    node = await crowd.add(0)
    begun: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            node._upkeep.spawn(another)

    async def another() -> None:
        begun.append("another")

    node._upkeep.spawn(stubborn)
    await asyncio.sleep(1)
    await node.close()
    assert begun == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_nodes_under_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    @in_virtual_time
    async def scenario(seed: int, conditions: Conditions) -> list[float]:
        crowd = Crowd(seed=seed, conditions=conditions, skew=skewed)
        await crowd.start(50)
        whole = await crowd.until(crowd.whole, 30)
        await asyncio.sleep(20)
        await crowd.kill(3)
        unusable, unlisted = await gone(crowd, 3)
        await asyncio.sleep(5)
        await crowd.add(3)
        returned = await back(crowd, 3)
        crowd.network.partition(crowd.ids(range(25)), crowd.ids(range(25, 50)))
        await asyncio.sleep(60)
        crowd.network.heal()
        healed = await crowd.until(crowd.whole, 60)
        await crowd.stop()
        return [whole, unusable, unlisted, returned, healed]

    for name, conditions in (("good", Conditions(delay=0.001, jitter=0.001)), ("lossy", LOSSY)):
        rows = [scenario(seed, conditions) for seed in range(5)]
        with capsys.disabled():
            names = ("whole", "killed unusable", "killed unlisted", "back", "healed")
            for what, column in zip(names, zip(*rows, strict=True), strict=True):
                print(f"{name}: {what} median {statistics.median(column):.1f} s, longest {max(column):.1f} s")
        assert max(row[2] for row in rows) < GONE_SECONDS
        assert max(row[3] for row in rows) < BACK_SECONDS
        assert max(row[4] for row in rows) < 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_among_fifty_that_falls_silent_is_gone_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    @in_virtual_time
    async def scenario(seed: int) -> tuple[float, float]:
        crowd = await whole_crowd(50, seconds=30, seed=seed, conditions=LOSSY, skew=skewed)
        await asyncio.sleep(10)
        crowd.network.partition([crowd.id(3)])  # its links stay as they are: only pings tell
        times = await gone(crowd, 3)
        await crowd.stop()
        return times

    rows = [scenario(seed) for seed in range(10)]
    with capsys.disabled():
        for what, column in zip(("unusable", "unlisted"), zip(*rows, strict=True), strict=True):
            print(f"lossy: silent {what} median {statistics.median(column):.1f} s, longest {max(column):.1f} s")
    assert max(unlisted for _, unlisted in rows) < GONE_SECONDS


@pytest.mark.slow
@pytest.mark.timeout(600)
@in_virtual_time
async def test_a_node_costs_little(capsys: pytest.CaptureFixture[str]) -> None:
    crowd = Crowd(pace=Pace(ttl=120.0), view_limit=64)
    await crowd.start(200)
    await asyncio.sleep(30)
    bytes_before, watch = crowd.network.bytes, stopwatch()
    await asyncio.sleep(60)
    seconds, size = watch() / 60 / 200, (crowd.network.bytes - bytes_before) / 60 / 200
    await crowd.stop()
    with capsys.disabled():
        print(f"a node: {1e3 * seconds:.2f} ms of CPU and {size / 1024:.1f} KiB sent a second")
    assert seconds < 0.02
    assert size < 24 * 1024


@in_virtual_time
async def test_the_keys_of_nodes_are_the_ids_of_their_transports() -> None:
    crowd = Crowd()
    transport = crowd.network.join(crowd.id(1))
    with pytest.raises(AssertionError, match="another key"):
        crowd.make(2, transport)
    await transport.close()
    assert NODE.name == "bee"
    assert make_key(1).node_id == crowd.id(1)
