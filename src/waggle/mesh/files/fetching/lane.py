"""One stream to a peer for ranges of files: request, answer, the next request; opened anew after every failure."""

import asyncio

from waggle.core.errors import MeshError, PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.files.wire import CHUNK_PROTOCOL
from waggle.mesh.transport import Refusal, Stream, Transport

CALL_SECONDS = 10.0
"""One request and its answer, the opening of the stream included."""


class Lane:
    """Used by one task at a time."""

    def __init__(self, transport: Transport, peer: NodeId) -> None:
        self._transport, self._peer = transport, peer
        self._stream: Stream | None = None

    async def ask(self, request: bytes) -> bytes:
        """The bytes that answer a request. Raises PeerUnreachable, PeerBusy, PeerRefused, RemoteProtocolError."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                frame = await self._exchange(request)
            return _content(frame)
        except TimeoutError:
            await self.close()
            raise PeerUnreachable(f"no answer within {CALL_SECONDS:g} s") from None
        except (MeshError, RemoteProtocolError):
            await self.close()
            raise

    async def close(self) -> None:
        """End the stream; the next request opens another."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _exchange(self, request: bytes) -> bytes:
        if self._stream is None:
            self._stream = await self._transport.open(self._peer, CHUNK_PROTOCOL, seconds=CALL_SECONDS)
        await self._stream.send(request)
        frame = await self._stream.receive()
        if frame is None:
            raise PeerUnreachable("the peer ended the stream")
        return frame


def _content(frame: bytes) -> bytes:
    """What follows the code. Raises the error that the code stands for."""
    try:
        code = Refusal(frame[0])
    except (IndexError, ValueError):
        raise RemoteProtocolError("sent an answer without a known code") from None
    match code:
        case Refusal.NONE:
            return frame[1:]
        case Refusal.BUSY:
            raise PeerBusy("the peer has no room now")
        case Refusal.UNKNOWN | Refusal.FAILED | Refusal.MALFORMED:
            raise PeerRefused("the peer does not give this any longer")
