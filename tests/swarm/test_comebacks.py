"""A killed node is started again at once and knows nobody: those that ping it notice what has become of it."""

import asyncio

import pytest

from tests.swarm.members import Crowd
from tests.virtual import in_virtual_time

BACK_SECONDS, GONE_SECONDS = 5.0, 15.0


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_a_new_start_is_noticed_by_those_who_knew_the_last_one(seed: int) -> None:
    crowd = Crowd(seed=seed)
    await crowd.start(3)
    await crowd.until(crowd.whole, 10.0)
    await asyncio.sleep(3.0)
    await crowd.kill(2)
    await crowd.add(2, invites=())
    await crowd.until(crowd.whole, BACK_SECONDS)
    await crowd.stop()


@in_virtual_time
async def test_a_node_that_comes_back_in_another_network_is_given_up_soon() -> None:
    crowd = Crowd()
    await crowd.start(3)
    await crowd.until(crowd.whole, 10.0)
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
