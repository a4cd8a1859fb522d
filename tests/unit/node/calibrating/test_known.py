"""A crowd of calls keeps its bound and its order, and tells how far it is."""

import asyncio

import pytest

from tests.virtual import in_virtual_time
from waggle.node.calibrating.known import each
from waggle.testing.clock import VirtualClock


@in_virtual_time
async def test_results_come_in_the_order_of_the_items_whatever_order_they_end_in() -> None:
    async def call(item: int) -> int:
        await VirtualClock().sleep(10.0 - item)
        return item * item

    assert await each(range(10), call, lambda done: None) == [item * item for item in range(10)]


@in_virtual_time
async def test_no_more_calls_run_at_once_than_allowed() -> None:
    running, most, told = 0, 0, list[int]()

    async def call(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await VirtualClock().sleep(1.0 + item % 3)
        running -= 1

    await each(range(50), call, told.append, at_once=7)
    assert most == 7
    assert told == list(range(1, 51))


@in_virtual_time
async def test_a_call_that_fails_stops_the_others() -> None:
    ended: list[int] = []

    async def call(item: int) -> None:
        await VirtualClock().sleep(float(item))
        if item == 3:
            raise ValueError("no")
        ended.append(item)

    with pytest.raises(ExceptionGroup):
        await each(range(10), call, lambda done: None)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert ended == [0, 1, 2]


@in_virtual_time
async def test_nothing_to_do_is_done_at_once() -> None:
    async def call(item: int) -> int:
        raise AssertionError("nothing was to be called")

    assert await each([], call, lambda done: None) == []
