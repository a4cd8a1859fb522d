"""Real nodes on loopback. Each costs a process, so a file's tests share theirs; each test uses its own protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio
import uvloop

from tests.unit.mesh.libp2p.arena import ALIVE, Arena
from tests.unit.mesh.libp2p.raw_peer import RawPeer
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.settings import LOOPBACK, Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
"""Nodes run on uvloop, clients on asyncio's loop."""

TCP = ("/ip4/127.0.0.1/tcp/0",)
QUIC = ("/ip4/127.0.0.1/udp/0/quic-v1",)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What every transport has to do is tested on both event loops, the rest on that of nodes."""
    return LOOPS if item.path.name == "test_transport.py" else {"uvloop": LOOPS["uvloop"]}


class StartNode(Protocol):
    """Starts a node with a key of its own."""

    async def __call__(self, listen: tuple[str, ...] = LOOPBACK) -> Libp2pTransport: ...


StartRawPeer = Callable[[], Awaitable[RawPeer]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartNode]:
    """Starts a node with a key of its own, listening on loopback; none leaves a socket behind."""
    folder = tmp_path_factory.mktemp("nodes")
    nodes: list[Libp2pTransport] = []
    numbers = count()

    async def start(listen: tuple[str, ...] = LOOPBACK) -> Libp2pTransport:
        settings = Settings(key_path=folder / f"node{next(numbers)}" / "key", run_dir=folder / "r", listen=listen)
        nodes.append(await start_libp2p(settings))
        return nodes[-1]

    yield start
    for node in nodes:
        await node.close()
    assert _left_in(folder / "r") == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start_raw_peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartRawPeer]:
    """Starts a peer that keeps no rule of ours."""
    folder = tmp_path_factory.mktemp("raw")
    peers: list[RawPeer] = []
    numbers = count()

    async def start() -> RawPeer:
        peers.append(await RawPeer.start(folder / f"peer{next(numbers)}", folder / "r"))
        return peers[-1]

    yield start
    for peer in peers:
        await peer.close()


def _left_in(folder: Path) -> list[Path]:
    return list(folder.glob("*"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(start_node: StartNode, start_raw_peer: StartRawPeer) -> Arena:
    node, attacker, honest = await asyncio.gather(start_node(), start_raw_peer(), start_node())
    addresses = await node.addresses()
    await attacker.connect(addresses[0])
    await honest.connect(addresses)

    async def yes(peer: NodeId, request: bytes) -> bytes:
        return b"yes"

    await node.serve_calls(ALIVE, yes)
    return Arena(node, attacker, honest)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A protocol of this test's own."""
    return f"/test/{request.node.name.replace(' ', '-')}"
