"""What one peer may use of us at a time: calls in flight, streams, bytes per second.

Every transport asks the guard before it works for a peer, so that one peer can neither exhaust us nor crowd out the
others. Knows no transport and no clock of its own. Invariants: the counts are those of the open `with` blocks; at most
`MAX_PEERS_TRACKED` peers are remembered; a peer at work is never forgotten.

Bytes are a token bucket: full at `BURST_BYTES`, refilled at `MAX_BYTES_PER_SECOND`. It may be overdrawn, because what
has arrived has arrived: the reader then pauses until it is level again, and new calls are refused meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.mesh.limits import (
    BURST_BYTES,
    MAX_BYTES_PER_SECOND,
    MAX_CALLS_PER_PEER,
    MAX_PEERS_TRACKED,
    MAX_STREAMS_PER_PEER,
)

RETRY_SECONDS = 0.1
"""What a refused peer is told to wait: most calls are over by then."""


class _Use:
    """One peer's use of us; `level` is what it may still send at once, in bytes, as of `refilled` in seconds."""

    __slots__ = ("calls", "level", "refilled", "streams")

    def __init__(self, now: float) -> None:
        self.calls = 0
        self.streams = 0
        self.level = float(BURST_BYTES)
        self.refilled = now

    @property
    def idle(self) -> bool:
        return self.calls == 0 and self.streams == 0

    def refill(self, now: float) -> None:
        gained = (now - self.refilled) * MAX_BYTES_PER_SECOND
        self.level = min(float(BURST_BYTES), self.level + gained)
        self.refilled = now

    def overdrawn_seconds(self) -> float:
        return max(0.0, -self.level / MAX_BYTES_PER_SECOND)


class PeerGuard:
    """The limits of `waggle.mesh.limits` on each peer; one for every transport, on the serving side."""

    def __init__(self, now: Callable[[], float], *, max_peers: int = MAX_PEERS_TRACKED) -> None:
        """Remember nobody yet. `now` gives seconds that never run backwards, such as the loop's time."""
        self._now = now
        self._max_peers = max_peers
        self._working: dict[NodeId, _Use] = {}
        self._resting: dict[NodeId, _Use] = {}  # the longest idle first

    @property
    def tracked(self) -> int:
        """How many peers are remembered."""
        return len(self._working) + len(self._resting)

    def at_work(self, peer: NodeId, *, besides: int = 0) -> bool:
        """Whether a stream of the peer is open here, or more calls of it than `besides`."""
        use = self._working.get(peer)
        return use is not None and (use.streams > 0 or use.calls > besides)

    @contextmanager
    def call(self, peer: NodeId, size: int = 0) -> Iterator[None]:
        """Hold one of the peer's places for a call while the block runs.

        Args:
            peer: the authenticated caller.
            size: bytes of the request; they are charged once the call is let in.

        Raises:
            PeerBusy: on entry, where the peer has MAX_CALLS_PER_PEER calls in flight or its bytes are overdrawn, or
                where everybody we can remember is at work. `retry_after` says in how many seconds to come again.
        """
        use = self._charged(peer, 0)
        if use.overdrawn_seconds() > 0:
            raise PeerBusy("this peer sends too much", use.overdrawn_seconds())
        if use.calls >= MAX_CALLS_PER_PEER:
            raise PeerBusy(f"{use.calls} calls of this peer are in flight", RETRY_SECONDS)
        use.level -= size
        use.calls += 1
        self._wake(peer, use)
        try:
            yield
        finally:
            use.calls -= 1
            self._rest(peer, use)

    @contextmanager
    def stream(self, peer: NodeId) -> Iterator[None]:
        """Hold one of the peer's places for a stream while the block runs; PeerBusy on entry as for `call`."""
        use = self._charged(peer, 0)
        if use.streams >= MAX_STREAMS_PER_PEER:
            raise PeerBusy(f"{use.streams} streams of this peer are open", RETRY_SECONDS)
        use.streams += 1
        self._wake(peer, use)
        try:
            yield
        finally:
            use.streams -= 1
            self._rest(peer, use)

    def spend(self, peer: NodeId, size: int) -> float:
        """Charge bytes that came from the peer; gives the seconds its reader has to pause, 0 within the burst.

        10 MiB at once from a new peer: 8 are the burst, the other 2 are a pause of 1 s. PeerBusy as for `call` where it
        is a peer without a call or stream that we have no room to remember.
        """
        return self._charged(peer, size).overdrawn_seconds()

    def _charged(self, peer: NodeId, size: int) -> _Use:
        use = self._working.get(peer) or self._resting.get(peer) or self._newcomer(peer)
        use.refill(self._now())
        use.level -= size
        if use.idle:
            self._rest(peer, use)
        return use

    def _newcomer(self, peer: NodeId) -> _Use:
        if self.tracked >= self._max_peers:
            if not self._resting:
                raise PeerBusy("too many peers are at work here", RETRY_SECONDS)
            del self._resting[next(iter(self._resting))]
        return _Use(self._now())

    def _wake(self, peer: NodeId, use: _Use) -> None:
        self._resting.pop(peer, None)
        self._working[peer] = use

    def _rest(self, peer: NodeId, use: _Use) -> None:
        """To the end of those at rest, if it has no call and no stream left."""
        if use.idle:
            self._working.pop(peer, None)
            self._resting.pop(peer, None)
            self._resting[peer] = use
