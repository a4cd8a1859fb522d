"""The Beta rule and the bound on a change of the winner; the bound is tried in simulated rounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from waggle.consensus.bradley_terry import fit_strengths, wins_matrix
from waggle.consensus.confidence import winner_score
from waggle.consensus.stopping import (
    agreement_probability,
    can_winner_change,
    winner_change_probability,
)
from waggle.core.errors import UsageError

relaxed = settings(deadline=None, max_examples=50)


def test_the_worked_agreements() -> None:
    assert agreement_probability(3, 0) == pytest.approx(0.9375)
    assert agreement_probability(2, 1) == pytest.approx(0.6875)
    assert agreement_probability(0, 0) == pytest.approx(0.5)


@pytest.mark.parametrize("votes", [(-1, 0), (0, -1), (float("nan"), 0)])
def test_negative_votes_are_refused(votes: tuple[float, float]) -> None:
    with pytest.raises(UsageError):
        agreement_probability(*votes)


@relaxed
@given(st.floats(0, 50), st.floats(0, 50))
def test_agreement_is_symmetric_and_rises_with_the_leader(leader: float, other: float) -> None:
    total = agreement_probability(leader, other) + agreement_probability(other, leader)
    assert total == pytest.approx(1)
    assert agreement_probability(leader + 1, other) > agreement_probability(leader, other) - 1e-12


def test_the_worked_bound() -> None:
    one = fit_strengths([[0, 1], [0, 0]])
    assert winner_change_probability(one, 1) == pytest.approx(0.160, abs=5e-4)
    assert can_winner_change(one, 1)


def test_without_ballots_left_or_without_rivals_nothing_changes() -> None:
    assert winner_change_probability(fit_strengths([[0, 1], [0, 0]]), 0) == 0
    assert winner_change_probability(fit_strengths([[0]]), 10) == 0
    assert not can_winner_change(fit_strengths([[0]]), 10, level=1)


def test_a_tie_can_always_change_and_a_landslide_cannot() -> None:
    assert can_winner_change(fit_strengths(np.zeros((2, 2))), 0.1, level=0.95)
    assert can_winner_change(fit_strengths([[0, 5], [5, 0]]), 1)
    assert not can_winner_change(fit_strengths([[0, 40], [4, 0]]), 10)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_an_impossible_budget_is_refused(weight: float) -> None:
    with pytest.raises(UsageError):
        winner_change_probability(fit_strengths([[0]]), weight)


@relaxed
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_the_bound_rises_with_the_budget_up_to_the_doubt_that_is_left(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    found = fit_strengths(rng.random((n, n)) * (1 - np.eye(n)) * 4)
    bounds = [winner_change_probability(found, weight) for weight in (0, 0.1, 1, 10, 1e3, 1e9)]
    assert bounds == sorted(bounds)
    assert bounds[-1] >= (1 - winner_score(found)) * (1 - 1e-6)


def test_the_bound_holds_in_simulated_rounds() -> None:
    """Strengths are drawn, ballots thrown, then more ballots on the top pair: seed 3, 600 rounds, 4 candidates.

    The winner may change more rarely than the mean bound says, but not more often.
    """
    rng = np.random.default_rng(3)
    changed, bounds = 0, []
    for _ in range(600):
        truth = rng.normal(size=4)
        first = rng.integers(0, 4, 40)
        second = (first + rng.integers(1, 4, 40)) % 4
        wins = wins_matrix(first, second, rng.random(40) < expit(truth[first] - truth[second]), np.ones(40), 4)
        before = fit_strengths(wins)
        best, rival = before.order()[:2]
        bounds.append(winner_change_probability(before, 10))
        won = rng.random(10) < expit(truth[best] - truth[rival])
        more = wins_matrix([best] * 10, [rival] * 10, won, np.ones(10), 4)
        changed += fit_strengths(wins + more).order()[0] != best
    assert 0.02 < changed / 600 < np.mean(bounds)
