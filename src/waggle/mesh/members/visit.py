"""A look at a swarm from outside: who is in it, without joining it.

A visitor reads the directory of one node and can then dial the others. It tells nothing of itself, so nobody lists or
pings it, and it believes the directory as it stands: who in it still answers, it finds out by asking.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random

from waggle.core.errors import MeshError, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.adverts.signed import AdvertReader
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.liveness.pings import MAX_SMALL_BYTES, PING_PROTOCOL, Ping, Pong
from waggle.mesh.members.gossip import Gossip
from waggle.mesh.packing import decode_as, encode
from waggle.mesh.transport import Transport

EXCHANGE_SECONDS = 5.0


class Visitor:
    """Knows what the nodes that it has visited know."""

    def __init__(self, transport: Transport, network: str = "waggle", *, wall: Callable[[], float] = time.time) -> None:
        """Know nobody yet. `wall` is the date in seconds since 1970."""
        rng = Random()
        self._directory = Directory(transport.node_id, network, view_limit=None, salt=rng.randbytes(16))
        self._dialer = Dialer(transport, self._addresses_of)
        self._gossip = Gossip(
            self._directory,
            self._dialer,
            AdvertReader(),
            wall=wall,
            rng=rng,
            on_advert=lambda advert, verdict: None,
            on_own=lambda advert: None,
            on_refusal=lambda refusal: None,
        )

    async def visit(self, invites: Sequence[Sequence[str]], *, seconds: float = EXCHANGE_SECONDS) -> NodeId:
        """Read the directory of the first node that can be reached; gives that node.

        Args:
            invites: the multiaddrs of one node each; all are tried at once.
            seconds: for reaching a node, and again for reading its directory; what was read by then is enough.

        Raises:
            PeerUnreachable: none of them answers; says why for each.
            PeerRefused: it belongs to another network.
        """
        node = await self._connect(invites, seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._gossip.exchange(node, seconds=seconds)
        except TimeoutError:
            if not self.adverts():
                raise PeerUnreachable(f"{node} does not say who is in its swarm") from None
        return node

    async def _connect(self, invites: Sequence[Sequence[str]], seconds: float) -> NodeId:
        dials = [asyncio.create_task(self._dialer.connect(addresses)) for addresses in invites]
        failures: list[str] = []
        try:
            for dial in asyncio.as_completed(dials, timeout=seconds):
                try:
                    return await dial
                except (MeshError, RemoteProtocolError, TimeoutError) as error:
                    failures.append(str(error) or f"no answer within {seconds:g} s")
        finally:
            for task in dials:
                task.cancel()
            await asyncio.gather(*dials, return_exceptions=True)
        raise PeerUnreachable("no node answers there: " + "; ".join(dict.fromkeys(failures)))

    def adverts(self) -> tuple[Advert, ...]:
        """Everybody in the directory who has not said goodbye."""
        found = (entry.advert.advert for entry in self._directory.others())
        return tuple(advert for advert in found if not advert.departed)

    async def reach(self, node: NodeId, *, seconds: float = EXCHANGE_SECONDS) -> None:
        """Make sure that there is a link to a node. Raises PeerUnreachable."""
        await self._dialer.ready(node, seconds=seconds)

    async def ping(self, node: NodeId, *, seconds: float = EXCHANGE_SECONDS) -> Pong:
        """Ask a node whether it is there. Raises MeshError, RemoteProtocolError."""
        reply = await self._dialer.call(node, PING_PROTOCOL, encode(Ping(), MAX_SMALL_BYTES), seconds=seconds)
        return decode_as(Pong, reply, MAX_SMALL_BYTES, sender=node)

    def _addresses_of(self, node: NodeId) -> Sequence[str]:
        entry = self._directory.entry(node)
        return entry.advert.advert.addresses if entry else ()
