"""Room in the gateway: bounded, in turn from the keys, and no place is ever lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from waggle.core.errors import PeerBusy
from waggle.gateway.door.admission import NO_KEY, PAGES, Admission
from waggle.gateway.options import GatewayOptions


def small(running: int = 1, waiting: int = 4, waiting_per_key: int = 3, longest_wait: float = 60.0) -> Admission:
    return Admission(running=running, waiting=waiting, waiting_per_key=waiting_per_key, longest_wait=longest_wait)


class Line:
    """Requests that hold a place until they are let go; `order` says in which order they got it."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[str] = []
        self.go = asyncio.Event()

    async def request(self, key: str) -> None:
        async with self.admission.place(key):
            self.order.append(key)
            await self.go.wait()

    async def queue(self, *keys: str) -> list["asyncio.Task[None]"]:
        tasks = []
        for key in keys:
            tasks.append(asyncio.create_task(self.request(key)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return tasks


@pytest.mark.parametrize("greedy", ["ann", PAGES])
async def test_one_who_asks_much_holds_another_up_by_one_turn(greedy: str) -> None:
    line = Line(small(waiting=9, waiting_per_key=9))
    tasks = await line.queue(greedy, greedy, greedy, greedy, "modest", "third")
    line.go.set()
    await asyncio.gather(*tasks)
    assert line.order == [greedy, greedy, "modest", "third", greedy, greedy]


async def test_no_more_run_at_once_than_may() -> None:
    admission, running, most = small(running=3, waiting=50, waiting_per_key=50), 0, 0

    async def request(key: str) -> None:
        nonlocal running, most
        async with admission.place(key):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(request(f"key{number % 4}") for number in range(40)))
    assert most == 3
    assert (admission.load.running, admission.load.waiting) == (0, 0)


async def test_a_full_line_says_when_to_come_again() -> None:
    line = Line(small())
    tasks = await line.queue("a", "a", "b", "b", "c")
    with pytest.raises(PeerBusy) as busy:
        async with line.admission.place("d"):
            pass
    assert busy.value.retry_after is not None
    assert 1.0 <= busy.value.retry_after <= 60.0
    line.go.set()
    await asyncio.gather(*tasks)


async def test_one_key_may_not_fill_the_line() -> None:
    line = Line(small())
    tasks = await line.queue("a", "a", "a", "a")
    with pytest.raises(PeerBusy):
        async with line.admission.place("a"):
            pass
    tasks += await line.queue("b")
    line.go.set()
    await asyncio.gather(*tasks)
    assert line.order == ["a", "a", "b", "a", "a"]


async def test_one_who_goes_away_leaves_the_line() -> None:
    line = Line(small())
    first, second, third = await line.queue("a", "a", "b")
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert line.admission.load.waiting == 1
    line.go.set()
    await asyncio.gather(first, third)
    assert line.order == ["a", "b"]
    assert line.admission.load.running == 0


async def test_a_place_given_to_one_who_is_cancelled_in_that_moment_goes_on_to_the_next() -> None:
    line = Line(small())
    first, second, third = await line.queue("a", "b", "c")
    first.cancel()
    await asyncio.sleep(0)
    second.cancel()
    line.go.set()
    await asyncio.wait_for(asyncio.gather(first, second, third, return_exceptions=True), 30)
    assert line.order[-1] == "c"
    assert (line.admission.load.running, line.admission.load.waiting) == (0, 0)


async def test_nobody_waits_without_end() -> None:
    line = Line(small(longest_wait=0.02))
    tasks = await line.queue("a")
    with pytest.raises(PeerBusy):
        async with line.admission.place("b"):
            pass
    assert line.admission.load.waiting == 0
    line.go.set()
    await asyncio.gather(*tasks)


async def test_the_longest_wait_does_not_end_work_that_has_begun() -> None:
    admission = small(longest_wait=0.01)
    async with admission.place("a"):
        await asyncio.sleep(0.05)
    assert admission.load.running == 0


@pytest.mark.parametrize("failure", [ZeroDivisionError("its own"), PeerBusy("its own", 3.0)])
async def test_a_request_that_fails_gives_its_place_back_and_its_failure_stays_what_it_is(failure: Exception) -> None:
    admission = small()
    for _ in range(3):
        with pytest.raises(type(failure), match="its own"):
            async with admission.place("a"):
                raise failure
    assert admission.load.running == 0


async def test_the_options_say_how_much_there_is() -> None:
    admission = Admission.of(GatewayOptions(max_running=2, max_waiting=0))
    async with AsyncExitStack() as held:
        await held.enter_async_context(admission.place("a"))
        await held.enter_async_context(admission.place("b"))
        with pytest.raises(PeerBusy):
            await held.enter_async_context(admission.place("c"))


@pytest.mark.parametrize(("key", "waiting"), [("ann", 1), (PAGES, 1), (NO_KEY, 3)])
async def test_without_keys_the_whole_line_is_everybodys(key: str, waiting: int) -> None:
    line = Line(Admission.of(GatewayOptions(max_running=1, max_waiting=3, max_waiting_per_key=1)))
    tasks = await line.queue(*[key] * 5)
    assert line.admission.load.waiting == waiting
    line.go.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(end, PeerBusy) for end in ends) == 4 - waiting
