"""Multiaddrs, as text for people and as bytes for the daemon. Pure, strict: one meaning for every text accepted.

Only what a libp2p node can listen on or be dialled at is known: hosts, tcp, udp, QUIC, websockets, relays. Anything
else is nonsense to `parse` and unreadable to `render`.
"""

import ipaddress
import re
from collections.abc import Iterator

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.trust import base58

MAX_ADDRESS_CHARACTERS = 512
MAX_PORT = 65_535
MAX_PEER_ID_BYTES = 42  # an identity multihash of the longest key that libp2p puts in an id; a SHA-256 one has 34
EXAMPLE = "/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo..."

CODES = {
    "ip4": 4, "tcp": 6, "ip6": 41, "dns": 53, "dns4": 54, "dns6": 55, "udp": 273, "p2p-circuit": 290, "p2p": 421,
    "tls": 448, "quic": 460, "quic-v1": 461, "ws": 477, "wss": 478,
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}
HOSTS = {"ip4", "ip6", "dns", "dns4", "dns6"}
LOOPBACK_HOSTS = {"127.0.0.1", "::1"}
BARE = {"p2p-circuit", "tls", "quic", "quic-v1", "ws", "wss"}
SIZES = {"ip4": 4, "ip6": 16, "tcp": 2, "udp": 2}

SHAPE = re.compile(
    r"(ip4|ip6|dns|dns4|dns6)/(tcp(/tls)?(/ws|/wss)?|udp/(quic|quic-v1))"  # where it listens
    r"(?P<peer>(/p2p/p2p-circuit)?/p2p)?"  # whom to expect there, behind a relay or not
)
DNS_NAME = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*"
)


class Address(Struct, frozen=True):
    """A multiaddr as its parts in order; the value is empty for protocols without one."""

    parts: tuple[tuple[str, str], ...]

    @property
    def peer(self) -> NodeId | None:
        """Whom one reaches there; None for an address to listen on."""
        name, value = self.parts[-1]
        return NodeId(value) if name == "p2p" else None

    @property
    def relayed(self) -> bool:
        """Whether the way leads through a relay."""
        return ("p2p-circuit", "") in self.parts

    @property
    def transport_part(self) -> "Address":
        """The same without the peer at its end."""
        return Address(self.parts[:-1]) if self.peer else self

    @property
    def fast(self) -> bool:
        """Whether it is TCP within this machine: three times the bytes per second of QUIC, half its latency."""
        return self.parts[1][0] == "tcp" and not self.relayed and self.host in LOOPBACK_HOSTS

    @property
    def host(self) -> str:
        """The IP address or name it begins with."""
        return self.parts[0][1]

    @property
    def port(self) -> int:
        """The TCP or UDP port."""
        return int(self.parts[1][1])

    def with_port(self, port: int) -> "Address":
        """The same at another port."""
        return Address((self.parts[0], (self.parts[1][0], str(port)), *self.parts[2:]))

    def __str__(self) -> str:
        return "".join(f"/{name}/{value}" if value else f"/{name}" for name, value in self.parts)

    def encode(self) -> bytes:
        """The binary form."""
        return b"".join(_varint(CODES[name]) + _encode_value(name, value) for name, value in self.parts)


def parse(text: str) -> Address:
    """Read an address, with or without a peer at its end.

    Raises:
        UsageError: the text is no address of a libp2p node, or not in its plainest spelling.
    """
    if len(text) > MAX_ADDRESS_CHARACTERS or not text.startswith("/"):
        raise _nonsense(text, "it begins with / and is not longer than 512 characters")
    parts = tuple(_parts(text, iter(text.split("/")[1:])))
    if not SHAPE.fullmatch("/".join(name for name, _ in parts)):
        raise _nonsense(text, "host, transport and peer do not follow each other as they should")
    return Address(parts)


def parse_peer(text: str) -> Address:
    """Like `parse`, for an address that names the peer to be found there."""
    address = parse(text)
    if address.peer is None:
        raise _nonsense(text, "it has to end in /p2p/ and the peer's id")
    return address


def _parts(text: str, words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for name in words:
        if name not in CODES:
            raise _nonsense(text, f"{name[:20]!r} is no protocol known here")
        value = "" if name in BARE else next(words, "")
        if name not in BARE and not _is_value(name, value):
            raise _nonsense(text, f"{value[:60]!r} is no value for {name}")
        yield name, value


def _nonsense(text: str, why: str) -> UsageError:
    return UsageError(f"{text[:120]!r} is no address like {EXAMPLE}: {why}")


def _is_value(name: str, value: str) -> bool:
    """Whether the value has the one spelling that its bytes have."""
    if name in ("tcp", "udp"):
        return value.isascii() and value.isdecimal() and str(int(value[:6])) == value and int(value) <= MAX_PORT
    if name == "p2p":
        return is_peer_id(value)
    if name in ("ip4", "ip6"):
        return _is_ip(name, value)
    return len(value) <= 253 and DNS_NAME.fullmatch(value) is not None


def _is_ip(name: str, value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.version == int(name[-1]) and "%" not in value


def is_peer_id(text: str) -> bool:
    """Whether the text is a peer id of libp2p: base58 of a multihash, the key itself or a SHA-256 of it."""
    data = base58.decode(text) if 0 < len(text) <= 60 else None
    if data is None or not 3 <= len(data) <= MAX_PEER_ID_BYTES:
        return False
    return data[0] in (0x00, 0x12) and data[1] == len(data) - 2 and (data[0] == 0x00 or data[1] == 32)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _encode_value(name: str, value: str) -> bytes:
    if name in BARE:
        return b""
    if name in ("tcp", "udp"):
        return int(value).to_bytes(2)
    if name in ("ip4", "ip6"):
        return ipaddress.ip_address(value).packed
    data = (base58.decode(value) or b"") if name == "p2p" else value.encode()
    return _varint(len(data)) + data


def unix(path: str) -> bytes:
    """The binary multiaddr of a socket file, for the daemon."""
    data = path.encode()
    return _varint(400) + _varint(len(data)) + data


def render(data: bytes) -> str | None:
    """The text of a binary multiaddr; None where a protocol is unknown or the bytes are damaged."""
    parts = []
    try:
        while data:
            code, data = _read_varint(data)
            name = NAMES[code]
            value, data = _decode_value(name, data)
            parts.append(f"/{name}/{value}" if value else f"/{name}")
    except (KeyError, ValueError, IndexError):
        return None
    return "".join(parts)


def _read_varint(data: bytes) -> tuple[int, bytes]:
    number = 0
    for index in range(5):
        number |= (data[index] & 0x7F) << (7 * index)
        if data[index] < 0x80:
            return number, data[index + 1 :]
    raise ValueError("a number of more than 35 bits")


def _decode_value(name: str, data: bytes) -> tuple[str, bytes]:
    if name in BARE:
        return "", data
    size = SIZES.get(name)
    if size is None:
        size, data = _read_varint(data)
    value, rest = data[:size], data[size:]
    if len(value) < size or not value:
        raise ValueError("the address ends too early")
    return _value_text(name, value), rest


def _value_text(name: str, value: bytes) -> str:
    if name in ("tcp", "udp"):
        return str(int.from_bytes(value))
    if name in ("ip4", "ip6"):
        return str(ipaddress.ip_address(value))
    text = base58.encode(value) if name == "p2p" else value.decode("ascii")
    if not _is_value(name, text):
        raise ValueError("not a name or a peer id")
    return text
