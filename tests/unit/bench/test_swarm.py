"""The swarm's bench: the simulation counts what happened, and goals are judged by the figures they name."""

from functools import cache

import pytest

from waggle.bench.swarm.simulation import SimOptions, Simulated, run_simulation
from waggle.bench.swarm.suite import Timed, _sim_goals, growth, growth_interval, run_swarm_bench
from waggle.core.errors import UsageError
from waggle.mesh.memory import Conditions

pytestmark = pytest.mark.timeout(240)  # some ten seconds of work each


def options(**changes: object) -> SimOptions:
    chosen = {
        "nodes": 20,
        "minutes": 0.1,
        "rounds_per_second": 2.0,
        "start_seconds": 2.0,
        "settle_seconds": 5.0,
    } | changes
    return SimOptions(**chosen)  # type: ignore[arg-type]


@cache
def simulated() -> Simulated:
    return run_simulation(options(churn=3.0, minutes=0.3))


def test_a_healthy_swarm_answers_nearly_everything_in_time() -> None:
    found = simulated()
    assert found.asked > 0
    assert found.in_time >= 0.6 * found.asked  # 0.87 on average: a node dies every second here, coordinators too
    assert found.in_time <= found.completed <= found.asked


def test_nodes_are_killed_as_often_as_the_churn_says() -> None:
    assert simulated().killed >= 3
    assert run_simulation(options(churn=0.0001)).killed <= 1


def test_the_frames_of_rounds_and_the_background_are_counted_apart() -> None:
    found = simulated()
    assert found.frames >= 3 * found.completed
    assert found.frame_bytes > 10 * found.frames
    assert found.background_messages > 0


def test_a_network_that_loses_everything_answers_no_round_whole() -> None:
    found = run_simulation(options(conditions=Conditions(delay=0.02, loss=1.0)))
    assert found.asked > 0
    assert found.whole == 0


def test_an_answer_after_the_budget_does_not_count() -> None:
    found = run_simulation(options(engine_seconds=3.0, budget_seconds=1.0))
    assert found.asked > 0
    assert found.in_time == 0


def test_growth_is_one_where_the_time_grows_with_the_nodes() -> None:
    first = Timed(7, [70.0, 71.0, 69.0], 1.0, 40.0, 0)
    linear, quadratic = Timed(14, [140.0] * 3, 1.0, 80.0, 0), Timed(14, [280.0] * 3, 1.0, 160.0, 0)
    assert growth(linear, first) == pytest.approx(1.0)
    assert growth(quadratic, first) == pytest.approx(2.0)
    low, high = growth_interval(quadratic, first, 1)
    assert low < 2.0 < high


def test_a_round_that_costs_more_in_a_larger_swarm_misses_its_goal() -> None:
    small = Simulated(options(), asked=10, in_time=10, completed=10, frames=600, frame_bytes=6_000)
    large = Simulated(options(nodes=200), asked=100, in_time=98, completed=100, frames=6_100, frame_bytes=90_000)
    in_time, frames, size = _sim_goals(small, large)
    assert not in_time["met"]
    assert frames["met"]
    assert not size["met"]


@pytest.mark.parametrize(("nodes", "minutes", "rounds"), [(5, 1.0, 1), (20, 0.0, 1), (20, 1.0, -1), (-1, 1.0, 1)])
def test_sizes_that_make_no_sense_are_refused(nodes: int, minutes: float, rounds: int) -> None:
    with pytest.raises(UsageError, match="the bench needs"):
        run_swarm_bench(1, nodes, minutes, rounds)
