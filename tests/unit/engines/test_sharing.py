"""Work that several want is done once."""

import asyncio

import pytest

from tests.virtual import in_virtual_time
from waggle.core.errors import EngineUnavailable
from waggle.engines.sharing import SharedWork


class Counting:
    """Work that takes a second and says how often it was begun and stopped."""

    def __init__(self) -> None:
        self.begun = 0
        self.stopped = 0

    async def work(self) -> int:
        self.begun += 1
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return self.begun


@in_virtual_time
async def test_those_who_come_meanwhile_and_later_share_one_result() -> None:
    shared, counting = SharedWork[int](), Counting()
    assert await asyncio.gather(*(shared.do(b"k", counting.work) for _ in range(3))) == [1, 1, 1]
    assert await shared.do(b"k", counting.work) == 1
    assert await shared.do(b"other", counting.work) == 2


@in_virtual_time
async def test_work_goes_on_while_anyone_waits_and_stops_with_the_last() -> None:
    shared, counting = SharedWork[int](), Counting()
    one, two = (asyncio.create_task(shared.do(b"k", counting.work)) for _ in range(2))
    await asyncio.sleep(0.5)
    one.cancel()
    await asyncio.sleep(0.1)
    assert counting.stopped == 0
    two.cancel()
    await asyncio.gather(one, two, return_exceptions=True)
    await asyncio.sleep(0)
    assert counting.stopped == 1
    assert await shared.do(b"k", counting.work) == 2


@in_virtual_time
async def test_a_failure_is_told_to_all_and_not_kept() -> None:
    shared, tries = SharedWork[int](), 0

    async def fail() -> int:
        nonlocal tries
        tries += 1
        await asyncio.sleep(1)
        raise EngineUnavailable("off")

    both = await asyncio.gather(shared.do(b"k", fail), shared.do(b"k", fail), return_exceptions=True)
    assert [type(error) for error in both] == [EngineUnavailable] * 2
    with pytest.raises(EngineUnavailable):
        await shared.do(b"k", fail)
    assert tries == 2


@in_virtual_time
async def test_results_are_forgotten_after_a_while_and_past_the_capacity() -> None:
    shared, counting = SharedWork[int](capacity=2, keep_seconds=60), Counting()
    for key in (b"a", b"b", b"c", b"d"):
        await shared.do(key, counting.work)
    await shared.do(b"d", counting.work)
    assert counting.begun == 4
    await shared.do(b"a", counting.work)
    assert counting.begun == 5
    await asyncio.sleep(61)
    await shared.do(b"d", counting.work)
    assert counting.begun == 6
