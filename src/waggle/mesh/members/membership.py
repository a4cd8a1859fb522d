"""Who is in the swarm: the one object that the rest of a node talks to about it.

It describes this node to the others, finds and watches them, and says whom work may be given to. A node is usable once
it has answered our own ping, and no longer when it stops. Everything runs in one background task, woken about twice a
second; nothing waits without a bound. It owns no transport: whoever made that closes it.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from waggle.core.errors import LocalProtocolError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Liveness, Load, Peer
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.adverts.holdings import Entry
from waggle.mesh.adverts.signed import AdvertReader
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.members.own_advert import Description, OwnAdvert
from waggle.mesh.members.seeking import group_by_peer
from waggle.mesh.members.upkeep import Upkeep
from waggle.mesh.transport import CONNECT_SECONDS, Transport
from waggle.trust.keys import NodeKey

FAREWELL_HEARERS = 8
LEAVE_SECONDS = 1.0


class Membership:
    """One node's view of the swarm, and its place in it."""

    def __init__(
        self,
        transport: Transport,
        key: NodeKey,
        description: Description,
        *,
        rng: Random,
        wall: Callable[[], float],
        network: str = "waggle",
        load: Callable[[], Load] = Load,
        pace: Pace | None = None,
        view_limit: int | None = None,
        reader: AdvertReader | None = None,
        incarnation: int | None = None,
    ) -> None:
        """Know nobody yet; `start` begins.

        Args:
            transport: whose `node_id` is the key's.
            key: signs our adverts.
            description: what we tell of ourselves.
            rng: all chance comes from here.
            wall: our date, seconds since 1970; it may be wrong by minutes.
            network: adverts of other networks are not taken.
            load: asked at every ping.
            pace: the times.
            view_limit: know at most about so many nodes: for swarms of many thousands.
            reader: shared by the nodes of a simulation.
            incarnation: the number of this start; the date in milliseconds unless given.
        """
        assert transport.node_id == key.node_id, "the transport runs under another key"
        pace = pace or Pace()
        own = OwnAdvert(transport, key, description, network=network, wall=wall, pace=pace, incarnation=incarnation)
        directory = Directory(key.node_id, network, view_limit=view_limit, salt=rng.randbytes(16))
        self._upkeep = Upkeep(
            transport,
            own,
            directory,
            AdvertReader() if reader is None else reader,
            pace,
            rng=rng,
            wall=wall,
            load=load,
            on_change=self._notify,
        )
        self._transport = transport
        self._main: asyncio.Task[None] | None = None
        self._event = asyncio.Event()

    @property
    def node_id(self) -> NodeId:
        """Ourselves."""
        return self._transport.node_id

    def peers(self) -> tuple[Peer, ...]:
        """All nodes known and not gone, usable or not; without us."""
        upkeep = self._upkeep
        return tuple(
            self._peer(entry)
            for entry in upkeep.directory.others()
            if entry.author in upkeep.watch and entry.author not in upkeep.lost  # listed again once it has answered
        )

    def usable(self) -> tuple[Peer, ...]:
        """Those that work may be given to; empty where there is nobody."""
        entries = map(self._upkeep.directory.entry, self._upkeep.watch.usable)
        return tuple(self._peer(entry) for entry in entries if entry is not None)

    def peer(self, node: NodeId) -> Peer | None:
        """What is known of a node, be it gone; None where nothing is."""
        if entry := self._upkeep.directory.entry(node):
            return self._peer(entry)
        if lost := self._upkeep.lost.get(node):
            reason = f"given up {_now() - lost.died_at:.0f} s ago for want of an answer"
            return Peer(advert=lost.advert, liveness=Liveness.DEAD, reason=reason)
        return None

    def _peer(self, entry: Entry) -> Peer:
        advert, watch, now = entry.advert.advert, self._upkeep.watch, _now()
        if advert.departed:
            return Peer(advert=advert, liveness=Liveness.DEPARTED, reason="it said goodbye")
        pulse = watch.pulse(advert.node)
        answered_at = pulse.answered_at if pulse else None
        return Peer(
            advert=advert,
            liveness=watch.liveness(advert.node),
            round_trip=pulse.round_trip if pulse else None,
            load=pulse.load if pulse else None,
            seen=None if answered_at is None else now - answered_at,
            reason=watch.reason(advert.node, now),
        )

    @property
    def troubles(self) -> tuple[str, ...]:
        """What hinders this node in the swarm, in words: a wrong clock, another node with its key."""
        return self._upkeep.troubles.current(_now())

    def note(self, trouble: str) -> None:
        """Something that hinders this node was found out elsewhere."""
        self._upkeep.note(trouble)

    def set_on_double(self, on_double: Callable[[Sequence[str]], None]) -> None:
        """Who is told the addresses in adverts that our key signed and we did not: old ones of ours, or a twin's."""
        self._upkeep.on_double = on_double

    async def changed(self) -> None:
        """Wait until somebody came, went, or became usable or suspect. The caller sets the bound."""
        await self._event.wait()

    def _notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def reach(self, node: NodeId) -> None:
        """Make sure that there is a link to a node, by the addresses of its advert.

        Raises:
            PeerUnreachable: there is none, and none can be made in time.
        """
        await self._upkeep.dialer.ready(node, seconds=CONNECT_SECONDS)

    def meet(self, addresses: Sequence[str]) -> None:
        """Nodes are said to be at these addresses: join them soon, unless they are usable already.

        For what multicast finds; too many at once are passed over. Raises UsageError for what is no address.
        """
        for group in group_by_peer(addresses):
            self._upkeep.spawn(partial(self._upkeep.seeker.meet, group))

    @property
    def description(self) -> Description:
        """What we tell of ourselves."""
        return self._upkeep.own.description

    async def update(self, description: Description) -> None:
        """Tell the swarm something else of ourselves from now on.

        Raises:
            LocalProtocolError: it does not fit into an advert; the old description stays.
        """
        old, self._upkeep.own.description = self._upkeep.own.description, description
        try:
            await self._upkeep.publish()
        except LocalProtocolError:
            self._upkeep.own.description = old
            raise

    async def start(self, invites: Sequence[str] = ()) -> tuple[str, ...]:
        """Begin to serve and to look for others.

        Args:
            invites: multiaddrs of nodes to join by, tried all at once; again later, while nobody is usable.

        Returns:
            Why an invite failed, in words, for each that did.

        Raises:
            UsageError: an invite is no address.
            LocalProtocolError: the description does not fit into an advert.
        """
        self._upkeep.seeker.invites = group_by_peer(invites)
        await self._upkeep.renew()
        started = asyncio.Event()
        self._main = asyncio.create_task(self._upkeep.run(started), name=f"membership of {self.node_id}")
        await started.wait()
        for protocol, handler in self._upkeep.handlers().items():
            await self._transport.serve_calls(protocol, handler)
        return tuple(await self._upkeep.seeker.join_all())

    async def leave(self) -> None:
        """Say goodbye to some, who tell the others, and stop; within about a second."""
        if self._main is not None and not self._main.done():
            await self._upkeep.renew(departed=True)
            hearers = self._upkeep.watch.some(FAREWELL_HEARERS)
            tell = self._upkeep.gossip.tell
            await asyncio.gather(*(tell(node, [self.node_id], seconds=LEAVE_SECONDS) for node in hearers))
        await self.close()

    async def close(self) -> None:
        """Stop without a word, as a killed node does. Twice is harmless. A failure of the background task is raised."""
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
            await asyncio.wait([main])
            if not main.cancelled() and (error := main.exception()):
                raise error


def _now() -> float:
    return asyncio.get_running_loop().time()
