"""Events in words."""

import pytest

from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    DeadlinePassed,
    Event,
    Promise,
    Proposal,
    ProposalCommitted,
    ProposalFailed,
    ProposalReceived,
    RoundStarted,
)
from waggle.dashboard.rounds.event_words import event_words

A = NodeId("a")
ANSWERS = {0: "42", 1: "41"}


def ballot(p: float | None) -> BallotReceived:
    return BallotReceived(at=1.0, ballot=Ballot(judge=A, first=0, second=1, p=p))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (RoundStarted(), "The round starts: all proposers are asked."),
        (ProposalCommitted(at=1.0, node=A, promise=Promise(digest="d")), "sage has an answer and is bound to it."),
        (ProposalReceived(at=1.0, proposal=Proposal(node=A, answer="42\n\x1b")), "sage answers “42”."),
        (
            ProposalFailed(at=1.0, node=A, failure=Failure(Cause.UNAVAILABLE, "out of\nmemory")),
            "sage gives no answer: out of memory",
        ),
        (ballot(0.9), "sage prefers “42” to “41” (90 %)."),
        (ballot(0.2), "sage prefers “41” to “42” (80 %)."),
        (ballot(0.5), "sage sees no difference between “42” and “41”."),
        (ballot(None), "sage compares “42” and “41”, and its verdict cannot be read."),
        (
            BallotFailed(at=1.0, judge=A, first=0, second=1, failure=Failure(Cause.UNAVAILABLE, "gone")),
            "sage cannot judge: gone",
        ),
        (DeadlinePassed(at=1.0, phase="round"), "The time for the whole round is up."),
        (DeadlinePassed(at=1.0, phase="hedge", node=A), "sage is slow: another node is asked as well."),
    ],
)
def test_every_event_is_one_sentence(event: Event, said: str) -> None:
    assert event_words(event, ANSWERS, {"a": "sage"}).replace(" \\x1b", "") == said
