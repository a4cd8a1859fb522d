"""Multiaddrs read strictly, and who may be told of which.

An address is `/ip4/H/tcp/P/p2p/ID`, with `ip6`, `dns`, `dns4` or `dns6` for `ip4`, `udp/P/quic-v1` for `tcp/P`; through
a relay it is the relay's address, `/p2p-circuit`, and `/p2p/ID`. `/memory/NAME/p2p/ID` is one inside a process.

Every address has a scope: how far away somebody may be and still make sense of it. A node tells a peer only of
addresses within the scope of their link, and believes a peer's addresses only within it: a remote peer can make us
dial neither our own loopback nor the machines beside us.
"""

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.transport import Link

MAX_ADDRESSES = 8
"""Addresses of one scope that a node tells of itself."""
MAX_ADDRESS_LENGTH = 256
_SHARED = ip_network("100.64.0.0/10")
_TRANSLATED = tuple(ip_network(text) for text in ("64:ff9b::/96", "2002::/16", "2001::/32", "::/96"))
"""IPv6 addresses that stand for IPv4 ones: which, is up to the network, so we leave them alone."""
_HOSTS = {"ip4", "ip6", "dns", "dns4", "dns6"}
_WEB_COVERS = (["tls", "ws"], ["tls", "wss"], ["ws"], ["wss"], ["tls"])
"""What may come after a TCP port."""
_FORM = "an address looks like /ip4/203.0.113.5/tcp/4001/p2p/12D3Koo..."


class Scope(IntEnum):
    """Who can use an address, from nearest to farthest; also how far away the other end of a link is."""

    LOOPBACK = 0
    """This machine."""
    PRIVATE = 1
    """Its network."""
    PUBLIC = 2
    """Anybody."""


class PeerAddress(Struct, frozen=True, kw_only=True):
    """A multiaddr that was understood. `host` and `port` are the relay's where it is `relayed`."""

    text: str
    peer: NodeId
    scope: Scope
    host: str
    port: int
    relayed: bool = False
    named: bool = False
    """The host is a name, which may come to mean any machine."""


@lru_cache(maxsize=4096)
def parse_address(text: str) -> PeerAddress:
    """Read one multiaddr with its `/p2p/<id>`.

    Raises:
        UsageError: says what is wrong and how an address looks.
    """
    if len(text) > MAX_ADDRESS_LENGTH:
        raise UsageError(f"an address has at most {MAX_ADDRESS_LENGTH} characters, this one {len(text)}")
    parts = text.split("/")
    if parts[0] or len(parts) < 3 or not all(parts[1:]) or not text.isprintable() or " " in text:
        raise UsageError(f"{_shown(text)} is no address: {_FORM}")
    host, rest = _read_host(text, parts[1:])
    return _read_peer(text, host, rest)


def _shown(text: str) -> str:
    return repr(text[:80])


def _read_host(text: str, parts: list[str]) -> tuple[tuple[str, int, Scope, bool], list[str]]:
    """Host, port, scope and whether the host is a name; then what follows."""
    kind, name = parts[0], parts[1]
    if kind == "memory":
        return (name, 1, Scope.LOOPBACK, False), parts[2:]
    if kind not in _HOSTS:
        raise UsageError(f"{_shown(text)} begins with no kind of address that we know: {_FORM}")
    scope = Scope.PUBLIC if kind.startswith("dns") else _scope_of_host(text, kind, name)
    return (name, _read_port(text, parts[2:4]), scope, kind.startswith("dns")), _after_port(text, parts[2:])


def _scope_of_host(text: str, kind: str, name: str) -> Scope:
    try:
        host = ip_address(name)
    except ValueError:
        raise UsageError(f"{name[:80]!r} is no IP address, in {_shown(text)}") from None
    if host.version != int(kind[2]):
        raise UsageError(f"{name} is not an {kind} address, in {_shown(text)}")
    scope = scope_of_ip(host)
    if scope is None:
        raise UsageError(f"{name} cannot be dialled: it is unspecified, link-local, multicast or reserved")
    return scope


def scope_of_ip(host: IPv4Address | IPv6Address) -> Scope | None:
    """Who can use this IP address; None where nobody should dial it."""
    if isinstance(host, IPv6Address) and (host.ipv4_mapped or any(host in network for network in _TRANSLATED)):
        return Scope.LOOPBACK if host == IPv6Address("::1") else None
    if host.is_loopback:
        return Scope.LOOPBACK
    if host.is_unspecified or host.is_link_local or host.is_multicast or host.is_reserved:
        return None
    if isinstance(host, IPv4Address) and host in ip_network("0.0.0.0/8"):
        return None
    shared = isinstance(host, IPv4Address) and host in _SHARED
    return Scope.PRIVATE if host.is_private or shared else Scope.PUBLIC


def _read_port(text: str, parts: list[str]) -> int:
    if len(parts) < 2 or parts[0] not in ("tcp", "udp"):
        raise UsageError(f"{_shown(text)} has no tcp or udp port: {_FORM}")
    port = int(parts[1]) if parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 5 else 0
    if not 1 <= port <= 65_535:
        raise UsageError(f"the port in {_shown(text)} is not between 1 and 65535")
    return port


def _after_port(text: str, parts: list[str]) -> list[str]:
    """What follows `tcp/P` or `udp/P/quic-v1`."""
    if parts[0] == "tcp":
        rest = parts[2:]
        return next((rest[len(cover) :] for cover in _WEB_COVERS if rest[: len(cover)] == cover), rest)
    if parts[2:3] not in (["quic-v1"], ["quic"]):
        raise UsageError(f"after the udp port of {_shown(text)} must come quic-v1")
    return parts[3:]


def _read_peer(text: str, host: tuple[str, int, Scope, bool], parts: list[str]) -> PeerAddress:
    relayed = parts[2:3] == ["p2p-circuit"]
    peer = parts[3:] if relayed else parts
    if parts[:1] != ["p2p"] or len(peer) != 2 or peer[0] != "p2p" or not peer[1].isalnum() or not peer[1].isascii():
        raise UsageError(f"{_shown(text)} does not end in /p2p/<id of the peer>: {_FORM}")
    name, port, scope, named = host
    return PeerAddress(text=text, peer=NodeId(peer[1]), scope=scope, host=name, port=port, relayed=relayed, named=named)


def fit_addresses(texts: Iterable[str], peer: NodeId, *, nearest: Scope, farthest: Scope = Scope.PUBLIC) -> list[str]:
    """Of the addresses that somebody gave, those of `peer` that may be dialled, between two scopes, at most 8.

    Names are left out: a name may come to mean a machine beside us.
    """
    fit: list[str] = []
    for text in texts:
        try:
            address = parse_address(text)
        except UsageError:
            continue
        if address.peer == peer and nearest <= address.scope <= farthest and not address.named and text not in fit:
            fit.append(text)
    return fit[:MAX_ADDRESSES]


def in_dialling_order(texts: Iterable[str]) -> list[str]:
    """Nearest first, relayed last."""
    return sorted(texts, key=lambda text: (parse_address(text).relayed, parse_address(text).scope))


def scope_of_link(link: Link | None) -> Scope:
    """How far away the other end is, as far as we can tell; PUBLIC where we cannot, or where a relay is between."""
    if link is None or link.relayed:
        return Scope.PUBLIC
    scopes = []
    for text in link.addresses:
        try:
            address = parse_address(text if "/p2p/" in text else f"{text}/p2p/{link.peer}")
        except UsageError:
            continue
        scopes.append(Scope.PUBLIC if address.relayed or address.named else address.scope)
    return min(scopes, default=Scope.PUBLIC)
