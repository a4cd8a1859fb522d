"""Asks nodes whether they are there, in time and never too often, and answers when asked.

A ping that fails is repeated. Where that fails too the node is suspect and three others are asked to ping it: that
tells a dead node from one that only we cannot reach, but makes it usable neither way. Rumours travel in pings, and two
pings of our own stand between a rumour and a suspicion that we tell on: some ten nodes hear of each, so if one lost
ping were enough, false rumours would never end where one ping in ten is lost. Everything a stranger can make us do is
limited: asking a node for somebody else needs a node that we know, and is done twice a second for one target and five
times for one asker at most.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable

from waggle.core.errors import MeshError, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.liveness.pace import Pace, Rates
from waggle.mesh.liveness.pings import (
    MAX_SMALL_BYTES,
    PING_PROTOCOL,
    PROBE_PROTOCOL,
    Hint,
    Ping,
    PleaseProbe,
    Pong,
    Probed,
)
from waggle.mesh.liveness.watch import Watch
from waggle.mesh.packing import decode_as, encode

HELPERS = 3
HEARERS = 8
"""Nodes that are told of a new suspicion at once."""
SECOND_HEARERS = 3
"""The same in a large swarm of a suspicion that began with a rumour."""
ENOUGH_USABLE = 64
"""With so many usable nodes newcomers are asked in the pace of pings, so that a large swarm does not rush at them."""
NEWCOMERS_AT_ONCE = 8
LATE_SECONDS = 0.5
"""A second ping follows where the first has not been answered in this time; the first may still be."""
MAX_NEWCOMERS = 1_024

Work = Callable[[], Coroutine[None, None, None]]


class Prober:
    """Pings of ours and of others."""

    def __init__(
        self,
        watch: Watch,
        dialer: Dialer,
        pace: Pace,
        *,
        pong: Callable[[tuple[Hint, ...]], Pong],
        on_answer: Callable[[NodeId, Pong, bool], None],
        on_change: Callable[[], None],
        spawn: Callable[[Work], None],
    ) -> None:
        """Ask nobody yet.

        Args:
            watch: what the answers are written to.
            dialer: the way to nodes.
            pace: the times.
            pong: our own answer, with these hints.
            on_answer: told of every answer, and whether it made the node usable.
            on_change: told when a node became suspect.
            spawn: runs something beside us.
        """
        self._watch = watch
        self._dialer = dialer
        self._pace = pace
        self._pong = pong
        self._on_answer = on_answer
        self._on_change = on_change
        self._spawn = spawn
        self._asking: set[NodeId] = set()
        self._newcomers: dict[NodeId, None] = {}
        self._asking_newcomers = 0
        self._targets = Rates(per_second=2.0, burst=2.0)
        self._askers = Rates(per_second=5.0, burst=10.0)
        self._gossips = Rates(per_second=2.0, burst=8.0)

    # --- when to ask -------------------------------------------------------------------------------------------------

    def tick(self, now: float, *, round_due: bool) -> None:
        """Start the pings that are due."""
        for node in self._watch.suspects_due(now):
            self._start(node, self._ask_again)
        if round_due and (turn := self._watch.next_in_round()):
            self._start(turn, self._probe)
        self._start_newcomers()

    def greet(self, node: NodeId) -> None:
        """A newcomer: ask it soon, at once while we know few usable nodes."""
        if len(self._newcomers) < MAX_NEWCOMERS:
            self._newcomers[node] = None
        if self._watch.usable_count < ENOUGH_USABLE:
            self._start_newcomers()

    def hurry(self, node: NodeId, now: float) -> None:
        """A node that is not usable called us: ask it now, if it was not asked a moment ago."""
        pulse = self._watch.pulse(node)
        if pulse is not None and now - pulse.asked_at > self._pace.tick:
            self._start(node, self._ask_again)

    def hear(self, hints: Iterable[Hint], informer: NodeId, now: float) -> None:
        """Rumours of silence: ask for ourselves, within bounds."""
        for hint in hints:
            doubtful = hint.node not in self._asking and self._watch.is_doubtful(hint.node, hint.incarnation, now)
            if doubtful and self._gossips.allow(informer, now):
                self._watch.doubt(hint.node, now)
                self._start(hint.node, self._check_rumour)

    def _start_newcomers(self) -> None:
        most = NEWCOMERS_AT_ONCE if self._watch.usable_count < ENOUGH_USABLE else 1
        while self._newcomers and self._asking_newcomers < most:
            node = next(iter(self._newcomers))
            del self._newcomers[node]
            if node in self._watch:
                self._start(node, self._meet)

    def _start(self, node: NodeId, ask: Callable[[NodeId], Coroutine[None, None, None]]) -> None:
        """Begin to ask a node, unless it is being asked."""
        if node not in self._asking:
            self._asking.add(node)
            self._spawn(lambda: self._run(node, ask(node)))

    async def _run(self, node: NodeId, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        finally:
            self._asking.discard(node)

    # --- asking ------------------------------------------------------------------------------------------------------

    async def _meet(self, node: NodeId) -> None:
        """The first pings of a newcomer, four before it is suspect."""
        self._asking_newcomers += 1
        try:
            if not await self._ask_twice(node) and not await self._ask_twice(node):
                self._suspect(node)
        finally:
            self._asking_newcomers -= 1
            if self._watch.usable_count < ENOUGH_USABLE:
                self._start_newcomers()

    async def _ask_again(self, node: NodeId) -> None:
        """A suspect's next chance."""
        if not await self.ping(node):
            self._suspect(node)

    async def _check_rumour(self, node: NodeId) -> None:
        """Others could not reach it; where we cannot either, it is suspect to us too."""
        if not await self._ask_twice(node):
            self._suspect(node, hearers=HEARERS if self._watch.usable_count < ENOUGH_USABLE else SECOND_HEARERS)

    async def _probe(self, node: NodeId) -> None:
        """Our turn to ask it."""
        if await self._ask_twice(node):
            return
        self._suspect(node)
        if await self._ask_others(node):
            self._watch.vouch(node)

    async def _ask_twice(self, node: NodeId) -> bool:
        """Ping it, and once more as soon as the first ping fails or, once there is a link, its answer is late."""
        if not await self._link(node):
            return await self.ping(node)
        first = asyncio.create_task(self._call(node))
        try:
            await asyncio.wait([first], timeout=LATE_SECONDS)
            return (first.done() and first.result()) or await self.ping(node) or await first
        finally:
            first.cancel()

    def _suspect(self, node: NodeId, *, hearers: int = HEARERS) -> None:
        """Choose it no longer; where it was usable, tell some others."""
        if not self._watch.suspect(node, asyncio.get_running_loop().time()):
            return
        self._on_change()
        for hearer in self._watch.some(hearers):
            self._start(hearer, self._probe)  # its ping carries the hints

    async def ping(self, node: NodeId) -> bool:
        """Ask a node once and write down whether it answered. Making the link first may take some seconds more."""
        return await self._link(node) and await self._call(node)

    async def _link(self, node: NodeId) -> bool:
        """The first half of a ping."""
        self._watch.asked(node, asyncio.get_running_loop().time())
        try:
            await self._dialer.ready(node, seconds=self._pace.link_seconds)
        except (MeshError, RemoteProtocolError):
            self._watch.failed(node)
            return False
        return True

    async def _call(self, node: NodeId) -> bool:
        """The second half."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        request = encode(Ping(self._watch.hints()), MAX_SMALL_BYTES)
        try:
            reply = await self._dialer.call(node, PING_PROTOCOL, request, seconds=self._pace.ping_seconds)
            pong = decode_as(Pong, reply, MAX_SMALL_BYTES, sender=node)
        except (MeshError, RemoteProtocolError):
            self._watch.failed(node)
            return False
        now = loop.time()
        self._on_answer(node, pong, self._watch.answered(node, now, now - started, pong.load))
        self.hear(pong.hints, node, now)
        return True

    async def _ask_others(self, node: NodeId) -> bool:
        """Whether anybody says that it answers."""
        helpers = self._watch.some(HELPERS, but=[node])
        return any(await asyncio.gather(*(self._ask_helper(helper, node) for helper in helpers)))

    async def _ask_helper(self, helper: NodeId, node: NodeId) -> bool:
        request = encode(PleaseProbe(node), MAX_SMALL_BYTES)
        try:
            reply = await self._dialer.call(helper, PROBE_PROTOCOL, request, seconds=2 * self._pace.ping_seconds)
            return decode_as(Probed, reply, MAX_SMALL_BYTES, sender=helper).answered
        except (MeshError, RemoteProtocolError):
            return False

    # --- being asked -------------------------------------------------------------------------------------------------

    async def serve_ping(self, caller: NodeId, request: bytes) -> bytes:
        """Answer at once, whatever else we do."""
        ping = decode_as(Ping, request, MAX_SMALL_BYTES, sender=caller)
        self.hear(ping.hints, caller, asyncio.get_running_loop().time())
        return encode(self._pong(self._watch.hints()), MAX_SMALL_BYTES)

    async def serve_probe(self, caller: NodeId, request: bytes) -> bytes:
        """Ping a node that we know for somebody who cannot reach it."""
        node = decode_as(PleaseProbe, request, MAX_SMALL_BYTES, sender=caller).node
        return encode(Probed(await self._help(caller, node)), MAX_SMALL_BYTES)

    async def _help(self, caller: NodeId, node: NodeId) -> bool:
        now = asyncio.get_running_loop().time()
        pulse = self._watch.pulse(node)
        if pulse is None or not self._askers.allow(caller, now):
            return False
        return self._targets.allow(node, now) and await self.ping(node)
