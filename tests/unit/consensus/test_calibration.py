"""The calibration is monotone and never certain, and lowers the error on questions that it did not see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from waggle.consensus.calibration import (
    FEATURES,
    UNCALIBRATED,
    PlattCalibration,
    bins_of,
    expected_calibration_error,
    fit_platt,
)
from waggle.consensus.confidence import ConfidenceFeatures
from waggle.core.errors import UsageError

FOUR = [ConfidenceFeatures(raw_score=score) for score in (0.6, 0.7, 0.8, 0.9)]
OUTCOMES = [False, True, False, True]


def overconfident(n: int, seed: int) -> tuple[list[ConfidenceFeatures], list[bool]]:
    """Questions whose raw score says far too much: the truth has a third of its log-odds, half of the vote share's."""
    rng = np.random.default_rng(seed)
    score, share = rng.uniform(0.5, 0.999, n), rng.uniform(0.2, 1.0, n)
    truth = expit(logit(score) / 3 + logit(np.clip(share, 0.01, 0.99)) / 2)
    features = [ConfidenceFeatures(raw_score=s, vote_share=v) for s, v in zip(score, share, strict=True)]
    return features, (rng.random(n) < truth).tolist()


def test_without_questions_platt_is_the_raw_score() -> None:
    assert fit_platt([], []) == UNCALIBRATED
    assert UNCALIBRATED.probability(FOUR[2]) == pytest.approx(0.8)


def test_platt_finds_the_map_that_made_the_outcomes() -> None:
    found = fit_platt(*overconfident(6000, 1))
    assert found.intercept == pytest.approx(0, abs=0.1)
    assert found.coefficients[0] == pytest.approx(1 / 3, abs=0.06)
    assert found.coefficients[1] == pytest.approx(1 / 2, abs=0.06)


def test_calibration_lowers_the_error_on_questions_not_seen() -> None:
    features, right = overconfident(1500, 2)
    fitted = fit_platt(features[:1000], right[:1000])
    unseen, truth = features[1000:], right[1000:]
    stated, raw = [fitted.probability(item) for item in unseen], [item.raw_score for item in unseen]
    assert expected_calibration_error(stated, truth) < 0.06 < expected_calibration_error(raw, truth)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_the_map_is_monotone_and_never_certain(seed: int, n: int) -> None:
    calibration = fit_platt(*overconfident(n, seed))
    stated = [calibration.probability(ConfidenceFeatures(raw_score=s)) for s in np.linspace(0, 1, 21)]
    assert stated == sorted(stated)
    assert stated[0] > 0
    assert stated[-1] < 1


def test_the_worked_errors() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert expected_calibration_error([0.75] * 4, [True, True, False, False]) == pytest.approx(0.25)
    assert expected_calibration_error([1.0, 0.0], [True, False]) == pytest.approx(0)
    assert bins_of([0.05, 0.75, 1.0]).tolist() == [0, 7, 9]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError):
        fit_platt(FOUR, OUTCOMES[:2])
    with pytest.raises(UsageError):
        expected_calibration_error([], [])


@pytest.mark.parametrize(
    ("intercept", "coefficients"),
    [(0.0, (1.0,)), (0.0, (-1.0,) * FEATURES), (0.0, (float("inf"),) * FEATURES), (float("nan"), (1.0,) * FEATURES)],
)
def test_a_calibration_is_checked_when_made(intercept: float, coefficients: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="coefficients"):
        PlattCalibration(intercept, coefficients)
