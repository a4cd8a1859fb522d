"""The top two and their confusion, against hand-worked numbers and a simulated mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from waggle.consensus.bradley_terry import fit_strengths
from waggle.consensus.top_two import find_top_two


def test_the_worked_confusion() -> None:
    few, many = fit_strengths([[0, 1], [0, 0]]), fit_strengths([[0, 100], [0, 0]], prior_ballots=50)
    assert find_top_two(few).confusion_p == pytest.approx(0.2794, abs=5e-5)
    assert find_top_two(many).confusion_p == pytest.approx(0.1688, abs=5e-5)
    assert expit(-float(np.ptp(many.s))) == pytest.approx(1 / 6)


def test_the_approximation_is_near_the_exact_mean() -> None:
    found = fit_strengths([[0, 6, 3], [2, 0, 4], [1, 1, 0]])
    first, second = found.order()[:2]
    gap, variance = found.s[first] - found.s[second], found.variance_between(first, second)
    draws = gap + np.sqrt(variance) * np.random.default_rng(0).normal(size=200_000)
    assert find_top_two(found).confusion_p == pytest.approx(float(expit(-draws).mean()), abs=0.01)


def test_a_single_candidate_is_confused_with_nobody() -> None:
    found = find_top_two(fit_strengths([[0]]))
    assert (found.first, found.second, found.confusion_p, found.third_p, found.top_two_share) == (0, None, 0, 0, 1)


def test_two_plausible_answers_stand_out_from_the_rest() -> None:
    wins = np.array([[0, 11, 20, 20], [9, 0, 20, 20], [0, 0, 0, 10], [0, 0, 10, 0]])
    found = find_top_two(fit_strengths(wins))
    assert (found.first, found.second) == (0, 1)
    assert 0.4 < found.confusion_p < 0.5
    assert found.third_p < 0.01
    assert found.top_two_share > 0.95


def test_a_three_way_tie_shows_as_an_unsure_second() -> None:
    found = find_top_two(fit_strengths((1 - np.eye(3)) * 5))
    assert found.third_p == pytest.approx(0.5)
    assert found.confusion_p == pytest.approx(0.5)
    assert found.top_two_share == pytest.approx(2 / 3)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_everything_stays_in_range(seed: int, n: int) -> None:
    wins = np.random.default_rng(seed).random((n, n)) * (1 - np.eye(n)) * 6
    found = find_top_two(fit_strengths(wins))
    assert 0 <= found.confusion_p <= 0.5
    assert 0 <= found.third_p <= 0.5
    assert 0 < found.top_two_share <= 1
