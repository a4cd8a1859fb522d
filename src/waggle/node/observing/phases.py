"""When the parts of a round began and ended, read from its record: proposing, judging, deciding.

The record has no event for the change from one part to the next: judging begins with the last event before the first
ballot, deciding with the last ballot.
"""

from msgspec import Struct

from waggle.core.round_values import BallotFailed, BallotReceived, Record

PROPOSE, JUDGE, DECIDE = "propose", "judge", "decide"


class Phase(Struct, frozen=True):
    """One part of a round, in seconds since it began."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


def phases_of(record: Record) -> tuple[Phase, ...]:
    """Its parts in their order; no judging where there was no ballot. Never negative, never overlapping."""
    ballots = [place for place, event in enumerate(record.events) if isinstance(event, BallotReceived | BallotFailed)]
    before = record.events[: ballots[0]] if ballots else record.events
    proposed = max((event.at for event in before), default=0.0)
    judged = max([proposed, *(record.events[place].at for place in ballots)])
    ended = max(judged, record.outcome.spent.seconds)
    parts = [Phase(PROPOSE, 0.0, proposed)]
    if ballots:
        parts.append(Phase(JUDGE, proposed, judged))
    return (*parts, Phase(DECIDE, judged, ended))
