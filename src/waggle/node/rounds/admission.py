"""Room for work: so many pieces at once, a short queue behind them, taken in turn from those who asked.

A full node says so at once (`PeerBusy`, with its estimate of when to come again) instead of queueing silently. Places
go round between askers, so one who asks a hundred things holds up another's one by a single turn. Invariants: at most
`capacity` places are held; a place that becomes free while somebody waits is handed on, never lost.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load

SMOOTHING = 0.2  # weight of the newest piece of work in the running mean of its duration
FIRST_GUESS_SECONDS = 1.0


class Admission:
    """Hands out places; all methods belong to one event loop."""

    def __init__(self, *, capacity: int, queue: int, queue_per_asker: int, unbounded: Collection[NodeId] = ()) -> None:
        """No work yet.

        Args:
            capacity: pieces of work at once.
            queue: pieces that may wait, of all askers together.
            queue_per_asker: of those, how many may be one asker's.
            unbounded: askers for whom that does not hold: the whole queue may be theirs.
        """
        self._capacity = capacity
        self._queue = queue
        self._queue_per_asker = queue_per_asker
        self._unbounded = frozenset(unbounded)
        self._running = 0
        self._waiting: OrderedDict[NodeId, deque[asyncio.Future[None]]] = OrderedDict()  # whose turn it is first
        self._mean_seconds = FIRST_GUESS_SECONDS

    @property
    def load(self) -> Load:
        """How busy we are."""
        return Load(running=self._running, waiting=self._count_waiting(), capacity=self._capacity)

    @asynccontextmanager
    async def place(self, asker: NodeId) -> AsyncIterator[None]:
        """Hold a place while the block runs, waiting for it in the asker's own queue.

        Raises:
            PeerBusy: at once, where the queue is full.
        """
        await self._enter(asker)
        started = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            took = asyncio.get_running_loop().time() - started
            self._mean_seconds += SMOOTHING * (took - self._mean_seconds)
            self._leave()

    async def _enter(self, asker: NodeId) -> None:
        if self._running < self._capacity:
            self._running += 1
            return
        own = self._waiting.get(asker, ())
        much = len(own) >= self._queue_per_asker and asker not in self._unbounded
        if much or self._count_waiting() >= self._queue:
            raise PeerBusy("no room now", self._wait_seconds())
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(asker, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._forget(asker, turn)
            raise

    def _forget(self, asker: NodeId, turn: "asyncio.Future[None]") -> None:
        """One who waited has gone; had it been given a place in the same moment, the place goes on to the next."""
        if not turn.cancelled():
            self._leave()
            return
        turns = self._waiting.get(asker, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(asker, None)

    def _leave(self) -> None:
        """Hand the place to the asker whose turn it is, who then goes to the end of the line."""
        while self._waiting:
            asker, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[asker] = turns
            if not turn.cancelled():  # else it has given up and only not heard of it yet
                turn.set_result(None)
                return
        self._running -= 1

    def _count_waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _wait_seconds(self) -> float:
        """When the queue should have moved on by one place for every asker in it."""
        return self._mean_seconds * (1 + self._count_waiting()) / self._capacity
