"""What a member does by itself: react to what arrives, and a few times a second do what is due."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from random import Random

from waggle.core.errors import MeshError, PeerBusy, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load
from waggle.mesh.adverts.directory import Directory, Verdict
from waggle.mesh.adverts.signed import AdvertReader, OpenAdvert
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.liveness.lost import Lost
from waggle.mesh.liveness.pace import Pace, Schedule
from waggle.mesh.liveness.pings import PING_PROTOCOL, PROBE_PROTOCOL, Hint, Pong
from waggle.mesh.liveness.prober import Prober
from waggle.mesh.liveness.watch import Watch
from waggle.mesh.members.gossip import NEWS_FANOUT, Gossip
from waggle.mesh.members.messages import COMPARE_PROTOCOL, NEWS_PROTOCOL, TRADE_PROTOCOL
from waggle.mesh.members.own_advert import OwnAdvert
from waggle.mesh.members.seeking import Seeker
from waggle.mesh.members.troubles import Troubles
from waggle.mesh.transport import CallHandler, Transport

Work = Callable[[], Coroutine[None, None, None]]


class Upkeep:
    """The parts of a membership, wired together. `running` says whether work is taken on."""

    def __init__(
        self,
        transport: Transport,
        own: OwnAdvert,
        directory: Directory,
        reader: AdvertReader,
        pace: Pace,
        *,
        rng: Random,
        wall: Callable[[], float],
        load: Callable[[], Load],
        on_change: Callable[[], None],
    ) -> None:
        """Wire the parts; nothing runs yet."""
        self.own = own
        self.directory = directory
        self.watch = Watch(pace, rng)
        self.lost = Lost(pace, rng)
        self.dialer = Dialer(transport, self._addresses_of)
        self.prober = Prober(
            self.watch,
            self.dialer,
            pace,
            pong=self._pong,
            on_answer=self._answered,
            on_change=on_change,
            spawn=self.spawn,
        )
        self.gossip = Gossip(
            directory,
            self.dialer,
            reader,
            wall=wall,
            rng=rng,
            on_advert=self._took,
            on_own=self._met_ourselves,
            on_refusal=lambda words: self.troubles.hear(words, asyncio.get_running_loop().time()),
        )
        self.seeker = Seeker(directory, self.watch, self.dialer, self.gossip, self.prober, pace)
        self.load = load
        self.troubles = Troubles()
        self.on_double: Callable[[Sequence[str]], None] = lambda addresses: None
        """Told where somebody who signs with our key says to be."""
        self._transport = transport
        self._pace = pace
        self._rng = rng
        self._wall = wall
        self._on_change = on_change
        self._group: asyncio.TaskGroup | None = None
        self._telling = False

    # --- the task ----------------------------------------------------------------------------------------------------

    async def run(self, started: asyncio.Event) -> None:
        """Live until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self._group:
            started.set()
            try:
                await self._go_on(Schedule(self._pace, self._rng, loop.time()))
            finally:
                self._group = None  # what ends now may want to begin something else: nothing begins any more

    async def _go_on(self, schedule: Schedule) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._beat(schedule, loop.time())
            await asyncio.sleep(self._pace.tick * (0.8 + 0.4 * self._rng.random()))

    def spawn(self, work: Work) -> None:
        """Run something beside; what fails for the network's sake is done with."""
        if self._group is not None:
            self._group.create_task(_quietly(work))

    async def _beat(self, schedule: Schedule, now: float) -> None:
        self._bury_the_dead(now)
        self.prober.tick(now, round_due=schedule.ping_due(now))
        for node in self.lost.due(now):
            self.spawn(partial(self.seeker.look_for, node))
        if schedule.renewal_due(now):
            await self.renew()
        if schedule.exchange_due(now, len(self.directory)):
            self.spawn(self.seeker.exchange_with_somebody)
        if not self.watch.usable_count and schedule.invites_due(now):
            self.spawn(self.seeker.join_again)

    def _bury_the_dead(self, now: float) -> None:
        gone = self.directory.expire(now=now, wall=self._wall())
        gone += [advert for node in self.watch.condemned(now) if (advert := self.directory.bury(node, now=now))]
        for advert in gone:
            if self.watch.has_answered(advert.node) or advert.node in self.lost:
                self.lost.add(advert, now)
            self._lose(advert.node)

    def _lose(self, node: NodeId) -> None:
        self.watch.forget(node)
        self.dialer.forget(node)
        self._on_change()

    # --- reactions ---------------------------------------------------------------------------------------------------

    def _took(self, advert: OpenAdvert, verdict: Verdict) -> None:
        """The directory took an advert."""
        now = asyncio.get_running_loop().time()
        node = advert.advert.node
        for dropped in self.directory.take_dropped():
            self._lose(dropped)
        if verdict is not Verdict.NEWS:
            return
        if advert.advert.departed:
            self.lost.drop(node)
            self._lose(node)
        elif self.watch.add(node, advert.advert.incarnation, now, was_lost=node in self.lost):
            self.prober.greet(node)
        self._tell_soon()
        self._on_change()

    def _answered(self, node: NodeId, pong: Pong, became_usable: bool) -> None:
        """A node answered our ping."""
        now = asyncio.get_running_loop().time()
        entry = self.directory.entry(node)
        if entry is None:
            return
        if node in self.lost:
            self.lost.drop(node)
            self.lost.hasten(now)
        if pong.network != self.directory.network:
            self.directory.bury(node, now=now)
            self._lose(node)
            return
        self.directory.prove(node)
        incarnation, sequence = entry.advert.rank
        ageing = entry.expires_at - now < self._pace.ttl / 3
        if pong.incarnation != incarnation or (pong.sequence > sequence and ageing):
            # Where it is behind its own advert, that is one of an earlier start or of a twin: it has to hear of it.
            self.spawn(partial(self.gossip.exchange, node, seconds=self._pace.exchange_seconds))
        if became_usable:
            self._on_change()

    def _met_ourselves(self, advert: OpenAdvert) -> None:
        """An advert under our key that is newer than ours."""
        if warning := self.own.outdo(advert.advert):
            self.note(warning)
        if not advert.advert.departed:
            self.on_double(advert.advert.addresses)
        self.spawn(self.publish)

    def note(self, trouble: str) -> None:
        """Something hinders us."""
        self.troubles.note(trouble, asyncio.get_running_loop().time())

    def _pong(self, hints: tuple[Hint, ...]) -> Pong:
        own = self.own
        return Pong(self.directory.network, own.incarnation, own.sequence, self.load(), hints)

    def _addresses_of(self, node: NodeId) -> Sequence[str]:
        if entry := self.directory.entry(node):
            return entry.advert.advert.addresses
        lost = self.lost.get(node)
        return lost.advert.addresses if lost else ()

    # --- our own advert ----------------------------------------------------------------------------------------------

    async def renew(self, *, departed: bool = False) -> None:
        """Number our advert anew. Raises LocalProtocolError where it is too large."""
        self.directory.put_own(await self.own.make(departed=departed))

    async def publish(self) -> None:
        """Renew it and tell it as news."""
        await self.renew()
        self.gossip.announce(self.directory.node, self.directory.node)
        self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._telling and self.gossip.has_news:
            self._telling = True
            self.spawn(self._tell_news)

    async def _tell_news(self) -> None:
        """Let news gather for a moment, then pass it on."""
        try:
            while self.gossip.has_news:
                await asyncio.sleep(self._pace.news_every)
                news = self.gossip.next_news()
                for node in self.watch.some(NEWS_FANOUT):
                    authors = [author for author, introducer in news.items() if introducer != node]
                    self.spawn(partial(self.gossip.tell, node, authors, seconds=self._pace.exchange_seconds))
        finally:
            self._telling = False

    # --- serving -----------------------------------------------------------------------------------------------------

    def handlers(self) -> dict[str, CallHandler]:
        """What is served, by protocol."""
        handlers: dict[str, CallHandler] = {
            PING_PROTOCOL: self.prober.serve_ping,
            PROBE_PROTOCOL: self.prober.serve_probe,
            COMPARE_PROTOCOL: self.gossip.serve_compare,
            TRADE_PROTOCOL: self.gossip.serve_trade,
            NEWS_PROTOCOL: self.gossip.serve_news,
        }
        return {protocol: self._served(handler) for protocol, handler in handlers.items()}

    def _served(self, handler: CallHandler) -> CallHandler:
        async def serve(caller: NodeId, request: bytes) -> bytes:
            if self._group is None:
                raise PeerBusy("this node is not in the swarm")
            self._met(caller)
            return await handler(caller, request)

        return serve

    def _met(self, caller: NodeId) -> None:
        """Somebody called: ask back where it was not usable, for it may be now."""
        now = asyncio.get_running_loop().time()
        self.dialer.met(caller)
        if caller in self.watch:
            if not self.watch.is_usable(caller):
                self.prober.hurry(caller, now)
        elif caller in self.lost:
            self.lost.expect(caller, now)


async def _quietly(work: Work) -> None:
    try:
        await work()
    except (MeshError, RemoteProtocolError):
        return
