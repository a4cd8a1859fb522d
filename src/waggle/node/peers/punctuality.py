"""How fast other nodes really answer, as this node has seen it: that counts more than what their adverts say.

Taken from the rounds that it coordinated, by its own clock. A node that let a deadline pass is left out of committees
for a while, where there are others: it would cost every question its share of the time.
"""

from collections import OrderedDict

from msgspec import Struct

from waggle.core.failures import Cause
from waggle.core.ids import NodeId
from waggle.core.round_values import ProposalCommitted, ProposalReceived, Record

LATE_SECONDS = 60.0
SMOOTHING = 0.3  # weight of the newest answer in the running mean
MAX_KNOWN = 4_096
LATE = (Cause.LATE, Cause.SLOW)
"""The failures of a round that are a matter of time."""


class _Seen(Struct):
    """Seconds per answer, None before the first, and until when the node counts as late, by the caller's clock."""

    seconds: float | None = None
    late_until: float = 0.0


class Punctuality:
    """What was seen of each node; the one heard of longest ago is forgotten first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[NodeId, _Seen] = OrderedDict()

    def note(self, record: Record, now: float) -> None:
        """Learn from a round that has ended."""
        asked = {standing.node for standing in record.plan.proposers}  # standbys began later than the round
        ready: dict[NodeId, float] = {}
        answered = set[NodeId]()
        for event in record.events:
            if isinstance(event, ProposalCommitted):
                ready.setdefault(event.node, event.at)
            elif isinstance(event, ProposalReceived):
                ready.setdefault(event.proposal.node, event.at)
                answered.add(event.proposal.node)
        for node in asked & ready.keys():
            self._learn(self._of(node), ready[node])
        proposers = {standing.node for standing in (*record.plan.proposers, *record.plan.standby)}
        for node in proposers - answered:  # who was late with a ballot only, has answered
            failure = record.outcome.failures.get(node)
            if failure is not None and failure.cause in LATE:
                self._of(node).late_until = now + LATE_SECONDS

    def expected(self, node: NodeId, advertised: float | None) -> float | None:
        """Seconds that an answer should take: as seen where anything was, else as advertised."""
        seen = self._seen.get(node)
        return advertised if seen is None or seen.seconds is None else seen.seconds

    def is_late(self, node: NodeId, now: float) -> bool:
        """Whether it let a deadline pass lately."""
        seen = self._seen.get(node)
        return seen is not None and seen.late_until > now

    def _learn(self, seen: _Seen, seconds: float) -> None:
        seen.late_until = 0.0
        mean = seconds if seen.seconds is None else seen.seconds
        seen.seconds = mean + SMOOTHING * (seconds - mean)

    def _of(self, node: NodeId) -> _Seen:
        seen = self._seen.setdefault(node, _Seen())
        self._seen.move_to_end(node)
        if len(self._seen) > MAX_KNOWN:
            self._seen.popitem(last=False)
        return seen
