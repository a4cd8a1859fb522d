"""Frames on a libp2p stream. No I/O: bytes in, frames out.

A frame is its length, four bytes big-endian, then that many bytes; at most `MAX_FRAME_BYTES`. The length `END` says
that its sender is done. A link that ends without it was broken: that is how the two are told apart, since the daemon
reports both as the end of the stream. Each side answers an END with its own, and the link is closed when both have
been said, so that nothing under way is lost.

The buffer holds what has arrived and never what was only announced; a longer length is refused when it is read.
"""

from waggle.core.errors import RemoteProtocolError
from waggle.mesh.limits import MAX_FRAME_BYTES

HEADER_BYTES = 4
END = 0xFFFF_FFFF
END_FRAME = END.to_bytes(HEADER_BYTES)


def header(length: int) -> bytes:
    """What goes before a frame of so many bytes: 300 is 00 00 01 2c."""
    return length.to_bytes(HEADER_BYTES)


class FrameBuffer:
    """What has arrived and not been taken yet."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        """Empty."""
        self._buffer = bytearray()
        self._scanned = 0  # where the first frame begins that is not whole yet
        self._whole = 0
        self._max_frame_bytes = max_frame_bytes
        self.ended = False
        """Whether the other side is done; whole frames may still be waiting."""

    @property
    def whole(self) -> int:
        """How many frames wait to be taken."""
        return self._whole

    @property
    def held_bytes(self) -> int:
        """How much memory the waiting bytes take."""
        return len(self._buffer)

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return len(self._buffer) > self._scanned

    def feed(self, data: bytes | memoryview) -> None:
        """Add what arrived; anything after the END is dropped.

        Raises:
            RemoteProtocolError: a frame is announced that is too long. Frames before it can still be taken.
        """
        if self.ended:
            return
        self._buffer += data
        while not self.ended and len(self._buffer) - self._scanned >= HEADER_BYTES:
            length = int.from_bytes(self._buffer[self._scanned : self._scanned + HEADER_BYTES])
            if length == END:
                self.ended = True
                del self._buffer[self._scanned :]
            elif length > self._max_frame_bytes:
                raise RemoteProtocolError(f"a frame of {length} bytes; the limit is {self._max_frame_bytes}")
            elif len(self._buffer) < self._scanned + HEADER_BYTES + length:
                return
            else:
                self._scanned += HEADER_BYTES + length
                self._whole += 1

    def take(self) -> bytes | None:
        """The next whole frame, None while there is none."""
        if self._whole == 0:
            return None
        end = HEADER_BYTES + int.from_bytes(self._buffer[:HEADER_BYTES])
        with memoryview(self._buffer) as view:
            frame = bytes(view[HEADER_BYTES:end])
        del self._buffer[:end]
        self._scanned -= end
        self._whole -= 1
        return frame

    def drop_whole(self) -> None:
        """Forget the frames that nobody will take."""
        del self._buffer[: self._scanned]
        self._scanned = 0
        self._whole = 0
