"""Two nodes agree on a moment with nothing under way between them, so that their link can be dropped unnoticed.

One end alone cannot tell: a call that the other side has just begun, or an answer that is still on its way, breaks with
the link. So whoever wants to drop it begins nothing more with that peer, asks it to do the same, and looks once more
when it has agreed. A peer at work says no.

Both ends go on when they are told to, and by themselves after HOLD_SECONDS: no peer keeps us from calling it for
longer at a time. A peer that knows nothing of this is taken to agree. Knows no daemon; seconds throughout.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress

from waggle.core.errors import MeshError, PeerBusy, PeerRefused, PeerSilent, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.transport import Link

PROTOCOL = "/waggle/stand-still/1"
STAND_STILL = b""
GO_ON = b"\x01"

HOLD_SECONDS = 1.5
"""The peer's yes and the end of the link take one way each: enough for links of half a second each way."""

Still = Callable[[NodeId], AbstractAsyncContextManager[bool]]
"""`Stillness.standing_still`, or what stands in for it."""


@asynccontextmanager
async def at_any_time(_: NodeId) -> AsyncIterator[bool]:
    """Links are dropped without asking the other side."""
    yield True


class Stillness:
    """What we have under way with each peer, and with whom we begin nothing just now."""

    def __init__(
        self,
        serving: Callable[[NodeId, int], bool],
        ask: Callable[[NodeId, bytes, float], Awaitable[None]],
        links: Callable[[], Awaitable[Sequence[Link]]],
    ) -> None:
        """Nobody stands still yet.

        Args:
            serving: whether a peer has a stream with us, or more calls at work here than so many.
            ask: a call of PROTOCOL, within some seconds, whoever stands still. Raises MeshError, RemoteProtocolError.
            links: what there is now. Raises MeshError.
        """
        self._serving = serving
        self._ask = ask
        self._links = links
        self._begun: Counter[NodeId] = Counter()
        self._holds: dict[NodeId, asyncio.Event] = {}

    def busy(self, peer: NodeId, *, besides: int = 0) -> bool:
        """Whether anything is under way with a peer at this end, besides so many calls of its own."""
        return peer in self._begun or self._serving(peer, besides)

    async def passed(self, peer: NodeId, seconds: float) -> None:
        """Wait while nothing is to be begun with a peer. Raises PeerUnreachable where that takes longer."""
        if (hold := self._holds.get(peer)) is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await hold.wait()
        except TimeoutError:
            raise PeerSilent(f"no answer within {seconds:g} s") from None

    @contextmanager
    def beginning(self, peer: NodeId) -> Iterator[None]:
        """Count something of ours with a peer as under way while the block runs."""
        self._begun[peer] += 1
        try:
            yield
        finally:
            self._begun[peer] -= 1
            if not self._begun[peer]:
                del self._begun[peer]

    @asynccontextmanager
    async def standing_still(self, peer: NodeId) -> AsyncIterator[bool]:
        """Whether nothing is under way with a peer, at either end, for as long as the block runs and HOLD_SECONDS last.

        The block may drop the link. If there is one again when it ends, the peer hears that it may go on.
        """
        hold = self._hold(peer, besides=0)
        if hold is None:
            yield False
            return
        try:
            agreed = await self._agrees(peer)
            yield agreed and self._holds.get(peer) is hold and not self.busy(peer)
        finally:
            self._end(peer, hold)
        if agreed:
            with suppress(MeshError, RemoteProtocolError):  # it goes on by itself
                if any(link.peer == peer for link in await self._links()):
                    await self._ask(peer, GO_ON, HOLD_SECONDS)

    async def serve(self, peer: NodeId, request: bytes) -> bytes:
        """A peer wants us to stand still, or to go on. Raises PeerBusy where something is under way with it."""
        if request == GO_ON:
            self._end(peer, self._holds.get(peer))
        elif self._hold(peer, besides=1) is None:  # this very call
            raise PeerBusy("something is under way with this peer")
        return b""

    async def _agrees(self, peer: NodeId) -> bool:
        try:
            await self._ask(peer, STAND_STILL, HOLD_SECONDS)
        except PeerRefused:
            return True
        except (MeshError, RemoteProtocolError):
            return False
        return True

    def _hold(self, peer: NodeId, *, besides: int) -> asyncio.Event | None:
        """What new calls wait for from now on; None where there is such a thing already, or something is under way."""
        if peer in self._holds or self.busy(peer, besides=besides):
            return None
        hold = self._holds[peer] = asyncio.Event()
        asyncio.get_running_loop().call_later(HOLD_SECONDS, self._end, peer, hold)
        return hold

    def _end(self, peer: NodeId, hold: asyncio.Event | None) -> None:
        if hold is not None and self._holds.get(peer) is hold:
            del self._holds[peer]
            hold.set()
