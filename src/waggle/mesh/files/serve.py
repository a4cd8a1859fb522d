"""Answers peers who ask for files: lists, manifests, ranges of shared files, and nothing else.

How many calls a peer may have in flight is the transport's business. Here at most `most_at_once` reads run, each of at
most 1 MiB, and `MAX_WAITING` run or wait; the next caller is told to come again. So is who opens more streams than
`MAX_STREAMS_OF_ONE`, or any where `MAX_STREAMS` are open: each may hold one answer of 1 MiB. Why something is refused
stays here; the owner is told where it is for a file that changed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from waggle.core.errors import PeerBusy, PeerRefused, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.files.store import FileStore, SharedFileChanged
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
    Listed,
    Listing,
    ManifestPiece,
)
from waggle.mesh.limits import KIB
from waggle.mesh.packing import decode_as, encode
from waggle.mesh.transport import Refusal, Stream, Transport

MAX_WAITING = 64
MAX_STREAMS = 128
MAX_STREAMS_OF_ONE = 8
IDLE_SECONDS = 60.0
RETRY_SECONDS = 0.5
"""What a caller is told to wait when all reads are taken: 64 MiB are read from most disks meanwhile."""

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class FileServer:
    """Serves one store on one transport."""

    def __init__(
        self,
        transport: Transport,
        store: FileStore,
        *,
        most_at_once: int = 8,
        tell_owner: Callable[[str], None] = log.warning,
    ) -> None:
        """Serve nothing yet. `most_at_once` bounds the reads that run at the same time."""
        self._tell_owner = tell_owner
        self._transport = transport
        self._store = store
        self._reads = asyncio.Semaphore(most_at_once)
        self._waiting = 0
        self._streams: Counter[NodeId] = Counter()
        self.served_bytes = 0
        """Bytes of files sent so far."""

    async def start(self) -> None:
        """Answer from now on, until the transport is closed."""
        await self._transport.serve_calls(LIST_PROTOCOL, self._list)
        await self._transport.serve_calls(MANIFEST_PROTOCOL, self._manifest)
        await self._transport.serve_streams(CHUNK_PROTOCOL, self._serve_ranges)

    async def _list(self, peer: NodeId, request: bytes) -> bytes:
        decode_as(AskList, request, MAX_REQUEST_BYTES, sender=peer)
        shared = await self._read(self._store.shared)
        listed = tuple(Listed(name=one.name, manifest=one.manifest, size=one.size) for one in shared)
        return encode(Listing(shared=listed), MAX_LISTING_BYTES)

    async def _manifest(self, peer: NodeId, request: bytes) -> bytes:
        ask = decode_as(AskManifest, request, MAX_REQUEST_BYTES, sender=peer)
        total, data = await self._read(lambda: self._store.manifest_range(ask.manifest, ask.offset, ask.length))
        if not data:
            raise PeerRefused(f"{peer} asks beyond the end of a manifest")
        return encode(ManifestPiece(total=total, data=data), MAX_PIECE_BYTES + KIB)

    async def _serve_ranges(self, stream: Stream) -> None:
        """Answer the requests of one stream until it ends, or nothing moves for IDLE_SECONDS."""
        peer = stream.peer
        if self._streams[peer] >= MAX_STREAMS_OF_ONE or self._streams.total() >= MAX_STREAMS:
            await stream.send(bytes([Refusal.BUSY]))
            return
        self._streams[peer] += 1
        try:
            while (answer := await self._answer(stream)) is not None:
                async with asyncio.timeout(IDLE_SECONDS):
                    await stream.send(answer)
        except TimeoutError:
            return
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    async def _answer(self, stream: Stream) -> bytes | None:
        """To the stream's next request; None where there is none. TimeoutError where it does not come."""
        async with asyncio.timeout(IDLE_SECONDS):
            request = await stream.receive()
        if request is None:
            return None
        try:
            return bytes([Refusal.NONE]) + await self._range(stream.peer, request)
        except PeerBusy:
            return bytes([Refusal.BUSY])
        except PeerRefused:
            return bytes([Refusal.FAILED])
        except RemoteProtocolError:
            return bytes([Refusal.MALFORMED])

    async def _range(self, peer: NodeId, request: bytes) -> bytes:
        ask = decode_as(AskRange, request, MAX_REQUEST_BYTES, sender=peer)
        data = await self._read(lambda: self._store.read(ask.manifest, ask.file, ask.offset, ask.length))
        self.served_bytes += len(data)
        return data

    async def _read(self, work: Callable[[], Value]) -> Value:
        """Run in a thread when one of our places is free. Raises PeerBusy, or PeerRefused for what is not shared."""
        if self._waiting >= MAX_WAITING:
            raise PeerBusy("all reads of files are taken", RETRY_SECONDS)
        self._waiting += 1
        try:
            async with self._reads:
                return await asyncio.to_thread(work)
        except SharedFileChanged as error:
            self._tell_owner(f"peers cannot fetch {error.name} any longer: a file of it changed; waggle share it again")
            raise PeerRefused(str(error)) from error
        except UsageError as error:
            raise PeerRefused(str(error)) from error
        finally:
            self._waiting -= 1
