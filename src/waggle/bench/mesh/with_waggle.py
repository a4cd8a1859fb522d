"""Our own transport in the mesh bench, with its quotas, its time limits and its frames.

Only what a peer may send in a second is lifted: with it, the figure for small messages would be that limit.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from waggle.bench.mesh.values import FRAME_BYTES
from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.transport import Stream

ECHO, ECHO_STREAM, PULL = "/bench/echo/1", "/bench/echo-stream/1", "/bench/pull/1"
FRAME = bytes(FRAME_BYTES)
UNLIMITED = 1e12

loop_factory = uvloop.new_event_loop
"""As in `waggle join`."""


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Serve; the address is a multiaddr."""
    async with _node() as node:
        await node.serve_calls(ECHO, _echo)
        await node.serve_streams(ECHO_STREAM, _echo_stream)
        await node.serve_streams(PULL, _send_frames)
        yield next(address for address in await node.addresses() if "/tcp/" in address)


@asynccontextmanager
async def connected(address: str) -> "AsyncIterator[WaggleClient]":
    """A client of the server at that multiaddr."""
    async with _node() as node:
        peer = await node.connect([address])
        yield WaggleClient(node, peer, await node.open(peer, ECHO_STREAM))


@asynccontextmanager
async def _node() -> AsyncIterator[Libp2pTransport]:
    with TemporaryDirectory(prefix="waggle-bench-") as folder:
        node = await start_libp2p(Settings(key_path=Path(folder) / "key"), peer_bytes_per_second=UNLIMITED)
        try:
            yield node
        finally:
            await node.close()


class WaggleClient:
    """A `Client` over a `Transport`."""

    def __init__(self, node: Libp2pTransport, peer: NodeId, echo: Stream) -> None:
        """Of a node that is connected to `peer`, and an echo stream to it."""
        self._node, self._peer, self._echo = node, peer, echo

    async def call(self, request: bytes) -> bytes:
        """One request and its reply."""
        return await self._node.call(self._peer, ECHO, request)

    async def ping(self, frame: bytes) -> bytes:
        """One frame there and back."""
        await self._echo.send(frame)
        return await self._echo.receive() or b""

    async def pull(self, frames: int) -> int:
        """Read so many frames, and say that they are here."""
        stream = await self._node.open(self._peer, PULL)
        await stream.send(frames.to_bytes(4))
        received = 0
        for _ in range(frames):
            received += len(await stream.receive() or b"")
        await stream.send(b"ack")
        await stream.close()
        return received


async def _echo(peer: NodeId, request: bytes) -> bytes:
    return request


async def _echo_stream(stream: Stream) -> None:
    while (frame := await stream.receive()) is not None:
        await stream.send(frame)


async def _send_frames(stream: Stream) -> None:
    for _ in range(int.from_bytes(await stream.receive() or b"")):
        await stream.send(FRAME)
    if await stream.receive() != b"ack":
        raise RemoteProtocolError("the frames were not acknowledged")
