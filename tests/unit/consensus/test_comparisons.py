"""Ballots become arrays as they should; gradient and information are checked by finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike
from scipy.special import log_expit, logsumexp

from waggle.consensus.comparisons import (
    Comparisons,
    FloatArray,
    compare,
    gradient_at,
    group_means,
    information_at,
    wins_matrix,
)
from waggle.core.errors import InvalidBallots

SMALL = st.integers(1, 6)


def problem(n: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    wins = rng.random((n, n)) * (rng.random((n, n)) < 0.6) * 5
    np.fill_diagonal(wins, 0)
    return wins, rng.random(n), rng.normal(size=n)


def log_posterior(comparisons: Comparisons, s: FloatArray) -> float:
    """L at strengths `s`, in nats, written out; up to the support's constant."""
    gap = s[comparisons.first] - s[comparisons.second]
    ballots = comparisons.won @ log_expit(gap) + comparisons.lost @ log_expit(-gap)
    return float(ballots + comparisons.support @ s - comparisons.votes * logsumexp(s))


def slopes_of(function: Callable[[FloatArray], FloatArray | float], s: FloatArray, step: float = 1e-5) -> FloatArray:
    """Its finite differences at `s`, one row for each strength."""
    return np.array([(function(s + step * unit) - function(s - step * unit)) / (2 * step) for unit in np.eye(len(s))])


def test_a_ballot_is_shared_between_both_candidates() -> None:
    assert wins_matrix([0], [1], [0.75], [2.0], 2).tolist() == [[0, 1.5], [0.5, 0]]


def test_ballots_add_up_and_no_ballots_are_zeros() -> None:
    wins = wins_matrix([0, 1, 0], [1, 0, 1], [1.0, 1.0, 0.5], [1.0, 2.0, 4.0], 2)
    assert wins.tolist() == [[0, 3.0], [4.0, 0]]
    assert wins_matrix([], [], [], [], 3).tolist() == np.zeros((3, 3)).tolist()


@pytest.mark.parametrize(
    ("first", "second", "p", "weight", "n"),
    [
        ([0], [1], [1.1], [1.0], 2),
        ([0], [1], [-0.1], [1.0], 2),
        ([0], [1], [float("nan")], [1.0], 2),
        ([0], [1], [0.5], [-1.0], 2),
        ([0], [1], [0.5], [float("inf")], 2),
        ([0], [1], [0.5], [float("nan")], 2),
        ([0], [0], [0.5], [1.0], 2),
        ([0], [2], [0.5], [1.0], 2),
        ([-1], [1], [0.5], [1.0], 2),
        ([0.0], [1.0], [0.5], [1.0], 2),
        ([0, 1], [1], [0.5], [1.0], 2),
        ([0], [1], [0.5, 0.5], [1.0], 2),
        ([0], [1], [0.5], [], 2),
        ([[0]], [[1]], [[0.5]], [[1.0]], 2),
        ([], [], [], [], 0),
    ],
)
def test_invalid_ballots_are_refused(
    first: ArrayLike, second: ArrayLike, p: ArrayLike, weight: ArrayLike, n: int
) -> None:
    with pytest.raises(InvalidBallots):
        wins_matrix(first, second, p, weight, n)


@settings(deadline=None, max_examples=50)
@given(SMALL, st.integers(0, 10**6), st.booleans())
def test_the_gradient_is_the_slope_of_the_likelihood(n: int, seed: int, voted: bool) -> None:
    wins, support, s = problem(n, seed)
    comparisons = compare(wins, support if voted else None)
    slopes = slopes_of(lambda at: log_posterior(comparisons, at), s)
    assert gradient_at(comparisons, s) == pytest.approx(slopes, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(SMALL, st.integers(0, 10**6), st.booleans())
def test_the_information_is_minus_the_slope_of_the_gradient(n: int, seed: int, voted: bool) -> None:
    wins, support, s = problem(n, seed)
    comparisons = compare(wins, support if voted else None)
    information = information_at(comparisons, s)
    assert -information == pytest.approx(slopes_of(lambda at: gradient_at(comparisons, at), s), abs=1e-6)
    assert information.sum(axis=1) == pytest.approx(np.zeros(n), abs=1e-9)
    assert np.linalg.eigvalsh(information).min() >= -1e-9


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, 5, elements=st.floats(-5, 5)), st.floats(-3, 3))
def test_a_common_shift_changes_no_likelihood(s: FloatArray, shift: float) -> None:
    wins, support, _ = problem(5, 1)
    comparisons = compare(wins, support)
    assert log_posterior(comparisons, s + shift) == pytest.approx(log_posterior(comparisons, s), abs=1e-8)


def test_the_worked_numbers() -> None:
    comparisons = compare([[0, 1], [0, 0]], prior_ballots=0)
    zero = np.zeros(2)
    assert log_posterior(comparisons, zero) == pytest.approx(np.log(0.5))
    assert gradient_at(comparisons, zero).tolist() == [0.5, -0.5]
    assert information_at(comparisons, zero).tolist() == [[0.25, -0.25], [-0.25, 0.25]]
    assert group_means(np.array([0, 0, 1]), np.array([1.0, 3.0, 5.0])).tolist() == [2, 2, 5]


def test_parts_are_found_by_ballots_alone_and_ties_by_support_too() -> None:
    wins = np.zeros((3, 3))
    wins[0, 1] = 1
    alone, voted = compare(wins), compare(wins, [1, 1, 1])
    assert not alone.connected
    assert not voted.connected
    assert len(set(alone.tied.tolist())) == 2
    assert set(voted.tied.tolist()) == {0}


def test_the_least_support_is_a_tenth_of_the_largest() -> None:
    assert compare(np.zeros((3, 3)), [0, 5, 2]).support.tolist() == [0.5, 5, 2]
