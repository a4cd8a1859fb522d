"""Two nodes on the simulated network that serve echoes."""

import asyncio

from waggle.core.ids import NodeId
from waggle.mesh.memory import Conditions, MemoryNetwork, MemoryTransport
from waggle.mesh.transport import Stream

ANN, BOB = NodeId("ann"), NodeId("bob")
ECHO = "/echo"


async def echo(_: NodeId, request: bytes) -> bytes:
    return request


async def echo_frames(stream: Stream) -> None:
    while (frame := await stream.receive()) is not None:
        await stream.send(frame)


def now() -> float:
    return asyncio.get_running_loop().time()


async def linked_pair(network: MemoryNetwork) -> tuple[MemoryTransport, MemoryTransport]:
    """Two nodes that serve echoes, connected while the network was perfect."""
    wanted, network.conditions = network.conditions, Conditions()
    ann, bob = network.join(ANN), network.join(BOB)
    for node in (ann, bob):
        await node.serve_calls(ECHO, echo)
        await node.serve_streams(ECHO, echo_frames)
    await ann.connect(await bob.addresses())
    network.conditions = wanted
    return ann, bob
