"""The command's side: ask the running node one thing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from waggle.core.errors import PeerRefused, PeerUnreachable, RemoteProtocolError, UsageError
from waggle.node.control.frames import FRAME_SECONDS, frame, read_frame, write_frame
from waggle.node.control.messages import LONGEST_SECONDS, Asked, Failed, Reply, Request

Expected = TypeVar("Expected", bound=Reply)

_decoder: msgspec.msgpack.Decoder[Reply | Failed] = msgspec.msgpack.Decoder(Reply | Failed)


async def ask_node(path: Path, request: Request, expected: type[Expected], *, seconds: float = 10.0) -> Expected:
    """The running node's reply, of the kind that fits the request.

    Args:
        path: the node's control socket.
        request: one of `waggle.node.control.messages`.
        expected: the kind of its reply.
        seconds: how long the node may take, up to LONGEST_SECONDS; connecting and sending come on top.

    Raises:
        PeerUnreachable: no node listens there, or it does not reply in time.
        PeerRefused: it could not do it; UsageError: what was asked was wrong. Both in the node's own words.
        RemoteProtocolError: the reply cannot be read; LocalProtocolError: the request does not fit a frame.
    """
    try:
        async with _connected(path) as (reader, writer):
            await write_frame(writer, frame(Asked(request=request, seconds=min(seconds, LONGEST_SECONDS))))
            async with asyncio.timeout(seconds + FRAME_SECONDS):
                reply = await read_frame(reader, _decoder)
    except TimeoutError:
        raise PeerUnreachable(f"the node at {path} does not reply: is it stuck?") from None
    except (OSError, asyncio.IncompleteReadError):
        raise PeerUnreachable("the node stopped before it replied") from None
    return _checked(reply, expected)


@asynccontextmanager
async def _connected(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        async with asyncio.timeout(FRAME_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
    except OSError:  # a time-out as well: nobody accepts
        raise PeerUnreachable(f"no node listens at {path}: waggle up or waggle join starts one") from None
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _checked(reply: Reply | Failed, expected: type[Expected]) -> Expected:
    if isinstance(reply, Failed):
        raise (UsageError if reply.wrong_usage else PeerRefused)(reply.reason)
    if not isinstance(reply, expected):
        raise RemoteProtocolError(f"the node replied with {type(reply).__name__} instead of {expected.__name__}")
    return reply
