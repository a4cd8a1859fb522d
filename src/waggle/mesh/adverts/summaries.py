"""A directory in a few bytes, so that two nodes find out cheaply where theirs differ.

Every author has a key of 64 bits; its top byte is its bucket. A summary is one 64-bit sum per bucket over what is held
of its authors: whatever the order, the same adverts give the same sum. Where sums differ, heads follow: key, number
and hidden lists of every advert in the bucket, 21 bytes each. What may not cross the link counts in neither.
"""

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b, sha256

from msgspec import Struct

from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId

BUCKETS = 256
SUMMARY_BYTES = 8 * BUCKETS
MAX_HEADS = 2_048
"""Heads in one message: 42 KiB, which fits through a relay."""
MAX_KEYS = 512
_SUMS = struct.Struct(f">{BUCKETS}Q")
_HEAD = struct.Struct(">QQIB")
HEAD_BYTES = _HEAD.size


class Head(Struct, frozen=True):
    """Which advert of an author somebody holds; `scopes` are the hidden lists with it."""

    key: int
    incarnation: int
    sequence: int
    scopes: int

    @property
    def rank(self) -> tuple[int, int]:
        """As of adverts."""
        return self.incarnation, self.sequence


def key_of(node: NodeId) -> int:
    """The author's 64-bit key."""
    return int.from_bytes(sha256(node.encode()).digest()[:8])


def bucket_of(key: int) -> int:
    """The bucket that a key falls into."""
    return key >> 56


def digest_of(head: Head) -> int:
    """64 bits that stand for one head; a bucket's sum is the exclusive or of them."""
    return int.from_bytes(blake2b(_pack(head), digest_size=8).digest())


def _pack(head: Head) -> bytes:
    return _HEAD.pack(head.key, head.incarnation, head.sequence, head.scopes)


def pack_heads(heads: Iterable[Head]) -> bytes:
    """Heads for the wire."""
    return b"".join(_pack(head) for head in heads)


def unpack_heads(data: bytes) -> Iterator[Head]:
    """Heads from the wire. Raises RemoteProtocolError for a wrong length."""
    if len(data) % HEAD_BYTES or len(data) > MAX_HEADS * HEAD_BYTES:
        raise RemoteProtocolError("a list of heads has a wrong length")
    return (Head(*fields) for fields in _HEAD.iter_unpack(data))


def pack_sums(sums: list[int]) -> bytes:
    """One sum per bucket for the wire: 2 KiB."""
    return _SUMS.pack(*sums)


def unpack_sums(data: bytes) -> tuple[int, ...]:
    """Sums from the wire. Raises RemoteProtocolError for a wrong length."""
    if len(data) != SUMMARY_BYTES:
        raise RemoteProtocolError("a summary has a wrong length")
    return _SUMS.unpack(data)


def pack_keys(keys: Iterable[int]) -> bytes:
    """Keys for the wire."""
    return b"".join(key.to_bytes(8) for key in keys)


def unpack_keys(data: bytes) -> list[int]:
    """Keys from the wire. Raises RemoteProtocolError for a wrong length."""
    if len(data) % 8 or len(data) > 8 * MAX_KEYS:
        raise RemoteProtocolError("a list of keys has a wrong length")
    return [int.from_bytes(data[start : start + 8]) for start in range(0, len(data), 8)]
