"""Nodes whose models are used one by one, on a simulated network; and peers that break every rule."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

from tests.unit.mesh.adverts.making import TODAY, make_key
from waggle.core.engine_values import Finish, GenerateRequest, Generation, StreamedToken
from waggle.core.mesh_values import ModelOffer
from waggle.engines.protocol import Engine
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.channel import SignedChannel
from waggle.mesh.members.membership import Membership
from waggle.mesh.members.own_advert import Description
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.mesh.messages import MODEL_PROTOCOL
from waggle.mesh.transport import Stream
from waggle.node.network.mesh_node import MeshNode, NodeOptions, make_node
from waggle.node.services.mesh import MeshService
from waggle.testing.clock import VirtualClock

ASKED = GenerateRequest(question="2 + 3", max_tokens=64)
TEXT = "I worked it out step by step.\nAnswer: 5"
SLOW = Script(name="bee", skill=1.0, seconds_per_token=0.5)
LAN = Conditions(delay=0.01, jitter=0.005)

Part = Script | ScriptedEngine
Lie = Callable[[SignedChannel], Awaitable[None]]
"""What a peer says once it has been asked."""


def truth(question: str) -> str | None:
    left, plus, right = question.partition(" + ")
    return str(int(left) + int(right)) if plus else None


def engine(script: Script) -> ScriptedEngine:
    return ScriptedEngine(script, truth, clock=VirtualClock())


class SoloCrowd:
    """Nodes by number; number 0 asks, and has no model unless it is given one."""

    def __init__(self, seed: int = 0) -> None:
        self.network = MemoryNetwork(seed, LAN)
        self.nodes: dict[int, MeshNode] = {}
        self.engines: dict[int, ScriptedEngine] = {}
        self.liars: list[Membership] = []

    def address(self, number: int) -> str:
        node = make_key(number).node_id
        return f"/memory/{node}/p2p/{node}"

    async def add(self, number: int, part: Part | None = None, options: NodeOptions | None = None) -> MeshNode:
        engines: dict[str, Engine] = {}
        if part is not None:
            made = engine(part) if isinstance(part, Script) else part
            self.engines[number] = engines[made.script.name] = made
        node = await make_node(
            make_key(number),
            self.network.join(make_key(number).node_id),
            engines,
            options,
            rng=Random(number),
            wall=self.wall,
        )
        self.nodes[number] = node
        await node.start([self.address(0)] if number else [])
        return node

    async def add_liar(self, number: int, lie: Lie) -> None:
        """A member like any other that serves the protocol in its own way."""
        transport = self.network.join(make_key(number).node_id)
        offer = ModelOffer(model="bee", family="scripted", context_tokens=4096)
        description = Description(version="0", name="liar", offers=(offer,))
        liar = Membership(transport, make_key(number), description, rng=Random(number), wall=self.wall)

        async def serve(stream: Stream) -> None:
            channel = SignedChannel(stream, make_key(number), None)
            await channel.receive()
            await lie(channel)

        await transport.serve_streams(MODEL_PROTOCOL, serve)
        await liar.start([self.address(0)])
        self.liars.append(liar)

    def wall(self) -> float:
        return TODAY + asyncio.get_running_loop().time()

    async def service(self) -> MeshService:
        """Node 0's, once everybody else is usable."""
        others = len(self.nodes) - 1 + len(self.liars)
        async with asyncio.timeout(60):
            while len(self.nodes[0].membership.usable()) < others:
                await self.nodes[0].membership.changed()
        return MeshService(self.nodes[0])

    def kill(self, number: int) -> None:
        """As kill -9."""
        self.network.kill(make_key(number).node_id)

    @property
    def at_work(self) -> list[int]:
        """The nodes whose engines are busy."""
        return [number for number, engine in self.engines.items() if engine.in_flight]

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.close()
        for liar in self.liars:
            await liar.close()


@asynccontextmanager
async def solo_crowd(
    parts: Sequence[Part | None], *, liars: Sequence[Lie] = (), capacity: int = 4, queue: int = 8
) -> AsyncIterator[tuple[SoloCrowd, MeshService]]:
    """Node 0 with the first part, and so on; liars come behind them."""
    crowd = SoloCrowd()
    try:
        for number, part in enumerate(parts):
            await crowd.add(number, part, NodeOptions(capacity=capacity, queue=queue, queue_per_asker=queue))
        for number, lie in enumerate(liars, start=len(parts)):
            await crowd.add_liar(number, lie)
        yield crowd, await crowd.service()
    finally:
        await crowd.close()


async def collected(tokens: AsyncGenerator[StreamedToken, None]) -> tuple[str, Generation]:
    """The streamed text and the generation at its end."""
    said = [token async for token in tokens]
    last = said[-1].generation
    assert last is not None
    assert all(token.generation is None for token in said[:-1])
    return "".join(token.text for token in said), last


def generation(text: str, **changed: object) -> Generation:
    fields: dict[str, object] = {
        "text": text,
        "answer": text,
        "trace": "",
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "seconds": 0.1,
        "finish": Finish.STOP,
    }
    return Generation(**(fields | changed))  # type: ignore[arg-type]
