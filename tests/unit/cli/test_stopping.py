"""Ctrl-C asks a verb to end; the same one twice is one, and work that has not begun is cancelled."""

import asyncio
import signal

import pytest

from waggle.cli.stopping import AGAIN_SECONDS, stop_on_signals, until


async def test_a_signal_that_comes_twice_at_once_counts_once() -> None:
    stop = asyncio.Event()
    with stop_on_signals(stop):
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.02)
        assert stop.is_set()


async def test_later_ones_act_as_ever() -> None:
    stop = asyncio.Event()
    with stop_on_signals(stop):
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(AGAIN_SECONDS + 0.2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


class Work:
    """Goes on until it is told to stop."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.end = "none"

    async def go(self) -> None:
        try:
            await self.stop.wait()
            self.end = "in good order"
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise


async def test_work_that_is_told_to_stop_ends_in_good_order_or_is_cancelled() -> None:
    told = asyncio.Event()
    told.set()
    early, late = Work(), Work()

    def leave() -> bool:
        late.stop.set()
        return True

    await until(told, early.go())
    await until(told, late.go(), leave)
    assert (early.end, late.end) == ("cancelled", "in good order")


async def test_a_failure_of_the_work_is_ours() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await until(asyncio.Event(), fail())
