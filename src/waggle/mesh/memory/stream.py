"""One side of a stream over the simulated network.

Frames of one direction arrive in the order sent: each is queued in flight, and every arrival hands over the oldest. A
clean end travels behind the last frame. Where the link breaks, frames in flight are lost and those that arrived are
read before the error shows.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from waggle.core.errors import LocalProtocolError, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.limits import MAX_FRAME_BYTES, MIB
from waggle.mesh.memory.calls import HEADER_BYTES
from waggle.mesh.memory.links import End
from waggle.mesh.memory.wires import Wires

WINDOW_BYTES = 8 * MIB
"""Sent and not yet read, at which the sender waits: two largest frames."""


class _State(Enum):
    OPEN = auto()
    ENDED = auto()
    """The other side is done."""
    CLOSED = auto()
    """We are done."""
    BROKEN = auto()


class MemoryStream:
    """The `Stream` of the simulated network; `charge` gives the seconds to rest after so many bytes and frames."""

    __slots__ = (
        "_arrival", "_charge", "_end", "_flight", "_inbox", "_news", "_resume_at", "_room", "_state", "_twin",
        "_unread", "_wires",
    )  # fmt: skip

    def __init__(self, wires: Wires, end: End, charge: Callable[[int, int], float] | None = None) -> None:
        """Our side of a stream; it can send once it has been joined to the other side."""
        self._wires = wires
        self._end = end
        self._charge = charge
        self._twin: MemoryStream | None = None
        self._state = _State.OPEN
        self._flight: deque[bytes | None] = deque()
        self._inbox: deque[bytes] = deque()
        self._unread = 0
        self._arrival = self._resume_at = 0.0
        self._news, self._room = asyncio.Event(), asyncio.Event()
        end.work[self] = None

    @property
    def peer(self) -> NodeId:
        """The authenticated other side."""
        return self._end.peer

    @property
    def open(self) -> bool:
        """Whether neither side is done and the link holds."""
        return self._state is _State.OPEN

    @property
    def joined(self) -> bool:
        """Whether it has had another side."""
        return self._twin is not None

    def join(self, twin: "MemoryStream") -> None:
        """Become the two sides of one stream."""
        self._twin, twin._twin = twin, self

    async def send(self, frame: bytes) -> None:
        """Send one frame; waits while the other side has more than WINDOW_BYTES unread."""
        if len(frame) > MAX_FRAME_BYTES:
            raise LocalProtocolError(f"a frame of {len(frame)} bytes is over the limit of {MAX_FRAME_BYTES}")
        while self.open and self._unread >= WINDOW_BYTES:
            self._room.clear()
            await self._room.wait()
        if not self.open:
            raise PeerUnreachable(f"the stream with {self.peer} is closed")
        self._unread += len(frame) + HEADER_BYTES
        self._dispatch(bytes(frame))

    async def receive(self) -> bytes | None:
        """The next frame; rests first where the last one was beyond the peer's rate."""
        await self._rest()
        while not self._inbox:
            if self._state is _State.BROKEN:
                raise PeerUnreachable(f"the stream with {self.peer} broke")
            if not self.open:
                return None
            self._news.clear()
            await self._news.wait()
        return self._read()

    async def close(self) -> None:
        """No more frames either way."""
        self.finish()

    def finish(self) -> None:
        """`close`, for those who cannot wait."""
        if self.open and self._twin is not None:
            self._dispatch(None)
        self._inbox.clear()
        self._leave(_State.CLOSED)

    def broke(self) -> None:
        """The link is gone."""
        if self.open:
            self._leave(_State.BROKEN)

    async def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        if self._resume_at > loop.time():
            await asyncio.sleep(self._resume_at - loop.time())

    def _read(self) -> bytes:
        frame = self._inbox.popleft()
        if self._twin is not None:
            self._twin._make_room(len(frame) + HEADER_BYTES)
        if self._charge is not None:
            self._resume_at = asyncio.get_running_loop().time() + self._charge(len(frame) + HEADER_BYTES, 1)
        return frame

    def _make_room(self, size: int) -> None:
        self._unread -= size
        self._room.set()

    def _dispatch(self, frame: bytes | None) -> None:
        """Put a frame, or the end, on its way behind all that went before."""
        self._flight.append(frame)
        size = HEADER_BYTES + len(frame or b"")
        us = self._end.twin.peer
        self._arrival = self._wires.carry(
            us, self.peer, size, self._land, self._end.sever, not_before=self._arrival
        )  # fmt: skip

    def _land(self) -> None:
        """Something arrives at the other side: the oldest in flight."""
        if self._flight and self._end.twin.open and self._twin is not None:
            self._twin._take(self._flight.popleft())

    def _take(self, frame: bytes | None) -> None:
        if not self.open:
            return
        if frame is None:
            self._leave(_State.ENDED)
        else:
            self._inbox.append(frame)
            self._news.set()

    def _leave(self, state: _State) -> None:
        self._state = state
        self._end.work.pop(self, None)
        self._news.set()
        self._room.set()
