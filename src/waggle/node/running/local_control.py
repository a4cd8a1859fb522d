"""What a running node does for the commands of its own user."""

import asyncio
import time
from pathlib import Path

from msgspec.structs import replace

from waggle import __version__
from waggle.core.errors import MeshError, UsageError
from waggle.mesh.invite import format_invite
from waggle.node.control.messages import (
    MOST_PEERS,
    Done,
    Invite,
    InviteReply,
    Leave,
    Peers,
    PeersReply,
    Reply,
    Request,
    Share,
    Shared,
    Status,
    StatusReply,
    Unshare,
)
from waggle.node.network.mesh_node import MeshNode
from waggle.node.network.ways import ways_of

MOST_NAMES = 20  # of models in one message
REPLY_SECONDS = 0.2  # for the reply to a leave to get out before the node ends


class LocalControl:
    """Answers for one node; `stop` ends it."""

    def __init__(self, node: MeshNode, stop: asyncio.Event) -> None:
        self._node = node
        self._stop = stop
        self._started = time.monotonic()

    async def handle(self, request: Request) -> Reply:
        """Do what a command asks. Raises UsageError where that cannot be done."""
        match request:
            case Status():
                return await self._status()
            case Peers(skip=skip):
                return await self._peers(skip)
            case Invite():
                addresses = await self._node.transport.addresses()
                return InviteReply(invites=(format_invite(addresses, self._node.options.network),))
            case Leave():
                asyncio.get_running_loop().call_later(REPLY_SECONDS, self._stop.set)
                return Done(note=f"{self._node.options.name or self._node.id} leaves")
            case Share(path=path):
                return await self._share(Path(path))
            case Unshare(name=name):
                return await self._unshare(name)

    async def _peers(self, skip: int) -> PeersReply:
        peers = sorted(self._node.peers(), key=lambda peer: (peer.advert.name, peer.node))
        names = {peer.node: peer.advert.name for peer in peers}
        try:
            ways = ways_of(await self._node.transport.links(), names)
        except MeshError:  # the daemon is being started again
            ways = {}
        page = (replace(peer, way=ways.get(peer.node, "")) for peer in peers[skip : skip + MOST_PEERS])
        return PeersReply(peers=tuple(page), total=len(peers))

    async def _status(self) -> StatusReply:
        return StatusReply(
            node=self._node.id,
            name=self._node.options.name,
            network=self._node.options.network,
            version=__version__,
            addresses=await self._node.transport.addresses(),
            load=self._node.load,
            seconds=time.monotonic() - self._started,
            peers=len(self._node.peers()),
            troubles=self._node.membership.troubles,
        )

    async def _share(self, path: Path) -> Shared:
        store = self._node.store
        if store is None:
            raise UsageError("this node keeps no files")
        await asyncio.to_thread(store.share, path)
        await self._node.refresh()
        return Shared(files=await asyncio.to_thread(store.shared))

    async def _unshare(self, name: str) -> Shared:
        store = self._node.store
        if store is None:
            raise UsageError("this node keeps no files")
        if not await asyncio.to_thread(store.unshare, name):
            names = [shared.name for shared in await asyncio.to_thread(store.shared)]
            there = f"shared are {', '.join(names[:MOST_NAMES])}" if names else "nothing is shared"
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            raise UsageError(f"no model {name!r} is shared; {there}{more}")
        await self._node.refresh()
        return Shared(files=await asyncio.to_thread(store.shared))
