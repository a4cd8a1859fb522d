"""The three votes, their ties, and what they refuse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.consensus.votes import confidence_vote, plurality, weighted_vote
from waggle.core.errors import InvalidBallots

relaxed = settings(deadline=None, max_examples=60)


def test_plurality_counts_heads() -> None:
    vote = plurality([0, 1, 1], 2)
    assert (vote.winner, vote.counts) == (1, (1, 2))


def test_confidence_outweighs_heads() -> None:
    assert confidence_vote([0, 1, 1], [0.9, 0.2, 0.4], 2).winner == 0
    assert confidence_vote([0, 1, 1], [0.5, 0.2, 0.4], 2).winner == 1


def test_unknown_confidence_counts_as_the_mean_of_the_known() -> None:
    assert confidence_vote([0, 1], [None, 0.4], 2).winner == 0  # a tie, whoever of the two is unknown
    assert confidence_vote([0, 1], [0.4, None], 2).winner == 0
    assert confidence_vote([0, 1, 1], [None, None, None], 2).winner == 1


def test_a_tie_goes_to_more_heads_then_to_the_lower_number() -> None:
    assert weighted_vote([0, 1, 1], [1, 0.5, 0.5], 2).winner == 1
    assert plurality([2, 1], 3).winner == 1
    assert weighted_vote([0, 1, 1, 1], [0.3, 0.1, 0.1, 0.1], 2).winner == 1  # 0.1 + 0.1 + 0.1 is not quite 0.3


def test_no_votes_and_no_weight_are_ties() -> None:
    assert (plurality([], 3).winner, plurality([], 3).counts) == (0, (0, 0, 0))
    assert weighted_vote([1], [0.0], 2).winner == 1


@pytest.mark.parametrize(
    ("choices", "weights", "candidates"),
    [
        ([0], [-1.0], 1),
        ([0], [float("nan")], 1),
        ([0], [float("inf")], 1),
        ([1], [1.0], 1),
        ([-1], [1.0], 1),
        ([0], [], 1),
        ([], [], 0),
        ([0, 0], [1e308, 1e308], 1),
    ],
)
def test_invalid_votes_are_refused(choices: list[int], weights: list[float], candidates: int) -> None:
    with pytest.raises(InvalidBallots):
        weighted_vote(choices, weights, candidates)


def test_confidence_above_one_is_refused() -> None:
    with pytest.raises(InvalidBallots, match="above 1"):
        confidence_vote([0], [1.5], 1)


@relaxed
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 10)), max_size=12), st.permutations(range(12)))
def test_the_order_of_the_votes_changes_nothing(votes: list[tuple[int, float]], shuffled: list[int]) -> None:
    order = [position for position in shuffled if position < len(votes)]
    straight = weighted_vote([choice for choice, _ in votes], [weight for _, weight in votes], 4)
    mixed = weighted_vote([votes[i][0] for i in order], [votes[i][1] for i in order], 4)
    assert straight == mixed
    behind = [sum(weight for choice, weight in votes if choice == candidate) for candidate in range(4)]
    assert behind[straight.winner] == pytest.approx(max(behind))
