"""grpcio in the mesh bench: HTTP/2 with raw bytes, without encryption or identities: a mark, not a rival."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Protocol

from waggle.bench.mesh.values import FRAME_BYTES

grpc = import_module("grpc")  # it has no types
aio = import_module("grpc.aio")

NAME = "bench"
FRAME = bytes(FRAME_BYTES)
OPTIONS = [("grpc.max_receive_message_length", 2 * FRAME_BYTES)]


class _Call(Protocol):
    async def write(self, frame: bytes) -> None: ...
    async def read(self) -> bytes: ...
    async def done_writing(self) -> None: ...
    def cancel(self) -> bool: ...


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Serve; the address is host and port."""
    server = aio.server(options=OPTIONS)
    handlers = {
        "echo": grpc.unary_unary_rpc_method_handler(_echo),
        "echo_stream": grpc.stream_stream_rpc_method_handler(_echo_stream),
        "pull": grpc.stream_stream_rpc_method_handler(_send_frames),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def connected(address: str) -> "AsyncIterator[GrpcClient]":
    """A client of the server at that host and port."""
    async with aio.insecure_channel(address, options=OPTIONS) as channel:
        await channel.channel_ready()
        echo = channel.stream_stream(f"/{NAME}/echo_stream")()
        yield GrpcClient(channel.unary_unary(f"/{NAME}/echo"), echo, channel.stream_stream(f"/{NAME}/pull"))
        echo.cancel()


class GrpcClient:
    """A `Client` over one channel."""

    def __init__(self, call: Callable[[bytes], Awaitable[bytes]], echo: _Call, pull: Callable[[], _Call]) -> None:
        """Of the channel's methods, and an open echo stream."""
        self._call, self._echo, self._pull = call, echo, pull

    async def call(self, request: bytes) -> bytes:
        """One request and its reply."""
        return await self._call(request)

    async def ping(self, frame: bytes) -> bytes:
        """One frame there and back."""
        await self._echo.write(frame)
        return await self._echo.read()

    async def pull(self, frames: int) -> int:
        """Read so many frames, and say that they are here."""
        stream = self._pull()
        await stream.write(frames.to_bytes(4))
        received = 0
        for _ in range(frames):
            received += len(await stream.read())
        await stream.write(b"ack")
        await stream.done_writing()
        return received


async def _echo(request: bytes, context: object) -> bytes:
    return request


async def _echo_stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def _send_frames(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        if request == b"ack":
            return
        for _ in range(int.from_bytes(request)):
            yield FRAME
