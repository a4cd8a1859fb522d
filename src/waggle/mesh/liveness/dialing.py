"""Reaches nodes: by the link there is, else by the addresses of their adverts.

Also says how far away the other end of a link is, which decides what addresses may cross it. Adverts hold only
addresses that passed the checks of `addresses`, so nothing else is ever dialled here.
"""

import asyncio
from collections.abc import Callable, Sequence

from waggle.core.errors import PeerSilent, PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import Scope, in_dialling_order, scope_of_link
from waggle.mesh.transport import Transport

MAX_DIALS = 16
"""Links made at once; the daemon resets connections when about 200 are opened together."""
LIST_SECONDS = 0.2
"""Links are listed no more often than this."""
SCOPE_SECONDS = 30.0
"""How long we believe what we found out of a link."""
MAX_SCOPES = 4_096


class Dialer:
    """The way to a node, whatever is known of it."""

    def __init__(self, transport: Transport, addresses_of: Callable[[NodeId], Sequence[str]]) -> None:
        """`addresses_of` gives the advertised addresses of a node, none where it is unknown."""
        self._transport = transport
        self._addresses_of = addresses_of
        self._linked: set[NodeId] = set()
        self._scopes: dict[NodeId, tuple[Scope, float]] = {}
        self._wanted: set[NodeId] = set()
        self._listing = asyncio.Lock()
        self._listed_at = -1e9
        self._dials = asyncio.Semaphore(MAX_DIALS)

    async def call(self, node: NodeId, protocol: str, request: bytes, *, seconds: float) -> bytes:
        """One call within `seconds`, the link included. Raises MeshError and RemoteProtocolError."""
        try:
            async with asyncio.timeout(seconds):
                await self.reach(node)
                return await self._transport.call(node, protocol, request, seconds=seconds)
        except TimeoutError:
            raise PeerSilent(f"no answer from {node} within {seconds:g} s") from None
        except PeerUnreachable:
            self._linked.discard(node)
            raise

    async def reach(self, node: NodeId) -> None:
        """Make sure that there is a link to a node, if it can be made; the caller sets the bound.

        Raises:
            PeerUnreachable: none of its addresses answers.
        """
        if node in self._linked:
            return
        addresses = in_dialling_order(self._addresses_of(node))
        if addresses:
            async with self._dials:
                await self.connect(addresses)
        self._linked.add(node)  # without an address the transport may know a way: its call will tell

    async def connect(self, addresses: Sequence[str]) -> NodeId:
        """Link to one peer at any of its addresses. Raises PeerUnreachable."""
        try:
            node = await self._transport.connect(addresses)
        except UsageError as error:
            raise PeerUnreachable(f"this transport cannot dial {addresses[0]}: {error}") from None
        self._linked.add(node)
        return node

    async def ready(self, node: NodeId, *, seconds: float) -> Scope:
        """Reach a node within `seconds` and say how far away it is. Raises PeerUnreachable."""
        try:
            async with asyncio.timeout(seconds):
                await self.reach(node)
        except TimeoutError:
            raise PeerUnreachable(f"no link to {node} within {seconds:g} s") from None
        return await self.scope_of(node)

    def met(self, node: NodeId) -> None:
        """It has called us, so there is a link."""
        self._linked.add(node)

    def forget(self, node: NodeId) -> None:
        """It has gone or begun anew."""
        self._linked.discard(node)
        self._scopes.pop(node, None)

    async def scope_of(self, node: NodeId) -> Scope:
        """How far away it is; PUBLIC where there is no link or we cannot tell."""
        now = asyncio.get_running_loop().time()
        scope, until = self._scopes.get(node, (Scope.PUBLIC, 0.0))
        if now < until:
            return scope
        self._wanted.add(node)
        async with self._listing:
            if self._listed_at < now:
                await self._list_links()
        return self._scopes.get(node, (Scope.PUBLIC, 0.0))[0]

    async def _list_links(self) -> None:
        """Look at our links once for all who ask in the meantime: there may be thousands."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._listed_at + LIST_SECONDS - clock()))
        self._listed_at = clock()
        links = {link.peer: link for link in await self._transport.links() if link.peer in self._wanted}
        if len(self._scopes) > MAX_SCOPES:
            self._scopes.clear()
        until = self._listed_at + SCOPE_SECONDS
        for node in self._wanted:
            self._scopes[node] = (scope_of_link(links.get(node)), until if node in links else 0.0)
        self._wanted.clear()
