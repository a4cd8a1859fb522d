"""A whole network inside one process, with the faults that a test or simulation asks for.

Same seed, same nodes doing the same things: the same run, on the virtual clock of `waggle.testing.clock`. How each
fault shows itself:

- *Loss* of a call's request or reply: the caller times out. Streams, dials and farewells are reliable, as they are over
  TCP and QUIC: each loss is a wait for the repetition, and too many in a row break the link.
- *Reordering* comes from jitter, and from holding messages back on purpose; never inside one direction of a stream.
- *Partition*: silent. Calls time out, frames and dials wait for the heal; after SILENT_LINK_SECONDS the links across it
  break, as keep-alives would find out.
- *Cut*: loud. The links between the two nodes break at once, and dialling fails at once, until the heal.
- *Kill*: as kill -9, and the system closes the sockets: one delay later the links break at all others, and dialling is
  refused. Handlers of the killed node are cancelled; whoever holds its transport gets PeerUnreachable from it and has
  to stop the node's own tasks. The same id may join again.
"""

import asyncio
from collections.abc import Iterable

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_address
from waggle.mesh.memory.transport import MemoryTransport
from waggle.mesh.memory.wires import Conditions, Wires

SILENT_LINK_SECONDS = 30.0
"""How long a link outlives a partition; the daemon's keep-alives take about as long."""


class MemoryNetwork:
    """Nodes join it one by one; no node costs anything while it is idle."""

    def __init__(self, seed: int = 0, conditions: Conditions | None = None) -> None:
        """Without nodes; all ways are perfect unless `conditions` says otherwise."""
        self._wires = Wires(seed, conditions or Conditions())
        self._hosts: dict[str, MemoryTransport] = {}
        self._nodes: dict[NodeId, MemoryTransport] = {}
        self._epoch = 0

    @property
    def messages(self) -> int:
        """Messages sent so far, lost ones included."""
        return self._wires.messages

    @property
    def bytes(self) -> int:
        """Bytes sent so far, lost ones included."""
        return self._wires.bytes

    @property
    def conditions(self) -> Conditions:
        """What holds where nothing else was set."""
        return self._wires.conditions

    @conditions.setter
    def conditions(self, conditions: Conditions) -> None:
        self._wires.conditions = conditions

    def set_way(self, source: NodeId, target: NodeId, conditions: Conditions | None) -> None:
        """Conditions of one direction between two nodes from now on; None for those of the network."""
        self._wires.ways.pop((source, target), None)
        if conditions is not None:
            self._wires.ways[source, target] = conditions

    def join(self, node_id: NodeId, name: str | None = None) -> MemoryTransport:
        """The transport of a new node at `/memory/<name>/p2p/<node_id>`, its id being its name unless given.

        Raises UsageError where the id is up already, or would not fit into an address.
        """
        if node_id in self._nodes and self._nodes[node_id].up:
            raise UsageError(f"{node_id} is on the network already: close or kill it first")
        address = parse_address(f"/memory/{name or node_id}/p2p/{node_id}")
        self._nodes[node_id] = MemoryTransport(self._wires, self._hosts, address)
        return self._nodes[node_id]

    def partition(self, *groups: Iterable[NodeId]) -> None:
        """Let no message pass between the groups; nodes in none of them form another. Replaces an earlier partition."""
        self._wires.groups = {node: number for number, group in enumerate(groups) for node in group}
        self._changed()
        asyncio.get_running_loop().call_later(SILENT_LINK_SECONDS, self._give_up, self._epoch)

    def cut(self, a: NodeId, b: NodeId) -> None:
        """Break the link between two nodes now and let none come up again before the heal."""
        self._wires.cuts.add(frozenset((a, b)))
        self._nodes[a].sever(b)
        self._nodes[b].sever(a)

    def heal(self) -> None:
        """End the partition and all cuts."""
        self._wires.groups = {}
        self._wires.cuts.clear()
        self._changed()

    def kill(self, node_id: NodeId) -> None:
        """End a node without a farewell."""
        self._nodes[node_id].die()

    def _changed(self) -> None:
        self._epoch += 1
        self._wires.release()

    def _give_up(self, epoch: int) -> None:
        """A partition has lasted: break what it separates."""
        if epoch != self._epoch:
            return
        self._wires.drop_held()
        for node in list(self._hosts.values()):
            for peer in node.peers():
                if self._wires.separated(node.node_id, peer):
                    node.sever(peer)
