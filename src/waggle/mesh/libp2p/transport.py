"""`Libp2pTransport`: calls, streams and links over libp2p, as `waggle.mesh.transport` promises them.

What it adds to the daemon: limits per peer, time limits, frames, codes instead of error texts, a second try of calls
that may have one (`REPEATABLE`), and a life beyond the daemon's death (`restarting`). The addresses peers were
connected at are remembered, so that they are found again after it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from waggle.core.errors import (
    LocalProtocolError,
    MeshError,
    PeerUnreachable,
    RemoteProtocolError,
    UsageError,
)
from waggle.core.ids import NodeId
from waggle.mesh.addresses import Place, Scope, parse_peer
from waggle.mesh.files.wire import LIST_PROTOCOL, MANIFEST_PROTOCOL
from waggle.mesh.libp2p.daemon import Daemon
from waggle.mesh.libp2p.p2pd.control import LinkBroke, PeerUnknown
from waggle.mesh.libp2p.restarting import RestartingDaemon
from waggle.mesh.libp2p.serving import Serving, call_name, stream_name
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.stillness import PROTOCOL as STILL_PROTOCOL
from waggle.mesh.libp2p.stillness import Stillness
from waggle.mesh.libp2p.stream import FrameStream
from waggle.mesh.libp2p.taken_places import TakenPlaces
from waggle.mesh.limits import MAX_BYTES_PER_SECOND, MAX_CALL_BYTES, MAX_OPENING_STREAMS, MAX_PEERS_TRACKED
from waggle.mesh.liveness.pings import PING_PROTOCOL
from waggle.mesh.members.messages import COMPARE_PROTOCOL, TRADE_PROTOCOL
from waggle.mesh.quotas import PeerQuotas
from waggle.mesh.transport import (
    CALL_SECONDS,
    CONNECT_SECONDS,
    OPEN_SECONDS,
    CallHandler,
    Link,
    Stream,
    StreamHandler,
    check_answered,
)
from waggle.trust.keys import NodeKey

Result = TypeVar("Result")

MAX_ADDRESSES = 16
"""Addresses of one peer that are tried."""

MAX_RECONNECTING = 8
"""Peers that are dialled at a time after the daemon came back."""

REPEATABLE = frozenset({PING_PROTOCOL, COMPARE_PROTOCOL, TRADE_PROTOCOL, LIST_PROTOCOL, MANIFEST_PROTOCOL})
"""Which calls may be made twice for one answer, where the link broke before it came.

Nobody knows then whether the peer did its work. These calls change nothing at the peer that a second one would change
again: their handlers only read, or take in adverts, which are numbered. All others fail, and so does a repeated one
whose link breaks again. Probes are left out: each makes a third node work. Rounds and pieces of files go over streams.
"""


async def start_libp2p(
    settings: Settings,
    *,
    repeatable: Collection[str] = REPEATABLE,
    peer_bytes_per_second: float = MAX_BYTES_PER_SECOND,
) -> "Libp2pTransport":
    """Start a node's daemon and connect to it.

    Args:
        settings: of the daemon.
        repeatable: protocols whose calls are made once more where a link breaks.
        peer_bytes_per_second: what each peer may send for long; more only where what is measured is that very limit.

    Raises:
        UsageError: the key file, an address, a port or the run directory is no good; says which.
        PeerUnreachable: the daemon did not start.
    """
    key = NodeKey.load_or_create(settings.key_path)
    transport = Libp2pTransport(settings.checked(), key.node_id, repeatable, peer_bytes_per_second)
    try:
        await transport.start()
    except BaseException:
        await transport.close()
        raise
    return transport


class Libp2pTransport:
    """A `Transport` over libp2p; `start_libp2p` makes one."""

    def __init__(
        self,
        settings: Settings,
        node_id: NodeId,
        repeatable: Collection[str] = REPEATABLE,
        peer_bytes_per_second: float = MAX_BYTES_PER_SECOND,
    ) -> None:
        """Of checked settings; `start` runs it."""
        self._node_id = node_id
        self._repeatable = frozenset(repeatable)
        self._quotas = PeerQuotas(asyncio.get_running_loop().time, bytes_per_second=peer_bytes_per_second)
        self._serving = Serving(self._quotas)
        self._daemon = RestartingDaemon(
            settings,
            on_event=self._serving.on_event,
            on_stream=self._serving.on_stream,
            on_start=self._prepare,
            on_back=self._come_back,
        )
        self._opening = asyncio.Semaphore(MAX_OPENING_STREAMS)
        self._known: OrderedDict[NodeId, tuple[Place, ...]] = OrderedDict()
        self.places = TakenPlaces(self._daemon.current)
        self._stillness = Stillness(self._is_serving, self._ask_to_stand_still, self.links)
        self.standing_still = self._stillness.standing_still
        self._serving.add_calls(STILL_PROTOCOL, self._stillness.serve)
        self._reconnecting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def node_id(self) -> NodeId:
        """Our own peer id."""
        return self._node_id

    @property
    def daemon_pid(self) -> int:
        """The process id of the daemon. Raises PeerUnreachable while there is none."""
        return self._daemon.current().process.pid

    @property
    def listen(self) -> tuple[str, ...]:
        """Where it listens, with the ports that were chosen."""
        return self._daemon.listen

    @property
    def calls_in_progress(self) -> int:
        """How many calls of peers are being worked on."""
        return self._serving.calls_in_progress

    async def start(self) -> None:
        """Run the daemon. Raises PeerUnreachable, UsageError."""
        await self._daemon.start()

    async def _prepare(self, daemon: Daemon) -> None:
        node_id, _ = await daemon.identify()
        if node_id != self._node_id:
            raise UsageError(f"the libp2p daemon calls itself {node_id}, the key file says {self._node_id}")
        await self._serving.register(daemon)

    # --- asking ---------------------------------------------------------------------------------------------------

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = CALL_SECONDS) -> bytes:
        """One request of at most MAX_CALL_BYTES, one reply, within `seconds`."""
        if len(request) > MAX_CALL_BYTES:
            raise LocalProtocolError(f"a request of {len(request)} bytes; the limit is {MAX_CALL_BYTES}")
        began = asyncio.get_running_loop().time()

        def ask(left: float) -> Awaitable[bytes]:
            return self._daemon.current().call(peer, call_name(protocol), request, left)

        try:
            reply = await self._reaching(peer, seconds, ask)
        except LinkBroke:
            if protocol not in self._repeatable:
                raise
            reply = await self._reaching(peer, began + seconds - asyncio.get_running_loop().time(), ask)
        if len(reply) > MAX_CALL_BYTES + 1:
            raise RemoteProtocolError(f"a reply of {len(reply) - 1} bytes; the limit is {MAX_CALL_BYTES}")
        check_answered(reply[:1])
        return reply[1:]

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = OPEN_SECONDS) -> Stream:
        """Open a stream to a peer we are connected to or know an address of."""
        try:
            async with asyncio.timeout(seconds), self._opening:
                stream = await self._reaching(
                    peer, seconds, lambda left: self._daemon.current().open(peer, stream_name(protocol), left)
                )
                await _check_accepted(stream)
                return stream
        except TimeoutError:
            raise PeerUnreachable(f"no stream within {seconds:g} s") from None

    async def _reaching(self, peer: NodeId, seconds: float, work: Callable[[float], Awaitable[Result]]) -> Result:
        """Do the work once nobody stands still; where the daemon knows no address of the peer and we do, dial first."""
        clock = asyncio.get_running_loop().time
        ends = clock() + seconds
        await self._stillness.passed(peer, seconds)
        with self._stillness.beginning(peer):
            try:
                return await work(ends - clock())
            except PeerUnknown:
                ways = self._known.get(peer)
                if ways is None:
                    raise
            await self._dial(peer, ways, ends - clock())
            return await work(max(0.0, ends - clock()))

    async def _ask_to_stand_still(self, peer: NodeId, request: bytes, seconds: float) -> None:
        reply = await self._daemon.current().call(peer, call_name(STILL_PROTOCOL), request, seconds)
        check_answered(reply[:1])

    # --- serving --------------------------------------------------------------------------------------------------

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        """Answer the calls of one protocol from now on."""
        daemon = self._daemon.current()
        self._serving.add_calls(protocol, handler)
        with _passing_over(daemon):
            await daemon.take_calls(call_name(protocol))

    async def serve_streams(self, protocol: str, handler: StreamHandler) -> None:
        """Take the streams of one protocol from now on."""
        daemon = self._daemon.current()
        self._serving.add_streams(protocol, handler)
        with _passing_over(daemon):
            await daemon.take_streams(stream_name(protocol))

    # --- links ----------------------------------------------------------------------------------------------------

    async def connect(self, addresses: Sequence[str], *, seconds: float = CONNECT_SECONDS) -> NodeId:
        """Connect to one peer at any of its multiaddrs, all ending in its `/p2p/<id>`; gives its id."""
        given = [parse_peer(text) for text in addresses[:MAX_ADDRESSES]]
        if len({address.peer for address in given}) != 1:
            raise UsageError("give at least one address, and all of the same peer")
        peer, ways = given[0].peer, tuple(address.place for address in given)
        if peer == self._node_id:
            raise UsageError("this is our own address")
        await self._dial(peer, ways, seconds)
        self._remember(peer, ways)
        return peer

    async def _dial(self, peer: NodeId, ways: tuple[Place, ...], seconds: float) -> None:
        """Try fast addresses first: given all at once, the daemon prefers QUIC."""
        fast = [way for way in ways if _is_fast(way)]
        if 0 < len(fast) < len(ways):
            with suppress(PeerUnreachable):
                await self._daemon.current().connect(peer, fast, seconds / 2)
                return
            seconds /= 2
        await self._daemon.current().connect(peer, ways, seconds)

    def _remember(self, peer: NodeId, ways: tuple[Place, ...]) -> None:
        self._known[peer] = ways
        self._known.move_to_end(peer)
        if len(self._known) > MAX_PEERS_TRACKED:
            self._known.popitem(last=False)

    async def disconnect(self, peer: NodeId) -> None:
        """Drop the links to a peer; a later call dials again."""
        await self._daemon.current().disconnect(peer)

    async def addresses(self) -> tuple[str, ...]:
        """The multiaddrs we can be reached at, each ending in `/p2p/<our id>`; those through relays first."""
        _, texts = await self._daemon.current().identify()
        return tuple(f"{text}/p2p/{self._node_id}" for text in dict.fromkeys((*self.places.circuits, *texts)))

    async def links(self) -> tuple[Link, ...]:
        """The peers we are connected to now."""
        seen: dict[NodeId, list[str]] = {}
        for peer, address in await self._daemon.current().connections():
            seen.setdefault(peer, []).append(address or "")
        return tuple(_link(peer, addresses) for peer, addresses in seen.items())

    def in_use(self, peer: NodeId) -> bool:
        """Whether calls or streams with a peer are under way here, whoever began them: they break with its link."""
        return self._stillness.busy(peer)

    def _is_serving(self, peer: NodeId, besides: int) -> bool:
        return self._quotas.at_work(peer, besides=besides) or self._daemon.current().has_stream(peer)

    # --- the daemon's death, and ours -----------------------------------------------------------------------------

    def _come_back(self) -> None:
        self.places.clear()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        """Dial everybody we ever dialled, those of last time first."""
        room = asyncio.Semaphore(MAX_RECONNECTING)

        async def dial(peer: NodeId, ways: tuple[Place, ...]) -> None:
            async with room:
                with suppress(MeshError):
                    await self._dial(peer, ways, CONNECT_SECONDS)

        async with asyncio.TaskGroup() as group:
            for peer, ways in reversed(list(self._known.items())):
                group.create_task(dial(peer, ways))

    async def close(self) -> None:
        """Stop serving, drop every link, end the daemon. Twice is harmless."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._reconnecting
        await self._serving.stop()
        await self._daemon.close()


def _is_fast(way: Place) -> bool:
    """Whether it is TCP within this machine: three times the bytes per second of QUIC, half its latency."""
    return way.parts[1][0] == "tcp" and not way.relayed and way.scope is Scope.LOOPBACK


async def _check_accepted(stream: FrameStream) -> None:
    """Wait for the code that a stream begins with; a stream that is refused is closed."""
    try:
        code = await stream.receive()
        if code is None:
            raise PeerUnreachable("the other side closed the stream at once")
        if len(code) != 1:
            raise RemoteProtocolError("the stream did not begin with a code")
        check_answered(code)
    except BaseException:
        await stream.close()
        raise


@contextmanager
def _passing_over(daemon: Daemon) -> Iterator[None]:
    """Ignore that the daemon died: the next one is told at its start."""
    try:
        yield
    except PeerUnreachable:
        if not daemon.lost.is_set():
            raise


def _link(peer: NodeId, addresses: list[str]) -> Link:
    known = tuple(address for address in addresses if address)
    return Link(peer=peer, addresses=known, relayed=all("/p2p-circuit" in address for address in addresses))
