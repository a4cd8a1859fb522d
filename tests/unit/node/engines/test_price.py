"""What a node wants for 1,000 tokens is told to the others as it was set; nothing else goes by it."""

import asyncio
import json
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.swarm.members import make_key
from tests.swarm.solo_crowd import LAN, TODAY, truth
from tests.virtual import in_virtual_time
from waggle.core.errors import UsageError
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.memory import MemoryNetwork
from waggle.node.config.load import load_settings
from waggle.node.config.settings import Settings
from waggle.node.control.messages import Peers, PeersReply
from waggle.node.network.mesh_node import MeshNode, make_node
from waggle.node.running.local_control import LocalControl
from waggle.node.running.running import options_of
from waggle.testing.clock import VirtualClock


async def two_nodes(price: int) -> list[MeshNode]:
    """The second one set this price."""
    network, nodes = MemoryNetwork(0, LAN), list[MeshNode]()
    for number, wanted in enumerate((0, price)):
        key = make_key(number)
        node = await make_node(
            key,
            network.join(key.node_id),
            {"bee": ScriptedEngine(Script(name="bee"), truth, clock=VirtualClock())},
            options_of(Settings(price=wanted), relays=False),
            rng=Random(number),
            wall=lambda: TODAY + asyncio.get_running_loop().time(),
        )
        hub = make_key(0).node_id
        await node.start([f"/memory/{hub}/p2p/{hub}"] if number else [])
        nodes.append(node)
    return nodes


@pytest.mark.parametrize("price", [0, 7])
@in_virtual_time
async def test_others_read_the_price_that_was_set(price: int) -> None:
    nodes = await two_nodes(price)
    await asyncio.sleep(5)
    reply = await LocalControl(nodes[0], asyncio.Event()).handle(Peers())
    for node in nodes:
        await node.close()
    assert isinstance(reply, PeersReply)
    [peer] = json.loads(msgspec.json.encode(reply.peers))
    assert [offer["price"] for offer in peer["advert"]["offers"]] == [price]


@pytest.mark.parametrize("given", ["-1", "1.5", "free"])
def test_a_price_that_is_none_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--price"):
        load_settings({"price": given}, environment={}, folder=tmp_path)
