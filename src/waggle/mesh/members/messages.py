"""How nodes bring their directories together: three calls, all small, all bounded by their types."""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.mesh.adverts.holdings import MAX_TAKEN
from waggle.mesh.adverts.signed import SignedAdvert
from waggle.mesh.adverts.summaries import BUCKETS, HEAD_BYTES, MAX_HEADS, MAX_KEYS, SUMMARY_BYTES
from waggle.mesh.limits import KIB
from waggle.mesh.liveness.pings import Network

COMPARE_PROTOCOL = "/waggle/compare/1"
TRADE_PROTOCOL = "/waggle/trade/1"
NEWS_PROTOCOL = "/waggle/news/1"

MAX_MESSAGE_BYTES = 60 * KIB
MAX_NEWS = 16

Adverts = Annotated[tuple[SignedAdvert, ...], Meta(max_length=MAX_TAKEN)]


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
