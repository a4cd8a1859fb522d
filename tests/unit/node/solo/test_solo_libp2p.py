"""One model alone over real libp2p nodes on loopback: tokens as they come, and a node that goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from waggle.core.engine_values import GenerateRequest
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import start_libp2p
from waggle.node.network.mesh_node import MeshNode, make_node
from waggle.node.services.mesh import MeshService
from waggle.trust.keys import NodeKey

pytestmark = pytest.mark.timeout(300)

PATIENCE_SECONDS = 60.0
ASKED = GenerateRequest(question="2 + 3")
TEXT = "I worked it out step by step.\nAnswer: 5"
SLOW = Script(name="bee", skill=1.0, seconds_per_token=1.0)


class Pausing:
    """A clock on which no time passes, but an engine that has written a few tokens waits to be let go on."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.go_on = asyncio.Event()

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.tokens -= 1
        if self.tokens < 0:
            await self.go_on.wait()


@asynccontextmanager
async def nodes_on(folder: Path, scripts: list[Script | None], clock: Pausing) -> AsyncIterator[list[MeshNode]]:
    """The first one is everybody's invite."""
    nodes: list[MeshNode] = []
    invites: tuple[str, ...] = ()
    try:
        for number, script in enumerate(scripts):
            path = folder / f"node{number}" / "key"
            listen = ("/ip4/127.0.0.1/tcp/0",)
            transport = await start_libp2p(Settings(key_path=path, run_dir=folder / "r", listen=listen))
            engines = {"bee": ScriptedEngine(script, {"2 + 3": "5"}, clock=clock)} if script else {}
            nodes.append(await make_node(NodeKey.load_or_create(path), transport, engines))
            await nodes[-1].start(invites)
            invites = invites or await transport.addresses()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(nodes[0].membership.usable()) < len(scripts) - 1:
                await nodes[0].membership.changed()
        yield nodes
    finally:
        await asyncio.gather(*(node.close() for node in nodes))


async def test_a_text_goes_on_when_the_node_that_writes_it_is_gone(tmp_path: Path) -> None:
    clock = Pausing(5)
    async with nodes_on(tmp_path, [None, SLOW, SLOW], clock) as nodes:
        service = MeshService(nodes[0])
        assert len(await service.embed("bee", ["a", "b"], PATIENCE_SECONDS)) == 2
        engines = [node.work.engines["bee"] for node in nodes[1:]]
        text, frames = "", 0
        async with aclosing(service.generate("bee", ASKED, PATIENCE_SECONDS)) as tokens:
            async for token in tokens:
                text += token.text
                frames += 1
                if frames == 3:
                    [writer] = [
                        node for node, engine in zip(nodes[1:], engines, strict=True) if getattr(engine, "in_flight", 0)
                    ]
                    await writer.close()
                    clock.go_on.set()
                last = token.generation
        assert text == TEXT
        assert last is not None
        assert last.text == TEXT
        assert not any(getattr(engine, "in_flight", 0) for engine in engines)
