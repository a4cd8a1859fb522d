"""Multiaddrs as the bytes that the daemon and libp2p's protocols use. Pure.

Each word is its code as a varint, then its value: numbers big-endian, ids and names with their length before them.
"""

from ipaddress import ip_address

from waggle.mesh.addresses import BARE, Place, value_fault
from waggle.mesh.libp2p.p2pd.delimited import delimit, read_varint, varint
from waggle.trust import base58

CODES = {
    "ip4": 4, "tcp": 6, "ip6": 41, "dns": 53, "dns4": 54, "dns6": 55, "udp": 273, "p2p-circuit": 290, "p2p": 421,
    "tls": 448, "quic": 460, "quic-v1": 461, "ws": 477, "wss": 478,
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}
SIZES = {"ip4": 4, "ip6": 16, "tcp": 2, "udp": 2}
UNIX = 400


def pack(place: Place) -> bytes:
    """The binary form of a place that libp2p can dial."""
    return b"".join(varint(CODES[name]) + _pack_value(name, value) for name, value in place.parts)


def pack_socket(path: str) -> bytes:
    """The binary form of a socket file."""
    return varint(UNIX) + delimit(path.encode())


def _pack_value(name: str, value: str) -> bytes:
    if name in BARE:
        return b""
    if name in ("tcp", "udp"):
        return int(value).to_bytes(2)
    if name in ("ip4", "ip6"):
        return ip_address(value).packed
    return delimit((base58.decode(value) or b"") if name == "p2p" else value.encode())


def unpack(data: bytes) -> str | None:
    """The text of a binary multiaddr; None where a protocol is unknown or the bytes are damaged."""
    parts = []
    try:
        while data:
            code, data = read_varint(data)
            name = NAMES[code]
            value, data = _unpack_value(name, data)
            parts.append(f"/{name}/{value}" if value else f"/{name}")
    except (KeyError, ValueError):
        return None
    return "".join(parts)


def _unpack_value(name: str, data: bytes) -> tuple[str, bytes]:
    if name in BARE:
        return "", data
    size = SIZES.get(name)
    if size is None:
        size, data = read_varint(data)
    value, rest = data[:size], data[size:]
    if len(value) < size or not value:
        raise ValueError("the address ends too early")
    text = _value_text(name, value)
    if fault := value_fault(name, text):
        raise ValueError(fault)
    return text, rest


def _value_text(name: str, value: bytes) -> str:
    if name in ("tcp", "udp"):
        return str(int.from_bytes(value))
    if name in ("ip4", "ip6"):
        return str(ip_address(value))
    return base58.encode(value) if name == "p2p" else value.decode("ascii")
