"""The physics of the simulated network: when a message arrives, and whether it does.

Knows node ids, sizes and callbacks; nothing of calls, streams or links. All chance comes from one seeded generator, all
time from the running loop, so that one seed gives one run.

`post` sends what may get lost: a call's request and reply. `carry` sends what the real network repeats until it
arrives (streams, dials, farewells): every loss costs a wait that doubles, and after MAX_REPEATS losses in a row it
gives up. Under a partition posted messages vanish, and carried ones wait for the heal or are dropped with their link.
"""

import asyncio
import random
from functools import partial

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.memory.agenda import Action, Agenda

REPEAT_SECONDS = 0.2
"""Wait before the first repetition; TCP's shortest on Linux."""

MAX_REPEATS = 6
"""Losses in a row that break a link: 0.2 + 0.4 + ... + 6.4 = 12.6 seconds."""


class Conditions(Struct, frozen=True, kw_only=True):
    """The state of one direction between two nodes; the default is a perfect wire.

    A message of s bytes arrives after `s / bandwidth + delay + u` seconds, u drawn evenly from [0, jitter].
    """

    delay: float = 0.0
    """Seconds one way."""
    jitter: float = 0.0
    """Seconds at most on top."""
    loss: float = 0.0
    """Share of messages that get lost, in [0, 1]."""
    reordering: float = 0.0
    """Share of messages held back for another `delay + jitter` seconds, so that later ones overtake them."""
    bandwidth: float | None = None
    """Bytes per second that leave one after the other; None is unlimited."""

    def __post_init__(self) -> None:
        """Raise UsageError for what no network can be like."""
        if not (0 <= self.loss <= 1 and 0 <= self.reordering <= 1):
            raise UsageError(f"loss {self.loss} and reordering {self.reordering} are shares: give numbers from 0 to 1")
        if not (0 <= self.delay < 1e6 and 0 <= self.jitter < 1e6):
            raise UsageError(f"delay {self.delay} and jitter {self.jitter} are seconds: give numbers from 0")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise UsageError(f"a bandwidth of {self.bandwidth} bytes per second lets nothing through")


class Wires:
    """The ways between all nodes, with conditions that may change at any moment."""

    def __init__(self, seed: int, conditions: Conditions) -> None:
        """Every way is under `conditions` until another is set for it."""
        self.agenda = Agenda()
        self.conditions = conditions
        self.ways: dict[tuple[NodeId, NodeId], Conditions] = {}
        self.groups: dict[NodeId, int] = {}
        self.cuts: set[frozenset[NodeId]] = set()
        self.messages = 0
        self.bytes = 0
        self._random = random.Random(seed)
        self._free_at: dict[tuple[NodeId, NodeId], float] = {}
        self._held: list[tuple[NodeId, NodeId, Action]] = []

    def separated(self, a: NodeId, b: NodeId) -> bool:
        """Whether a partition lies between two nodes; those in no group form one of their own."""
        return bool(self.groups) and self.groups.get(a, -1) != self.groups.get(b, -1)

    def cut(self, a: NodeId, b: NodeId) -> bool:
        """Whether the two nodes have been cut off from each other."""
        return bool(self.cuts) and frozenset((a, b)) in self.cuts

    def post(self, source: NodeId, target: NodeId, size: int, arrive: Action) -> None:
        """Send a message that may get lost."""
        way = self._way(source, target, size)
        if self.separated(source, target) or (way.loss and self._random.random() < way.loss):
            return
        loop = asyncio.get_running_loop()
        seconds = self._latency(way, source, target, size)
        if seconds:
            self.agenda.at(loop.time() + seconds, arrive)
        else:
            loop.call_soon(arrive)

    def carry(
        self, source: NodeId, target: NodeId, size: int, arrive: Action, give_up: Action, *, not_before: float = 0.0
    ) -> float:
        """Send a message that is repeated until it arrives; gives its time of arrival, never before `not_before`."""
        way = self._way(source, target, size)
        loop = asyncio.get_running_loop()
        repeats = self._repeats(way)
        waits = REPEAT_SECONDS * (2.0**repeats - 1)
        if repeats > MAX_REPEATS:
            self.agenda.at(loop.time() + REPEAT_SECONDS * (2.0**MAX_REPEATS - 1), give_up)
            return not_before
        arrival = max(not_before, loop.time() + waits + self._latency(way, source, target, size))
        if arrival > loop.time():
            self.agenda.at(arrival, partial(self._arrive, source, target, arrive))
        else:
            loop.call_soon(self._arrive, source, target, arrive)
        return arrival

    def release(self) -> None:
        """Send on what waited for a partition that lies no longer in its way."""
        held, self._held = self._held, []
        for source, target, arrive in held:
            when = asyncio.get_running_loop().time() + REPEAT_SECONDS
            self.agenda.at(when, partial(self._arrive, source, target, arrive))

    def drop_held(self) -> None:
        """Forget what waits for a heal."""
        self._held.clear()

    def _arrive(self, source: NodeId, target: NodeId, arrive: Action) -> None:
        if self.separated(source, target):
            self._held.append((source, target, arrive))
        else:
            arrive()

    def _way(self, source: NodeId, target: NodeId, size: int) -> Conditions:
        self.messages += 1
        self.bytes += size
        return self.ways.get((source, target), self.conditions) if self.ways else self.conditions

    def _repeats(self, way: Conditions) -> int:
        repeats = 0
        while way.loss and repeats <= MAX_REPEATS and self._random.random() < way.loss:
            repeats += 1
        return repeats

    def _latency(self, way: Conditions, source: NodeId, target: NodeId, size: int) -> float:
        seconds = way.delay
        if way.jitter:
            seconds += way.jitter * self._random.random()
        if way.reordering and self._random.random() < way.reordering:
            seconds += way.delay + way.jitter
        if way.bandwidth is not None:
            seconds += self._queueing(source, target, size / way.bandwidth)
        return seconds

    def _queueing(self, source: NodeId, target: NodeId, seconds: float) -> float:
        """How long until the last byte has left, behind all that left before."""
        now = asyncio.get_running_loop().time()
        done = max(now, self._free_at.get((source, target), 0.0)) + seconds
        self._free_at[source, target] = done
        return done - now
