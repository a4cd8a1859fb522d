"""Whether others can reach this node, and by which way: places at relays, relays that die, direct links in their stead.

A node that was given its relays by hand keeps to them, and one that relays for others needs none itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

from waggle.core.errors import MeshError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness
from waggle.mesh.libp2p.direct import DirectSeeker
from waggle.mesh.libp2p.relay_places import RelayPlaces
from waggle.mesh.libp2p.relay_watch import RelayWatch
from waggle.mesh.libp2p.transport import Libp2pTransport
from waggle.node.network.mesh_node import MeshNode

FIRST_PLACE_SECONDS = 3.0
"""How long a node's start may wait for its first place; later ones come by themselves."""


log = logging.getLogger(__name__)


class Reach:
    """What a node does to be reached and to reach others; runs inside `reach_of`."""

    def __init__(self, node: MeshNode, transport: Libp2pTransport, *, takes_places: bool) -> None:
        """Do nothing yet. `transport` is the node's own."""
        self._node = node
        self._seeker = DirectSeeker(
            transport, self._addresses_of, Random(), busy=transport.in_use, still=transport.standing_still
        )
        self._watch = RelayWatch(transport)
        places = RelayPlaces(
            transport,
            transport.places,
            self._undoubted,
            self._consents,
            node.refresh,
            Random(),
            busy=transport.in_use,
            still=transport.standing_still,
        )
        self._places = places if takes_places else None

    async def first_place(self) -> None:
        """Take places now, if there are relays that we know of: the invite of this node shall lead through them."""
        if self._places is not None:
            with suppress(MeshError, TimeoutError):
                async with asyncio.timeout(FIRST_PLACE_SECONDS):
                    await self._places.look()

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seeker.run(), name="seeking direct links")
            group.create_task(self._watch.run(), name="watching relays")
            if self._places is not None:
                group.create_task(self._places.run(), name="keeping places at relays")

    def _undoubted(self) -> list[Advert]:
        return [peer.advert for peer in self._node.membership.peers() if peer.liveness is Liveness.ALIVE]

    def _consents(self, relay: NodeId) -> bool:
        known = self._node.membership.peer(relay)
        return known is not None and known.liveness is Liveness.ALIVE and known.advert.relays

    def _addresses_of(self, peer: NodeId) -> tuple[str, ...]:
        known = self._node.membership.peer(peer)
        return known.advert.addresses if known else ()


@asynccontextmanager
async def reach_of(node: MeshNode, transport: Libp2pTransport, *, takes_places: bool) -> AsyncIterator[Reach]:
    """While the block runs, a node can be reached.

    Args:
        transport: the node's own.
        takes_places: whether to take places at relays that the directory tells of.
    """
    reach = Reach(node, transport, takes_places=takes_places)
    running = asyncio.create_task(reach.run(), name="staying reachable")
    running.add_done_callback(_tell_failure)
    try:
        yield reach
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _tell_failure(running: "asyncio.Task[None]") -> None:
    """Our own fault; the node goes on with the links that it has."""
    if not running.cancelled() and (error := running.exception()) is not None:
        log.error("nothing is done any longer to stay reachable", exc_info=error)
