"""Virtual time passes in an instant, keeps its order, and turns hangs into failures."""

import asyncio
import threading
import time

import pytest

from waggle.node.clock import Clock, SystemClock
from waggle.testing.clock import NobodyWillWake, RanTooLong, VirtualClock, run_virtual


def test_a_day_passes_in_an_instant() -> None:
    async def scene() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run_virtual(scene()) == pytest.approx(86_400)
    assert time.monotonic() - started < 50


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, clock: Clock) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async def scene() -> None:
        clocks: list[Clock] = [VirtualClock(), SystemClock(), VirtualClock()]
        async with asyncio.TaskGroup() as group:
            for name, seconds, clock in zip("cab", (3, 1, 2.5), clocks, strict=True):
                group.create_task(sleeper(name, seconds, clock))

    run_virtual(scene())
    assert woken == [("a", 1), ("b", 2.5), ("c", 3)]


def test_time_stands_still_while_anybody_can_run() -> None:
    async def scene() -> float:
        waker = asyncio.create_task(asyncio.sleep(5))
        for _ in range(1_000):
            await asyncio.sleep(0)
        before = asyncio.get_running_loop().time()
        await waker
        return before

    assert run_virtual(scene()) == 0


def test_time_outs_strike_in_virtual_time() -> None:
    async def scene() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(scene()) == 30


def test_time_stands_still_while_a_thread_works() -> None:
    async def scene() -> float:
        late = asyncio.create_task(asyncio.sleep(60))
        await asyncio.to_thread(time.sleep, 0.05)
        now = asyncio.get_running_loop().time()
        late.cancel()
        return now

    assert run_virtual(scene()) == 0


def test_a_thread_that_nobody_waits_for_any_longer_still_holds_time() -> None:
    async def scene() -> float:
        started = time.monotonic()
        waiting = asyncio.create_task(asyncio.to_thread(time.sleep, 0.05))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(60)
        return time.monotonic() - started

    assert run_virtual(scene()) > 0.03


def test_an_exception_in_a_thread_comes_through() -> None:
    async def scene() -> None:
        await asyncio.to_thread(int, "seven")

    with pytest.raises(ValueError, match="seven"):
        run_virtual(scene())


def test_a_foreign_thread_may_wake_a_test_that_waits_without_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waggle.testing.clock.THREAD_GRACE_SECONDS", 30.0)

    async def scene() -> bool:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        threading.Timer(0.02, loop.call_soon_threadsafe, [woken.set]).start()
        return await woken.wait()

    assert run_virtual(scene())


def test_a_hang_is_a_failure_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waggle.testing.clock.THREAD_GRACE_SECONDS", 0.01)
    ended = []

    async def scene() -> None:
        await asyncio.sleep(7)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(NobodyWillWake, match="at 7 s"):
        run_virtual(scene())
    assert ended, "the hanging task was not cancelled"


def test_a_timer_loop_without_end_is_a_failure() -> None:
    async def scene() -> None:
        clock = VirtualClock()
        while True:
            await clock.sleep(1)

    with pytest.raises(RanTooLong, match="within 100 s"):
        run_virtual(scene(), limit_seconds=100)


def test_a_virtual_clock_refuses_to_wait_for_real_seconds() -> None:
    async def scene() -> None:
        await VirtualClock().sleep(1)

    with pytest.raises(AssertionError, match="run_virtual"):
        asyncio.run(scene())


def test_the_system_clock_goes_forward_on_an_ordinary_loop() -> None:
    async def scene() -> float:
        clock = SystemClock()
        started = clock.now()
        await clock.sleep(0.02)
        await clock.sleep(-1)
        return clock.now() - started

    assert 0.01 < asyncio.run(scene()) < 50


def test_two_runs_of_a_tangle_of_tasks_are_the_same() -> None:
    async def scene() -> list[str]:
        log: list[str] = []

        async def bee(index: int) -> None:
            for turn in range(5):
                await asyncio.sleep((index * 7 + turn * 3) % 5 / 10)
                log.append(f"{index}.{turn}@{asyncio.get_running_loop().time():.3f}")

        await asyncio.gather(*(bee(index) for index in range(10)))
        return log

    assert run_virtual(scene()) == run_virtual(scene())
