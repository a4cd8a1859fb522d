"""Room for work: limits, turns, and places that are never lost."""

import asyncio
import random

import pytest

from tests.virtual import in_virtual_time
from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load
from waggle.node.rounds.admission import Admission

ANN, BOB = NodeId("ann"), NodeId("bob")


@in_virtual_time
async def test_no_more_than_the_capacity_runs_at_once_and_all_get_their_turn() -> None:
    admission = Admission(capacity=3, queue=100, queue_per_asker=100)
    most = 0

    async def work() -> None:
        nonlocal most
        async with admission.place(ANN):
            most = max(most, admission.load.running)
            await asyncio.sleep(1)

    await asyncio.gather(*(work() for _ in range(10)))
    assert admission.load == Load(running=0, waiting=0, capacity=3)
    assert (most, int(asyncio.get_running_loop().time())) == (3, 4)


@in_virtual_time
async def test_one_who_asks_much_does_not_hold_up_another() -> None:
    admission = Admission(capacity=1, queue=100, queue_per_asker=100)
    order: list[NodeId] = []

    async def work(asker: NodeId) -> None:
        async with admission.place(asker):
            order.append(asker)
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(work(ANN)) for _ in range(5)]
    await asyncio.sleep(0.5)
    tasks += [asyncio.create_task(work(BOB)) for _ in range(2)]
    await asyncio.gather(*tasks)
    assert order == [ANN, ANN, BOB, ANN, BOB, ANN, ANN]


@in_virtual_time
async def test_a_full_node_says_so_at_once_and_when_to_come_again() -> None:
    admission = Admission(capacity=1, queue=2, queue_per_asker=1)

    async def hold(asker: NodeId) -> None:
        async with admission.place(asker):
            await asyncio.sleep(10)

    tasks = [asyncio.create_task(hold(ANN)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(PeerBusy) as refused:
        await hold(ANN)
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 0
    tasks.append(asyncio.create_task(hold(BOB)))
    await asyncio.sleep(0)
    with pytest.raises(PeerBusy):
        await hold(NodeId("cat"))
    assert asyncio.get_running_loop().time() == 0
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("seed", range(20))
@in_virtual_time
async def test_no_place_is_lost_whoever_gives_up_when(seed: int) -> None:
    chance = random.Random(seed)
    admission = Admission(capacity=2, queue=1_000, queue_per_asker=1_000)

    async def work(asker: NodeId) -> None:
        async with admission.place(asker):
            await asyncio.sleep(chance.random())

    tasks = [asyncio.create_task(work(NodeId(str(i % 3)))) for i in range(60)]
    for task in chance.sample(tasks, 30):
        await asyncio.sleep(chance.random() / 4)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert admission.load == Load(running=0, waiting=0, capacity=2)


@pytest.mark.parametrize("turns", [0, 1], ids=["just before its turn", "in the moment of its turn"])
@in_virtual_time
async def test_one_who_gives_up_hands_the_place_on_and_does_not_break_the_line(turns: int) -> None:
    admission = Admission(capacity=1, queue=9, queue_per_asker=9)
    release = asyncio.Event()

    async def hold() -> None:
        async with admission.place(ANN):
            await release.wait()

    async def quick() -> None:
        async with admission.place(BOB):
            pass

    first, second, third = asyncio.create_task(hold()), asyncio.create_task(quick()), asyncio.create_task(quick())
    await asyncio.sleep(0)
    release.set()
    for _ in range(turns):
        await asyncio.sleep(0)  # the holder leaves and hands its place to the second, which has not run yet
    second.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert third.exception() is None
    assert admission.load == Load(running=0, waiting=0, capacity=1)
