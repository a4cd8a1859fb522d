"""Turns relayed links into direct ones: drop the link and dial again, some times, until the two NATs let us through.

libp2p punches holes by itself, but once per link, and that one try often comes too early: a node has to hear its own
address from four others first. A new link is a new try. Dialling again cuts the link for some milliseconds, and with it
whatever is under way: so both ends stand still for it (`stillness`), and one that is at work is left alone. Of two
seekers the one with the smaller id goes first, so that they do not cut each other's tries short. A peer that stays
relayed after `MAX_TRIES` is left at that, with small messages only, and tried again after `FORGET_SECONDS`.

A relayed link that is lost is dialled again too, through whatever relay still works. The daemon tries relays one after
the other and gives a dead one 5 s, so short calls alone would never get past it.

Knows no libp2p, only the `Transport` seam. Seconds throughout; dates are the loop's.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from random import Random

from msgspec import Struct

from waggle.core.errors import MeshError, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.stillness import Still, at_any_time
from waggle.mesh.limits import MAX_PEERS_TRACKED
from waggle.mesh.transport import Transport

MAX_TRIES = 5
"""Dials for a direct link; with four public nodes the first one was enough in 40 of 40 runs."""

MAX_RESCUES = 3
"""Dials for a lost link: a peer that cannot be had any more is not dialled for ever."""

MAX_REFUSALS = 14
"""After so many in a row, each longer apart, a peer that is always at work is asked about once a minute."""

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
RESCUE_SECONDS = 15.0
"""Two dead relays of 5 s each, and one that works."""

FORGET_SECONDS = 900.0
MAX_AT_ONCE = 4


class Attempts(Struct):
    """What was tried with one peer since its link came up relayed, and when to try next."""

    due: float
    forget: float
    tries: int = 0
    rescues: int = 0
    refusals: int = 0
    """How often in a row the other side had something under way."""


class DirectSeeker:
    """Watches the links of one transport; `run` it as a task."""

    def __init__(
        self,
        transport: Transport,
        addresses_of: Callable[[NodeId], Sequence[str]],
        randomness: Random,
        *,
        busy: Callable[[NodeId], bool] = lambda _: False,
        still: Still = at_any_time,
    ) -> None:
        """Do nothing yet.

        Args:
            transport: whose links to watch.
            addresses_of: where a peer can be dialled now, direct and through relays, each ending in `/p2p/<id>`; empty
                where we do not know or do not want to, and then its link is left alone.
            randomness: for the jitter of the waits.
            busy: whether calls or streams of a peer are under way at this end, in either direction; they would break.
            still: makes sure of both ends.
        """
        self._transport = transport
        self._addresses_of = addresses_of
        self._random = randomness
        self._busy = busy
        self._still = still
        self._attempts: dict[NodeId, Attempts] = {}
        self._dialling: set[NodeId] = set()

    @property
    def tries(self) -> Mapping[NodeId, int]:
        """How often each peer was dialled for a direct link since its link was last direct."""
        return {peer: attempts.tries for peer, attempts in self._attempts.items() if attempts.tries}

    async def run(self) -> None:
        """Look and dial until cancelled; the network's errors do not end it."""
        async with asyncio.TaskGroup() as dials:
            while True:
                with suppress(MeshError):  # the transport is starting its daemon again, or is closed
                    await self._look(dials)
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, dials: asyncio.TaskGroup) -> None:
        """Look at the links once, and dial those that are due, at most MAX_AT_ONCE side by side."""
        links = await self._transport.links()
        now = self._now()
        relayed = {link.peer for link in links if link.relayed}
        self._forget(now, {link.peer for link in links} - relayed)
        for peer in relayed:
            self._note(peer, now)
        for peer, attempts in self._attempts.items():
            if len(self._dialling) < MAX_AT_ONCE and attempts.due <= now and peer not in self._dialling:
                if peer not in relayed and attempts.rescues < MAX_RESCUES:
                    self._start(dials, peer, self._rescue(peer, attempts))
                elif peer in relayed and attempts.tries < MAX_TRIES and not self._busy(peer):
                    self._start(dials, peer, self._dial_again(peer, attempts))

    def _forget(self, now: float, direct: set[NodeId]) -> None:
        """Those whose link is direct, and those with whom nothing was tried for long."""
        for peer, attempts in list(self._attempts.items()):
            if peer in direct or (attempts.forget <= now and peer not in self._dialling):
                del self._attempts[peer]

    def _note(self, peer: NodeId, now: float) -> None:
        """A relayed link is up."""
        attempts = self._attempts.get(peer)
        if attempts is not None:
            attempts.rescues = 0
        elif len(self._attempts) < MAX_PEERS_TRACKED:
            begin = 0.0 if self._transport.node_id < peer else OTHER_SIDE_SECONDS
            self._attempts[peer] = Attempts(due=now + begin + self._wait(0), forget=now + FORGET_SECONDS)

    def _wait(self, tries: int) -> float:
        return PATIENCE_SECONDS * BACK_OFF**tries * (1 + JITTER * self._random.random())

    def _start(self, dials: asyncio.TaskGroup, peer: NodeId, dial: Coroutine[None, None, None]) -> None:
        self._dialling.add(peer)
        dials.create_task(dial).add_done_callback(lambda _: self._dialling.discard(peer))

    async def _dial_again(self, peer: NodeId, attempts: Attempts) -> None:
        if ways := tuple(self._addresses_of(peer)):
            with suppress(MeshError, UsageError, RemoteProtocolError):  # a link lost now is a case for `_rescue`
                async with self._still(peer) as is_still:
                    if not is_still:
                        self._ask_later(attempts)
                        return
                    attempts.tries += 1
                    attempts.refusals = 0
                    await self._transport.disconnect(peer)
                    await self._transport.connect(ways, seconds=DIAL_SECONDS)
        self._set_back(attempts, attempts.tries)

    async def _rescue(self, peer: NodeId, attempts: Attempts) -> None:
        if ways := tuple(self._addresses_of(peer)):
            with suppress(MeshError, UsageError, RemoteProtocolError):
                await self._transport.connect(ways, seconds=RESCUE_SECONDS)
        attempts.rescues += 1
        self._set_back(attempts, attempts.rescues)

    def _ask_later(self, attempts: Attempts) -> None:
        """The other side has something under way: a call that is soon over, as a rule."""
        wait = LOOK_SECONDS * BACK_OFF ** min(attempts.refusals, MAX_REFUSALS) * (1 + JITTER * self._random.random())
        attempts.refusals += 1
        attempts.due, attempts.forget = self._now() + wait, self._now() + FORGET_SECONDS

    def _set_back(self, attempts: Attempts, tries: int) -> None:
        attempts.due, attempts.forget = self._now() + self._wait(tries), self._now() + FORGET_SECONDS

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
