"""What the round refuses to take in, and whom it names when somebody was not asked or not heard."""

import math

import msgspec
import pytest
from msgspec.structs import replace

from waggle.core.chat_values import Role, Turn
from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.failures import MAX_REASON_BYTES, Cause, Failure
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_picture import Phase
from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    Budget,
    ConfidenceModel,
    DeadlinePassed,
    Event,
    Plan,
    Proposal,
    ProposalFailed,
    ProposalReceived,
    RoundStarted,
    Standing,
)
from waggle.node.chance import draw
from waggle.strategies.committee.round import CommitteeMachine, step
from waggle.strategies.committee.state import State, ceiling_tokens
from waggle.strategies.limits import MAX_TRACE_BYTES
from waggle.strategies.machine import Moment

A, B, C = (NodeId(name) for name in "abc")


def started(**changes: object) -> State:
    standings = tuple(Standing(node=node) for node in (A, B, C))
    plan = Plan(round_id=RoundId("00"), question="6 * 7?", proposers=standings, judges=standings)
    state, _ = step(State(plan=msgspec.structs.replace(plan, **changes)), RoundStarted(), draw)
    return state


def proposal(node: NodeId = A, changes: dict[str, object] | None = None) -> ProposalReceived:
    made = Proposal(node=node, answer=str(node), self_confidence=0.8, tokens=10)
    return ProposalReceived(at=1.0, proposal=msgspec.structs.replace(made, **changes or {}))


def ranking(**changes: object) -> State:
    """A round in which three answers wait to be compared."""
    state = started(**changes)
    for node in (A, B, C):
        state, _ = step(state, proposal(node), draw)
    assert state.phase is Phase.RANK
    return state


def open_ballot(state: State) -> AskBallot:
    return next(ask for ask in state.open if isinstance(ask, AskBallot))


def refused(state: State, event: Event) -> str:
    moment = Moment(plan=state.plan, machine=CommitteeMachine(), state=state)
    with pytest.raises(RemoteProtocolError) as caught:
        moment.after(event, draw)
    assert moment.state is state
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answer": "4\ud8002"}, "answer is not valid Unicode"),
        ({"trace": "\udc00"}, "trace is not valid Unicode"),
        ({"trace": "x" * (MAX_TRACE_BYTES + 1)}, "trace is longer"),
        ({"seconds": math.nan}, "no number of seconds"),
        ({"seconds": math.inf}, "no number of seconds"),
        ({"seconds": -1.0}, "no number of seconds"),
    ],
)
def test_a_proposal_that_no_record_could_hold_is_refused(changes: dict[str, object], words: str) -> None:
    assert words in refused(started(), proposal(A, changes))


@pytest.mark.parametrize("reason", ["\ud800", "x" * (MAX_REASON_BYTES + 1)])
def test_a_reason_that_no_record_could_hold_is_refused(reason: str) -> None:
    assert "reason is" in refused(started(), ProposalFailed(at=1.0, node=A, failure=Failure(Cause.UNAVAILABLE, reason)))
    state = ranking()
    ask = open_ballot(state)
    first, second = ask.pair.first, ask.pair.second
    failure = Failure(Cause.UNAVAILABLE, reason)
    lost = BallotFailed(at=1.0, judge=ask.judge, first=first, second=second, failure=failure)
    assert "reason is" in refused(state, lost)
    ballot = Ballot(judge=ask.judge, first=first, second=second, p=0.5, reason=reason)
    assert "reason is" in refused(state, BallotReceived(at=1.0, ballot=ballot))


def test_what_is_just_short_enough_is_taken() -> None:
    state, _ = step(started(), proposal(A, {"trace": "x" * MAX_TRACE_BYTES}), draw)
    assert len(state.proposals) == 1


def test_proposers_that_the_token_budget_leaves_out_are_named() -> None:
    price = ceiling_tokens(started().open[0])
    state = started(budget=Budget(tokens=price))
    assert [ask.node for ask in state.open if isinstance(ask, AskProposal)] == [A]
    state, _ = step(state, proposal(A), draw)
    assert state.outcome is not None
    assert state.outcome.reasons == dict.fromkeys("bc", "not asked: the token budget did not allow it")


def test_ballots_that_were_never_asked_for_do_not_count_as_asked() -> None:
    state = ranking()
    price = ceiling_tokens(open_ballot(state))
    state = ranking(budget=Budget(tokens=3 * ceiling_tokens(started().open[0]) + price))
    assert state.count.asked == len(state.open) < len(state.tried)
    state, _ = step(state, DeadlinePassed(at=60.0, phase="round"), draw)
    assert state.outcome is not None
    assert state.outcome.ballots.refused == state.outcome.ballots.asked > 0


def test_judges_that_are_silent_at_the_deadline_are_named() -> None:
    state, _ = step(ranking(), DeadlinePassed(at=60.0, phase="round"), draw)
    assert state.outcome is not None
    assert state.outcome.reasons == dict.fromkeys("abc", "no ballot in time")


def test_ballots_that_cannot_be_fitted_yet_do_not_end_the_round() -> None:
    state = ranking(prior_ballots=0.0, use_support=False, waves=1)
    while state.phase is Phase.RANK:  # somebody wins everything: without a prior no finite strengths exist
        ask = open_ballot(state)
        p = 1.0 if ask.pair.first < ask.pair.second else 0.0
        state, _ = step(
            state,
            BallotReceived(at=1.0, ballot=Ballot(judge=ask.judge, first=ask.pair.first, second=ask.pair.second, p=p)),
            draw,
        )
    assert state.outcome is not None
    assert state.outcome.abstained
    assert "could not be fitted" in state.outcome.reason


def test_a_confidence_model_of_the_wrong_shape_is_our_fault_and_not_a_crash() -> None:
    state = started(confidence=ConfidenceModel(intercept=0.0, coefficients=(1.0,)))
    with pytest.raises(LocalProtocolError, match="confidence model"):
        step(step(state, proposal(A), draw)[0], DeadlinePassed(at=60.0, phase="round"), draw)


def test_a_conversation_counts_towards_the_budget() -> None:
    turns = tuple(Turn(role=Role.USER, content="x" * 1_000) for _ in range(3))
    ask = started().open[0]
    longer = replace(ask, brief=replace(ask.brief, turns=turns))
    assert ceiling_tokens(longer) >= ceiling_tokens(ask) + 3_000 - len(ask.brief.question)
