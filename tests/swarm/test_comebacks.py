"""A killed node that is started again at once and knows nobody: those that ping it notice, and all is as before."""

import asyncio

import pytest

from tests.swarm.members import Crowd
from waggle.testing.clock import run_virtual

BACK_SECONDS = 5.0


@pytest.mark.parametrize("seed", range(8))
def test_a_new_start_is_noticed_by_those_who_knew_the_last_one(seed: int) -> None:
    async def run() -> None:
        crowd = Crowd(seed=seed)
        await crowd.start(3)
        await crowd.until(crowd.whole, 10.0)
        await asyncio.sleep(3.0)
        await crowd.kill(2)
        await crowd.add(2, invites=())
        await crowd.until(crowd.whole, BACK_SECONDS)
        await crowd.stop()

    run_virtual(run())
