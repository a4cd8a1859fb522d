"""From features to a probability: a monotone map fitted on questions whose answer is known, and how good it is.

Platt scaling: a logistic regression on the log-odds of all features with coefficients that cannot be negative, so that
more of a feature never lowers the probability. Knows nothing of rounds; outcomes are booleans.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from msgspec import Struct
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from waggle.consensus.comparisons import FloatArray, IntArray
from waggle.consensus.confidence import ConfidenceFeatures
from waggle.core.errors import NotConverged, UsageError

CLIP = 0.01
"""Features are taken as at least 1 % and at most 99 %: log-odds of 4.6, or one certain feature would decide alone."""

RIDGE = 1.0
"""Standard deviation 1 around "the raw score is right": with no calibration questions Platt gives the raw score."""

BINS = 10
"""Of equal width, in which stated and observed frequencies are compared."""

FEATURES = len(ConfidenceFeatures.__struct_fields__)


class PlattCalibration(Struct, frozen=True):
    """sigmoid(intercept + coefficients . log-odds of the features), coefficients >= 0."""

    intercept: float
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.coefficients) != FEATURES:
            raise ValueError(f"a Platt calibration needs {FEATURES} coefficients")
        if not isfinite(self.intercept) or not all(0 <= value < float("inf") for value in self.coefficients):
            raise ValueError("a Platt calibration has a finite intercept and coefficients >= 0")

    def probability(self, features: ConfidenceFeatures) -> float:
        """P(the winner is right), in (0, 1)."""
        return float(expit(self.intercept + _log_odds([features])[0] @ np.array(self.coefficients)))


UNCALIBRATED = PlattCalibration(0.0, (1.0,) + (0.0,) * (FEATURES - 1))
"""The raw score as it is, between 1 % and 99 %."""


def fit_platt(features: Sequence[ConfidenceFeatures], right: Sequence[bool]) -> PlattCalibration:
    """Fit the logistic map, with Platt's smoothed targets, pulled towards `UNCALIBRATED` by `RIDGE`.

    Without questions it is `UNCALIBRATED`: raw score 0.8 -> 0.8.

    Raises:
        UsageError: as many outcomes as questions are not there.
        NotConverged: the optimiser gave up.
    """
    if len(features) != len(right):
        raise UsageError(f"{len(features)} questions need as many outcomes, got {len(right)}")
    design = np.column_stack([np.ones(len(right)), _log_odds(features)])
    outcome = np.array(right, dtype=bool)
    wins = int(outcome.sum())
    target = np.where(outcome, (wins + 1) / (wins + 2), 1 / (len(right) - wins + 2))
    prior = np.array([UNCALIBRATED.intercept, *UNCALIBRATED.coefficients])

    def loss(beta: FloatArray) -> tuple[float, FloatArray]:
        score = design @ beta
        fit = -(target @ log_expit(score) + (1 - target) @ log_expit(-score))
        slope = design.T @ (expit(score) - target) + RIDGE * (beta - prior)
        return float(fit + RIDGE / 2 * np.sum((beta - prior) ** 2)), slope

    bounds = [(None, None)] + [(0.0, None)] * FEATURES
    found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds)
    if not found.success:
        raise NotConverged(f"Platt calibration: {found.message}")
    intercept, *coefficients = (float(value) for value in found.x)
    return PlattCalibration(intercept, tuple(coefficients))


def expected_calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Mean distance of stated from observed frequency over equal-width bins, weighted by their questions, in [0, 1].

    Four answers at 0.75, of which three are right: 0.0; of which two are right: 0.25. Raises UsageError.
    """
    if len(probabilities) != len(right) or not right:
        raise UsageError(f"{len(probabilities)} questions need as many outcomes, and at least one; got {len(right)}")
    gaps = np.bincount(bins_of(probabilities), weights=np.array(probabilities) - np.array(right, dtype=np.float64))
    return float(np.abs(gaps).sum() / len(right))


def bins_of(probabilities: Sequence[float]) -> IntArray:
    """The bin of each, from 0 on: 0.05, 0.75 and 1 are in 0, 7 and 9."""
    return np.minimum((np.array(probabilities) * BINS).astype(np.int64), BINS - 1)


def _log_odds(features: Sequence[ConfidenceFeatures]) -> FloatArray:
    values = np.array([item.vector() for item in features], dtype=np.float64).reshape(len(features), FEATURES)
    return np.asarray(logit(np.clip(values, CLIP, 1 - CLIP)), dtype=np.float64)
