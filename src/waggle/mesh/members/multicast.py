"""Finds nodes in the local network by UDP multicast; no server, no configuration.

A node asks when it starts, answers others that ask, and says now and then that it is there. Packets do not leave the
local network (TTL 1). Whatever goes wrong is a state that `waggle doctor` reports, never a failure: many networks
block multicast, and there are two other ways to find each other.

A beacon is one signed datagram. It is bounded, verified and dated before it is believed, and then leads no further than
a dial: the link itself proves who is there. Of its addresses only those count that make sense over the way it came.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from random import Random
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from waggle.core.errors import MeshError, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Address, Date
from waggle.mesh.addresses import MAX_ADDRESSES, Scope, fit_addresses, scope_of_ip
from waggle.mesh.limits import MAX_CLOCK_SKEW_SECONDS
from waggle.mesh.liveness.pace import Rates
from waggle.mesh.packing import decode_as, encode
from waggle.trust.keys import SIGNATURE_BYTES, NodeKey, verify

GROUP = "239.255.87.71"
"""In the block for local use (RFC 2365); 87, 71 are "WG"."""
PORT = 8771
FIRST_SECONDS = (0.0, 0.5, 2.0)
"""When a new node asks: datagrams get lost."""
EVERY_SECONDS = 20.0
ANSWER_SECONDS = 0.3
"""Answers are spread over so long, and sent once a second at most."""
MAX_FOUND = 64
MAX_SAID = 64
"""Dates of our own last beacons: those of ten minutes at least."""
ALL_SENDERS = NodeId("all senders")
"""Under which they are counted together."""
DOMAIN = b"waggle/1/lan/"
MAX_BEACON_BYTES = 1_200
"""Fits into one packet on every network."""


class Beacon(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node says on the local network: I am here; `asks` the others to say so too."""

    network: Annotated[str, Meta(max_length=64)]
    node: Annotated[NodeId, Meta(max_length=64)]
    issued_at: Date
    addresses: Annotated[tuple[Address, ...], Meta(max_length=MAX_ADDRESSES)]
    asks: bool


class _Signed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    body: Annotated[bytes, Meta(max_length=MAX_BEACON_BYTES)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


def seal_beacon(key: NodeKey, beacon: Beacon) -> bytes:
    """The datagram; addresses that do not fit into it are left out, the last ones first."""
    addresses = beacon.addresses
    while sum(len(text) + 3 for text in addresses) > MAX_BEACON_BYTES - 300:
        addresses = addresses[:-1]
    fitting = Beacon(beacon.network, beacon.node, beacon.issued_at, addresses, beacon.asks)
    body = encode(fitting, MAX_BEACON_BYTES)
    return encode(_Signed(body, key.sign(DOMAIN + body)), MAX_BEACON_BYTES)


def open_beacon(data: bytes, *, nearest: Scope, wall: float) -> Beacon:
    """Read and verify a datagram.

    Args:
        data: whatever came.
        nearest: LOOPBACK where it came over the loopback interface, else PRIVATE.
        wall: our date, seconds since 1970.

    Raises:
        RemoteProtocolError: it is no beacon, forged, or too old.
    """
    signed = decode_as(_Signed, data, MAX_BEACON_BYTES)
    beacon = decode_as(Beacon, signed.body, MAX_BEACON_BYTES)
    if abs(wall - beacon.issued_at) > MAX_CLOCK_SKEW_SECONDS:
        raise RemoteProtocolError("a beacon whose date is too far from ours")
    if not verify(beacon.node, signed.signature, DOMAIN + signed.body):
        raise RemoteProtocolError("a beacon with a wrong signature")
    fit = tuple(fit_addresses(beacon.addresses, beacon.node, nearest=nearest))
    return Beacon(beacon.network, beacon.node, beacon.issued_at, fit, beacon.asks)


class MulticastState(Struct, frozen=True, kw_only=True):
    """How it goes. `hears_itself` is the surest sign that multicast works on this machine."""

    open: bool = False
    trouble: str = ""
    sent: int = 0
    hears_itself: bool = False
    refused: int = 0
    """Datagrams that were no beacons, forged, or too many."""
    found: tuple[NodeId, ...] = ()
    """Nodes of our network that were heard, at most 64 of them."""


class Multicast:
    """Says where we are, hears where others are."""

    def __init__(
        self,
        key: NodeKey,
        addresses: Callable[[], Awaitable[Sequence[str]]],
        on_found: Callable[[tuple[str, ...]], None],
        *,
        rng: Random,
        wall: Callable[[], float],
        network: str = "waggle",
        group: str = GROUP,
        port: int = PORT,
        interface: str = "0.0.0.0",
        on_double: Callable[[tuple[str, ...]], None] = lambda addresses: None,
    ) -> None:
        """Say and hear nothing yet.

        Args:
            key: signs what we say.
            addresses: tells where we are, as `Transport.addresses` does.
            on_found: given the addresses of a node that was heard, at most every few seconds for each.
            rng: spreads answers.
            wall: our date, seconds since 1970.
            network: others are not heard.
            group: an IPv4 multicast address.
            port: the same for all nodes.
            interface: an IPv4 address of ours; the system chooses where it is 0.0.0.0.
            on_double: given the addresses in what our key signed and we did not say lately, as often as `on_found`.
        """
        self._key = key
        self._addresses = addresses
        self._on_found = on_found
        self._rng = rng
        self._wall = wall
        self._network = network
        self._place = (group, port)
        self._interface = interface
        self._on_double = on_double
        self._said: deque[float] = deque(maxlen=MAX_SAID)
        self._senders = Rates(per_second=2.0, burst=16.0)
        self._all = Rates(per_second=50.0, burst=100.0)
        self._tellings = Rates(per_second=0.2, burst=1.0)
        self._state = MulticastState()
        self._socket: asyncio.DatagramTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    @property
    def state(self) -> MulticastState:
        """How it goes now."""
        return self._state

    async def start(self) -> None:
        """Begin; never fails, see `state`."""
        await self._open()
        self._task = asyncio.create_task(self._run(), name="multicast")

    async def close(self) -> None:
        """Stop. Twice is harmless."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._shut("")

    # --- saying ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        for pause in FIRST_SECONDS:
            await asyncio.sleep(pause)
            await self._say(asks=True)
        while True:
            await self._wait_to_be_asked(EVERY_SECONDS * (0.75 + 0.5 * self._rng.random()))
            if self._socket is None:
                await self._open()
            await self._say(asks=False)
            await asyncio.sleep(1.0)

    async def _wait_to_be_asked(self, seconds: float) -> None:
        """Until somebody asks, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
                await asyncio.sleep(ANSWER_SECONDS * self._rng.random())
        except TimeoutError:
            return
        finally:
            self._asked.clear()

    async def _say(self, *, asks: bool) -> None:
        if self._socket is None:
            return
        try:
            ours = await self._addresses()
        except MeshError:
            return
        fit = fit_addresses(ours, self._key.node_id, nearest=self._scope_of(self._interface))
        beacon = Beacon(self._network, self._key.node_id, self._wall(), tuple(fit), asks)
        self._said.append(beacon.issued_at)
        self._socket.sendto(seal_beacon(self._key, beacon), self._place)
        self._note(sent=self._state.sent + 1)

    # --- hearing -----------------------------------------------------------------------------------------------------

    def hear(self, data: bytes, sender: str) -> None:
        """A datagram came from an IP address."""
        now = asyncio.get_running_loop().time()
        try:
            if not self._senders.allow(NodeId(sender), now) or not self._all.allow(ALL_SENDERS, now):
                raise RemoteProtocolError("too many datagrams")
            beacon = open_beacon(data, nearest=self._scope_of(sender), wall=self._wall())
        except RemoteProtocolError:
            self._note(refused=self._state.refused + 1)
            return
        if beacon.node == self._key.node_id:
            self._hear_ourselves(beacon, now)
        elif beacon.network == self._network:
            self._meet(beacon, now)

    def _hear_ourselves(self, beacon: Beacon, now: float) -> None:
        """By its date, what we say ourselves is known from what another one says under our key."""
        if beacon.issued_at in self._said:
            self._note(hears_itself=True)
        elif beacon.network == self._network and beacon.addresses and self._tellings.allow(beacon.node, now):
            self._on_double(beacon.addresses)

    def _meet(self, beacon: Beacon, now: float) -> None:
        if beacon.asks:
            self._asked.set()
        if beacon.node not in self._state.found and len(self._state.found) < MAX_FOUND:
            self._note(found=(*self._state.found, beacon.node))
        if beacon.addresses and self._tellings.allow(beacon.node, now):
            self._on_found(beacon.addresses)

    @staticmethod
    def _scope_of(ip: str) -> Scope:
        """LOOPBACK only for packets that cannot have come from elsewhere: the system drops others with such senders."""
        return Scope.LOOPBACK if scope_of_ip(ip_address(ip)) is Scope.LOOPBACK else Scope.PRIVATE

    # --- the socket --------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            ready = _make_socket(*self._place, self._interface)
        except (OSError, ValueError) as error:
            self._shut(f"cannot listen for multicast: {error}")
            return
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self.hear, self._fail), sock=ready)
        self._note(open=True, trouble="")

    def _fail(self, error: Exception) -> None:
        """The system could not send or receive: no route for multicast, an interface that went away."""
        self._shut(f"cannot send multicast: {error}")

    def _shut(self, trouble: str) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._note(open=False, trouble=trouble)

    def _note(self, **changes: bool | int | str | tuple[NodeId, ...]) -> None:
        self._state = replace(self._state, **changes)


class _Datagrams(asyncio.DatagramProtocol):
    """Hands on what asyncio reads."""

    def __init__(self, hear: Callable[[bytes, str], None], fail: Callable[[Exception], None]) -> None:
        self._hear = hear
        self._fail = fail

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        self._hear(data[: MAX_BEACON_BYTES + 1], str(addr[0]))

    def error_received(self, exc: Exception) -> None:
        self._fail(exc)


def _make_socket(group: str, port: int, interface: str) -> socket.socket:
    """A socket that shares its port with other nodes of this machine. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("", port))
        local = socket.inet_aton(interface)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + local)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, local)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    except BaseException:
        made.close()
        raise
    return made
