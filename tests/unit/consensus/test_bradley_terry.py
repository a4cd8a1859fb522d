"""Strengths against hand-worked numbers, against choix and MM, and at every odd edge: 1 candidate, ties, no ballots."""

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike

from tests.unit.consensus.test_comparisons import log_posterior
from waggle.consensus.bradley_terry import UNKNOWN_VARIANCE, fit_strengths, fit_strengths_mm, wins_matrix
from waggle.consensus.comparisons import FloatArray, compare, information_at
from waggle.core.errors import InvalidBallots, NotConverged, UsageError


@st.composite
def wins_of(draw: st.DrawFn, most: int = 7, weights: st.SearchStrategy[float] | None = None) -> FloatArray:
    n = draw(st.integers(1, most))
    entries = st.one_of(st.just(0.0), st.floats(0.01, 50)) if weights is None else weights
    wins = draw(arrays(np.float64, (n, n), elements=entries))
    np.fill_diagonal(wins, 0.0)
    return wins


def support_for(wins: FloatArray) -> FloatArray:
    return np.linspace(0.0, 2.0, len(wins))


def test_the_worked_numbers() -> None:
    assert fit_strengths([[0, 1], [0, 0]]).s == pytest.approx([0.80472, -0.80472], abs=1e-5)
    assert fit_strengths_mm([[0, 1], [0, 0]]).s == pytest.approx([0.80472, -0.80472], abs=1e-5)
    assert fit_strengths(np.zeros((2, 2)), support=[3, 1]).s == pytest.approx([0.54931, -0.54931], abs=1e-5)


@pytest.mark.parametrize("support", [None, [2.0], [0.0]])
def test_a_single_candidate_has_strength_zero_and_no_variance(support: list[float] | None) -> None:
    for found in (fit_strengths([[0.0]], support=support), fit_strengths_mm([[0.0]], support=support)):
        assert found.s.tolist() == [0.0]
        assert found.covariance.tolist() == [[0.0]]
        assert found.connected
        assert found.order() == (0,)


def test_the_smallest_rounds_make_the_numeric_library_say_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for wins in (np.zeros((1, 1)), np.zeros((2, 2)), np.array([[0.0, 1.0], [0.0, 0.0]])):
        fit_strengths(wins)
        fit_strengths_mm(wins, support=np.ones(len(wins)))
    assert capfd.readouterr() == ("", "")


def test_without_ballots_the_result_is_the_weighted_vote() -> None:
    support = np.array([1.0, 4.0, 2.5])
    found = fit_strengths(np.zeros((3, 3)), support=support)
    assert np.exp(found.s) / np.exp(found.s).sum() == pytest.approx(support / support.sum())
    assert found.order() == (1, 2, 0)
    assert not found.connected


def test_without_ballots_and_support_nothing_is_known() -> None:
    found = fit_strengths(np.zeros((3, 3)), support=[0, 0, 0])
    assert found.s.tolist() == [0, 0, 0]
    assert found.variance_between(0, 2) == pytest.approx(2 * UNKNOWN_VARIANCE, rel=0.6)
    assert not found.connected


def test_a_candidate_without_support_stays_finite_and_does_not_win() -> None:
    found = fit_strengths(np.zeros((3, 3)), support=[0.0, 1.0, 0.5])
    assert found.order() == (1, 2, 0)
    assert np.ptp(found.s) == pytest.approx(np.log(10))


def test_a_tie_gives_equal_strengths_and_the_lower_number_leads() -> None:
    found = fit_strengths([[0, 2, 2], [2, 0, 2], [2, 2, 0]])
    assert found.s == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.order() == (0, 1, 2)


def test_parts_that_no_ballot_ties_together_are_reported() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[2, 3] = 3
    found = fit_strengths(wins)
    assert not found.connected
    assert found.variance_between(0, 1) < 10
    assert found.variance_between(0, 2) > 0.5 * UNKNOWN_VARIANCE
    with_support = fit_strengths(wins, support=[1, 1, 5, 1])
    assert with_support.order()[0] == 2
    assert with_support.variance_between(0, 2) < 10
    assert not with_support.connected


def test_without_a_prior_a_clean_sweep_has_no_finite_strengths() -> None:
    with pytest.raises(NotConverged, match="prior_ballots > 0"):
        fit_strengths([[0, 1], [0, 0]], prior_ballots=0)
    with pytest.raises(NotConverged, match="prior_ballots > 0"):
        fit_strengths_mm([[0, 5, 0], [1, 0, 0], [3, 3, 0]], prior_ballots=0)


def test_a_fit_that_crawls_to_infinity_is_never_returned() -> None:
    # Rounding makes W - N p exactly 0 long before the maximum at s = +-346 is reached: that must not look finished.
    found = fit_strengths([[0.0, 1e300], [0.0, 0.0]])
    assert found.s[0] == pytest.approx(0.5 * np.log(4e300), rel=1e-6)
    with pytest.raises(NotConverged):
        fit_strengths([[0.0, 1.0, 2.0], [1e-300, 0.0, 1e-200], [1e-250, 1.0, 0.0]], prior_ballots=0)


@pytest.mark.parametrize(
    "wins",
    [
        [[0, -1], [0, 0]],
        [[0, float("nan")], [0, 0]],
        [[0, float("inf")], [0, 0]],
        [[1, 0], [0, 0]],
        [[0, 1, 2], [0, 0, 0]],
        [0, 1],
        np.zeros((0, 0)),
        [[0, 1e308], [1e308, 0]],
    ],
)
def test_invalid_wins_are_refused(wins: ArrayLike) -> None:
    with pytest.raises(InvalidBallots):
        fit_strengths(wins)


@pytest.mark.parametrize("support", [[1], [1, -1], [1, float("nan")], [[1, 1]], [1, float("inf")]])
def test_invalid_support_is_refused(support: ArrayLike) -> None:
    with pytest.raises(InvalidBallots):
        fit_strengths([[0, 1], [0, 0]], support=support)


@pytest.mark.parametrize("prior", [-1.0, float("nan"), float("inf")])
def test_an_invalid_prior_is_the_callers_fault(prior: float) -> None:
    with pytest.raises(UsageError):
        fit_strengths([[0, 1], [0, 0]], prior_ballots=prior)


def test_results_cannot_be_written_to() -> None:
    found = fit_strengths([[0, 1], [0, 0]])
    with pytest.raises(ValueError, match="read-only"):
        found.s[0] = 1


@settings(deadline=None, max_examples=50)
@given(wins_of(), st.booleans(), st.permutations(range(7)))
def test_renumbering_the_candidates_renumbers_the_result(wins: FloatArray, voted: bool, shuffled: list[int]) -> None:
    order = [candidate for candidate in shuffled if candidate < len(wins)]
    support = support_for(wins) if voted else None
    found = fit_strengths(wins, support=support)
    moved = fit_strengths(wins[np.ix_(order, order)], support=None if support is None else support[order])
    assert moved.s == pytest.approx(found.s[order], abs=1e-6)
    assert moved.covariance == pytest.approx(found.covariance[np.ix_(order, order)], rel=1e-4, abs=1e-5)
    assert moved.connected == found.connected


@settings(deadline=None, max_examples=50)
@given(wins_of(weights=st.one_of(st.just(0.0), st.floats(0.1, 9))), st.booleans(), st.sampled_from([0.5, 2.0]))
def test_newton_and_mm_agree(wins: FloatArray, voted: bool, prior: float) -> None:
    support = support_for(wins) if voted else None
    newton = fit_strengths(wins, support=support, prior_ballots=prior)
    mm = fit_strengths_mm(wins, support=support, prior_ballots=prior)
    assert newton.s == pytest.approx(mm.s, abs=1e-4)
    assert newton.gradient_norm <= 1e-9


@settings(deadline=None, max_examples=50)
@given(wins_of(), st.booleans())
def test_the_result_is_a_maximum(wins: FloatArray, voted: bool) -> None:
    support = support_for(wins) if voted else None
    found = fit_strengths(wins, support=support)
    comparisons = compare(wins, support)
    best = log_posterior(comparisons, found.s)
    for direction in np.eye(len(wins)):
        for step in (0.01, -0.01):
            assert log_posterior(comparisons, found.s + step * direction) <= best + 1e-9
    assert found.s.sum() == pytest.approx(0, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(wins_of(most=5))
def test_the_covariance_is_the_pseudo_inverse_of_the_information(wins: FloatArray) -> None:
    support = support_for(wins)
    found = fit_strengths(wins, support=support)
    information = information_at(compare(wins, support), found.s)
    assert found.covariance == pytest.approx(np.linalg.pinv(information, rcond=1e-12), rel=1e-4, abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(wins_of(most=5, weights=st.integers(0, 4).map(float)))
def test_the_likelihood_is_never_below_that_of_choix(wins: FloatArray) -> None:
    """choix knows no prior on pairs: the prior of 2 ballots a pair is given to it as one win each way."""
    observed = (wins + wins.T) > 0
    full = wins + observed
    found = fit_strengths(wins, prior_ballots=2)
    data = [(i, j) for i in range(len(wins)) for j in range(len(wins)) for _ in range(int(full[i, j]))]
    if len(wins) < 2 or not found.connected:
        return
    ours = choix.log_likelihood_pairwise(data, found.s)
    for theirs in (choix.ilsr_pairwise(len(wins), data), choix.opt_pairwise(len(wins), data, alpha=0.0)):
        assert ours >= choix.log_likelihood_pairwise(data, theirs) - 1e-9
        assert found.s == pytest.approx(theirs - theirs.mean(), abs=1e-3)


def test_a_judge_of_weight_zero_changes_nothing() -> None:
    honest = wins_matrix([0, 1], [1, 2], [0.9, 0.8], [1.0, 1.0], 3)
    with_silent = wins_matrix([0, 1, 2, 0], [1, 2, 0, 2], [0.9, 0.8, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], 3)
    assert fit_strengths(with_silent).s == pytest.approx(fit_strengths(honest).s)


def test_all_judges_silent_leaves_the_vote() -> None:
    silent = wins_matrix([], [], [], [], 3)
    assert fit_strengths(silent, support=[1, 3, 1]).order()[0] == 1


def test_one_judge_is_enough() -> None:
    wins = wins_matrix([0, 1, 2], [1, 2, 0], [0.9, 0.9, 0.2], [1.0, 1.0, 1.0], 3)
    assert fit_strengths(wins).order() == (0, 1, 2)


def test_more_of_the_same_ballots_narrow_the_errors_and_widen_the_gap() -> None:
    few, many = fit_strengths([[0, 3], [1, 0]]), fit_strengths([[0, 30], [10, 0]])
    assert many.variance_between(0, 1) < few.variance_between(0, 1)
    assert many.s[0] > few.s[0]
