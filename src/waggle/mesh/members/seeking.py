"""Looks for others: by invites, by comparing with somebody, at the last addresses of those who were lost."""

import asyncio
from collections.abc import Sequence

from waggle.core.errors import MeshError, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_address
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.liveness.prober import Prober
from waggle.mesh.liveness.watch import Watch
from waggle.mesh.members.gossip import Gossip
from waggle.mesh.transport import CONNECT_SECONDS

MAX_INVITES = 64
MAX_EXCHANGES = 3
"""Comparisons under way at once: one that waits in vain for a lost reply does not keep us from the next."""
MAX_MEETING = 8
"""Nodes found nearby that are joined at the same time."""


class Seeker:
    """Every way to a first or another exchange."""

    def __init__(
        self, directory: Directory, watch: Watch, dialer: Dialer, gossip: Gossip, prober: Prober, pace: Pace
    ) -> None:
        """Without invites."""
        self.invites: list[list[str]] = []
        self._directory = directory
        self._watch = watch
        self._dialer = dialer
        self._gossip = gossip
        self._prober = prober
        self._pace = pace
        self._exchanging = 0
        self._meeting: set[NodeId] = set()

    async def exchange_with_somebody(self) -> None:
        """Compare with a usable node, or with any where none is; few at a time."""
        if self._exchanging >= MAX_EXCHANGES:
            return
        self._exchanging += 1
        try:
            for node in self._watch.some(1) or self._watch.anybody():
                await self._gossip.exchange(node, seconds=self._pace.exchange_seconds)
        finally:
            self._exchanging -= 1

    async def look_for(self, node: NodeId) -> None:
        """Try a dead node's last addresses; where it answers, hear its news and be ready for its old number."""
        if await self._prober.ping(node):
            self._directory.unbury(node)
            await self._gossip.exchange(node, seconds=self._pace.exchange_seconds)

    async def join_again(self) -> None:
        """Try the invites once more."""
        await self.join_all()

    async def join_all(self) -> list[str]:
        """Join by every invite at once; gives why each that failed did so, in words."""
        failures = await asyncio.gather(*(self._join(addresses) for addresses in self.invites))
        return [failure for failure in failures if failure]

    async def meet(self, addresses: list[str]) -> None:
        """Join by addresses of one node that were found, unless it is usable already or too many are being met."""
        node = parse_address(addresses[0]).peer
        known = node == self._directory.node or self._watch.is_usable(node) or node in self._meeting
        if known or len(self._meeting) >= MAX_MEETING:
            return
        self._meeting.add(node)
        try:
            await self._join(addresses)
        finally:
            self._meeting.discard(node)

    async def _join(self, addresses: list[str]) -> str:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                node = await self._dialer.connect(addresses)
                await self._gossip.exchange(node, seconds=self._pace.exchange_seconds)
        except (MeshError, RemoteProtocolError) as error:
            return f"{addresses[0]}: {error}"
        except TimeoutError:
            return f"{addresses[0]}: no answer within {CONNECT_SECONDS:g} s"
        return ""


def group_by_peer(addresses: Sequence[str]) -> list[list[str]]:
    """Addresses to join by, those of one peer together. Raises UsageError for what is no address, or too many."""
    if len(addresses) > MAX_INVITES:
        raise UsageError(f"{len(addresses)} addresses to join by; {MAX_INVITES} are enough")
    groups: dict[NodeId, list[str]] = {}
    for text in addresses:
        groups.setdefault(parse_address(text).peer, []).append(text)
    return list(groups.values())
