"""The adverts a node holds, one per author, with running sums over them for comparing with another node's.

Knows no time and refuses nothing: what may come in and when it must go is the directory's to say. Of an advert, only
what may cross a link of some scope counts in the sums, heads and copies made for it.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from waggle.core.ids import NodeId
from waggle.mesh.addresses import Scope
from waggle.mesh.adverts.signed import OpenAdvert, SignedAdvert, scopes_within, within
from waggle.mesh.adverts.summaries import BUCKETS, MAX_HEADS, Head, bucket_of, digest_of, key_of

MAX_TAKEN = 256
"""Adverts in one message."""


ENTRY_BYTES, PART_BYTES, SKILL_BYTES = 2_048, 320, 104
"""Memory of an advert beyond its bytes twice over (as it came, and its texts): once, for each of its addresses, offers
and shares, and for each skill of an offer. Measured; the sum is 5 to 50 % more than what is really taken."""


class Entry(Struct):
    """One author's newest advert. `proven` once the author has answered us; `introducer` is who brought it first.

    `heard_at` is when this number first came, `expires_at` when its time is over, in seconds of our clock.
    """

    advert: OpenAdvert
    key: int
    introducer: NodeId
    heard_at: float
    expires_at: float
    proven: bool = False

    @property
    def author(self) -> NodeId:
        """Whose it is."""
        return self.advert.advert.node


class Holdings:
    """Entries by author and by key, and the sums of their buckets, one row per scope; `bytes` is the memory of all."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.entries: dict[NodeId, Entry] = {}
        self.bytes = 0
        self._authors: dict[int, NodeId] = {}
        self._buckets: list[set[int]] = [set() for _ in range(BUCKETS)]
        self._sums = [[0] * BUCKETS for _ in Scope]

    def put(self, entry: Entry) -> None:
        """Hold a new author's entry."""
        self.entries[entry.author] = entry
        self._authors[entry.key] = entry.author
        self._buckets[bucket_of(entry.key)].add(entry.key)
        self.bytes += memory_of(entry.advert)
        self._count(entry)

    def renew(self, entry: Entry, advert: OpenAdvert) -> None:
        """Hold another advert of an author that is here."""
        self._count(entry)
        self.bytes += memory_of(advert) - memory_of(entry.advert)
        entry.advert = advert
        self._count(entry)

    def remove(self, node: NodeId) -> Entry | None:
        """Hold an author no longer; gives what was held."""
        entry = self.entries.pop(node, None)
        if entry is not None:
            del self._authors[entry.key]
            self._buckets[bucket_of(entry.key)].discard(entry.key)
            self.bytes -= memory_of(entry.advert)
            self._count(entry)
        return entry

    def _count(self, entry: Entry) -> None:
        """Add to the sums what is not in them, or take out what is: exclusive or undoes itself."""
        bucket = bucket_of(entry.key)
        digests: dict[int, int] = {}
        for scope in Scope:
            head = head_of(entry, scope)
            if head.scopes not in digests:
                digests[head.scopes] = digest_of(head)
            self._sums[scope][bucket] ^= digests[head.scopes]

    def by_key(self, key: int) -> Entry | None:
        """The entry of the author with this key."""
        author = self._authors.get(key)
        return self.entries[author] if author is not None else None

    def sums(self, scope: Scope) -> list[int]:
        """One sum per bucket, of what may cross a link of this scope."""
        return self._sums[scope]

    def heads(self, buckets: Iterable[int], scope: Scope) -> tuple[list[Head], list[int]]:
        """Heads of whole buckets, as many as fit into a message, and which buckets these are."""
        heads: list[Head] = []
        covered: list[int] = []
        for bucket in buckets:
            if len(heads) + len(self._buckets[bucket]) > MAX_HEADS:
                break
            heads += self._heads_of(bucket, scope)
            covered.append(bucket)
        return heads, covered

    def _heads_of(self, bucket: int, scope: Scope) -> Iterator[Head]:
        return (head_of(self.entries[self._authors[key]], scope) for key in self._buckets[bucket])

    def ahead_of(self, theirs: dict[int, Head], buckets: Iterable[int], scope: Scope) -> list[int]:
        """Keys of what we hold in these buckets and they lack, or hold less of."""
        ours = (head for bucket in buckets for head in self._heads_of(bucket, scope))
        return [head.key for head in ours if head.key not in theirs or is_ahead(head, theirs[head.key])]

    def take(self, keys: list[int], scope: Scope, most_bytes: int) -> tuple[list[SignedAdvert], list[int]]:
        """The adverts of these authors, fit for a link of this scope, that fit into so many bytes; and the keys left.

        At most MAX_TAKEN at once.
        """
        taken: list[SignedAdvert] = []
        for index, key in enumerate(keys):
            entry = self.by_key(key)
            if entry is None:
                continue
            signed = within(entry.advert, scope).signed
            most_bytes -= signed.size
            if most_bytes < 0 or len(taken) == MAX_TAKEN:
                return taken, keys[index:]
            taken.append(signed)
        return taken, []


def memory_of(advert: OpenAdvert) -> int:
    """What holding an advert costs, in bytes: decoded, small values take many times what they took on the way."""
    said = advert.advert
    parts = len(said.addresses) + len(said.offers) + len(said.shared)
    skills = sum(len(offer.skills) for offer in said.offers)
    return ENTRY_BYTES + 2 * advert.signed.size + PART_BYTES * parts + SKILL_BYTES * skills


def new_entry(advert: OpenAdvert, introducer: NodeId, *, now: float, seconds: float) -> Entry:
    """An entry that lives for so many seconds from now."""
    return Entry(advert, key_of(advert.advert.node), introducer, now, now + seconds)


def head_of(entry: Entry, scope: Scope) -> Head:
    """What a peer over a link of this scope may know of what we hold."""
    incarnation, sequence = entry.advert.rank
    return Head(entry.key, incarnation, sequence, entry.advert.scopes & scopes_within(scope))


def is_ahead(one: Head, other: Head) -> bool:
    """Whether the first is newer, or as new with addresses that the other lacks."""
    if one.rank != other.rank:
        return one.rank > other.rank
    return bool(one.scopes & ~other.scopes)
