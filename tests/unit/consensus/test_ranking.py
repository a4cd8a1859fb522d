"""Ballots in rows, ranked."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from waggle.consensus.ranking import rank_ballots
from waggle.core.errors import InvalidBallots


def test_one_ballot_gives_the_worked_number() -> None:
    ranking = rank_ballots([(0, 1, 1.0, 1.0)], 2)
    assert ranking.strengths == pytest.approx((0.805, -0.805), abs=1e-3)
    assert (ranking.winner, ranking.order) == (0, (0, 1))
    assert ranking.winner_p == pytest.approx(0.769, abs=1e-3)
    assert ranking.fit.connected


def test_rows_may_be_an_array_and_their_order_does_not_matter() -> None:
    rows = [(0, 1, 0.2, 1.0), (2, 1, 0.9, 0.5), (0, 2, 0.7, 2.0)]
    ranking = rank_ballots(rows, 3)
    assert rank_ballots(np.array(rows[::-1]), 3).strengths == pytest.approx(ranking.strengths)
    assert sum(ranking.strengths) == pytest.approx(0.0)
    assert [ranking.strengths[i] for i in ranking.order] == sorted(ranking.strengths, reverse=True)


def test_without_ballots_the_votes_decide_and_without_those_nothing_does() -> None:
    assert rank_ballots([], 3, support=[1, 3, 2]).order == (1, 2, 0)
    undecided = rank_ballots([], 2)
    assert (undecided.winner_p, undecided.fit.connected) == (0.5, False)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([(0, 1, 0.5)], "a row of four numbers"),
        ([0, 1, 0.5, 1.0], "a row of four numbers"),
        ([(0, 1, 0.5, 1.0), (0, 1)], "four numbers: first"),
        ([(0, 1, 0.5, "heavy")], "four numbers: first"),
        ([(0, float("inf"), 0.5, 1.0)], "no whole number"),
        ([(0, 1.5, 0.5, 1.0)], "no whole number"),
        ([(0, 2, 0.5, 1.0)], "names a candidate"),
        ([(0, float("nan"), 0.5, 1.0)], "no whole number"),
        ([(0, 1, float("nan"), 1.0)], "probability"),
        ([(0, 1, 0.5, -1.0)], "weight"),
    ],
)
def test_what_is_no_ballot_is_refused(rows: ArrayLike, fault: str) -> None:
    with pytest.raises(InvalidBallots, match=fault):
        rank_ballots(rows, 2)
