"""The raw score, the features and the rival of a winner, against hand-worked numbers and a simulated mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from waggle.consensus.bradley_terry import fit_strengths
from waggle.consensus.confidence import (
    NEUTRAL,
    ConfidenceFeatures,
    confidence_features,
    find_top_two,
    probability_stronger,
    winner_score,
)
from waggle.consensus.votes import plurality

ONE_BALLOT = fit_strengths([[0, 1], [0, 0]])


def test_the_worked_score() -> None:
    assert winner_score(ONE_BALLOT) == pytest.approx(0.769, abs=5e-4)
    assert probability_stronger(ONE_BALLOT, 1, 0) == pytest.approx(0.231, abs=5e-4)


def test_nothing_observed_gives_one_half_and_one_candidate_gives_one() -> None:
    assert winner_score(fit_strengths(np.zeros((3, 3)))) == pytest.approx(0.5)
    assert winner_score(fit_strengths([[0]])) == 1.0
    assert probability_stronger(fit_strengths([[0]]), 0, 0) == 0.5


def test_more_ballots_of_the_same_kind_raise_the_score() -> None:
    scores = [winner_score(fit_strengths([[0, 3 * k], [k, 0]])) for k in (1, 2, 5, 20)]
    assert scores == sorted(scores)
    assert scores[-1] > 0.99


def test_a_second_with_fewer_votes_never_makes_the_first_less_certain_below_the_floor() -> None:
    scores = [winner_score(fit_strengths(np.zeros((2, 2)), support=[1, other])) for other in (1, 0.5, 0.2, 0.1, 0.0)]
    assert scores == sorted(scores)


def test_the_features_of_the_winner() -> None:
    features = confidence_features(
        ONE_BALLOT,
        vote=plurality([0, 0, 1], 2),
        support=[1.0, 3.0],
        self_confidence=[0.8, None],
        expected_skill=0.7,
        familiarity=0.9,
    )
    assert features.vote_share == pytest.approx(2 / 3)
    assert features.support_share == pytest.approx(0.25)
    assert features.agreement_p == pytest.approx(0.6875)
    assert features.self_confidence == pytest.approx(0.8)
    assert features.vector() == (features.raw_score, 2 / 3, 0.25, 0.6875, 0.8, 0.7, 0.9)


def test_what_is_not_known_is_neutral() -> None:
    features = confidence_features(ONE_BALLOT, vote=plurality([], 2), support=[0, 0], self_confidence=[None])
    assert features.vector()[1:] == (NEUTRAL,) * 6
    assert ConfidenceFeatures(raw_score=0.9).vector() == (0.9, *(NEUTRAL,) * 6)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_the_winners_score_is_at_least_one_half_and_complements_its_rivals(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    wins = rng.random((n, n)) * (1 - np.eye(n)) * 4
    found = fit_strengths(wins)
    first, second = found.order()[:2]
    assert 0.5 <= winner_score(found) <= 1
    both = probability_stronger(found, first, second) + probability_stronger(found, second, first)
    assert both == pytest.approx(1)
    assert 0 <= find_top_two(found).confusion_p <= 0.5


def test_the_worked_confusion() -> None:
    many = fit_strengths([[0, 100], [0, 0]], prior_ballots=50)
    assert find_top_two(ONE_BALLOT).confusion_p == pytest.approx(0.2794, abs=5e-5)
    assert find_top_two(many).confusion_p == pytest.approx(0.1688, abs=5e-5)
    assert expit(-float(np.ptp(many.s))) == pytest.approx(1 / 6)
    assert find_top_two(fit_strengths((1 - np.eye(3)) * 5)).confusion_p == pytest.approx(0.5)


def test_the_confusion_is_near_the_exact_mean() -> None:
    found = fit_strengths([[0, 6, 3], [2, 0, 4], [1, 1, 0]])
    first, second = found.order()[:2]
    gap, variance = found.s[first] - found.s[second], found.variance_between(first, second)
    draws = gap + np.sqrt(variance) * np.random.default_rng(0).normal(size=200_000)
    assert find_top_two(found).confusion_p == pytest.approx(float(expit(-draws).mean()), abs=0.01)


def test_the_two_strongest_are_named_and_a_single_candidate_is_confused_with_nobody() -> None:
    found = find_top_two(fit_strengths([[0, 11, 20, 20], [9, 0, 20, 20], [0, 0, 0, 10], [0, 0, 10, 0]]))
    assert (found.first, found.second) == (0, 1)
    assert 0.4 < found.confusion_p < 0.5
    alone = find_top_two(fit_strengths([[0]]))
    assert (alone.first, alone.second, alone.confusion_p) == (0, None, 0)
