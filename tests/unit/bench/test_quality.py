"""Rows of the quality bench that are computed from runs."""

import numpy as np

from waggle.bench.quality.runs import Run
from waggle.bench.quality.suite import _curve_rows


def test_the_calibration_curve_has_a_row_for_every_bin_with_an_answer() -> None:
    right = np.array([True, True, False, False])
    run = Run("committee", [""] * 4, right, None, None, np.zeros(4, dtype=bool), confidence=[1.0, 0.92, 0.98, 0.05])
    low, high = _curve_rows(run)
    assert low == {"curve": "committee", "mean_confidence": 0.05, "right": 0.0, "questions": 1}
    assert (high["questions"], high["right"]) == (3, 2 / 3)
    assert _curve_rows(Run("vote", [], right[:0], None, None, np.zeros(0, dtype=bool))) == []
