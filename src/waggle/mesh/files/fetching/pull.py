"""The chunks that are missing, and the peers that are asked for them: one queue, a few requests per peer at once.

Every chunk is verified before it is written. A peer that sends wrong bytes is dropped for good; one that falls silent
is dropped until the next round. Once the queue is empty, chunks that take long are asked of others as well, and the
first answer counts: a slow peer cannot hold up the end.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from waggle.core.errors import MeshError, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.files.disk import in_thread
from waggle.mesh.files.fetching.source import Source, SourceLost
from waggle.mesh.files.partial import Partial
from waggle.mesh.transport import Transport

MAX_SOURCES = 16
"""Peers asked at once: with four chunks each on their way, at most 64 MiB of memory."""
LOOK_SECONDS = 0.25
"""How often an idle request looks for a chunk that others are slow with."""
LEAST_PATIENCE_SECONDS = 1.0
MOST_ROUNDS = 5
"""Rounds without a single chunk before we give up; the waits between them add up to 15 s."""


class Dropped(Struct, frozen=True, kw_only=True):
    """A peer that was given up, and why; `bad` where it broke the rules."""

    peer: NodeId
    reason: str
    bad: bool = False


class Pull:
    """Fetches what is missing from one partial."""

    def __init__(
        self,
        transport: Transport,
        partial: Partial,
        manifest: str,
        *,
        dropped: list[Dropped],
        used: dict[NodeId, int],
        per_peer: int,
        told: Callable[[int, int], None],
    ) -> None:
        """Ask nobody yet.

        Args:
            transport: reaches the peers.
            partial: what is to be completed.
            manifest: its address.
            dropped: peers that are given up are added; the bad ones in it are not asked.
            used: how many chunks each peer gave; counted up here.
            per_peer: chunks asked of one peer at the same time.
            told: learns the bytes of every chunk kept, and how many peers are being asked.
        """
        self.dropped, self.used = dropped, used
        self._transport, self._partial, self._manifest = transport, partial, manifest
        self._per_peer, self._told = per_peer, told
        self._left = set(partial.missing())
        self._todo = deque(sorted(self._left))
        self._asked: dict[int, dict[Source, float]] = {}
        self._over = asyncio.Event()
        self._alive = 0
        self._chunk_seconds = 0.0
        self._fault: OSError | None = None

    async def run(self, find: Callable[[], Awaitable[Sequence[NodeId]]]) -> None:
        """Until nothing is missing.

        Args:
            find: gives the peers to ask, anew for each round.

        Raises:
            MeshError: no source is left.
            OSError: a chunk could not be written.
        """
        fruitless = 0
        while self._left:
            before = len(self._left)
            bad = {one.peer for one in self.dropped if one.bad}
            peers = [peer for peer in dict.fromkeys(await find()) if peer not in bad][:MAX_SOURCES]
            await self._round([Source(self._transport, peer) for peer in peers])
            if self._fault is not None:
                raise self._fault
            fruitless = 0 if len(self._left) < before else fruitless + 1
            if self._left and (fruitless >= MOST_ROUNDS or not peers):
                raise MeshError(self._why_not())
            if self._left:
                await asyncio.sleep(0.5 * 2**fruitless)

    def _why_not(self) -> str:
        last = {one.peer: one.reason for one in self.dropped}
        reasons = "; ".join(f"{peer} {reason}" for peer, reason in list(last.items())[-3:]) or "no peer has it"
        name, total = self._partial.manifest.name, len(self._partial.chunks)
        have = total - len(self._left)
        return f"no source of {name} is left ({reasons}); {have} of {total} chunks are kept: fetch again to go on"

    async def _round(self, sources: list[Source]) -> None:
        """Ask these until everything is here, or all are lost, or the disk fails."""
        if not sources:
            return
        self._alive = len(sources)
        self._over.clear()
        async with asyncio.TaskGroup() as group:
            drains = [group.create_task(self._drain(source)) for source in sources]
            await self._over.wait()
            for drain in drains:
                drain.cancel()

    async def _drain(self, source: Source) -> None:
        """All requests to one peer."""
        try:
            async with asyncio.TaskGroup() as requests:
                for _ in range(self._per_peer):
                    requests.create_task(self._request(source))
        except* SourceLost as lost:
            self._drop(source, str(lost.exceptions[0]), bad=False)
        except* RemoteProtocolError as broken:
            self._drop(source, str(broken.exceptions[0]), bad=True)
        except* OSError as fault:
            self._fault = next(error for error in fault.exceptions if isinstance(error, OSError))
            self._over.set()
        finally:
            self._alive -= 1
            if not self._alive:
                self._over.set()

    def _drop(self, source: Source, reason: str, *, bad: bool) -> None:
        self.dropped.append(Dropped(peer=source.peer, reason=reason, bad=bad))

    async def _request(self, source: Source) -> None:
        """One chunk after the other from one peer, over one stream."""
        async with source.lane() as lane:
            while self._left:
                if (number := self._take(source)) is None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._over.wait()
                    continue
                try:
                    data = await source.chunk(lane, self._manifest, self._partial.chunks[number])
                    await self._keep(source, number, data)
                finally:
                    self._give_back(source, number)

    def _take(self, source: Source) -> int | None:
        """The next chunk to ask this peer for, if any."""
        now = asyncio.get_running_loop().time()
        number = self._todo.popleft() if self._todo else self._slowest(source, now)
        if number is not None:
            self._asked.setdefault(number, {})[source] = now
        return number

    def _slowest(self, source: Source, now: float) -> int | None:
        """The chunk that others have been slow with for longest; the more have it already, the longer we wait."""
        patience = max(LEAST_PATIENCE_SECONDS, 3 * self._chunk_seconds)
        since, number = min(
            (
                (min(holders.values()) + patience * len(holders), number)
                for number, holders in self._asked.items()
                if source not in holders
            ),
            default=(now, None),
        )
        return number if since <= now else None

    def _give_back(self, source: Source, number: int) -> None:
        """To the queue's front, unless it is here or somebody else is still at it."""
        self._asked[number].pop(source)
        if not self._asked[number]:
            del self._asked[number]
            if number in self._left:
                self._todo.appendleft(number)

    async def _keep(self, source: Source, number: int, data: bytes) -> None:
        """Verify and write a chunk. Raises RemoteProtocolError where it is not the one asked for, OSError."""
        if number not in self._left:
            return
        if not await in_thread(lambda _: self._partial.write(number, data)):
            raise RemoteProtocolError(f"sent wrong bytes for chunk {number}")
        if number not in self._left:
            return
        self._left.discard(number)
        self.used[source.peer] = self.used.get(source.peer, 0) + 1
        seconds = asyncio.get_running_loop().time() - self._asked[number][source]
        self._chunk_seconds += 0.2 * (seconds - self._chunk_seconds)
        self._told(len(data), self._alive)
        if not self._left:
            self._over.set()
