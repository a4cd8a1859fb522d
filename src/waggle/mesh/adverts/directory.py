"""What is known of everybody: one advert per author, bounded in every direction. Pure: times are arguments.

Invariants. Only a larger (incarnation, sequence) of the same author replaces an advert; nobody else's arrival evicts
it: when the directory is full, newcomers are refused. An advert lives for its own time to live, at most
MAX_ADVERT_SECONDS, counted on our clock from when we first heard that very number: hearing it again prolongs nothing.
What one peer brought and nobody heard an answer from is counted, so that a stranger cannot fill us with invented ids.

After death, farewell or expiry a grave remembers the last number, so that stale copies do not give birth to the node
again. It has two clocks: at least MAX_ADVERT_SECONDS of ours, and until the advert's own date would be refused anyway.
Then it is forgotten.

With `view_limit` it holds a part of a swarm of many thousands (`views`); there a better placed newcomer does replace
the worst placed.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.adverts.holdings import Entry, Holdings, memory_of, new_entry
from waggle.mesh.adverts.signed import OpenAdvert, find_clock_fault, lifetime, merge_addresses
from waggle.mesh.adverts.summaries import Head, key_of
from waggle.mesh.adverts.views import PartialView
from waggle.mesh.limits import MAX_ADVERT_SECONDS, MAX_ADVERTS, MAX_CLOCK_SKEW_SECONDS, MAX_HELD_BYTES

MAX_UNPROVEN = 256
"""Adverts that one peer may have brought whose authors never answered us."""
MAX_GRAVES = 2 * MAX_ADVERTS
"""Past it the oldest grave is forgotten: at worst a dead node is listed until its pings fail again."""
MIN_RENEWAL_SECONDS = 0.5
"""An author's next advert is taken no sooner, so that nobody makes the swarm pass on news all the time."""
IGNORE_SECONDS = 30.0
"""An advert with a wrong date is not asked for again so soon."""
SWEEP_SECONDS = 10.0


class Verdict(StrEnum):
    """What became of an advert; a refusal says why in words."""

    NEWS = "news"
    RENEWED = "renewed: nothing new but the number"
    COMPLETED = "completed: the same number with addresses that we lacked"
    KNOWN = "nothing newer than what is known"
    OTHER_NETWORK = "it belongs to another network"
    WRONG_DATE = "its date is too far from ours"
    BURIED = "its author was given up, and this is nothing newer"
    FULL = "the directory is full"
    CROWDED = "who brought it has brought too many that never answered"
    TOO_SOON = "its author's last advert came a moment ago"

    @property
    def accepted(self) -> bool:
        """Whether the directory holds it now."""
        return self in (Verdict.NEWS, Verdict.RENEWED, Verdict.COMPLETED)


class Grave(Struct, frozen=True):
    """The last number of an author that is gone; forgotten after `until` on our clock and the wall date `date`."""

    rank: tuple[int, int]
    until: float
    date: float


class Directory:
    """Adverts and graves of everybody. Our own advert is among the holdings, where neighbours compare, and in no list.

    Args:
        node: ourselves.
        network: adverts of other networks are refused.
        most: newcomers are refused past this many.
        view_limit: keep this many at most, by place instead of by arrival.
        salt: makes the sample of a partial view unforeseeable; up to 64 bytes.
    """

    def __init__(
        self,
        node: NodeId,
        network: str,
        *,
        most: int = MAX_ADVERTS,
        view_limit: int | None = None,
        salt: bytes = b"",
    ) -> None:
        """Know nobody."""
        self.node = node
        self.network = network
        self.holdings = Holdings()
        self._most = most
        self._view = PartialView(key_of(node), view_limit, salt) if view_limit else None
        self._graves: dict[int, Grave] = {}
        self._unproven: dict[NodeId, int] = {}
        self._next_sweep = 0.0
        self._dropped: list[NodeId] = []

    def __len__(self) -> int:
        return len(self.holdings.entries) - (self.node in self.holdings.entries)

    @property
    def is_partial(self) -> bool:
        """Whether it holds a part of the swarm only."""
        return self._view is not None

    def entry(self, node: NodeId) -> Entry | None:
        """What is known of a node, a farewell included."""
        return self.holdings.entries.get(node)

    def others(self) -> Iterable[Entry]:
        """What is known of everybody but us."""
        return (entry for node, entry in self.holdings.entries.items() if node != self.node)

    # --- what comes in ---------------------------------------------------------------------------------------------

    def put_own(self, advert: OpenAdvert) -> None:
        """Take our own new advert; it never expires."""
        if entry := self.entry(self.node):
            self.holdings.renew(entry, advert)
        else:
            self.holdings.put(new_entry(advert, self.node, now=0.0, seconds=float("inf")))

    def judge(self, advert: OpenAdvert, introducer: NodeId, *, now: float, wall: float) -> Verdict:
        """What `add` would do; cheap, so that nothing needs be verified that is not wanted."""
        author = advert.advert.node
        if advert.advert.network != self.network:
            return Verdict.OTHER_NETWORK
        if author == self.node:
            return Verdict.KNOWN
        if find_clock_fault(advert.advert, wall):
            return Verdict.WRONG_DATE
        if entry := self.entry(author):
            return self._judge_renewal(entry, advert, now)
        if self._is_buried(key_of(author), advert.rank):
            return Verdict.BURIED
        return self._judge_newcomer(advert, introducer)

    def _judge_renewal(self, entry: Entry, advert: OpenAdvert, now: float) -> Verdict:
        """Nobody comes in small and grows past what there is room for."""
        verdict = _compare(entry, advert, now)
        more = memory_of(advert) - memory_of(entry.advert) if verdict.accepted else 0
        return Verdict.FULL if more > 0 and self._is_too_much(more) else verdict

    def _judge_newcomer(self, advert: OpenAdvert, introducer: NodeId) -> Verdict:
        author = advert.advert.node
        if introducer != author and self._is_crowded_by(introducer):
            return Verdict.CROWDED
        key = key_of(author)
        is_full = self._is_too_much(memory_of(advert)) or not self._has_room(key)
        return Verdict.FULL if is_full or self.holdings.by_key(key) is not None else Verdict.NEWS

    def _is_buried(self, key: int, rank: tuple[int, int]) -> bool:
        grave = self._graves.get(key)
        return grave is not None and rank <= grave.rank

    def unproven(self, introducer: NodeId) -> int:
        """How many it brought whose authors never answered us."""
        return self._unproven.get(introducer, 0)

    def _is_crowded_by(self, introducer: NodeId) -> bool:
        return self.unproven(introducer) >= MAX_UNPROVEN

    def _is_too_much(self, more: int) -> bool:
        """Whether so many bytes more are over the bound; a partial view has its own, in adverts."""
        return self._view is None and self.holdings.bytes + more > MAX_HELD_BYTES

    def _has_room(self, key: int) -> bool:
        return self._view.has_room(key) if self._view is not None else len(self) < self._most

    def add(self, advert: OpenAdvert, introducer: NodeId, *, now: float, wall: float) -> Verdict:
        """Take a verified advert that `introducer` brought, or refuse it."""
        verdict = self.judge(advert, introducer, now=now, wall=wall)
        if verdict is Verdict.WRONG_DATE and self.entry(advert.advert.node) is None:
            self._dig(key_of(advert.advert.node), Grave(advert.rank, now + IGNORE_SECONDS, 0.0))
        if not verdict.accepted:
            return verdict
        if entry := self.entry(advert.advert.node):
            self._renew(entry, advert, now, verdict)
        else:
            self._insert(new_entry(advert, introducer, now=now, seconds=lifetime(advert.advert)))
        self._next_sweep = min(self._next_sweep, now + lifetime(advert.advert))
        return verdict

    def _insert(self, entry: Entry) -> None:
        for key in self._view.put(entry.key) if self._view is not None else ():
            if worst := self.holdings.by_key(key):
                self._remove(worst.author)
                self._dropped.append(worst.author)
        self._graves.pop(entry.key, None)
        self.holdings.put(entry)
        self._unproven[entry.introducer] = self._unproven.get(entry.introducer, 0) + 1

    def take_dropped(self) -> list[NodeId]:
        """Who had to go for better placed ones since the last call; nobody, where the view is not partial."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _renew(self, entry: Entry, advert: OpenAdvert, now: float, verdict: Verdict) -> None:
        if verdict is Verdict.COMPLETED:
            self.holdings.renew(entry, merge_addresses(entry.advert, advert))
        else:
            self.holdings.renew(entry, advert)
            entry.heard_at, entry.expires_at = now, now + lifetime(advert.advert)

    def lacks(self, head: Head, introducer: NodeId) -> bool:
        """Whether we would like the advert behind a head that a peer shows."""
        if entry := self.holdings.by_key(head.key):
            rank = entry.advert.rank
            return head.rank > rank or (head.rank == rank and bool(head.scopes & ~entry.advert.scopes))
        buried = self._is_buried(head.key, head.rank)
        return not buried and not self._is_crowded_by(introducer) and self._has_room(head.key)

    # --- what goes ---------------------------------------------------------------------------------------------------

    def prove(self, node: NodeId) -> None:
        """The author has answered us: it no longer counts against who brought it."""
        if (entry := self.entry(node)) and not entry.proven:
            entry.proven = True
            self._release(entry.introducer)

    def bury(self, node: NodeId, *, now: float) -> Advert | None:
        """Forget a node that is gone and remember its number for a while; gives its last advert."""
        entry = self._remove(node)
        if entry is None:
            return None
        advert = entry.advert.advert
        date = advert.issued_at + lifetime(advert) + MAX_CLOCK_SKEW_SECONDS
        self._dig(entry.key, Grave(entry.advert.rank, now + MAX_ADVERT_SECONDS, date))
        return advert

    def _dig(self, key: int, grave: Grave) -> None:
        while len(self._graves) >= MAX_GRAVES:
            del self._graves[next(iter(self._graves))]
        self._graves[key] = grave

    def unbury(self, node: NodeId) -> None:
        """The node itself has answered: even its old number is welcome again."""
        self._graves.pop(key_of(node), None)

    def expire(self, *, now: float, wall: float) -> list[Advert]:
        """Bury everybody whose time is over, forget old graves; gives their adverts. Looks at nobody before it must."""
        if now < self._next_sweep:
            return []
        gone = [entry.author for entry in self.others() if entry.expires_at <= now]
        expired = [advert for node in gone if (advert := self.bury(node, now=now))]
        for key in [key for key, grave in self._graves.items() if grave.until <= now and grave.date < wall]:
            del self._graves[key]
        self._next_sweep = min((entry.expires_at for entry in self.others()), default=now + SWEEP_SECONDS)
        self._next_sweep = min(self._next_sweep, now + SWEEP_SECONDS)
        return expired

    def _remove(self, node: NodeId) -> Entry | None:
        entry = self.holdings.remove(node) if node != self.node else None
        if entry is not None:
            if not entry.proven:
                self._release(entry.introducer)
            if self._view is not None:
                self._view.drop(entry.key)
        return entry

    def _release(self, introducer: NodeId) -> None:
        self._unproven[introducer] -= 1
        if not self._unproven[introducer]:
            del self._unproven[introducer]


def _compare(entry: Entry, advert: OpenAdvert, now: float) -> Verdict:
    held = entry.advert
    if advert.rank == held.rank:
        more = advert.scopes & ~held.scopes and advert.signed.body == held.signed.body
        return Verdict.COMPLETED if more else Verdict.KNOWN
    if advert.rank < held.rank:
        return Verdict.KNOWN
    if now - entry.heard_at < MIN_RENEWAL_SECONDS and not advert.advert.departed:
        return Verdict.TOO_SOON
    return Verdict.RENEWED if _content(advert.advert) == _content(held.advert) else Verdict.NEWS


def _content(advert: Advert) -> Advert:
    """All but number, date and the addresses, which not every reader gets."""
    return replace(advert, sequence=0, issued_at=0.0, addresses=())
