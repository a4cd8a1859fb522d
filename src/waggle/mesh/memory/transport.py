"""The `Transport` of one node on the simulated network.

A node can dial whom it has an address of: given to `connect`, or learnt when the peer dialled it. It has no task of its
own: only handlers run as tasks, and everything under way is a timer of the loop.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from waggle.core.errors import LocalProtocolError, PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import PeerAddress, parse_address
from waggle.mesh.limits import MAX_CALL_BYTES
from waggle.mesh.memory.calls import HEADER_BYTES, Asked
from waggle.mesh.memory.links import End, link
from waggle.mesh.memory.serving import Serving
from waggle.mesh.memory.stream import MemoryStream
from waggle.mesh.memory.wires import Wires
from waggle.mesh.transport import (
    CALL_SECONDS,
    CONNECT_SECONDS,
    OPEN_SECONDS,
    CallHandler,
    Link,
    Stream,
    StreamHandler,
)

CLOSE_SECONDS = 5.0
"""How long `close` waits for cancelled handlers to end."""


class MemoryTransport:
    """Made by `MemoryNetwork.join`; `hosts` are all transports of the network that are up, by address."""

    __slots__ = ("_address", "_closed", "_hosts", "_known", "_links", "_node_id", "_serving", "_wires")

    def __init__(self, wires: Wires, hosts: dict[str, "MemoryTransport"], address: PeerAddress) -> None:
        """Be there at once under this address."""
        self._wires = wires
        self._hosts = hosts
        self._node_id = address.peer
        self._address = address.text
        self._closed = False
        self._known: dict[NodeId, str] = {}
        self._links: dict[NodeId, End] = {}
        self._serving = Serving(wires)
        hosts[self._address] = self

    @property
    def node_id(self) -> NodeId:
        """Our own id."""
        return self._node_id

    @property
    def up(self) -> bool:
        """Whether it has been neither closed nor killed."""
        return not self._closed

    def peers(self) -> tuple[NodeId, ...]:
        """Those we are linked to."""
        return tuple(self._links)

    def sever(self, peer: NodeId) -> None:
        """Break the link to a peer at both ends at this moment."""
        if peer in self._links:
            self._links[peer].sever()

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = CALL_SECONDS) -> bytes:
        """One request, one reply, within `seconds`, dialling included."""
        if len(request) > MAX_CALL_BYTES:
            raise LocalProtocolError(f"a request of {len(request)} bytes is over the limit of {MAX_CALL_BYTES}")
        deadline = asyncio.get_running_loop().time() + seconds
        end = await self._reach(peer, seconds)
        asked = Asked(self._wires, end, deadline - asyncio.get_running_loop().time())
        arrive = partial(self._call_arrives, asked, protocol, bytes(request))
        self._wires.post(self._node_id, peer, HEADER_BYTES + len(request), arrive)
        return await asked.outcome()

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = OPEN_SECONDS) -> Stream:
        """Open a stream within `seconds`, dialling included."""
        deadline = asyncio.get_running_loop().time() + seconds
        end = await self._reach(peer, seconds)
        asked = Asked(self._wires, end, deadline - asyncio.get_running_loop().time())
        stream = MemoryStream(self._wires, end)
        arrive = partial(self._stream_arrives, asked, stream, protocol)
        self._wires.carry(self._node_id, peer, HEADER_BYTES, arrive, end.sever)
        accepted = False
        try:
            await asked.outcome()
            accepted = True
        finally:
            if not accepted:
                stream.finish()
        return stream

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        """Answer the calls of one protocol from now on."""
        self._require_up()
        self._serving.add_calls(protocol, handler)

    async def serve_streams(self, protocol: str, handler: StreamHandler) -> None:
        """Take the streams of one protocol from now on."""
        self._require_up()
        self._serving.add_streams(protocol, handler)

    async def connect(self, addresses: Sequence[str], *, seconds: float = CONNECT_SECONDS) -> NodeId:
        """Connect to one peer at any of its addresses, tried in turn within `seconds` together."""
        peer = one_peer(addresses)
        self._require_up()
        if peer == self._node_id:
            raise UsageError("this is our own address")
        if peer in self._links:
            return peer
        deadline = asyncio.get_running_loop().time() + seconds
        failure = PeerUnreachable(f"{peer} cannot be reached")
        for address in addresses:
            try:
                await self._dial(peer, address, deadline - asyncio.get_running_loop().time())
            except PeerUnreachable as error:
                failure = error
            else:
                return peer
        raise failure

    async def disconnect(self, peer: NodeId) -> None:
        """Drop the link to a peer; it learns of it one delay later."""
        self._require_up()
        if peer in self._links:
            self._hang_up(self._links[peer])

    async def addresses(self) -> tuple[str, ...]:
        """Our one address."""
        self._require_up()
        return (self._address,)

    async def links(self) -> tuple[Link, ...]:
        """The peers we are connected to now."""
        self._require_up()
        return tuple(Link(peer=peer, addresses=(self._known[peer],)) for peer in self._links)

    async def close(self) -> None:
        """Leave the network; waits until the handlers have ended, CLOSE_SECONDS at most."""
        self.die()
        await self._serving.ended(CLOSE_SECONDS)

    def die(self) -> None:
        """Be gone at this moment, as a killed process is; the peers learn of it one delay later."""
        if self._closed:
            return
        self._closed = True
        del self._hosts[self._address]
        for end in list(self._links.values()):
            self._hang_up(end)
        self._serving.stop()

    def _require_up(self) -> None:
        if self._closed:
            raise PeerUnreachable("this transport is closed")

    def _hang_up(self, end: End) -> None:
        far = end.twin
        end.break_off()
        self._wires.carry(self._node_id, end.peer, HEADER_BYTES, far.break_off, far.break_off)

    async def _reach(self, peer: NodeId, seconds: float) -> End:
        """Our end of the link to a peer, dialled where there is none."""
        self._require_up()
        end = self._links.get(peer)
        if end is not None:
            return end
        if peer not in self._known:
            raise PeerUnreachable(f"no address of {peer} is known")
        return await self._dial(peer, self._known[peer], seconds)

    async def _dial(self, peer: NodeId, address: str, seconds: float) -> End:
        answer: asyncio.Future[End | None] = asyncio.get_running_loop().create_future()
        knock = partial(self._knock, peer, address, answer)
        self._wires.carry(self._node_id, peer, HEADER_BYTES, knock, partial(settle, answer, None))
        try:
            async with asyncio.timeout(seconds):
                end = await answer
        except TimeoutError:
            raise PeerUnreachable(f"{peer} does not answer at {address}") from None
        if end is None or not end.open:
            raise PeerUnreachable(f"nobody takes the link to {peer} at {address}")
        return end

    def _knock(self, peer: NodeId, address: str, answer: "asyncio.Future[End | None]") -> None:
        """Our dial arrives at the address."""
        host = self._hosts.get(address)
        end = None
        if host is not None and not self._closed and not self._wires.cut(self._node_id, peer):
            end = self._links.get(peer) or link(self._node_id, self._links, peer, host._links)
            self._known[peer], host._known[self._node_id] = address, self._address
        come_back = partial(settle, answer, end)
        self._wires.carry(peer, self._node_id, HEADER_BYTES, come_back, partial(settle, answer, None))

    def _host_of(self, asked: Asked) -> "MemoryTransport | None":
        """Who a question that arrives now is for; nobody where the link or the asker has gone."""
        if asked.withdrawn or not asked.end.twin.open:
            return None
        return self._hosts.get(self._known[asked.end.peer])

    def _call_arrives(self, asked: Asked, protocol: str, request: bytes) -> None:
        host = self._host_of(asked)
        if host is not None:
            host._serving.take_call(asked, protocol, request)

    def _stream_arrives(self, asked: Asked, near: MemoryStream, protocol: str) -> None:
        host = self._host_of(asked)
        if host is not None and near.open:
            host._serving.take_stream(asked, near, protocol)


def one_peer(addresses: Sequence[str]) -> NodeId:
    """The id that all addresses end in; UsageError where there is no such id."""
    peers = {parse_address(text).peer for text in addresses}
    if len(peers) != 1 or not all(text.startswith("/memory/") for text in addresses):
        raise UsageError(f"{list(addresses)!r} are not addresses of one peer: each must be /memory/<name>/p2p/<id>")
    return peers.pop()


def settle(answer: "asyncio.Future[End | None]", end: End | None) -> None:
    """Answer a dial, if anybody still waits for it."""
    if not answer.done():
        answer.set_result(end)
