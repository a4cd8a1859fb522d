"""Our side of the daemon's control socket: single requests, and the one connection that carries all calls.

Errors: `PeerUnreachable` (the daemon is gone, does not answer, or could not reach the peer) and `PeerRefused` (the
peer does not serve the protocol, or failed). Every wait has a bound. A call that is given up, for whatever reason, is
cancelled at the daemon, which closes its stream, which cancels the handler on the other side.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from waggle.core.errors import MeshError, PeerRefused, PeerSilent, PeerUnreachable, RemoteProtocolError
from waggle.mesh.libp2p.p2pd import wire
from waggle.mesh.libp2p.p2pd.delimited import DelimitedBuffer, delimit, varint
from waggle.mesh.libp2p.p2pd.reasons import SILENT, plain
from waggle.mesh.limits import KIB

CONTROL_SECONDS = 5.0
"""How long the daemon may take for what needs no other machine."""

MAX_OPENED_BYTES = 16 * KIB
"""What the daemon says of a stream that it has opened takes about a hundred bytes."""

JOIN_BYTES = 16 * KIB
"""Messages shorter than this are written together with their length: copying them is cheaper than a second write."""

NOT_SERVED = ("protocols not supported", "protocol not supported")
NO_ADDRESS = ("no addresses", "failed to find any peer in table")
"""How the reasons end where the daemon does not know the way; the second one is that of a daemon given relays."""

BROKEN = ("stream reset", "Application error")
"""How the reasons begin where a link broke under a stream: over TCP or a relay, and over QUIC."""


def write_with(transport: asyncio.Transport, header: bytes, message: bytes) -> None:
    """Write a message behind its header."""
    if len(message) < JOIN_BYTES:
        transport.write(header + message)
    else:
        transport.write(header)
        transport.write(memoryview(message))


class PeerUnknown(PeerUnreachable):
    """The daemon has no address of the peer: nothing was sent to it."""


class LinkBroke(PeerUnreachable):
    """The link broke before the peer's answer came: whether it did the work is not known."""


def failure(reason: str) -> MeshError:
    """The daemon's reason as an error of ours; texts of go-libp2p 0.32."""
    if any(words in reason for words in NOT_SERVED) and "failed to dial" not in reason:
        return PeerRefused("the peer does not serve this protocol")
    if reason.endswith(NO_ADDRESS):
        return PeerUnknown("no address of this peer is known")
    if reason.startswith(BROKEN):
        return LinkBroke(f"the link broke before the answer came: {plain(reason)}")
    said = plain(reason)
    kind = PeerSilent if SILENT in said else PeerUnreachable
    return kind(f"the peer cannot be reached: {said}")


class Requests:
    """Single requests, each on a connection of its own."""

    def __init__(self, socket_path: str) -> None:
        """Connects to nothing yet."""
        self._path = socket_path

    async def ask(self, request: bytes, seconds: float = CONTROL_SECONDS) -> wire.Response:
        """The daemon's answer, within `seconds`. Raises PeerUnreachable or PeerRefused as the module says."""
        try:
            async with asyncio.timeout(seconds):
                response = await self._exchange(request)
        except TimeoutError:
            raise PeerSilent(f"no answer within {seconds:g} s") from None
        except (OSError, ValueError, asyncio.IncompleteReadError):
            raise PeerUnreachable("the libp2p daemon is not there") from None
        if response.error is not None:
            raise failure(response.error)
        return response

    async def _exchange(self, request: bytes) -> wire.Response:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(delimit(request))
            buffer = DelimitedBuffer()
            while (message := buffer.take()) is None:
                buffer.feed(await _some(reader))
            return wire.read_response(message)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def ask_peer(self, request: bytes, message: bytes, *, most: int, seconds: float) -> bytes:
        """Open a stream with `request`, send the peer one message and give its first of at most `most` bytes.

        Raises PeerUnreachable, PeerRefused, and RemoteProtocolError where something else than a message comes.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange_with_peer(request, message, most)
        except TimeoutError:
            raise PeerSilent(f"no answer within {seconds:g} s") from None
        except (OSError, asyncio.IncompleteReadError):
            raise PeerUnreachable("the peer hung up") from None
        except ValueError as error:
            raise RemoteProtocolError(f"not what was asked for: {error}") from None

    async def _exchange_with_peer(self, request: bytes, message: bytes, most: int) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            buffer = DelimitedBuffer()
            writer.write(delimit(request))
            response = wire.read_response(await _next_message(reader, buffer, MAX_OPENED_BYTES))
            if response.error is not None:
                raise failure(response.error)
            writer.write(delimit(message))
            return await _next_message(reader, buffer, most)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


async def _next_message(reader: asyncio.StreamReader, buffer: DelimitedBuffer, most: int) -> bytes:
    """The next message on a socket; raises ValueError where more than `most` bytes come without being one."""
    read = 0
    while (message := buffer.take()) is None:
        if read > most:
            raise ValueError("a message that does not end")
        data = await _some(reader)
        read += len(data)
        buffer.feed(data)
    return message


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65_536)
    if not data:
        raise asyncio.IncompleteReadError(data, None)
    return data


class Calls(asyncio.BufferedProtocol):
    """The connection that carries all calls, ours and those of peers; the daemon ends when it is closed."""

    def __init__(self, space: memoryview, on_event: Callable[[wire.Asked | wire.Cancelled], None]) -> None:
        """`space` is where the socket is read into; `on_event` is told of peers' calls, and of those given up."""
        self._space = space
        self._on_event = on_event
        self._buffer = DelimitedBuffer()
        self._upgraded: asyncio.Future[wire.Response] = asyncio.get_running_loop().create_future()
        self._pending: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.lost = asyncio.Event()
        """Set once the connection is gone, and with it the daemon."""

    @classmethod
    async def open(
        cls, socket_path: str, space: memoryview, on_event: Callable[[wire.Asked | wire.Cancelled], None]
    ) -> "Calls":
        """Connect. Raises PeerUnreachable if the daemon does not answer within CONTROL_SECONDS."""
        loop = asyncio.get_running_loop()
        calls = cls(space, on_event)
        try:
            async with asyncio.timeout(CONTROL_SECONDS):
                await loop.create_unix_connection(lambda: calls, socket_path)
                calls._write(wire.upgrade())
                await calls._upgraded
        except (OSError, TimeoutError):
            raise PeerUnreachable("the libp2p daemon does not answer") from None
        finally:
            if not calls._upgraded.done() or calls._upgraded.cancelled():
                calls.close()
        return calls

    async def call(self, peer: bytes, protocol: str, data: bytes, seconds: float) -> bytes:
        """One call to a peer, one reply within `seconds`. Raises PeerUnreachable, PeerRefused."""
        call = secrets.token_bytes(16)
        reply = await self._settle(call, wire.make_call(call, peer, protocol, data), seconds)
        return reply or b""

    async def take_calls(self, protocol: str) -> None:
        """Have the calls of a protocol handed to us. Raises a MeshError where the daemon does not."""
        call = secrets.token_bytes(16)
        await self._settle(call, wire.take_calls(call, protocol), CONTROL_SECONDS)

    def reply(self, call: bytes, data: bytes) -> None:
        """Answer a peer's call; nothing happens if the connection is gone. `drained` says when it is out."""
        if not self.lost.is_set():
            self._write(wire.give_reply(call, data))

    async def drained(self) -> None:
        """Until the daemon has taken most of what was written to it."""
        await self._room.wait()

    def close(self) -> None:
        """Drop the connection at once; `lost` is set soon after."""
        if self._transport is not None:
            self._transport.abort()

    async def _settle(self, call: bytes, message: bytes, seconds: float) -> bytes | None:
        if self.lost.is_set():
            raise PeerUnreachable("the libp2p daemon is gone")
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._pending[call] = future
        try:
            async with asyncio.timeout(seconds):
                self._write(message)
                await self._room.wait()
                return await future
        except TimeoutError:
            raise PeerSilent(f"no answer within {seconds:g} s") from None
        finally:
            del self._pending[call]
            self._give_up(call, future)

    def _give_up(self, call: bytes, future: asyncio.Future[bytes | None]) -> None:
        """Tell the daemon where the call is still under way."""
        if future.done() and not future.cancelled():
            future.exception()  # the waiter may have been cancelled meanwhile: nobody else looks at it
        elif not self.lost.is_set():
            self._write(wire.cancel_call(call))

    def _write(self, message: bytes) -> None:
        assert self._transport is not None
        write_with(self._transport, varint(len(message)), message)

    def _handle(self, event: wire.Event) -> None:
        match event:
            case wire.Asked():
                self._on_event(event)
            case wire.Answered(call, data):
                self._resolve(call, data)
            case wire.Failed(call, reason, by_peer):
                self._reject(call, PeerRefused("the peer failed at it") if by_peer else failure(reason))
            case wire.Cancelled(call):
                if call in self._pending:
                    self._reject(call, PeerUnreachable("the call was given up"))
                else:
                    self._on_event(event)

    def _resolve(self, call: bytes, data: bytes | None) -> None:
        future = self._pending.get(call)
        if future is not None and not future.done():
            future.set_result(data)

    def _reject(self, call: bytes, error: MeshError) -> None:
        future = self._pending.get(call)
        if future is not None and not future.done():
            future.set_exception(error)

    # --- asyncio.BufferedProtocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not derive from it

    def get_buffer(self, sizehint: int) -> memoryview:
        """Part of asyncio.BufferedProtocol."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._buffer.feed(self._space[:nbytes])
        try:
            while (message := self._buffer.take()) is not None:
                if self._upgraded.done():
                    self._handle(wire.read_event(message))
                else:
                    self._upgraded.set_result(wire.read_response(message))
        except ValueError:
            self.close()

    def pause_writing(self) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.BufferedProtocol."""
        self.lost.set()
        self._room.set()
        if not self._upgraded.done():
            self._upgraded.set_exception(ConnectionError("the libp2p daemon hung up"))
            self._upgraded.exception()  # perhaps nobody waits for it any longer
        for call in list(self._pending):
            self._reject(call, PeerUnreachable("the libp2p daemon is gone"))
