"""Shares and medians with intervals, paired differences, and what else is computed from who was right. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
LOW, HIGH = 2.5, 97.5  # percent: the ends of a 95 % interval

Right = NDArray[np.bool_]
Floats = NDArray[np.float64]


def ends(values: Floats) -> tuple[float, float]:
    """The ends of the 95 % interval, of values resampled."""
    low, high = np.percentile(values, [LOW, HIGH]).tolist()
    return low, high


def resampled_medians(values: Sequence[float] | Floats, rng: np.random.Generator) -> Floats:
    """The medians of RESAMPLES bootstrap samples."""
    return np.asarray(np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1))


class Bootstrap:
    """Resamples of the same questions, shared by all figures of a run so that differences are paired."""

    def __init__(self, questions: int, seed: int) -> None:
        self._rows = np.random.default_rng(seed).integers(0, questions, (RESAMPLES, questions))

    def share(self, right: Right) -> tuple[float, float, float]:
        """Share right and the ends of its interval. All right: (1, 1, 1)."""
        return float(right.mean()), *ends(right[self._rows].mean(axis=1))

    def difference(self, right: Right, other: Right) -> tuple[float, float, float]:
        """Paired difference of two shares, and its interval."""
        gap = right.astype(float) - other.astype(float)
        return float(gap.mean()), *ends(gap[self._rows].mean(axis=1))


def gap_closed(right: Right, base: Right, best: Right) -> float:
    """(right - base) / (best - base), of the shares; 1 where base is already best."""
    gap = best.mean() - base.mean()
    return float((right.mean() - base.mean()) / gap) if gap > 0 else 1.0


def position_bias(decided_first: Sequence[bool]) -> float:
    """Share of pairs decided for the first-shown, minus one half; the pairs are in both orders, so 0 is fair."""
    return float(np.mean(decided_first) - 0.5) if decided_first else 0.0
