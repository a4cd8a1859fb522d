"""What a node says on the local network: one signed datagram with its id, network and addresses. Pure.

A beacon is bounded, verified and dated before it is believed, and then leads no further than a dial: the link itself
proves who is there. Of its addresses only those count that make sense over the way it came.
"""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Address, Date
from waggle.mesh.addresses import MAX_ADDRESSES, Scope, fit_addresses
from waggle.mesh.limits import MAX_CLOCK_SKEW_SECONDS
from waggle.mesh.packing import decode_as, encode
from waggle.trust.keys import SIGNATURE_BYTES, NodeKey, verify

DOMAIN = b"waggle/1/lan/"
MAX_BEACON_BYTES = 1_200
"""Fits into one packet on every network."""


class Beacon(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """I am here; `asks` the others to say so too."""

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
