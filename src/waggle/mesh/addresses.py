"""Multiaddrs read strictly, and who may be told of which. Pure.

A place is `/ip4/H/tcp/P`, or with `ip6`, `dns`, `dns4`, `dns6` for `ip4`, with `udp/P/quic-v1`, `udp/P/quic` for
`tcp/P`, and with `tls`, `ws` or `wss` behind a TCP port. A peer is at `PLACE/p2p/ID`, through a relay at
`PLACE/p2p/RELAY/p2p-circuit/p2p/ID`. `/memory/NAME/p2p/ID` is a peer inside a process, whose id may be any word.

This is the only grammar, so that a text means one thing to us, to our peers and to the daemon. Where two readings were
thinkable the stricter one holds: an id is the base58 of a multihash; a port has no leading zero; port 0 (any free one)
is for listening alone; where a peer is named, nobody's host (unspecified, link-local, multicast, reserved) is refused;
a name has letters, digits, dashes, underscores and dots. An IPv6 address alone may be spelt in more than one way.

Every address of a peer has a scope: how far away somebody may be and still make sense of it. A node tells a peer only
of addresses within the scope of their link, and believes a peer's addresses only within it: a remote peer can make us
dial neither our own loopback nor the machines beside us.
"""

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.transport import Link
from waggle.trust import base58

MAX_ADDRESSES = 8
"""Addresses of one scope that a node tells of itself."""
MAX_ADDRESS_LENGTH = 256
MAX_PEER_ID_BYTES = 42
"""An identity multihash of the longest key that libp2p puts in an id; a SHA-256 one has 34."""
EXAMPLE = "/ip4/203.0.113.5/tcp/4001/p2p/12D3Koo..."

HOSTS = frozenset({"ip4", "ip6", "dns", "dns4", "dns6"})
BARE = frozenset({"p2p-circuit", "tls", "quic", "quic-v1", "ws", "wss"})
"""Words of an address that have no value behind them."""

_SHAPE = re.compile(
    r"(ip4|ip6|dns|dns4|dns6)/(tcp(/tls)?(/ws|/wss)?|udp/(quic|quic-v1))"  # where it listens
    r"((/p2p/p2p-circuit)?/p2p)?"  # whom to expect there, behind a relay or not
)
_MEMORY = re.compile(r"/memory/([\w.-]+)/p2p/([\w.-]+)", re.ASCII)
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_SHARED = ip_network("100.64.0.0/10")
_NOBODYS = ip_network("0.0.0.0/8")
_TRANSLATED = tuple(ip_network(text) for text in ("64:ff9b::/96", "2002::/16", "2001::/32", "::/96"))
"""IPv6 addresses that stand for IPv4 ones: which, is up to the network, so we leave them alone."""


class Scope(IntEnum):
    """Who can use an address, from nearest to farthest; also how far away the other end of a link is."""

    LOOPBACK = 0
    """This machine."""
    PRIVATE = 1
    """Its network."""
    PUBLIC = 2
    """Anybody."""


class Place(Struct, frozen=True):
    """An address without the peer at its end: its words in order, each with its value, "" where it has none."""

    parts: tuple[tuple[str, str], ...]

    @property
    def host(self) -> str:
        """The IP address or name it begins with; of a relayed one the relay's."""
        return self.parts[0][1]

    @property
    def port(self) -> int:
        """The TCP or UDP port; 0 for any free one."""
        return int(self.parts[1][1])

    @property
    def relayed(self) -> bool:
        """Whether the way leads through a relay."""
        return self.parts[-1] == ("p2p-circuit", "")

    @property
    def named(self) -> bool:
        """Whether the host is a name, which may come to mean any machine."""
        return self.parts[0][0].startswith("dns")

    @property
    def scope(self) -> Scope | None:
        """Who can use it; None where nobody should."""
        kind, host = self.parts[0]
        if kind == "memory":
            return Scope.LOOPBACK
        return Scope.PUBLIC if self.named else scope_of_ip(ip_address(host))

    def with_port(self, port: int) -> "Place":
        """The same at another port."""
        return Place((self.parts[0], (self.parts[1][0], str(port)), *self.parts[2:]))

    def __str__(self) -> str:
        return "".join(f"/{name}/{value}" if value else f"/{name}" for name, value in self.parts)


class PeerAddress(Struct, frozen=True, kw_only=True):
    """Where a peer is said to be."""

    text: str
    peer: NodeId
    place: Place
    scope: Scope


def scope_of_ip(host: IPv4Address | IPv6Address) -> Scope | None:
    """Who can use this IP address; None where nobody should dial it."""
    if isinstance(host, IPv6Address) and (host.ipv4_mapped or any(host in network for network in _TRANSLATED)):
        return Scope.LOOPBACK if host == IPv6Address("::1") else None
    if host.is_loopback:
        return Scope.LOOPBACK
    if host.is_unspecified or host.is_link_local or host.is_multicast or host.is_reserved or host in _NOBODYS:
        return None
    return Scope.PRIVATE if host.is_private or host in _SHARED else Scope.PUBLIC


# --- reading ----------------------------------------------------------------------------------------------------------


def parse_place(text: str) -> Place:
    """Where to listen, or what to announce; a peer at its end is left out. Raises UsageError."""
    parts = _read(text)
    return Place(parts[:-1] if parts[-1][0] == "p2p" else parts)


def parse_peer(text: str) -> PeerAddress:
    """Where libp2p can dial a peer.

    Raises:
        UsageError: says what is wrong and how an address looks.
    """
    *place, last = _read(text)
    if last[0] != "p2p":
        raise _nonsense(text, "it has to end in /p2p/ and the peer's id")
    return _peer_at(text, NodeId(last[1]), Place(tuple(place)))


@lru_cache(maxsize=4096)
def parse_address(text: str) -> PeerAddress:
    """Where a peer can be dialled, by libp2p or inside this process. Raises UsageError as `parse_peer`."""
    if memory := _MEMORY.fullmatch(text):
        return _peer_at(text, NodeId(memory[2]), Place((("memory", memory[1]),)))
    return parse_peer(text)


def _peer_at(text: str, peer: NodeId, place: Place) -> PeerAddress:
    scope = place.scope
    if scope is None:
        raise UsageError(f"{place.host} cannot be dialled: it is unspecified, link-local, multicast or reserved")
    if len(place.parts) > 1 and place.port == 0:
        raise _nonsense(text, "the port in it has to be the one to dial, from 1 to 65535")
    return PeerAddress(text=text, peer=peer, place=place, scope=scope)


def _read(text: str) -> tuple[tuple[str, str], ...]:
    if len(text) > MAX_ADDRESS_LENGTH:
        raise UsageError(f"an address has at most {MAX_ADDRESS_LENGTH} characters, this one {len(text)}")
    if not text.startswith("/"):
        raise _nonsense(text, "it has to begin with /")
    parts = tuple(_parts(text, iter(text.split("/")[1:])))
    if not _SHAPE.fullmatch("/".join(name for name, _ in parts)):
        raise _nonsense(text, "host, port and peer do not follow each other as they should")
    return parts


def _parts(text: str, words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for name in words:
        value = "" if name in BARE else next(words, "")
        if fault := value_fault(name, value):
            raise _nonsense(text, fault)
        yield name, value


def _nonsense(text: str, why: str) -> UsageError:
    return UsageError(f"{text[:80]!r} is no address like {EXAMPLE}: {why}")


def value_fault(name: str, value: str) -> str | None:
    """Why a word of an address cannot have this value; None where it can."""
    if name in BARE:
        return None
    if name in ("tcp", "udp"):
        digits = value.isascii() and value.isdecimal() and len(value) <= 5 and str(int(value)) == value
        return None if digits and int(value) <= 65_535 else "the port in it is no plain number up to 65535"
    if name == "p2p":
        return None if is_peer_id(value) else f"{value[:60]!r} in it is no node id: copy it once more"
    if name in ("ip4", "ip6"):
        return None if _is_ip(name, value) else f"{value[:60]!r} is no {name} address"
    if name in HOSTS:
        return None if len(value) <= 253 and _DNS_NAME.fullmatch(value) else f"{value[:60]!r} is no name of a machine"
    return f"{name[:20]!r} is no kind of address known here"


def _is_ip(name: str, value: str) -> bool:
    try:
        address = ip_address(value)
    except ValueError:
        return False
    return address.version == int(name[-1]) and "%" not in value


def is_peer_id(text: str) -> bool:
    """Whether the text is a peer id of libp2p: base58 of a multihash, the key itself or a SHA-256 of it."""
    data = base58.decode(text) if 0 < len(text) <= 60 else None
    if data is None or not 3 <= len(data) <= MAX_PEER_ID_BYTES:
        return False
    return data[0] in (0x00, 0x12) and data[1] == len(data) - 2 and (data[0] == 0x00 or data[1] == 32)


# --- choosing ---------------------------------------------------------------------------------------------------------


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
        in_scope = nearest <= address.scope <= farthest and not address.place.named
        if address.peer == peer and in_scope and text not in fit:
            fit.append(text)
    return fit[:MAX_ADDRESSES]


def in_dialling_order(texts: Iterable[str]) -> list[str]:
    """Nearest first, relayed last."""
    return sorted(texts, key=lambda text: (parse_address(text).place.relayed, parse_address(text).scope))


def scope_of_link(link: Link | None) -> Scope:
    """How far away the other end is, as far as we can tell; PUBLIC where we cannot, or where a relay is between."""
    if link is None or link.relayed:
        return Scope.PUBLIC
    scopes = []
    for text in link.addresses:
        try:
            address = parse_address(text if text.endswith(f"/p2p/{link.peer}") else f"{text}/p2p/{link.peer}")
        except UsageError:
            continue
        scopes.append(Scope.PUBLIC if address.place.relayed or address.place.named else address.scope)
    return min(scopes, default=Scope.PUBLIC)
