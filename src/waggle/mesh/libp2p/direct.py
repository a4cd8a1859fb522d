"""Turns relayed links into direct ones: drop the link and dial again, some times, until the two NATs let us through.

libp2p punches holes by itself, but once per link, and that one try often comes too early: a node has to hear its own
address from four others first. A new link is a new try. Dialling again cuts the link for some milliseconds; it is left
alone while `busy` says that it is in use. Of two seekers the one with the smaller id goes first, so that they do not
cut each other's tries short. A peer that stays relayed after `MAX_TRIES` is left at that, with small messages only,
and tried again after `FORGET_SECONDS`.

Knows no libp2p, only the `Transport` seam. Seconds throughout.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random

from msgspec import Struct

from waggle.core.errors import MeshError, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.limits import MAX_PEERS_TRACKED
from waggle.mesh.transport import Transport

MAX_TRIES = 5
LOOK_SECONDS = 0.5
"""Between two looks at the links: one small request to the daemon each."""

PATIENCE_SECONDS = 2.0
"""What libp2p's own try is given after a link came up; a punch that works takes well under a second."""

BACK_OFF = 1.4
"""Every wait is that much longer than the one before."""

OTHER_SIDE_SECONDS = 9.0
"""How much later the side with the larger id begins: after three tries of the other, which may know no address."""

JITTER = 0.2
"""The share of a wait that is random."""

DIAL_SECONDS = 5.0
FORGET_SECONDS = 900.0
MAX_AT_ONCE = 4


class Attempts(Struct):
    """What was tried with one peer since its link came up relayed; `due` and `seen` are on the loop's clock."""

    due: float
    seen: float
    tries: int = 0


class DirectSeeker:
    """Watches the links of one transport; `run` it as a task."""

    def __init__(
        self,
        transport: Transport,
        addresses_of: Callable[[NodeId], Sequence[str]],
        randomness: Random,
        *,
        busy: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        """Do nothing yet.

        Args:
            transport: whose links to watch.
            addresses_of: where a peer can be dialled, direct and through relays, each ending in `/p2p/<id>`; empty
                where we do not know, and then its link is left alone.
            randomness: for the jitter of the waits.
            busy: whether calls or streams of a peer are under way, in either direction; they would break.
        """
        self._transport = transport
        self._addresses_of = addresses_of
        self._random = randomness
        self._busy = busy
        self._attempts: dict[NodeId, Attempts] = {}

    @property
    def tries(self) -> Mapping[NodeId, int]:
        """How often each peer was dialled again since its link was last direct."""
        return {peer: attempts.tries for peer, attempts in self._attempts.items() if attempts.tries}

    async def run(self) -> None:
        """Look and dial until cancelled; the network's errors do not end it."""
        while True:
            with suppress(MeshError):  # the transport is starting its daemon again, or is closed
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look at the links once, and dial again those that are due, at most MAX_AT_ONCE side by side."""
        now = asyncio.get_running_loop().time()
        due = [peer for peer in await self._relayed(now) if self._is_due(peer, now)]
        async with asyncio.TaskGroup() as group:
            for peer in due[:MAX_AT_ONCE]:
                group.create_task(self._dial_again(peer))

    async def _relayed(self, now: float) -> list[NodeId]:
        """The peers whose links lead through relays; what is kept of all others is brought up to date."""
        links = await self._transport.links()
        for link in links:
            if not link.relayed:
                self._attempts.pop(link.peer, None)
        relayed = [link.peer for link in links if link.relayed]
        for peer in relayed:
            self._note(peer, now)
        old = [peer for peer, attempts in self._attempts.items() if now - attempts.seen > FORGET_SECONDS]
        for peer in old:
            del self._attempts[peer]
        return [peer for peer in relayed if peer in self._attempts]

    def _note(self, peer: NodeId, now: float) -> None:
        attempts = self._attempts.get(peer)
        if attempts is None:
            if len(self._attempts) < MAX_PEERS_TRACKED:
                begin = 0.0 if self._transport.node_id < peer else OTHER_SIDE_SECONDS
                self._attempts[peer] = Attempts(due=now + begin + self._wait(0), seen=now)
        elif attempts.tries < MAX_TRIES:
            attempts.seen = now  # of one that is given up the date stays, so that it is forgotten in time

    def _wait(self, tries: int) -> float:
        return PATIENCE_SECONDS * BACK_OFF**tries * (1 + JITTER * self._random.random())

    def _is_due(self, peer: NodeId, now: float) -> bool:
        attempts = self._attempts[peer]
        return attempts.tries < MAX_TRIES and attempts.due <= now and not self._busy(peer)

    async def _dial_again(self, peer: NodeId) -> None:
        attempts = self._attempts[peer]
        if ways := tuple(self._addresses_of(peer)):
            attempts.tries += 1
            # A peer that is left without a link is no concern of ours: whoever wants it next dials it.
            with suppress(MeshError, UsageError):
                await self._transport.disconnect(peer)
                await self._transport.connect(ways, seconds=DIAL_SECONDS)
        attempts.due = asyncio.get_running_loop().time() + self._wait(attempts.tries)
