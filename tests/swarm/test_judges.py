"""Poor judges: biased, lazy, unreadable. Both orders cancel a bias to a place; the unreadable counts for nobody."""

from functools import cache

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import QUESTIONS, TRUTH, ask_each, crowd, right_share, scripts
from tests.virtual import in_virtual_time
from waggle.core.ids import RoundId
from waggle.core.round_values import BallotReceived, Plan, Record, Standing
from waggle.engines.script import Script
from waggle.node.rounds.swarm import run_round
from waggle.testing.clock import VirtualClock

pytestmark = pytest.mark.timeout(300)

SEED = 40


@in_virtual_time
async def duels(judges: int, *, bias: float, both_orders: bool, count: int) -> list[Record]:
    """Rounds of a right and a wrong proposal, compared by judges who decide that share of pairs by place alone."""
    proposers = [Script(seed=1, skill=1.0), Script(seed=2, skill=0.0, wrong_choices=1)]
    parts = [replace(part, position_bias=bias) for part in scripts(judges, seed=SEED)]
    engines = crowd([*proposers, *parts])
    standings = [Standing(node=node) for node in engines]
    plans = [
        Plan(
            round_id=RoundId("00"),
            question=question,
            proposers=tuple(standings[:2][:: 1 if seed % 2 else -1]),
            judges=tuple(standings[2:]),
            both_orders=both_orders,
            use_support=False,
            seed=seed,
        )
        for seed, question in enumerate(QUESTIONS[:count])
    ]
    return [await run_round(plan, engines, VirtualClock()) for plan in plans]


def first_shown_wins(records: list[Record]) -> float:
    """Share of the rounds won by the candidate that the first ballot showed first."""
    first = [next(e.ballot.first for e in record.events if isinstance(e, BallotReceived)) for record in records]
    won = [record.outcome.candidates[0].number for record in records]
    return sum(a == b for a, b in zip(first, won, strict=True)) / len(records)


def bias_in_result(judges: int, *, both_orders: bool, count: int) -> float:
    """Half of how much more often the first shown wins with judges biased to the first than with ones to the second."""
    towards, away = (
        first_shown_wins(duels(judges, bias=bias, both_orders=both_orders, count=count)) for bias in (0.7, -0.7)
    )
    return (towards - away) / 2


@pytest.mark.parametrize("judges", [1, 5])
def test_asked_in_both_orders_biased_judges_do_not_move_the_result(judges: int) -> None:
    bias = bias_in_result(judges, both_orders=True, count=150)
    print(f"seed {SEED}: bias in the result {bias:.3f}")
    assert abs(bias) <= 0.02


def test_asked_in_one_order_a_biased_judge_decides_by_place() -> None:
    bias = bias_in_result(1, both_orders=False, count=150)
    print(f"seed {SEED}: bias in the result {bias:.3f}")
    assert bias >= 0.25  # of 0.35: without this the test above would prove nothing


@cache
def with_honest_judges() -> float:
    return right_share(ask_each(scripts(7, skill=0.6, seed=SEED), QUESTIONS[:60]))


@pytest.mark.parametrize(
    "fault", [{"position_bias": 1.0}, {"position_bias": -1.0}, {"unreadable": 1.0}], ids=["first", "second", "unread"]
)
def test_two_fifths_of_useless_judges_cost_little(fault: dict[str, float]) -> None:
    parts = [replace(part, **fault) if i < 3 else part for i, part in enumerate(scripts(7, skill=0.6, seed=SEED))]
    after = right_share(ask_each(parts, QUESTIONS[:60]))
    print(f"seed {SEED}: {with_honest_judges():.3f} with honest judges, {after:.3f} with three useless ones of seven")
    assert after >= with_honest_judges() - 0.07


def test_when_no_ballot_can_be_read_the_weighted_vote_is_left() -> None:
    parts = [replace(part, unreadable=1.0) for part in scripts(7, seed=SEED)]
    for record in ask_each(parts, QUESTIONS[:30]):
        count, candidates = record.outcome.ballots, record.outcome.candidates
        assert count.cast == count.refused == 0
        assert count.unparseable > 0 or len(candidates) == 1
        assert candidates[0].support == max(candidate.support for candidate in candidates)


def test_half_unreadable_verdicts_are_counted_as_such_and_the_rest_decides() -> None:
    parts = [replace(part, unreadable=0.5) for part in scripts(7, seed=SEED)]
    records = ask_each(parts, QUESTIONS[:60])
    cast = sum(record.outcome.ballots.cast for record in records)
    lost = sum(record.outcome.ballots.unparseable for record in records)
    print(f"seed {SEED}: {cast} cast, {lost} unparseable, {right_share(records):.3f} right")
    assert 0.4 < lost / (cast + lost) < 0.6
    assert right_share(records) >= 0.85
    assert any(record.outcome.answer != TRUTH[record.plan.question] for record in records)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("judges", [1, 3, 7])
def test_over_many_rounds_the_bias_in_the_result_stays_within_two_points(judges: int) -> None:
    bias = bias_in_result(judges, both_orders=True, count=1600)
    print(f"seed {SEED}: bias in the result {bias:.4f}")
    assert abs(bias) <= 0.02
