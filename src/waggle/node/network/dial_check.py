"""Whether a node answers at one address, tried by itself.

A fresh daemon that was told of nothing else dials it, and the link is looked at: libp2p tries all it knows of a peer,
so that in any other way a blocked transport hides behind one that works.
"""

from collections.abc import Callable, Sequence
from time import monotonic

from msgspec import Struct

from waggle.core.errors import MeshError, PeerSilent, PeerUnreachable, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.core.inert import one_line
from waggle.mesh.addresses import Scope, parse_address
from waggle.mesh.libp2p.transport import Libp2pTransport
from waggle.mesh.members.visit import Visitor
from waggle.mesh.transport import Transport
from waggle.node.network.outside import passer_by

DIAL_SECONDS = 5.0
TCP, QUIC, RELAY = "TCP", "QUIC", "relay"
SILENCE = {
    TCP: "a firewall or NAT drops TCP to it, or its machine is off",
    QUIC: "a firewall or NAT drops UDP, or nothing listens there",
    RELAY: "the relay is off, or holds no place for it",
}
"""What stands in the way where nothing comes back."""
NEAR = {
    Scope.LOOPBACK: "; such an address is good on the node's own machine only",
    Scope.PRIVATE: "; such an address is good in the node's own network only",
    Scope.PUBLIC: "",
}


class Finding(Struct, frozen=True, kw_only=True):
    """One way, whether it works, and what was seen or what stands in the way."""

    way: str
    works: bool
    remark: str


def way_of(address: str) -> str:
    """How a multiaddr reaches its peer: TCP, QUIC or relay."""
    if "/p2p-circuit" in address:
        return RELAY
    return QUIC if "/quic" in address else TCP


async def dial(transport: Transport, address: str) -> NodeId:
    """Link to a peer at this address by a transport that knows no other of it.

    Raises:
        PeerUnreachable: says what stands in the way.
        UsageError: this is no address.
    """
    way = way_of(address)
    try:
        peer = await transport.connect([address], seconds=DIAL_SECONDS)
        used = {way_of(each) for link in await transport.links() if link.peer == peer for each in link.addresses}
    except MeshError as error:
        told = f"no answer: {SILENCE[way]}" if isinstance(error, PeerSilent) else str(error)
        raise PeerUnreachable(told) from None
    if way not in used and way != RELAY:  # a relayed link may have become a direct one by now
        raise PeerUnreachable(f"{way} does not; the link came about by {' and '.join(sorted(used)) or 'nothing'}")
    return peer


async def check_invite(
    addresses: Sequence[str], network: str, trying: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Dial each address of an invite, one after the other, with a daemon for each; at most 2 * DIAL_SECONDS each.

    `trying` is told which one is dialled next, in words.
    """
    findings = []
    for address in addresses:
        trying(f"{way_of(address)} to {_place(address)}")
        findings.append(await _check(address, network))
    return findings


def _place(address: str) -> str:
    place = parse_address(address).place
    return f"{place.host}:{place.port}"


async def _check(text: str, network: str) -> Finding:
    address, way = parse_address(text), way_of(text)
    place = _place(text)
    try:
        async with passer_by() as (transport, _):
            return Finding(way=way, works=True, remark=f"{place}: {await _ping(transport, text, network)}")
    except (MeshError, RemoteProtocolError, UsageError, OSError) as error:
        return Finding(way=way, works=False, remark=f"{place}: {one_line(str(error), 160)}{NEAR[address.scope]}")


async def _ping(transport: Libp2pTransport, address: str, network: str) -> str:
    peer = await dial(transport, address)
    visitor = Visitor(transport, network)
    began = monotonic()
    pong = await visitor.ping(peer, seconds=DIAL_SECONDS)
    if pong.network != network:
        theirs = one_line(pong.network, 64)
        raise PeerUnreachable(f"it answers, but belongs to the network {theirs!r}: say --network with its name")
    return f"answered within {1e3 * (monotonic() - began):.0f} ms"
