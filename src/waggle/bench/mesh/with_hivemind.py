"""Bare hivemind P2P in the mesh bench: the same daemon as ours, hivemind's own Python client, its defaults.

Calls carry the bytes in a field of hivemind's smallest message. Streams carry its own frames: a length of eight bytes
and the bytes. There are no limits and no time limits.
"""

from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from importlib import import_module
from typing import Protocol

from waggle.bench.mesh.values import FRAME_BYTES
from waggle.core.errors import RemoteProtocolError

P2P = import_module("hivemind.p2p").P2P  # it has no types
Message = import_module("hivemind.proto.dht_pb2").NodeInfo

ECHO, ECHO_STREAM, PULL = "bench.echo", "bench.echo_stream", "bench.pull"
FRAME = bytes(FRAME_BYTES)


class _Message(Protocol):
    node_id: bytes


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Serve; the address is a multiaddr."""
    node = await P2P.create()
    try:
        await node.add_protobuf_handler(ECHO, _echo, Message)
        await node.add_binary_stream_handler(ECHO_STREAM, _echo_stream)
        await node.add_binary_stream_handler(PULL, _send_frames)
        yield str((await node.get_visible_maddrs())[0])
    finally:
        await node.shutdown()


@asynccontextmanager
async def connected(address: str) -> "AsyncIterator[HivemindClient]":
    """A client of the server at that multiaddr."""
    node = await P2P.create(initial_peers=[address])
    try:
        await node.wait_for_at_least_n_peers(1)
        peer = (await node.list_peers())[0].peer_id
        _, reader, writer = await node.call_binary_stream_handler(peer, ECHO_STREAM)
        with closing(writer):
            yield HivemindClient(node, peer, reader, writer)
    finally:
        await node.shutdown()


class HivemindClient:
    """A `Client` over hivemind's P2P."""

    def __init__(self, node: object, peer: object, reader: StreamReader, writer: StreamWriter) -> None:
        """Of a node that is connected to `peer`, and both ends of an echo stream to it."""
        self._node, self._peer, self._reader, self._writer = node, peer, reader, writer

    async def call(self, request: bytes) -> bytes:
        """One request and its reply."""
        message = Message(node_id=request)
        reply: _Message = await P2P.call_protobuf_handler(self._node, self._peer, ECHO, message, Message)
        return reply.node_id

    async def ping(self, frame: bytes) -> bytes:
        """One frame there and back."""
        await P2P.send_raw_data(frame, self._writer)
        return await _receive(self._reader)

    async def pull(self, frames: int) -> int:
        """Read so many frames, and say that they are here."""
        _, reader, writer = await P2P.call_binary_stream_handler(self._node, self._peer, PULL)
        with closing(writer):
            await P2P.send_raw_data(frames.to_bytes(4), writer)
            received = 0
            for _ in range(frames):
                received += len(await _receive(reader))
            await P2P.send_raw_data(b"ack", writer)
        return received


async def _receive(reader: StreamReader) -> bytes:
    frame: bytes = await P2P.receive_raw_data(reader)
    return frame


async def _echo(request: _Message, context: object) -> object:
    return Message(node_id=request.node_id)


async def _echo_stream(info: object, reader: StreamReader, writer: StreamWriter) -> None:
    with closing(writer), suppress(IncompleteReadError):
        while True:
            await P2P.send_raw_data(await _receive(reader), writer)


async def _send_frames(info: object, reader: StreamReader, writer: StreamWriter) -> None:
    with closing(writer):
        for _ in range(int.from_bytes(await _receive(reader))):
            await P2P.send_raw_data(FRAME, writer)
        if await _receive(reader) != b"ack":
            raise RemoteProtocolError("the frames were not acknowledged")
