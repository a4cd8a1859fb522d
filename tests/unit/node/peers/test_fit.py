"""Whatever plan a stranger sends: it is refused, or each of its steps is little work."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.asking import AskOptions
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import AskBallot
from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    Budget,
    DeadlinePassed,
    Event,
    Plan,
    Proposal,
    ProposalReceived,
    RoundStarted,
    Standing,
)
from waggle.node.chance import draw
from waggle.node.peers.client import request_of
from waggle.node.peers.fit import MAX_ASKS, MAX_COMMITTEE, MAX_STANDBY, MAX_WAVES, is_fit
from waggle.strategies.committee.round import step
from waggle.strategies.committee.state import State

ASKED = request_of("q", AskOptions())
LONGEST_SECONDS = 1.0  # of processor time, several times what it takes


def nodes(count: int) -> tuple[Standing, ...]:
    return tuple(Standing(node=NodeId(f"n{number}"), judge_weight=1.0) for number in range(count))


def plan(proposers: int, judges: int, **more: object) -> Plan:
    made = Plan(round_id=RoundId("ab" * 16), question="q", proposers=nodes(proposers), judges=nodes(judges))
    return type(made)(**{field: getattr(made, field) for field in made.__struct_fields__} | more)


def told(state: State, event: Event) -> tuple[State, float]:
    """The state after an event, and the processor time that the step took."""
    began = time.process_time()
    state, _ = step(state, event, draw)
    return state, time.process_time() - began


def ranking(of: Plan, letters: str = "") -> tuple[State, float]:
    """Where all have proposed something else, and the longest step on the way."""
    state, longest = told(State(plan=of), RoundStarted())
    for number, standing in enumerate(of.proposers):
        proposal = Proposal(node=standing.node, answer=f"{letters}{number}")
        state, seconds = told(state, ProposalReceived(at=0.1, proposal=proposal))
        longest = max(longest, seconds)
    return state, longest


def ballots(state: State) -> list[AskBallot]:
    return [ask for ask in state.open if isinstance(ask, AskBallot)]


@pytest.mark.parametrize("strategy", ["committee", "vote", "best"])
def test_the_largest_committees_that_can_be_asked_for_are_fit(strategy: str) -> None:
    for judges in range(MAX_COMMITTEE + 1):
        most = plan(MAX_COMMITTEE, judges, standby=nodes(MAX_STANDBY), strategy=strategy)
        assert is_fit(most, request_of("q", AskOptions(strategy=strategy)))
    assert is_fit(plan(MAX_COMMITTEE, 1, pairs_per_judge=64 * 63), ASKED)


@pytest.mark.parametrize(
    "hostile",
    [
        plan(64, 256, pairs_per_judge=10**9),
        plan(64, 64, pairs_per_judge=10**9),
        plan(64, 64, pairs_per_judge=-1),
        plan(65, 7),
        plan(7, 65),
        plan(7, 7, standby=nodes(257)),
        plan(7, 7, waves=MAX_WAVES + 1),
        plan(1, 64, standby=nodes(80), pairs_per_judge=4096),
        plan(2, 2, standby=(Standing(node=NodeId("a"), support_weight=5e-324),)),
        plan(2, 2, standby=(Standing(node=NodeId("a"), judge_weight=1e308),)),
        plan(2, 2, prior_ballots=0.0),
        plan(7, 7, question="another"),
        plan(7, 7, strategy="vote"),
    ],
)
def test_a_plan_of_too_much_work_or_for_something_else_is_not_fit(hostile: Plan) -> None:
    assert not is_fit(hostile, ASKED)


sizes = st.integers(0, MAX_COMMITTEE)


@settings(max_examples=12, deadline=None)
@given(sizes, sizes, st.none() | st.integers(-1, 5_000), st.booleans(), st.sampled_from([0, 0, 1]))
def test_what_is_fit_never_has_more_open_than_is_allowed(
    proposers: int, judges: int, pairs: int | None, both_orders: bool, failing: int
) -> None:
    """Also in later waves, where every ballot fails so that the next one is bought."""
    made = plan(proposers, judges, pairs_per_judge=pairs, both_orders=both_orders, min_confidence=1.0)
    if not is_fit(made, ASKED):
        return
    state, _ = ranking(made)
    while state.outcome is None and state.wave <= failing:
        assert len(state.open) + len(state.pending) <= MAX_ASKS
        for ask in ballots(state):
            state, _ = told(
                state,
                BallotFailed(
                    at=0.2,
                    judge=ask.judge,
                    first=ask.pair.first,
                    second=ask.pair.second,
                    failure=Failure(Cause.UNAVAILABLE, ""),
                ),
            )


HEAVIEST = [
    plan(64, 64),
    plan(64, 32, pairs_per_judge=64),
    plan(64, 1, pairs_per_judge=2_016),
    plan(64, 64, budget=Budget(seconds=20.0, tokens=2_000_000_000)),
    plan(64, 32, pairs_per_judge=64, budget=Budget(seconds=20.0, tokens=300_000_000)),
]


@pytest.mark.parametrize("heavy", HEAVIEST)
@pytest.mark.parametrize("letters", ["", "é " * 21_000], ids=["short answers", "long ones"])
def test_no_step_of_a_plan_that_is_fit_takes_long(heavy: Plan, letters: str) -> None:
    assert is_fit(heavy, ASKED)
    state, longest = ranking(heavy, letters)
    asks = ballots(state)
    assert len(asks) > 10
    for number, ask in enumerate([*reversed(asks[-20:]), *asks[:20]]):
        ballot = Ballot(judge=ask.judge, first=ask.pair.first, second=ask.pair.second, p=number % 2)
        state, seconds = told(state, BallotReceived(at=0.2, ballot=ballot))
        longest = max(longest, seconds)
    print(f"{len(asks)} open, the longest step {longest:.3f} s")
    assert longest < LONGEST_SECONDS


def test_a_slow_proposer_is_doubled_once_however_often_its_timer_goes_off() -> None:
    state, _ = told(State(plan=plan(1, 1, standby=nodes(256)[1:], hedge_factor=3.0)), RoundStarted())
    for at in range(1, 200):
        state, _ = told(state, DeadlinePassed(at=float(at) / 10, phase="hedge", node=NodeId("n0")))
    assert len(state.open) == 2
