"""The node's side: answers this user's commands, one request and one reply per connection.

The folder that the socket lies in keeps other users out; still nothing that arrives is used before it is typed, and
every wait has a bound, so that a command that hangs or babbles cannot hold the node up.
"""

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from waggle.core.errors import LocalProtocolError, RemoteProtocolError, UsageError, WaggleError
from waggle.node.control.frames import FRAME_SECONDS, frame, read_frame, write_last
from waggle.node.control.messages import Asked, Failed, Reply, Request

MOST_CLIENTS = 32
"""Commands served at once; the next one is told so."""
LEAVE_SECONDS = 1.0
"""For replies that are under way when the node stops."""

BUSY = Failed(reason="the node has too many commands at once: try again in a moment")
UNREADABLE = Failed(reason="the node does not understand the command: it may be another version of waggle")
FAULT = Failed(reason="a fault in the node, please report it; its log says more")

Handler = Callable[[Request], Awaitable[Reply]]

_decoder = msgspec.msgpack.Decoder(Asked)
_log = logging.getLogger(__name__)


class ControlServer:
    """Answers commands while it is open: `async with ControlServer(path, handler): ...`.

    The caller holds the node's lock, so a socket that lies at `path` is a dead node's and is replaced. A handler's
    WaggleError reaches the command as its sentence; anything else is logged, and the command learns only that much.
    """

    def __init__(self, path: Path, handler: Handler) -> None:
        """Nothing is opened yet; `path` lies in a folder that only its owner can enter."""
        self._path = path
        self._handler = handler
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen. Raises UsageError where the path cannot be used."""
        self._server = await asyncio.start_unix_server(self._serve, sock=_listen(self._path))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more commands, give the replies under way a moment, remove the socket."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        if clients := set(self._clients):
            _, late = await asyncio.wait(clients, timeout=LEAVE_SECONDS)
            for client in late:
                client.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await write_last(writer, _framed(await self._reply_to(reader)))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # a time-out is an OSError too
            _log.debug("a command hung, or left before it had its reply, or the node stops")
            writer.transport.abort()
        finally:
            self._clients.discard(task)

    async def _reply_to(self, reader: asyncio.StreamReader) -> Reply | Failed:
        try:
            async with asyncio.timeout(FRAME_SECONDS):
                asked = await read_frame(reader, _decoder)
        except RemoteProtocolError:
            return UNREADABLE
        return BUSY if len(self._clients) > MOST_CLIENTS else await self._answer(asked)

    async def _answer(self, asked: Asked) -> Reply | Failed:
        try:
            async with asyncio.timeout(asked.seconds) as bound:
                return await self._handler(asked.request)
        except Exception as error:  # noqa: BLE001  # the door: any crash costs only its command
            if bound.expired():
                return Failed(reason=f"the node could not do it within {asked.seconds:g} s")
            return _failure(error)


def _failure(error: Exception) -> Failed:
    """What the command learns, of the first where several tasks failed."""
    match error:
        case ExceptionGroup():
            return _failure(error.exceptions[0])
        case WaggleError():
            return Failed(reason=str(error), wrong_usage=isinstance(error, UsageError))
        case _:
            _log.error("a command's handler failed", exc_info=error)
            return FAULT


def _framed(reply: Reply | Failed) -> bytes:
    try:
        return frame(reply)
    except LocalProtocolError as error:
        return frame(_failure(error))


def _listen(path: Path) -> socket.socket:
    """A listening socket that only its owner may connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_socket(path):
            path.unlink()
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(MOST_CLIENTS)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen for commands at {path}: {error.strerror or error}") from None
    return listener


def _is_socket(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISSOCK(path.lstat().st_mode)
    return False
