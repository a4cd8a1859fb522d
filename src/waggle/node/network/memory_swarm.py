"""A whole swarm inside this process: real nodes on a network that is not one. For trying out, tests, simulations."""

from collections.abc import Mapping
from random import Random

from waggle.core.ids import NodeId
from waggle.engines.protocol import Engine
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.node.calibration import Calibration
from waggle.node.network.mesh_node import MeshNode, NodeOptions, make_node
from waggle.trust.keys import NodeKey


async def start_in_memory(
    engines: Mapping[NodeId, Engine],
    options: NodeOptions | None = None,
    *,
    calibration: Calibration | None = None,
    seed: int = 0,
    conditions: Conditions | None = None,
) -> list[MeshNode]:
    """One node per engine, all joined to the first; gives them in order. Whoever called ends them."""
    network, rng = MemoryNetwork(seed, conditions), Random(seed)
    nodes: list[MeshNode] = []
    for name, engine in engines.items():
        key = NodeKey.generate()
        transport = network.join(key.node_id)
        node = await make_node(key, transport, {name: engine}, options, calibration=calibration, rng=rng)
        await node.start(await nodes[0].transport.addresses() if nodes else ())
        nodes.append(node)
    return nodes
