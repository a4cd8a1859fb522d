"""Fetches a model from the peers that have it: the one function that commands and nodes call.

Find, check what is here already, check the disk, pull the missing chunks, verify everything once more, land. Whatever
ends it, cancelled or killed, the verified chunks stay, and the next fetch asks only for the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.errors import RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.core.words import amount
from waggle.mesh.files.disk import Step, in_thread, is_full
from waggle.mesh.files.fetching.offers import find_offer, is_manifest, read_manifest, read_wanted
from waggle.mesh.files.fetching.pull import Dropped, Pull
from waggle.mesh.files.manifest import address, decode_manifest
from waggle.mesh.files.partial import Partial
from waggle.mesh.files.records import Record
from waggle.mesh.files.store import FileStore
from waggle.mesh.limits import MIB
from waggle.mesh.transport import Transport

DISK_MARGIN_BYTES = 256 * MIB
"""Room that has to remain for everything else on the disk."""
REQUESTS_PER_PEER = 4
"""Chunks asked of one peer at the same time; a peer works on at most MAX_CALLS_PER_PEER calls of ours."""
MOST_REPAIRS = 3
"""How often chunks that were damaged on our own disk are fetched again before we believe that the disk is broken."""

Value = TypeVar("Value")
Sources = Sequence[NodeId] | Callable[[], Awaitable[Sequence[NodeId]]]


class Progress(Struct, frozen=True, kw_only=True):
    """How far a fetch is. `phase` is finding, checking, fetching or verifying; bytes are those of the whole model.

    While checking and verifying, `done_bytes` counts what was read again; while fetching, what is here and verified.
    """

    phase: str
    name: str
    done_bytes: int = 0
    total_bytes: int = 0
    peers: int = 0


class Fetched(Struct, frozen=True, kw_only=True):
    """A complete model, and what it took. `sources` gave chunks; `fetched_bytes` is 0 where it was here already."""

    path: Path
    name: str
    manifest: str
    size: int
    fetched_bytes: int = 0
    seconds: float = 0.0
    sources: tuple[NodeId, ...] = ()
    dropped: tuple[Dropped, ...] = ()


async def fetch(
    transport: Transport,
    store: FileStore,
    wanted: str,
    sources: Sources,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    on_bad_peer: Callable[[NodeId, str], None] = lambda _, __: None,
    share: bool = True,
) -> Fetched:
    """A model's folder, fetched where it is not here already.

    Args:
        transport: reaches the peers.
        store: where the model lands.
        wanted: a name, or a manifest's address (64 hex digits), which alone says for certain what will come.
        sources: peers that may have it, or a function that finds them; it is asked again when all are lost.
        progress: told of every chunk, on the event loop; should be quick.
        on_bad_peer: told at the end of each peer that broke a rule, and how.
        share: serve it to others from now on.

    Raises:
        UsageError: the name stands for several models, the disk is too full, another process is at it, or the place
            is taken by something else. The text says what to do.
        MeshError: nobody has it, or no source is left; what was fetched is kept.
        RemoteProtocolError: the model itself breaks a rule, whoever serves it.
    """
    began = asyncio.get_running_loop().time()
    job = _Job(transport, store, read_wanted(wanted), sources, progress, share=share)
    try:
        record = await job.run()
    except OSError as error:
        raise _in_words(error, store, job.missing_bytes) from error
    finally:
        for one in job.dropped:
            if one.bad:
                on_bad_peer(one.peer, one.reason)
    return Fetched(
        path=Path(record.folder),
        name=record.name,
        manifest=record.manifest,
        size=record.size,
        fetched_bytes=job.fetched_bytes,
        seconds=asyncio.get_running_loop().time() - began,
        sources=tuple(job.used),
        dropped=tuple(job.dropped),
    )


class _Job:
    """One fetch."""

    def __init__(
        self,
        transport: Transport,
        store: FileStore,
        wanted: str,
        sources: Sources,
        progress: Callable[[Progress], None],
        *,
        share: bool,
    ) -> None:
        self.dropped: list[Dropped] = []
        self.used: dict[NodeId, int] = {}
        self.fetched_bytes = 0
        self.missing_bytes = 0
        self._transport, self._store, self._wanted, self._sources = transport, store, wanted, sources
        self._listener, self._share, self._per_peer = progress, share, REQUESTS_PER_PEER
        self._offered: tuple[NodeId, ...] = ()
        self._progress = Progress(phase="finding", name=wanted)

    async def run(self) -> Record:
        """Raises what `fetch` raises, and OSError."""
        self._tell(phase="finding")
        if (here := await in_thread(lambda step: self._store.find(self._wanted, step))) is not None:
            return here
        encoded = await self._read_manifest()
        manifest = decode_manifest(encoded)
        self._tell(phase="checking", name=manifest.name, total_bytes=manifest.size)
        adopted = await in_thread(lambda step: self._store.adopt(manifest, share=self._share, step=step), self._step)
        if adopted is not None:
            return adopted
        if await in_thread(lambda _: self._store.begun_manifest(address(encoded))) is None:
            self._check_disk(manifest.size)
        with ExitStack() as held:
            partial = await in_thread(lambda _: held.enter_context(self._store.open_partial(encoded)))
            return await self._fill(partial, address(encoded))

    async def _read_manifest(self) -> bytes:
        """From an earlier fetch of the same address, or from a peer."""
        if is_manifest(self._wanted):
            begun = await in_thread(lambda _: self._store.begun_manifest(self._wanted))
            if begun is not None:
                return begun
        offer = await find_offer(self._transport, self._wanted, await self._find(), self.dropped)
        self._offered = offer.peers
        return await read_manifest(self._transport, offer, self._wanted, self.dropped)

    async def _fill(self, partial: Partial, manifest: str) -> Record:
        """Fetch what is missing until everything is verified, then land it."""
        self._tell(done_bytes=0)
        await self._examine(partial, partial.verify)
        for _ in range(MOST_REPAIRS):
            self._check_disk(partial.missing_bytes())
            await self._pull(partial, manifest)
            self._tell(phase="verifying", done_bytes=0)
            if await self._examine(partial, partial.verify):
                await self._examine(partial, partial.settle)
                return await in_thread(lambda _: self._store.land(partial, share=self._share))
        raise UsageError(f"{partial.folder} does not keep what is written to it; is the disk broken?")

    async def _examine(self, partial: Partial, look: Callable[[Step], Value]) -> Value:
        """Read what is here. Raises RemoteProtocolError where it can never become a model; it is removed then."""
        try:
            return await in_thread(look, self._step)
        except RemoteProtocolError:
            await in_thread(lambda _: partial.remove())
            raise

    def _check_disk(self, missing: int) -> None:
        """Before anything is written. Raises UsageError naming what is needed and free."""
        self.missing_bytes = missing
        free = self._store.free_bytes()
        if missing and free < missing + DISK_MARGIN_BYTES:
            raise UsageError(
                f"not enough disk for {self._progress.name}: {amount(missing)} are missing, and "
                f"{amount(DISK_MARGIN_BYTES)} should stay free, but {self._store.root} has {amount(free)} free; "
                "make room"
            )

    async def _pull(self, partial: Partial, manifest: str) -> None:
        self._tell(phase="fetching", done_bytes=partial.manifest.size - self.missing_bytes)
        pull = Pull(
            self._transport,
            partial,
            manifest,
            dropped=self.dropped,
            used=self.used,
            per_peer=self._per_peer,
            told=self._got,
        )
        await pull.run(self._find)

    async def _find(self) -> Sequence[NodeId]:
        """The peers to ask next: those that said they have it, once; after that whoever there is."""
        if self._offered:
            offered, self._offered = self._offered, ()
            return offered
        found = await self._sources() if callable(self._sources) else self._sources
        return [peer for peer in found if peer != self._transport.node_id]

    def _got(self, size: int, peers: int) -> None:
        self.fetched_bytes += size
        self.missing_bytes -= size
        self._tell(done_bytes=self._progress.done_bytes + size, peers=peers)

    def _step(self, size: int) -> None:
        self._tell(done_bytes=self._progress.done_bytes + size)

    def _tell(self, **changes: str | int) -> None:
        self._progress = replace(self._progress, **changes)
        self._listener(self._progress)


def _in_words(error: OSError, store: FileStore, missing: int) -> UsageError:
    if is_full(error):
        return UsageError(
            f"the disk is full: {amount(missing)} are missing, {amount(store.free_bytes())} are free in {store.root}; "
            "what was fetched is kept: make room, then fetch again"
        )
    return UsageError(f"cannot keep model files in {store.root}: {error.strerror or error}")
