"""Who joins by an address alone is told how to get into the network that is there."""

import pytest

from tests.swarm.members import Crowd
from tests.virtual import in_virtual_time


@pytest.mark.parametrize(("theirs", "way"), [("wasps", "--network wasps"), ("x; rm -r ~", "--network with its name")])
@in_virtual_time
async def test_who_comes_to_another_network_is_told_what_to_give(theirs: str, way: str) -> None:
    crowd = Crowd()
    there = crowd.make(0, crowd.network.join(crowd.id(0)), network=theirs)
    node = crowd.make(1, crowd.network.join(crowd.id(1)))
    await there.start([])
    (failure,) = await node.start([crowd.address(0)])
    assert f"belongs to the network {theirs!r}" in failure
    assert failure.endswith(f"say {way}, or copy the whole invite")
    await node.close()
    await there.close()
