"""Calibrations are monotone, survive JSON, and lower the error on questions that they did not see."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from waggle.consensus.calibration import (
    FEATURES,
    UNCALIBRATED,
    Calibration,
    IsotonicCalibration,
    PlattCalibration,
    brier_score,
    calibration_from_dict,
    calibration_to_dict,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
    held_out_probabilities,
    pool_adjacent_violators,
)
from waggle.consensus.confidence import ConfidenceFeatures
from waggle.core.errors import UsageError

Fit = Callable[[Sequence[ConfidenceFeatures], Sequence[bool]], Calibration]
relaxed = settings(deadline=None, max_examples=50)
FOUR = [ConfidenceFeatures(raw_score=score) for score in (0.6, 0.7, 0.8, 0.9)]
OUTCOMES = [False, True, False, True]


def overconfident(n: int, seed: int) -> tuple[list[ConfidenceFeatures], list[bool]]:
    """Questions whose raw score says far too much: the truth has a third of its log-odds, half of the vote share's."""
    rng = np.random.default_rng(seed)
    score, share = rng.uniform(0.5, 0.999, n), rng.uniform(0.2, 1.0, n)
    truth = expit(logit(score) / 3 + logit(np.clip(share, 0.01, 0.99)) / 2)
    features = [ConfidenceFeatures(raw_score=s, vote_share=v) for s, v in zip(score, share, strict=True)]
    return features, (rng.random(n) < truth).tolist()


def test_the_worked_isotonic_line() -> None:
    found = fit_isotonic(FOUR, OUTCOMES)
    assert [found.probability(item) for item in FOUR] == pytest.approx([1 / 6, 1 / 2, 1 / 2, 5 / 6])
    assert found.probability(ConfidenceFeatures(raw_score=0.65)) == pytest.approx(1 / 3)
    assert found.probability(ConfidenceFeatures(raw_score=0.1)) == pytest.approx(1 / 6)


def test_the_isotonic_line_keeps_only_its_corners() -> None:
    many = [ConfidenceFeatures(raw_score=score) for score in np.linspace(0.5, 1, 200)]
    found = fit_isotonic(many, [score.raw_score > 0.75 for score in many])
    assert len(found.scores) == 4


@relaxed
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=30))
def test_our_pooling_agrees_with_that_of_scipy(points: list[tuple[float, float]]) -> None:
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    assert pool_adjacent_violators(values, weights) == pytest.approx(isotonic_regression(values, weights=weights).x)


def test_without_questions_platt_is_the_raw_score() -> None:
    assert fit_platt([], []) == UNCALIBRATED
    assert UNCALIBRATED.probability(FOUR[2]) == pytest.approx(0.8)


def test_platt_finds_the_map_that_made_the_outcomes() -> None:
    found = fit_platt(*overconfident(6000, 1))
    assert found.intercept == pytest.approx(0, abs=0.1)
    assert found.coefficients[0] == pytest.approx(1 / 3, abs=0.06)
    assert found.coefficients[1] == pytest.approx(1 / 2, abs=0.06)


@pytest.mark.parametrize("fit", [fit_isotonic, fit_platt])
def test_calibration_lowers_the_error_on_questions_not_seen(fit: Fit) -> None:
    features, right = overconfident(1500, 2)
    held_out = held_out_probabilities(fit, features, right)
    raw = [item.raw_score for item in features]
    assert expected_calibration_error(held_out, right) < 0.06 < expected_calibration_error(raw, right)
    assert brier_score(held_out, right) < brier_score(raw, right)


@relaxed
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_both_maps_are_monotone_and_never_certain(seed: int, n: int) -> None:
    features, right = overconfident(n, seed)
    for calibration in (fit_isotonic(features, right), fit_platt(features, right)):
        stated = [calibration.probability(ConfidenceFeatures(raw_score=s)) for s in np.linspace(0, 1, 21)]
        assert stated == sorted(stated)
        assert stated[0] > 0
        assert stated[-1] < 1


@relaxed
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_calibration_survives_json(seed: int, n: int) -> None:
    for calibration in (fit_isotonic(*overconfident(n, seed)), fit_platt(*overconfident(n, seed))):
        assert calibration_from_dict(json.loads(json.dumps(calibration_to_dict(calibration)))) == calibration


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"type": "other"},
        {"type": "isotonic", "scores": [], "values": []},
        {"type": "isotonic", "scores": [0.5], "values": [0.5, 0.6]},
        {"type": "isotonic", "scores": [0.5, 0.6], "values": [0.9, 0.1]},
        {"type": "isotonic", "scores": [0.5, 0.6], "values": [0.9, 1.1]},
        {"type": "isotonic", "scores": [0.5], "values": [0.5], "more": 1},
        {"type": "platt", "intercept": 0.0, "coefficients": [1.0]},
        {"type": "platt", "intercept": 0.0, "coefficients": [-1.0] * FEATURES},
        {"type": "platt", "intercept": "0", "coefficients": [1.0] * FEATURES},
    ],
)
def test_a_damaged_calibration_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="fit it anew"):
        calibration_from_dict(plain)


def test_the_worked_errors() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert expected_calibration_error([0.75] * 4, [True, True, False, False]) == pytest.approx(0.25)
    assert expected_calibration_error([1.0, 0.0], [True, False]) == pytest.approx(0)
    assert brier_score([0.5, 0.5], [True, False]) == pytest.approx(0.25)
    assert pool_adjacent_violators(np.array([1.0, 0.0, 2.0]), np.ones(3)).tolist() == [0.5, 0.5, 2.0]


def test_what_does_not_fit_is_refused() -> None:
    empty: NDArray[np.float64] = np.zeros(0)
    with pytest.raises(UsageError):
        fit_isotonic([], [])
    with pytest.raises(UsageError):
        fit_platt(FOUR, OUTCOMES[:2])
    with pytest.raises(UsageError):
        fit_platt(FOUR, OUTCOMES, ridge=0)
    with pytest.raises(UsageError):
        expected_calibration_error(empty.tolist(), [])
    with pytest.raises(UsageError):
        brier_score([0.5], [])


def test_calibrations_are_checked_when_made() -> None:
    with pytest.raises(ValueError, match="never falls"):
        IsotonicCalibration((0.5, 0.4), (0.1, 0.2))
    with pytest.raises(ValueError, match="coefficients"):
        PlattCalibration(0.0, (1.0,))
