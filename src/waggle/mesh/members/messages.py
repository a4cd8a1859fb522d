"""What nodes say to each other about membership: five calls, all small, all bounded by their types."""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Count, Load
from waggle.mesh.adverts.holdings import MAX_TAKEN
from waggle.mesh.adverts.signed import SignedAdvert
from waggle.mesh.adverts.summaries import BUCKETS, HEAD_BYTES, MAX_HEADS, MAX_KEYS, SUMMARY_BYTES
from waggle.mesh.limits import KIB

PING_PROTOCOL = "/waggle/ping/1"
PROBE_PROTOCOL = "/waggle/probe/1"
COMPARE_PROTOCOL = "/waggle/compare/1"
TRADE_PROTOCOL = "/waggle/trade/1"
NEWS_PROTOCOL = "/waggle/news/1"

MAX_BATCH_BYTES = 48 * KIB
"""Adverts in one message, so that it fits through a relay."""
MAX_MESSAGE_BYTES = 60 * KIB
MAX_SMALL_BYTES = 2 * KIB
MAX_NEWS = 16
MAX_HINTS = 4

Network = Annotated[str, Meta(max_length=64)]
Adverts = Annotated[tuple[SignedAdvert, ...], Meta(max_length=MAX_TAKEN)]


class Hint(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The sender could not reach this node. Hearsay: the receiver asks the node itself."""

    node: Annotated[NodeId, Meta(max_length=128)]
    incarnation: Count


Hints = Annotated[tuple[Hint, ...], Meta(max_length=MAX_HINTS)]


class Ping(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Are you there?"""

    hints: Hints = ()


class Pong(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """I am: this is my newest advert's number, and how busy I am."""

    network: Network
    incarnation: Count
    sequence: Count
    load: Load
    hints: Hints = ()


class PleaseProbe(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Does this node answer you? It does not answer me."""

    node: Annotated[NodeId, Meta(max_length=128)]


class Probed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Whether it did; False also where the helper does not know it or has no time."""

    answered: bool


class Compare(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The sums of my directory; empty from who holds a part of the swarm, and wants to see everything."""

    network: Network
    sums: Annotated[bytes, Meta(max_length=SUMMARY_BYTES)]


class Compared(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The heads of buckets that differ; `buckets` is one bit for each bucket that `heads` covers whole."""

    network: Network
    buckets: Annotated[bytes, Meta(max_length=BUCKETS // 8)]
    heads: Annotated[bytes, Meta(max_length=MAX_HEADS * HEAD_BYTES)]


class Trade(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Adverts that you lack, and the keys of those that I want."""

    adverts: Adverts
    wanted: Annotated[bytes, Meta(max_length=8 * MAX_KEYS)]


class Traded(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """As many of the wanted ones as fit. `refusal` says why the caller's own advert was not taken."""

    adverts: Adverts
    refusal: Annotated[str, Meta(max_length=256)] = ""


class News(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Adverts that say something new; the reply is empty."""

    adverts: Annotated[tuple[SignedAdvert, ...], Meta(max_length=MAX_NEWS)]


def pack_buckets(buckets: list[int]) -> bytes:
    """Numbers of buckets as one bit each."""
    return sum(1 << bucket for bucket in buckets).to_bytes(BUCKETS // 8)


def unpack_buckets(data: bytes) -> list[int]:
    """The numbers again."""
    bits = int.from_bytes(data)
    return [bucket for bucket in range(BUCKETS) if bits >> bucket & 1]
