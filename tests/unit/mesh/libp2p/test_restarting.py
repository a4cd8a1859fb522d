"""A daemon that is there but says nothing is given up after a few questions, and one that answers never is."""

import asyncio
from typing import cast

import pytest

from tests.virtual import in_virtual_time
from waggle.core.errors import PeerUnreachable
from waggle.mesh.libp2p.daemon import Daemon
from waggle.mesh.libp2p.restarting import MAX_MISSES, WATCH_SECONDS, _until_lost
from waggle.testing.clock import run_virtual

SILENT_SECONDS = 5.0


class Fake:
    """A daemon that answers as told, question by question, and then not at all."""

    def __init__(self, *answers: bool) -> None:
        self.lost = asyncio.Event()
        self._answers = list(answers)
        self.asked = 0

    async def identify(self) -> None:
        self.asked += 1
        if not (self._answers.pop(0) if self._answers else False):
            await asyncio.sleep(SILENT_SECONDS)
            raise PeerUnreachable("no answer")


async def given_up_after(daemon: Fake, *, within: float = 3_600.0) -> float:
    """Virtual seconds until it is."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(within):
        await _until_lost(cast(Daemon, daemon))
    return asyncio.get_running_loop().time() - began


def test_a_hung_daemon_is_given_up_after_a_few_questions() -> None:
    async def run() -> tuple[float, int]:
        daemon = Fake()
        return await given_up_after(daemon), daemon.asked

    assert run_virtual(run()) == (MAX_MISSES * (WATCH_SECONDS + SILENT_SECONDS), MAX_MISSES)


def test_only_silence_without_a_break_counts() -> None:
    async def run() -> int:
        daemon = Fake(*[False, True] * 20)
        await given_up_after(daemon)
        return daemon.asked

    assert run_virtual(run()) == 40 + MAX_MISSES


@in_virtual_time
async def test_a_daemon_that_answers_is_kept() -> None:
    with pytest.raises(TimeoutError):
        await given_up_after(Fake(*[True] * 1_000))


def test_a_dead_daemon_is_given_up_at_once() -> None:
    async def run() -> tuple[float, int]:
        daemon = Fake()
        asyncio.get_running_loop().call_later(0.25, daemon.lost.set)
        return await given_up_after(daemon), daemon.asked

    assert run_virtual(run()) == (0.25, 0)
