"""The transport inside one process: a seeded network whose faults are chosen by the test or simulation."""

from waggle.mesh.memory.network import MemoryNetwork
from waggle.mesh.memory.transport import MemoryTransport
from waggle.mesh.memory.wires import Conditions

__all__ = ["Conditions", "MemoryNetwork", "MemoryTransport"]
