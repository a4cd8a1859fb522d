"""The parts of a round, read from its record."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    DeadlinePassed,
    Event,
    Outcome,
    Plan,
    Proposal,
    ProposalReceived,
    Record,
    RoundStarted,
    Spent,
)
from waggle.node.observing.phases import Phase, phases_of

BEE = NodeId("bee")


def proposed(at: float) -> Event:
    return ProposalReceived(at=at, proposal=Proposal(node=BEE, answer="42"))


def cast(at: float) -> Event:
    return BallotReceived(at=at, ballot=Ballot(judge=BEE, first=0, second=1, p=0.5))


def refused(at: float) -> Event:
    return BallotFailed(at=at, judge=BEE, first=0, second=1, failure=Failure(Cause.UNAVAILABLE, ""))


def rung(at: float) -> Event:
    return DeadlinePassed(at=at, phase="round")


def record(events: Sequence[Event], seconds: float) -> Record:
    plan = Plan(round_id=RoundId("0" * 31 + "1"), question="q", proposers=(), judges=())
    outcome = Outcome(answer="42", confidence=0.5, abstained=False, spent=Spent(seconds=seconds))
    return Record(plan=plan, events=(RoundStarted(), *events), outcome=outcome)


@pytest.mark.parametrize(
    ("events", "seconds", "phases"),
    [
        ([], 0.0, [Phase("propose", 0.0, 0.0), Phase("decide", 0.0, 0.0)]),
        ([proposed(1.0), proposed(2.0)], 2.0, [Phase("propose", 0.0, 2.0), Phase("decide", 2.0, 2.0)]),
        (
            [proposed(1.0), proposed(2.0), cast(3.0), refused(4.5), rung(6.0)],
            6.0,
            [Phase("propose", 0.0, 2.0), Phase("judge", 2.0, 4.5), Phase("decide", 4.5, 6.0)],
        ),
        (
            [proposed(1.0), cast(2.0), proposed(3.0)],
            3.0,
            [Phase("propose", 0.0, 1.0), Phase("judge", 1.0, 2.0), Phase("decide", 2.0, 3.0)],
        ),
    ],
)
def test_each_part_begins_where_the_one_before_ends(events: list[Event], seconds: float, phases: list[Phase]) -> None:
    assert list(phases_of(record(events, seconds))) == phases


times = st.floats(0.0, 1e6)


@given(st.lists(st.one_of(*(st.builds(make, times) for make in (proposed, cast, refused, rung)))), times)
def test_no_order_of_events_makes_a_part_negative(events: list[Event], seconds: float) -> None:
    phases = phases_of(record(events, seconds))
    assert phases[0].began == 0.0
    assert all(phase.seconds >= 0.0 for phase in phases)
    assert all(one.ended == two.began for one, two in pairwise(phases))
