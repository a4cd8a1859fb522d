"""Frames on the control socket: a length, four bytes big-endian, and that many bytes of MessagePack; at most 1 MiB."""

import asyncio
from typing import TypeVar

import msgspec
from msgspec import Struct

from waggle.core.errors import LocalProtocolError, RemoteProtocolError

MOST_BYTES = 1024 * 1024
LENGTH_BYTES = 4
FRAME_SECONDS = 5.0
"""To send or to receive one frame, and to connect."""

Shape = TypeVar("Shape")


async def read_frame(reader: asyncio.StreamReader, shape: "msgspec.msgpack.Decoder[Shape]") -> Shape:
    """The next frame's value; waits without a bound of its own.

    Raises:
        RemoteProtocolError: the frame is too long, or not of this shape.
        IncompleteReadError, OSError: the other side is gone.
    """
    size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if size > MOST_BYTES:
        raise RemoteProtocolError(f"a frame of {size} bytes; {MOST_BYTES} are allowed")
    try:
        return shape.decode(await reader.readexactly(size))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a frame that cannot be read: {error}") from None


def frame(message: Struct) -> bytes:
    """A message as a frame. Raises LocalProtocolError where it is too large."""
    try:
        body = msgspec.msgpack.encode(message)
    except UnicodeEncodeError:
        raise LocalProtocolError("a text that is not Unicode") from None
    if len(body) > MOST_BYTES:
        raise LocalProtocolError(f"a message of {len(body)} bytes; {MOST_BYTES} are allowed")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def write_frame(writer: asyncio.StreamWriter, framed: bytes) -> None:
    """Send a frame within FRAME_SECONDS; raises TimeoutError or OSError."""
    async with asyncio.timeout(FRAME_SECONDS):
        writer.write(framed)
        await writer.drain()


async def write_last(writer: asyncio.StreamWriter, framed: bytes) -> None:
    """Send a frame and close, within FRAME_SECONDS, so that nothing is left to a reader who does not read."""
    async with asyncio.timeout(FRAME_SECONDS):
        writer.write(framed)
        writer.close()
        await writer.wait_closed()
