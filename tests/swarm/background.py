"""What a node of a simulated swarm sends when nobody asks anything: messages and bytes per node and second.

    python -m tests.swarm.background NODES LOSS CHURN

Whole directories at the default pace, 20 to 100 ms one way; LOSS is the share of messages lost, CHURN that of nodes
killed a minute, each of which comes back after 20 s. Seed 1. Nodes start within 10 s, settle, are measured for 20 s.
"""

import asyncio
import sys
from random import Random

from tests.swarm.members import Crowd
from waggle.mesh.memory import Conditions
from waggle.testing.clock import run_virtual

START_SECONDS = 10.0
SETTLE_SECONDS = 20.0
MEASURED_SECONDS = 20.0
DOWN_SECONDS = 20.0


async def measure_background(count: int, loss: float, churn: float = 0.0) -> tuple[float, float]:
    """Messages and bytes per node and second."""
    crowd, rng = Crowd(seed=1, conditions=Conditions(delay=0.02, jitter=0.08, loss=loss)), Random(1)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(join(crowd, rng, number))
            await asyncio.sleep(START_SECONDS / count)
        killer = group.create_task(kill_some(crowd, rng, group, churn * count / 60.0)) if churn else None
        await asyncio.sleep(SETTLE_SECONDS)
        messages, size = crowd.network.messages, crowd.network.bytes
        await asyncio.sleep(MEASURED_SECONDS)
        messages, size = crowd.network.messages - messages, crowd.network.bytes - size
        if killer is not None:
            killer.cancel()
    await crowd.stop()
    return messages / count / MEASURED_SECONDS, size / count / MEASURED_SECONDS


async def join(crowd: Crowd, rng: Random, number: int, after: float = 0.0) -> None:
    """Start a node that knows up to three others."""
    await asyncio.sleep(after)
    await crowd.add(number, rng.sample(list(crowd.nodes), min(3, len(crowd.nodes))))


async def kill_some(crowd: Crowd, rng: Random, group: asyncio.TaskGroup, per_second: float) -> None:
    """Kill one node after the other; each comes back."""
    while True:
        await asyncio.sleep(rng.expovariate(per_second))
        number = rng.choice(list(crowd.nodes))
        await crowd.kill(number)
        group.create_task(join(crowd, rng, number, after=DOWN_SECONDS))


if __name__ == "__main__":
    nodes, lost, killed = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    sent, size = run_virtual(measure_background(nodes, lost, killed))
    print(f"{nodes} nodes, loss {lost:g}, churn {killed:g}: {sent:.1f} messages/s, {size / 1000:.1f} kB/s a node")
