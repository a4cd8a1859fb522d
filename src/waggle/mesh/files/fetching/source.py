"""One peer as a source of files: asks it in pieces of a size that its link carries, waits and retries within bounds.

A piece begins at 48 KiB and doubles while pieces arrive quickly, so that a slow link never runs into the time-out of
a call; over a relayed link it stays there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from waggle.core.errors import MeshError, PeerBusy, PeerRefused, PeerSilent, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.files.manifest import Chunk, address
from waggle.mesh.files.wire import (
    CHUNK_PROTOCOL,
    LIST_PROTOCOL,
    MANIFEST_PROTOCOL,
    MAX_LISTING_BYTES,
    MAX_PIECE_BYTES,
    MAX_REQUEST_BYTES,
    AskList,
    AskManifest,
    AskRange,
    Listing,
    ManifestPiece,
)
from waggle.mesh.limits import KIB, RELAYED_PIECE_BYTES
from waggle.mesh.packing import decode_as, encode
from waggle.mesh.transport import Stream, Transport, check_answered

CALL_SECONDS = 10.0
"""One request and its answer, the opening of the stream included."""
LIST_SECONDS, LIST_TRIES = 4.0, 3
QUICK_SECONDS = 1.5
"""Twice the round trip of a satellite: a shorter bound would keep pieces small where only the delay is long."""
SLOW_SECONDS = 4.0
LINK_SECONDS = 5.0
"""How long we believe what we know of a link without looking again."""
MANIFEST_SECONDS = 120.0
"""A whole manifest from one peer: that of a 7B model has 440 KiB, the largest 9 MiB."""
REST_SECONDS = 0.1
MOST_REST_SECONDS = 5.0
MOST_FAILURES = 3
DEAD_SECONDS = 5.0
"""MOST_FAILURES in a row, and nothing for this long: the peer is lost to us."""
PATIENCE_SECONDS = 30.0
"""Nothing for this long, busy or not: lost."""


class Lane:
    """One stream to a peer for ranges of files: request, answer, the next request; opened anew after every failure.

    Used by one task at a time.
    """

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
            raise PeerSilent(f"no answer within {CALL_SECONDS:g} s") from None
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
        check_answered(frame[:1])
    except PeerRefused:
        raise PeerRefused("the peer does not give this any longer") from None
    return frame[1:]


class SourceLost(MeshError):
    """The peer is dead, too slow, or does not share this any longer; it is not to blame."""


class Source:
    """A peer that may have what we want."""

    def __init__(self, transport: Transport, peer: NodeId) -> None:
        self.peer = peer
        self._transport = transport
        self._piece_bytes = RELAYED_PIECE_BYTES
        self._is_direct, self._looked_until = False, -1.0
        self._failures = 0
        self._last_good = _now()

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[Lane]:
        """A stream of our own to it while the block runs."""
        lane = Lane(self._transport, self.peer)
        try:
            yield lane
        finally:
            await lane.close()

    async def listing(self) -> Listing:
        """What it shares. Raises MeshError, or RemoteProtocolError where it breaks a rule."""
        for last in [False] * (LIST_TRIES - 1) + [True]:
            try:
                reply = await self._transport.call(
                    self.peer, LIST_PROTOCOL, encode(AskList(), MAX_REQUEST_BYTES), seconds=LIST_SECONDS
                )
            except (PeerUnreachable, PeerBusy):
                if last:
                    raise
                await asyncio.sleep(REST_SECONDS)
            else:
                break
        return decode_as(Listing, reply, MAX_LISTING_BYTES, sender="sent no list")

    async def manifest(self, wanted: str) -> bytes:
        """The bytes of a manifest. Raises SourceLost, or RemoteProtocolError where they are not that manifest's."""
        try:
            async with asyncio.timeout(MANIFEST_SECONDS):
                encoded = await self._manifest(wanted)
        except TimeoutError:
            raise SourceLost(f"did not give the manifest within {MANIFEST_SECONDS:g} s") from None
        if address(encoded) != wanted:
            raise RemoteProtocolError("sent another manifest than the one asked for")
        return encoded

    async def _manifest(self, wanted: str) -> bytes:
        first = await self._manifest_piece(wanted, 0, None)
        encoded = bytearray(first.data)
        while len(encoded) < first.total:
            encoded += (await self._manifest_piece(wanted, len(encoded), first.total)).data
        return bytes(encoded)

    async def _manifest_piece(self, wanted: str, offset: int, total: int | None) -> ManifestPiece:
        ask = AskManifest(manifest=wanted, offset=offset, length=await self._piece())
        request = encode(ask, MAX_REQUEST_BYTES)
        reply = await self._ask(
            partial(self._transport.call, self.peer, MANIFEST_PROTOCOL, request, seconds=CALL_SECONDS)
        )
        piece = decode_as(ManifestPiece, reply, MAX_PIECE_BYTES + KIB, sender="sent no manifest")
        if len(piece.data) != min(ask.length, piece.total - offset) or total not in (None, piece.total):
            raise RemoteProtocolError("sent other pieces of the manifest than were asked for")
        return piece

    async def chunk(self, lane: Lane, manifest: str, chunk: Chunk) -> bytes:
        """A chunk's bytes, not verified but of the right length. Raises SourceLost, RemoteProtocolError."""
        pieces: list[bytes] = []
        have = 0
        while have < chunk.length:
            length = min(await self._piece(), chunk.length - have)
            ask = AskRange(manifest=manifest, file=chunk.file, offset=chunk.offset + have, length=length)
            reply = await self._ask(partial(lane.ask, encode(ask, MAX_REQUEST_BYTES)))
            if len(reply) != length:
                raise RemoteProtocolError(f"sent {len(reply)} bytes where {length} were asked for")
            pieces.append(reply)
            have += length
        return b"".join(pieces)

    async def _ask(self, attempt: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer, tried again while there is hope. Raises SourceLost, RemoteProtocolError."""
        while True:
            began = _now()
            try:
                reply = await attempt()
            except PeerRefused as error:
                raise SourceLost(f"refuses: {error}") from error
            except (PeerUnreachable, PeerBusy) as error:
                await self._rest(error)
            else:
                self._learn(len(reply), _now() - began)
                return reply

    async def _rest(self, error: PeerUnreachable | PeerBusy) -> None:
        """Wait before the next try; SourceLost where there should be none."""
        silent = _now() - self._last_good
        seconds = REST_SECONDS * 2 ** min(self._failures, 6)
        if isinstance(error, PeerBusy):
            seconds = error.retry_after or seconds
        else:
            self._failures += 1
            self._piece_bytes = RELAYED_PIECE_BYTES
            if self._failures >= MOST_FAILURES and silent >= DEAD_SECONDS:
                raise SourceLost(f"does not answer: {error}") from error
        if silent >= PATIENCE_SECONDS:
            raise SourceLost(f"gave nothing for {silent:.0f} s: {error}") from error
        await asyncio.sleep(min(max(seconds, REST_SECONDS), MOST_REST_SECONDS))

    def _learn(self, size: int, seconds: float) -> None:
        """Ask for more at once where the last piece was quick, for less where it was slow."""
        self._failures, self._last_good = 0, _now()
        if seconds > SLOW_SECONDS:
            self._piece_bytes = max(self._piece_bytes // 2, 4 * KIB)
        elif seconds < QUICK_SECONDS and size >= self._piece_bytes:
            self._piece_bytes = min(self._piece_bytes * 2, MAX_PIECE_BYTES)

    async def _piece(self) -> int:
        """Bytes to ask for next."""
        if self._piece_bytes > RELAYED_PIECE_BYTES and not await self._direct():
            self._piece_bytes = RELAYED_PIECE_BYTES
        return self._piece_bytes

    async def _direct(self) -> bool:
        """Whether the link goes without a relay; looked up every LINK_SECONDS, since links come and go."""
        if _now() >= self._looked_until:
            try:
                links = await self._transport.links()
            except MeshError:
                links = ()
            self._is_direct = any(link.peer == self.peer and not link.relayed for link in links)
            self._looked_until = _now() + LINK_SECONDS
        return self._is_direct


def _now() -> float:
    return asyncio.get_running_loop().time()
