"""What a coordinator remembers of how fast others answered."""

from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import (
    Event,
    Outcome,
    Plan,
    Promise,
    Proposal,
    ProposalCommitted,
    ProposalReceived,
    Record,
    Standing,
)
from waggle.node.peers.punctuality import LATE_SECONDS, MAX_KNOWN, Punctuality

LATE = Failure(Cause.LATE, "no commitment in time")
SLOWER = Failure(Cause.SLOW, "stopped")
CRASHED = Failure(Cause.CRASHED, "crashed")
ANT, BEE, CAT = NodeId("ant"), NodeId("bee"), NodeId("cat")


def record(*events: Event, failures: dict[NodeId, Failure] | None = None) -> Record:
    plan = Plan(
        round_id=RoundId("00"),
        question="6 * 7?",
        proposers=(Standing(node=ANT), Standing(node=BEE)),
        standby=tuple(Standing(node=node) for node in (CAT, *(failures or {})) if node not in (ANT, BEE)),
        judges=(),
    )
    told = {str(node): failure for node, failure in (failures or {}).items()}
    outcome = Outcome(answer=None, confidence=0.0, abstained=True, failures=told)
    return Record(plan=plan, events=events, outcome=outcome)


def committed(node: NodeId, at: float) -> Event:
    return ProposalCommitted(at=at, node=node, promise=Promise(digest=""))


def revealed(node: NodeId, at: float) -> Event:
    return ProposalReceived(at=at, proposal=Proposal(node=node, answer="42", seconds=0.001))


def test_what_was_seen_counts_more_than_what_was_advertised() -> None:
    punctuality = Punctuality()
    assert (punctuality.expected(ANT, 17.0), punctuality.expected(ANT, None)) == (17.0, None)
    punctuality.note(record(committed(ANT, 2.0), revealed(ANT, 9.0), revealed(BEE, 3.0)), now=0.0)
    assert (punctuality.expected(ANT, 17.0), punctuality.expected(BEE, None)) == (2.0, 3.0)


def test_the_newest_answers_weigh_most() -> None:
    punctuality = Punctuality()
    for at in (1.0, 11.0):
        punctuality.note(record(committed(ANT, at)), now=0.0)
    assert punctuality.expected(ANT, None) == 4.0


def test_how_long_a_standby_took_is_not_known() -> None:
    punctuality = Punctuality()
    punctuality.note(record(committed(CAT, 20.0)), now=0.0)
    assert punctuality.expected(CAT, None) is None


def test_who_let_a_deadline_pass_is_late_for_a_while_or_until_it_answers() -> None:
    punctuality = Punctuality()
    punctuality.note(record(failures={ANT: LATE, BEE: SLOWER, CAT: CRASHED}), now=100.0)
    late = 100.0 + LATE_SECONDS - 1.0
    assert [punctuality.is_late(node, late) for node in (ANT, BEE, CAT)] == [True, True, False]
    assert not punctuality.is_late(ANT, late + 1.0)
    punctuality.note(record(committed(BEE, 1.0)), now=101.0)
    assert not punctuality.is_late(BEE, late)


def test_memory_is_bounded() -> None:
    punctuality = Punctuality()
    for number in range(MAX_KNOWN + 10):
        punctuality.note(record(failures={NodeId(str(number)): LATE}), now=0.0)
    assert not punctuality.is_late(NodeId("0"), 1.0)
    assert punctuality.is_late(NodeId(str(MAX_KNOWN + 9)), 1.0)


def test_a_judge_that_is_late_with_a_ballot_has_answered_in_time() -> None:
    punctuality = Punctuality()
    made = record(revealed(ANT, 1.0), failures={ANT: Failure(Cause.LATE, "no ballot in time")})
    punctuality.note(made, now=0.0)
    assert not punctuality.is_late(ANT, 1.0)
