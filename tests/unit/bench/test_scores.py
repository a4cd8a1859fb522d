"""Intervals cover, differences are paired, and bias is measured from balanced pairs."""

import numpy as np
import pytest

from waggle.bench.scores import Bootstrap, gap_closed, position_bias


def test_a_share_lies_inside_its_interval_and_the_interval_narrows_with_more_questions() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for questions in (100, 900):
        right = rng.random(questions) < 0.7
        share, low, high = Bootstrap(questions, seed=1).share(right)
        assert low <= share <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_is_that_of_the_binomial() -> None:
    right = np.arange(400) < 200
    _, low, high = Bootstrap(400, seed=2).share(right)
    assert (high - low) == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 400), rel=0.08)


def test_a_paired_difference_is_far_surer_than_two_separate_shares() -> None:
    rng = np.random.default_rng(3)
    right = rng.random(400) < 0.6
    better = right | (rng.random(400) < 0.05)
    bootstrap = Bootstrap(400, seed=3)
    gap, low, high = bootstrap.difference(better, right)
    assert low > 0
    assert low <= gap <= high
    assert high - low < bootstrap.share(right)[2] - bootstrap.share(right)[1]


def test_everything_right_has_no_interval() -> None:
    assert Bootstrap(50, seed=4).share(np.ones(50, dtype=bool)) == (1.0, 1.0, 1.0)


def test_the_gap_closed_is_one_at_the_oracle_and_zero_at_the_base() -> None:
    base, best = np.arange(100) < 50, np.arange(100) < 90
    assert gap_closed(best, base, best) == 1.0
    assert gap_closed(base, base, best) == 0.0
    assert gap_closed(np.arange(100) < 70, base, best) == pytest.approx(0.5)
    assert gap_closed(base, base, base) == 1.0


def test_who_always_takes_the_first_is_biased_by_one_half() -> None:
    assert position_bias([True] * 10) == 0.5
    assert position_bias([True, False] * 5) == 0.0
    assert position_bias([]) == 0.0
