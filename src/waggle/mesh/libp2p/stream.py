"""One stream over one connection to the daemon: the `Stream` of the transport, and its beginning.

A connection begins with one message between the daemon and us (`head`): its answer where we opened the stream, who is
there where a peer did. From then on it carries frames. Reading pauses while whole frames wait to be taken. Where a peer
sends too fast, it is neither read nor heard for as long as `charge` says. A frame that has begun must be whole within
FRAME_SECONDS, a close done within CLOSE_SECONDS: nobody holds our memory or descriptors for longer.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from waggle.core.errors import LocalProtocolError, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.framing import END_FRAME, FrameBuffer, header
from waggle.mesh.libp2p.p2pd.control import write_with
from waggle.mesh.libp2p.p2pd.delimited import DelimitedBuffer
from waggle.mesh.limits import KIB, MAX_FRAME_BYTES

HELD_BYTES = 256 * KIB
"""Reading pauses while whole frames wait and this much is held."""

FRAME_SECONDS = 60.0
"""How long a frame may take to arrive once it has begun: the largest one at 70 kB/s."""

CLOSE_SECONDS = 10.0
"""How long the other side may take to read what was sent before the close, and to answer it."""


class FrameStream(asyncio.BufferedProtocol):
    """Frames both ways on a connection to the daemon."""

    def __init__(self, space: memoryview, on_lost: Callable[["FrameStream"], None] | None = None) -> None:
        """`space` is where sockets are read into, for all connections; `on_lost` is told when this one is gone."""
        self._loop = asyncio.get_running_loop()
        self._space = space
        self._on_lost = on_lost
        self._charge: Callable[[int, int], float] | None = None
        self._head: DelimitedBuffer | None = DelimitedBuffer()
        self.head: asyncio.Future[bytes] = self._loop.create_future()
        """The daemon's message; ConnectionError where the connection ends before it."""
        self._frames = FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._peer = NodeId("")
        self._fault: type[PeerUnreachable] | type[RemoteProtocolError] = PeerUnreachable
        self._why = "the link to the peer broke"
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._lost = asyncio.Event()
        self._closed = False  # by us; END is said
        self._answered = False  # END is said because the other side said it
        self._held_back: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._reading = True

    @property
    def peer(self) -> NodeId:
        """The authenticated other side."""
        return self._peer

    def begin(
        self, peer: NodeId, *, greeting: bytes | None = None, charge: Callable[[int, int], float] | None = None
    ) -> None:
        """The head is read and the peer known: frames follow.

        Args:
            peer: the authenticated other side.
            greeting: our first frame; it goes out even where the other side is done already.
            charge: told how many bytes came, and how many frames are whole with them, says for how many seconds the
                peer is not to be heard; None hears it freely.
        """
        assert self._head is not None
        self._peer = peer
        self._charge = charge
        rest = self._head.take_rest()
        self._head = None
        if greeting is not None and not self._lost.is_set():
            self._write(greeting)
        if rest:
            self._take_in(rest)

    def write_head(self, message: bytes) -> None:
        """Send the daemon a message before the frames begin."""
        if self._transport is not None and not self._lost.is_set():
            self._transport.write(message)

    # --- Stream ---------------------------------------------------------------------------------------------------

    async def send(self, frame: bytes) -> None:
        """Send one frame; waits while the other side is slow. Cancelling the wait leaves the stream intact."""
        if len(frame) > MAX_FRAME_BYTES:
            raise LocalProtocolError(f"a frame of {len(frame)} bytes; the limit is {MAX_FRAME_BYTES}")
        await self._room.wait()
        self._check_open()
        self._write(frame)
        if not self._room.is_set():
            await self._room.wait()
            self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise PeerUnreachable("the stream is closed")
        if self._frames.ended:
            raise PeerUnreachable("the other side has closed the stream")
        if self._lost.is_set():
            raise PeerUnreachable(self._why)

    def _write(self, frame: bytes) -> None:
        assert self._transport is not None
        write_with(self._transport, header(len(frame)), frame)

    async def receive(self) -> bytes | None:
        """The next frame; None once either side is done. Raises PeerUnreachable, RemoteProtocolError."""
        while not self._closed:
            if self._held_back is None:
                frame = self._frames.take()
                if frame is not None:
                    self._steer_reading()
                    return frame
                if self._frames.ended:
                    return None
                if self._lost.is_set():
                    raise self._fault(self._why)
            self._arrived.clear()
            await self._arrived.wait()
        return None

    async def close(self) -> None:
        """Say that we are done. Does not wait for the other side; `wait_lost` does."""
        if self._closed:
            return
        self._closed = True
        self._frames.drop_whole()
        self._arrived.set()
        self._room.set()
        if self._transport is None or self._lost.is_set():
            return
        self._set_limit(CLOSE_SECONDS)
        self._steer_reading()
        if not self._answered:
            self._transport.write(END_FRAME)

    def abort(self) -> None:
        """Drop the connection at once; the other side sees a broken link."""
        if self._transport is not None:
            self._transport.abort()
        else:
            self.connection_lost(None)

    async def wait_lost(self) -> None:
        """Until the connection is gone: at most CLOSE_SECONDS after `close`, at once after `abort`."""
        await self._lost.wait()

    # --- asyncio.BufferedProtocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not derive from it
        if self._lost.is_set():  # given up before it began
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Part of asyncio.BufferedProtocol."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Part of asyncio.BufferedProtocol."""
        if self._head is None:
            self._take_in(self._space[:nbytes])
            return
        self._head.feed(self._space[:nbytes])
        try:
            message = self._head.take() if not self.head.done() else None
        except ValueError:
            self.abort()
        else:
            if message is not None:
                self.head.set_result(message)

    def pause_writing(self) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Part of asyncio.BufferedProtocol."""
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.BufferedProtocol."""
        if self._lost.is_set():
            return
        if self._limit is not None:
            self._limit.cancel()
        if not self.head.done():
            self.head.set_exception(ConnectionError("the libp2p daemon hung up"))
            self.head.exception()  # perhaps nobody waits for it any longer
        self._lost.set()
        self._arrived.set()
        self._room.set()
        if self._on_lost is not None:
            self._on_lost(self)

    # --- arrival --------------------------------------------------------------------------------------------------

    def _take_in(self, data: bytes | memoryview) -> None:
        waiting = self._frames.whole
        try:
            self._frames.feed(data)
        except RemoteProtocolError as error:
            self._fault, self._why = RemoteProtocolError, str(error)
            self.abort()
        if self._charge is not None:
            self._hold_back(self._charge(len(data), self._frames.whole - waiting))
        if self._closed:
            self._frames.drop_whole()
        if self._frames.ended:
            self._answer_end()
        self._arrived.set()
        self._watch_partial()
        self._steer_reading()

    def _answer_end(self) -> None:
        """Both sides are done: close once what we wrote is out."""
        assert self._transport is not None
        if not self._answered and not self._closed:
            self._transport.write(END_FRAME)
        self._answered = True
        self._room.set()  # a sender that waits has to learn of it
        self._set_limit(CLOSE_SECONDS)
        self._transport.close()

    def _watch_partial(self) -> None:
        if self._closed or self._answered:
            return
        if not self._frames.partial and self._limit is not None:
            self._limit.cancel()
            self._limit = None
        elif self._frames.partial and self._limit is None:
            self._set_limit(FRAME_SECONDS)

    def _set_limit(self, seconds: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if not self._lost.is_set():
            self._limit = self._loop.call_later(seconds, self.abort)

    def _hold_back(self, seconds: float) -> None:
        if self._held_back is not None:
            self._held_back.cancel()
            self._held_back = None
        if seconds > 0 and not self._lost.is_set():
            self._held_back = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._held_back = None
        self._arrived.set()
        self._steer_reading()

    def _steer_reading(self) -> None:
        """Read unless whole frames wait in plenty, or the peer has to slow down."""
        full = self._frames.whole > 0 and self._frames.held_bytes >= HELD_BYTES
        reading = not full and self._held_back is None
        if self._transport is None or reading == self._reading or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
