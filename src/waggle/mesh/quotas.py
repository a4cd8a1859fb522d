"""What one peer may use of us at a time: calls in flight, streams, bytes and messages per second.

Every transport asks before it works for a peer, so that one peer can neither exhaust us nor crowd out the others. Knows
no transport and no clock of its own. Invariants: the counts are those of the open `with` blocks; at most
`MAX_PEERS_TRACKED` peers are remembered; a peer at work is never forgotten.

Bytes are a token bucket: full at `BURST_BYTES`, refilled at `MAX_BYTES_PER_SECOND`. Every message is charged
`MESSAGE_BYTES` beside its own, because checking it costs the same however short it is. The bucket may be overdrawn,
because what has arrived has arrived: the peer is then not heard until it is level again, and new calls are refused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.core.token_bucket import TokenBucket
from waggle.mesh.limits import (
    BURST_BYTES,
    MAX_BYTES_PER_SECOND,
    MAX_CALLS_PER_PEER,
    MAX_PEERS_TRACKED,
    MAX_STREAMS_PER_PEER,
    MESSAGE_BYTES,
)

RETRY_SECONDS = 0.1
"""What a refused peer is told to wait: most calls are over by then."""


class _Use:
    """One peer's use of us; `bytes` is what it may still send at once."""

    __slots__ = ("bytes", "calls", "streams")

    def __init__(self, bucket: TokenBucket) -> None:
        self.calls = 0
        self.streams = 0
        self.bytes = bucket

    @property
    def idle(self) -> bool:
        return self.calls == 0 and self.streams == 0


class PeerQuotas:
    """The limits of `waggle.mesh.limits` on each peer; one for every transport, on the serving side."""

    def __init__(
        self,
        now: Callable[[], float],
        *,
        max_peers: int = MAX_PEERS_TRACKED,
        bytes_per_second: float = MAX_BYTES_PER_SECOND,
    ) -> None:
        """Remember nobody yet. `now` gives seconds that never run backwards, such as the loop's time."""
        self._now = now
        self._bytes_per_second = bytes_per_second
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
            size: bytes of the request; they and a message are charged once the call is let in.

        Raises:
            PeerBusy: on entry, where the peer has MAX_CALLS_PER_PEER calls in flight or its bytes are overdrawn, or
                where everybody we can remember is at work. `retry_after` says in how many seconds to come again.
        """
        use = self._use_of(peer)
        if (seconds := use.bytes.wait(self._now())) > 0:
            raise PeerBusy("this peer sends too much", seconds)
        if use.calls >= MAX_CALLS_PER_PEER:
            raise PeerBusy(f"{use.calls} calls of this peer are in flight", RETRY_SECONDS)
        use.bytes.spend(size + MESSAGE_BYTES, self._now())
        use.calls += 1
        self._wake(peer, use)
        try:
            yield
        finally:
            use.calls -= 1
            self._rest(peer, use)

    @contextmanager
    def stream(self, peer: NodeId) -> Iterator[None]:
        """Hold one of the peer's places for a stream while the block runs. Opening it is charged as a message.

        Raises:
            PeerBusy: on entry, where the peer has MAX_STREAMS_PER_PEER streams open, or everybody is at work.
        """
        use = self._use_of(peer)
        if use.streams >= MAX_STREAMS_PER_PEER:
            raise PeerBusy(f"{use.streams} streams of this peer are open", RETRY_SECONDS)
        use.bytes.spend(MESSAGE_BYTES, self._now())
        use.streams += 1
        self._wake(peer, use)
        try:
            yield
        finally:
            use.streams -= 1
            self._rest(peer, use)

    def spend(self, peer: NodeId, size: int, messages: int = 0) -> float:
        """Charge what came from the peer; gives the seconds for which it is not to be heard, 0 within the burst.

        10 MiB at once from a new peer: 8 are the burst, the other 2 are a pause of 1 s. 512 messages are charged
        another 2 MiB, a second more. PeerBusy as for `call` where it is a peer without a call or stream that we have
        no room to remember.
        """
        use = self._use_of(peer)
        return use.bytes.spend(size + messages * MESSAGE_BYTES, self._now())

    def _use_of(self, peer: NodeId) -> _Use:
        use = self._working.get(peer) or self._resting.get(peer) or self._newcomer(peer)
        if use.idle:
            self._rest(peer, use)
        return use

    def _newcomer(self, peer: NodeId) -> _Use:
        if self.tracked >= self._max_peers:
            if not self._resting:
                raise PeerBusy("too many peers are at work here", RETRY_SECONDS)
            del self._resting[next(iter(self._resting))]
        return _Use(TokenBucket(BURST_BYTES, self._bytes_per_second, self._now()))

    def _wake(self, peer: NodeId, use: _Use) -> None:
        self._resting.pop(peer, None)
        self._working[peer] = use

    def _rest(self, peer: NodeId, use: _Use) -> None:
        """To the end of those at rest, if it has no call and no stream left."""
        if use.idle:
            self._working.pop(peer, None)
            self._resting.pop(peer, None)
            self._resting[peer] = use
