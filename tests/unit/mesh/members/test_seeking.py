"""Looking for others: how many comparisons may be under way."""

import asyncio
from random import Random
from typing import cast

from tests.virtual import in_virtual_time
from waggle.core.ids import NodeId
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.liveness.prober import Prober
from waggle.mesh.liveness.watch import Watch
from waggle.mesh.members.gossip import Gossip
from waggle.mesh.members.seeking import MAX_EXCHANGES, Seeker


class SilentGossip:
    """Comparisons that wait in vain for a reply."""

    def __init__(self) -> None:
        self.begun = 0

    async def exchange(self, node: NodeId, *, seconds: float) -> None:
        self.begun += 1
        await asyncio.sleep(seconds)


@in_virtual_time
async def test_a_comparison_that_waits_in_vain_does_not_keep_us_from_a_few_others() -> None:
    pace, gossip = Pace(), SilentGossip()
    watch = Watch(pace, Random(0))
    watch.add(NodeId("a"), 1, 0.0)
    directory = Directory(NodeId("me"), "waggle")
    nobody = cast(Dialer, None), cast(Gossip, gossip), cast(Prober, None)
    seeker = Seeker(directory, watch, *nobody, pace)
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(seeker.exchange_with_somebody())
        await asyncio.sleep(1)
        assert gossip.begun == MAX_EXCHANGES > 1
        await asyncio.sleep(pace.exchange_seconds)
        group.create_task(seeker.exchange_with_somebody())
    assert gossip.begun == MAX_EXCHANGES + 1
