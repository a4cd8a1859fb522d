"""From scores to probabilities: monotone maps fitted on questions whose answer is known, and how good they are.

Isotonic regression maps the raw score alone (pool adjacent violators); Platt scaling is a logistic regression on the
log-odds of all features with coefficients that cannot be negative. Both are monotone: more of a feature never lowers
the probability. Kept per deployment as plain dictionaries. Knows nothing of rounds; outcomes are booleans.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite

import msgspec
import numpy as np
from msgspec import Struct
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from waggle.consensus.comparisons import FloatArray
from waggle.consensus.confidence import ConfidenceFeatures
from waggle.core.errors import NotConverged, UsageError

CLIP = 0.01
"""Features are taken as at least 1 % and at most 99 %: log-odds of 4.6, or one certain feature would decide alone."""

RIDGE = 1.0
"""Standard deviation 1 around "the raw score is right": with no calibration questions Platt gives the raw score."""

FEATURES = len(ConfidenceFeatures.__struct_fields__)


class IsotonicCalibration(Struct, frozen=True, tag="isotonic", forbid_unknown_fields=True):
    """A rising broken line through (scores[i], values[i]), flat outside."""

    scores: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.values):
            raise ValueError("an isotonic calibration needs as many values as scores, and at least one")
        if any(a > b for line in (self.scores, self.values) for a, b in pairwise(line)):
            raise ValueError("an isotonic calibration never falls")
        if not all(0 <= number <= 1 for number in self.scores + self.values):
            raise ValueError("an isotonic calibration stays within [0, 1]")

    def probability(self, features: ConfidenceFeatures) -> float:
        """P(the winner is right), in (0, 1)."""
        return float(np.interp(features.raw_score, self.scores, self.values))


class PlattCalibration(Struct, frozen=True, tag="platt", forbid_unknown_fields=True):
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


Calibration = IsotonicCalibration | PlattCalibration

UNCALIBRATED = PlattCalibration(0.0, (1.0,) + (0.0,) * (FEATURES - 1))
"""The raw score as it is, between 1 % and 99 %."""


def fit_isotonic(features: Sequence[ConfidenceFeatures], right: Sequence[bool]) -> IsotonicCalibration:
    """Fit the rising line through the outcomes, by raw score.

    Values stay within [1/(N+2), (N+1)/(N+2)]: N questions prove no certainty. Scores (0.6, 0.7, 0.8, 0.9) with
    outcomes (wrong, right, wrong, right) give values 1/6, 1/2, 1/2, 5/6 there.

    Raises:
        UsageError: no questions, or as many outcomes as questions are not there.
    """
    _check(len(features), len(right))
    scores, place = np.unique([item.raw_score for item in features], return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    values = pool_adjacent_violators(np.bincount(place, weights=np.array(right, dtype=np.float64)) / counts, counts)
    edge = 1.0 / (len(right) + 2)
    steps = np.diff(values) > 0
    kept = np.r_[True, steps] | np.r_[steps, True]  # the ends of each level: the line between them is flat
    return IsotonicCalibration(tuple(scores[kept].tolist()), tuple(np.clip(values[kept], edge, 1 - edge).tolist()))


def pool_adjacent_violators(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The closest sequence (weighted squares) that never falls, shape as `values`.

    Values [1, 0, 2] of equal weights: [0.5, 0.5, 2].
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, heavy, long = blocks.pop()
            mean = (before * heavy + mean * total) / (heavy + total)
            total, length = total + heavy, length + long
        blocks.append((mean, total, length))
    return np.repeat([mean for mean, _, _ in blocks], [length for _, _, length in blocks])


def fit_platt(
    features: Sequence[ConfidenceFeatures], right: Sequence[bool], *, ridge: float = RIDGE
) -> PlattCalibration:
    """Fit the logistic map, with Platt's smoothed targets, pulled towards `UNCALIBRATED` by `ridge`.

    Without questions it is `UNCALIBRATED`: raw score 0.8 -> 0.8.

    Raises:
        UsageError: as many outcomes as questions are not there, or `ridge` is not positive.
        NotConverged: the optimiser gave up.
    """
    if len(features) != len(right) or not ridge > 0:
        raise UsageError(f"{len(features)} questions, {len(right)} outcomes, ridge {ridge}: no Platt calibration")
    design = np.column_stack([np.ones(len(right)), _log_odds(features)])
    outcome = np.array(right, dtype=bool)
    wins = int(outcome.sum())
    target = np.where(outcome, (wins + 1) / (wins + 2), 1 / (len(right) - wins + 2))
    prior = np.array([UNCALIBRATED.intercept, *UNCALIBRATED.coefficients])

    def loss(beta: FloatArray) -> tuple[float, FloatArray]:
        score = design @ beta
        fit = -(target @ log_expit(score) + (1 - target) @ log_expit(-score))
        slope = design.T @ (expit(score) - target) + ridge * (beta - prior)
        return float(fit + ridge / 2 * np.sum((beta - prior) ** 2)), slope

    bounds = [(None, None)] + [(0.0, None)] * FEATURES
    found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds)
    if not found.success:
        raise NotConverged(f"Platt calibration: {found.message}")
    intercept, *coefficients = (float(value) for value in found.x)
    return PlattCalibration(intercept, tuple(coefficients))


def held_out_probabilities(
    fit: Callable[[Sequence[ConfidenceFeatures], Sequence[bool]], Calibration],
    features: Sequence[ConfidenceFeatures],
    right: Sequence[bool],
    *,
    folds: int = 5,
) -> list[float]:
    """Each question's probability from a calibration that did not see it; question i is in fold i modulo `folds`.

    What the expected calibration error has to be reported on: on its own questions isotonic looks perfect.
    """
    _check(len(features), len(right))
    found = [0.0] * len(right)
    for fold in range(folds):
        seen = [i for i in range(len(right)) if i % folds != fold]
        calibration = fit([features[i] for i in seen], [right[i] for i in seen])
        for i in range(fold, len(right), folds):
            found[i] = calibration.probability(features[i])
    return found


def expected_calibration_error(probabilities: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Mean distance of stated from observed frequency over equal-width bins, weighted by their questions, in [0, 1].

    Four answers at 0.75, of which three are right: 0.0; of which two are right: 0.25. Raises UsageError.
    """
    _check(len(probabilities), len(right))
    stated, outcome = np.array(probabilities, dtype=np.float64), np.array(right, dtype=np.float64)
    bin_of = np.minimum((stated * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=stated - outcome, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def brier_score(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Mean squared distance of stated probability and outcome, in [0, 1]; always saying 0.5 gives 0.25.

    Raises UsageError.
    """
    _check(len(probabilities), len(right))
    return float(np.mean((np.array(probabilities) - np.array(right, dtype=np.float64)) ** 2))


def calibration_to_dict(calibration: Calibration) -> dict[str, object]:
    """Plain JSON values; `calibration_from_dict` gives back an equal calibration."""
    plain: dict[str, object] = msgspec.to_builtins(calibration)
    return plain


def calibration_from_dict(plain: dict[str, object]) -> Calibration:
    """Check and read what `calibration_to_dict` wrote. Raises UsageError: it is something else, or damaged."""
    try:
        return msgspec.convert(plain, IsotonicCalibration | PlattCalibration)
    except msgspec.ValidationError as error:
        raise UsageError(f"not a calibration: {error}; fit it anew") from error


def _log_odds(features: Sequence[ConfidenceFeatures]) -> FloatArray:
    values = np.array([item.vector() for item in features], dtype=np.float64).reshape(len(features), FEATURES)
    return np.asarray(logit(np.clip(values, CLIP, 1 - CLIP)), dtype=np.float64)


def _check(questions: int, outcomes: int) -> None:
    if questions != outcomes or not questions:
        raise UsageError(f"{questions} questions need as many outcomes, and at least one; got {outcomes}")
