"""Keeps a node reachable that nobody can dial: it has a place at two consenting relays while so many are known.

A node cannot know for sure whether others can dial it, and a place costs a relay next to nothing until it is used; so
every node that does not relay itself takes places. Relays come from the directory. One that is doubted there (it
answers no ping, it said goodbye, it consents no longer) is replaced at once where another is known, and given up as
soon as it was replaced or its link is gone.

A relay gives places over direct links only. One that reached us first, through another relay, is dialled anew where
nothing is under way with it; no other link is cut, and nothing is started again. Seconds throughout; dates are the
loop's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Protocol

from waggle.core.errors import MeshError, PeerUnreachable, RemoteProtocolError, UsageError, WaggleError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.addresses import Scope
from waggle.mesh.libp2p.relay_choice import MAX_PROBED, MAX_RELAYS, choose_relays, offered_relays
from waggle.mesh.libp2p.stillness import Still, at_any_time
from waggle.mesh.transport import Transport

LOOK_SECONDS = 1.0
RENEW_SECONDS = 20.0
"""Asking again costs a relay 2 ms, and notices a place that it forgot: when our link broke and came back, say."""

REFUSED_SECONDS = 15.0
"""How long a relay that gave no place, or did not answer, is left alone."""

CUT_SECONDS = 300.0
"""How long no relayed link of a relay is dropped again: if it cannot be dialled directly, dropping it was a loss."""

MAX_PAUSED = 256
"""Relays of each kind that are remembered."""

log = logging.getLogger(__name__)


class Places(Protocol):
    """The places of one transport; `TakenPlaces` says what its methods do."""

    @property
    def relays(self) -> frozenset[NodeId]:
        """Where we have one."""
        ...

    async def take(self, relay: str) -> None:
        """Take or renew one at this address."""
        ...

    def leave(self, relay: NodeId) -> None:
        """Forget one."""
        ...


class RelayPlaces:
    """Looks after the places of one node; `run` it as a task."""

    def __init__(
        self,
        transport: Transport,
        places: Places,
        known: Callable[[], Iterable[Advert]],
        consents: Callable[[NodeId], bool],
        changed: Callable[[], Awaitable[None]],
        randomness: Random,
        *,
        busy: Callable[[NodeId], bool] = lambda _: False,
        still: Still = at_any_time,
        wanted: int = MAX_RELAYS,
        nearest: Scope = Scope.PUBLIC,
    ) -> None:
        """Have no place yet.

        Args:
            transport: dials relays.
            places: its places.
            known: the adverts of nodes that nobody doubts, relays or not; asked only while a place is missing.
            consents: whether a node is not doubted and relays.
            changed: called after our places have become others, so that the swarm is told; again where it fails.
            randomness: shuffles, so that not everybody takes the same relays.
            busy: whether calls or streams of a peer are under way at this end; they would break with its link.
            still: makes sure of both ends.
            wanted: how many places to have.
            nearest: how near a relay's addresses may be; see `offered_relays`.
        """
        self._transport = transport
        self._places = places
        self._known = known
        self._consents = consents
        self._changed = changed
        self._randomness = randomness
        self._busy = busy
        self._still = still
        self._wanted = wanted
        self._nearest = nearest
        self._ways: dict[NodeId, str] = {}
        self._renewed: dict[NodeId, float] = {}
        self._paused: dict[NodeId, float] = {}
        self._spared: dict[NodeId, float] = {}
        self._told: frozenset[NodeId] = frozenset()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look until cancelled; the network's errors do not end it."""
        while True:
            with suppress(MeshError):  # the transport is starting its daemon again, or is closed
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Renew what is due, replace what is lost or doubted, and tell the swarm where that changed our addresses."""
        async with self._looking:
            links = {link.peer: link.relayed for link in await self._transport.links()}
            self._drop_lost({peer for peer, relayed in links.items() if not relayed})
            await self._renew()
            if (missing := self._wanted - len(self._sound())) > 0:
                await self._take_more(missing, {peer for peer, relayed in links.items() if relayed})
            if len(sound := self._sound()) >= self._wanted:
                for doubted in self._places.relays - sound:
                    self._lose(doubted, "it was replaced")
            if self._places.relays != self._told:
                told = self._places.relays
                await self._changed()
                self._told = told

    def _sound(self) -> set[NodeId]:
        """Relays that hold a place for us and are not doubted."""
        return {relay for relay in self._places.relays if self._consents(relay)}

    def _drop_lost(self, linked: set[NodeId]) -> None:
        """A relay holds a place for as long as there is a direct link."""
        for relay in self._places.relays - linked:
            self._lose(relay, "its link is gone")

    async def _renew(self) -> None:
        """Not at doubted ones, which would keep us waiting. Silence alone costs no place: `RelayWatch` judges that."""
        due = [relay for relay in self._sound() if self._renewed[relay] + RENEW_SECONDS <= self._now()]
        for relay, error in await self._take([self._ways[relay] for relay in due]):
            if not isinstance(error, PeerUnreachable):
                self._lose(relay, str(error))
                self._remember(self._paused, relay, REFUSED_SECONDS)

    async def _take_more(self, count: int, relayed: set[NodeId]) -> None:
        """Take places at relays that answer, where we have none and did not fail to get one lately."""
        fresh = [advert for advert in self._known() if advert.relays and self._is_eligible(advert)]
        ready = [advert for advert in fresh if advert.node not in relayed] or await self._cut(fresh, count)
        offered = offered_relays(ready, self._randomness, nearest=self._nearest)[:MAX_PROBED]
        chosen = await choose_relays(self._transport, offered, count=count) if offered else ()
        if len(chosen) < count:
            for silent in {_relay_at(ways[0]) for ways in offered} - set(map(_relay_at, chosen)):
                self._remember(self._paused, silent, REFUSED_SECONDS)
        for relay, error in await self._take(chosen):
            log.info("no place at the relay %s: %s", relay, error)
            self._remember(self._paused, relay, REFUSED_SECONDS)

    def _is_eligible(self, advert: Advert) -> bool:
        if advert.node in self._places.relays or self._paused.get(advert.node, 0.0) > self._now():
            return False
        return bool(offered_relays([advert], self._randomness, nearest=self._nearest))

    async def _cut(self, relayed: Sequence[Advert], count: int) -> list[Advert]:
        """Those whose relayed link we could drop, at most `count`: the next link will be a direct one, if any."""
        now = self._now()
        idle = [
            advert for advert in relayed if self._spared.get(advert.node, 0.0) <= now and not self._busy(advert.node)
        ]
        cut = []
        for advert in idle[:count]:
            async with self._still(advert.node) as is_still:
                self._remember(self._spared, advert.node, CUT_SECONDS if is_still else REFUSED_SECONDS)
                if is_still:
                    await self._transport.disconnect(advert.node)
                    cut.append(advert)
        return cut

    async def _take(self, ways: Iterable[str]) -> list[tuple[NodeId, WaggleError]]:
        """Take or renew places at these addresses; gives who did not grant one, and why."""
        failures: list[tuple[NodeId, WaggleError]] = []

        async def take(way: str) -> None:
            relay = _relay_at(way)
            try:
                await self._places.take(way)
            except (MeshError, RemoteProtocolError, UsageError) as error:
                failures.append((relay, error))
            else:
                self._ways[relay], self._renewed[relay] = way, self._now()

        await asyncio.gather(*map(take, ways))
        return failures

    def _remember(self, dates: dict[NodeId, float], relay: NodeId, seconds: float) -> None:
        """Leave a relay alone for so long; those whose time is over are forgotten."""
        now = self._now()
        for old in [old for old, until in dates.items() if until <= now]:
            del dates[old]
        if len(dates) < MAX_PAUSED:
            dates[relay] = now + seconds

    def _lose(self, relay: NodeId, why: str) -> None:
        log.info("no place at the relay %s: %s", relay, why)
        self._places.leave(relay)
        self._ways.pop(relay, None)
        self._renewed.pop(relay, None)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _relay_at(way: str) -> NodeId:
    return NodeId(way.rpartition("/p2p/")[2])
