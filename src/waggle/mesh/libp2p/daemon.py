"""One run of the libp2p daemon, from its start to its end, with the socket on which it hands us streams.

Knows no transport: protocols, handlers and limits are the caller's. When `lost` is set, everything that went through
this run fails; the caller starts another one.
"""

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from waggle.core.errors import PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import Place, is_peer_id
from waggle.mesh.libp2p.p2pd import hop, rundir, wire
from waggle.mesh.libp2p.p2pd.control import Calls, Requests, failure
from waggle.mesh.libp2p.p2pd.delimited import delimit
from waggle.mesh.libp2p.p2pd.packed_addresses import pack, pack_socket, unpack
from waggle.mesh.libp2p.p2pd.process import Process
from waggle.mesh.libp2p.settings import Settings, daemon_options
from waggle.mesh.libp2p.stream import FrameStream
from waggle.mesh.limits import KIB, MAX_PEERS_TRACKED
from waggle.trust import base58

BACKLOG = 1024
"""Streams that may wait to be accepted; past it the daemon resets new ones, honest or not."""

SPACE_BYTES = 256 * KIB
"""What is read from a socket at a time. One space for all of them: a new one for each reading costs more than reading
itself, since the allocator hands blocks of this size back to the system every time."""


@lru_cache(maxsize=MAX_PEERS_TRACKED)
def peer_bytes(peer: NodeId) -> bytes:
    """An id as the daemon wants it. Raises PeerUnreachable for text that is no peer id."""
    if not is_peer_id(peer):
        raise PeerUnreachable("this is no peer id")
    return base58.decode(peer) or b""


@lru_cache(maxsize=MAX_PEERS_TRACKED)
def peer_text(peer: bytes) -> NodeId:
    """An id from the daemon, as everybody else writes it."""
    return NodeId(base58.encode(peer[:64]))


class Daemon:
    """A daemon at work; `start` makes one."""

    def __init__(self, process: Process, folder: Path, control: str) -> None:
        """Of a process that listens on the socket `control`."""
        self.process = process
        self.requests = Requests(control)
        self._control = control
        self._listener = rundir.socket_path(folder, "streams")
        self._calls: Calls | None = None
        self._server: asyncio.Server | None = None
        self._streams: set[FrameStream] = set()
        self._space = memoryview(bytearray(SPACE_BYTES))

    @classmethod
    async def start(
        cls,
        settings: Settings,
        listen: Sequence[str],
        *,
        on_event: Callable[["Daemon", wire.Asked | wire.Cancelled], None],
        on_stream: Callable[[FrameStream], None],
    ) -> "Daemon":
        """Run a daemon and connect to it.

        Args:
            settings: as checked.
            listen: the addresses to listen on, with their ports.
            on_event: told of calls from peers, and of those given up.
            on_stream: given every stream that a peer opens, its head not yet read.

        Raises:
            PeerUnreachable: the daemon did not start.
            UsageError: the run directory is no good.
        """
        folder = rundir.prepare(settings.run_dir)
        control = rundir.socket_path(folder, "control")
        process = await Process.launch(daemon_options(settings, listen, control))
        daemon = cls(process, folder, control)
        try:
            await daemon._open(on_event, on_stream)
            if not settings.serve_as_relay:
                await daemon._stop_relaying()
        except BaseException:
            await daemon.stop()
            raise
        return daemon

    async def _open(
        self,
        on_event: Callable[["Daemon", wire.Asked | wire.Cancelled], None],
        on_stream: Callable[[FrameStream], None],
    ) -> None:
        def accept() -> FrameStream:
            stream = self._new_stream()
            on_stream(stream)
            return stream

        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_unix_server(accept, self._listener, backlog=BACKLOG)
        except OSError as error:
            raise PeerUnreachable(f"no socket can be made for the libp2p daemon: {error.strerror}") from None
        self._calls = await Calls.open(self._control, self._space, lambda event: on_event(self, event))

    async def _stop_relaying(self) -> None:
        """The daemon relays for everybody (128 KiB at a time) whatever its options say: unhook that."""
        await self.requests.ask(wire.take_streams(hop.PROTOCOL, pack_socket(self._listener)))
        await self.requests.ask(wire.leave_streams(hop.PROTOCOL, pack_socket(self._listener)))

    @property
    def calls(self) -> Calls:
        """The connection for calls."""
        assert self._calls is not None
        return self._calls

    @property
    def lost(self) -> asyncio.Event:
        """Set when the daemon is gone."""
        return self.calls.lost

    async def identify(self) -> tuple[NodeId, tuple[str, ...]]:
        """The daemon's peer id, and the addresses it believes to be reachable at, without the id."""
        response = await self.requests.ask(wire.identify())
        texts = [unpack(address) for address in response.addresses]
        return peer_text(response.peer), tuple(text for text in texts if text is not None)

    async def connect(self, peer: NodeId, places: Sequence[Place], seconds: float) -> None:
        """Connect at any of the addresses. Raises PeerUnreachable."""
        request = wire.connect(peer_bytes(peer), [pack(place) for place in places], math.ceil(seconds))
        await self.requests.ask(request, seconds)

    async def disconnect(self, peer: NodeId) -> None:
        """Drop all connections to a peer."""
        await self.requests.ask(wire.disconnect(peer_bytes(peer)))

    async def connections(self) -> list[tuple[NodeId, str | None]]:
        """Every connection: who is there, and the address in use where it can be read."""
        response = await self.requests.ask(wire.list_peers())
        return [(peer_text(seen.peer), unpack(address)) for seen in response.peers for address in seen.addresses]

    async def call(self, peer: NodeId, protocol: str, request: bytes, seconds: float) -> bytes:
        """One call; the reply as it came. Raises PeerUnreachable, PeerRefused."""
        return await self.calls.call(peer_bytes(peer), protocol, request, seconds)

    async def take_calls(self, protocol: str) -> None:
        """Be told of the calls of a protocol."""
        await self.calls.take_calls(protocol)

    async def take_streams(self, protocol: str) -> None:
        """Be given the streams of a protocol."""
        await self.requests.ask(wire.take_streams(protocol, pack_socket(self._listener)))

    async def ask_for_place(self, relay: NodeId, seconds: float) -> hop.PlaceAnswer:
        """Have a relay hold a place for us. Raises PeerUnreachable, PeerRefused, RemoteProtocolError."""
        request = wire.open_stream(peer_bytes(relay), hop.PROTOCOL, math.ceil(seconds))
        answer = await self.requests.ask_peer(request, hop.PLEASE_RESERVE, most=hop.MAX_ANSWER_BYTES, seconds=seconds)
        try:
            return hop.read_answer(answer)
        except ValueError as error:
            raise RemoteProtocolError(f"{relay}: {error}") from None

    async def open(self, peer: NodeId, protocol: str, seconds: float) -> FrameStream:
        """Open a stream to a peer, within `seconds`; ready for frames. Raises PeerUnreachable, PeerRefused."""
        request = wire.open_stream(peer_bytes(peer), protocol, math.ceil(seconds))
        stream = self._new_stream()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_unix_connection(lambda: stream, self._control)
                stream.write_head(delimit(request))
                response = wire.read_response(await stream.head)
            if response.error is not None:
                raise failure(response.error)
            stream.begin(peer)
        except BaseException as error:
            stream.abort()
            if isinstance(error, TimeoutError):
                raise PeerUnreachable(f"no stream within {seconds:g} s") from None
            if isinstance(error, OSError | ValueError):
                raise PeerUnreachable("the libp2p daemon is not there") from None
            raise
        return stream

    def has_stream(self, peer: NodeId) -> bool:
        """Whether a stream with a peer is open, whoever opened it."""
        return any(stream.peer == peer for stream in self._streams)

    def _new_stream(self) -> FrameStream:
        stream = FrameStream(self._space, self._streams.discard)
        self._streams.add(stream)
        return stream

    async def stop(self) -> None:
        """End the daemon, every stream and every socket of it. Twice is harmless."""
        for stream in list(self._streams):
            stream.abort()
        if self._server is not None:
            self._server.close()
        if self._calls is not None:
            self._calls.close()
            await self._calls.lost.wait()
        await self.process.stop()
        for stream in list(self._streams):
            await stream.wait_lost()
        for path in (self._control, self._listener):
            with suppress(FileNotFoundError):
                os.unlink(path)
