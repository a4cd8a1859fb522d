"""Shares with intervals, paired differences, and what else is computed from who was right. Pure; numpy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
LOW, HIGH = 2.5, 97.5  # percent: the ends of a 95 % interval

Right = NDArray[np.bool_]


class Bootstrap:
    """Resamples of the same questions, shared by all figures of a run so that differences are paired."""

    def __init__(self, questions: int, seed: int) -> None:
        self._rows = np.random.default_rng(seed).integers(0, questions, (RESAMPLES, questions))

    def share(self, right: Right) -> tuple[float, float, float]:
        """Share right and the ends of its interval. All right: (1, 1, 1)."""
        return float(right.mean()), *self._ends(right[self._rows].mean(axis=1))

    def difference(self, right: Right, other: Right) -> tuple[float, float, float]:
        """Paired difference of two shares, and its interval."""
        gap = right.astype(float) - other.astype(float)
        return float(gap.mean()), *self._ends(gap[self._rows].mean(axis=1))

    def gap_closed(self, right: Right, base: Right, best: Right) -> tuple[float, float, float]:
        """(right - base) / (best - base) and its interval; 1 where base is already best."""
        rows = self._rows
        return (
            _ratio(right.mean(), base.mean(), best.mean()),
            *self._ends(
                np.array(
                    [
                        _ratio(a, b, c)
                        for a, b, c in zip(
                            right[rows].mean(axis=1), base[rows].mean(axis=1), best[rows].mean(axis=1), strict=True
                        )
                    ]
                )
            ),
        )

    def _ends(self, values: NDArray[np.float64]) -> tuple[float, float]:
        low, high = np.percentile(values, [LOW, HIGH])
        return float(low), float(high)


def _ratio(right: float, base: float, best: float) -> float:
    return float((right - base) / (best - base)) if best > base else 1.0


def position_bias(decided_first: Sequence[bool]) -> float:
    """Share of pairs decided for the first-shown, minus one half; the pairs are in both orders, so 0 is fair."""
    return float(np.mean(decided_first) - 0.5) if decided_first else 0.0
