"""The round's bench measures what it says: real rounds, something to rank in each, engines' own cost apart."""

from functools import cache

import pytest

from waggle.bench.report import Report, Row, number
from waggle.bench.round import CALLS_ALONE, NODES, run_round_bench
from waggle.core.errors import UsageError

ROUNDS = 12


@cache
def measured(seed: int) -> Report:
    return run_round_bench(seed, ROUNDS)


def row(name: str, seed: int = 1) -> Row:
    (found,) = [row for row in measured(seed)["rows"] if row["name"] == name]
    return found


def test_every_way_of_running_is_timed_over_all_rounds() -> None:
    for name in ("one at a time", "8 at once", CALLS_ALONE):
        assert row(name)["rounds"] == ROUNDS
        assert number(row(name)["rounds_per_second"]) > 0
        assert number(row(name)["cpu_ms"]) > 0


def test_the_percentiles_are_in_order_and_fit_the_rate() -> None:
    alone = row("one at a time")
    median, p95, p99 = (number(alone[name]) for name in ("median_ms", "p95_ms", "p99_ms"))
    assert 0 < median <= p95 <= p99
    assert median / 2 <= 1000 / number(alone["rounds_per_second"]) <= 100 * p99  # the machine may pause in between


def test_rounds_at_once_have_a_rate_and_no_times_of_their_own() -> None:
    assert row("8 at once")["median_ms"] is None


def test_the_engines_own_cost_is_a_part_of_a_rounds() -> None:
    assert number(row(CALLS_ALONE)["cpu_ms"]) < number(row("one at a time")["cpu_ms"])


def test_the_rounds_had_something_to_rank() -> None:
    shape = row("what the rounds were like")
    assert 3 <= number(shape["candidates"]) <= 5
    assert number(shape["ballots_asked"]) >= NODES * 2
    assert number(shape["ballots_cast"]) <= number(shape["ballots_asked"])
    assert number(shape["right"]) > 0.5


def test_the_same_seed_gives_the_same_rounds_and_another_seed_others() -> None:
    name = "what the rounds were like"
    again = [row for row in run_round_bench(1, ROUNDS)["rows"] if row["name"] == name]
    assert again == [row(name)]
    assert row(name, seed=2) != row(name)


def test_each_goal_is_judged_by_the_figure_it_names() -> None:
    median, one, eight = measured(1)["goals"]
    assert median["value"] == row("one at a time")["median_ms"]
    assert one["value"] == row("one at a time")["rounds_per_second"]
    assert eight["value"] == row("8 at once")["rounds_per_second"]
    assert median["met"] == (median["value"] <= 10.0)
    assert one["met"] == (one["value"] >= 100.0)
    assert eight["met"] == (eight["value"] >= 100.0)


@pytest.mark.parametrize("rounds", [0, -1, 1_000_000])
def test_a_number_of_rounds_that_cannot_be_run_is_refused(rounds: int) -> None:
    with pytest.raises(UsageError, match="rounds must be between 1 and"):
        run_round_bench(1, rounds)
