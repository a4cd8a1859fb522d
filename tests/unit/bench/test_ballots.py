"""The bench of ballots: it measures what it says, and a small first wave is small."""

import pytest

from waggle.bench.ballots import CROWDS, SIZES, run_ballots_bench
from waggle.bench.report import number
from waggle.core.errors import UsageError


@pytest.mark.slow
def test_every_crowd_is_measured_and_clear_rounds_of_many_need_few_ballots() -> None:
    said: list[str] = []
    made = run_ballots_bench(3, 10, said.append)
    assert [(row["nodes"], row["proposers_right"], row["judges_right"]) for row in made["rows"]] == [
        (nodes, *crowd) for nodes in SIZES for crowd in CROWDS
    ]
    assert len(said) == len(made["rows"])
    clear = {row["nodes"]: row for row in made["rows"] if row["proposers_right"] == 0.6}
    for nodes in SIZES[1:]:
        assert number(clear[nodes]["ballots"]) < 0.7 * number(clear[nodes]["at_once"])
        assert clear[nodes]["right"] == 1.0
    assert clear[7]["ballots"] == clear[7]["at_once"]


@pytest.mark.parametrize("rounds", [0, 9, 10_001])
def test_too_few_or_too_many_rounds_are_refused(rounds: int) -> None:
    with pytest.raises(UsageError):
        run_ballots_bench(1, rounds)
