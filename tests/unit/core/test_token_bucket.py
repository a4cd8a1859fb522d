"""A bucket lets a burst through and then so much a second, whatever is taken when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.token_bucket import TokenBucket


def test_what_is_spent_beyond_the_burst_is_waited_for() -> None:
    bucket = TokenBucket(10, 2, 0.0)
    assert bucket.spend(10, 0.0) == 0.0
    assert bucket.wait(0.0, needed=1) == 0.5
    assert bucket.spend(4, 0.0) == 2.0
    assert bucket.wait(1.5) == 0.5
    assert bucket.wait(2.0) == 0.0
    assert bucket.wait(1_000.0, needed=11) == 0.5, "it holds no more than the burst"


def test_a_debt_is_bounded() -> None:
    assert TokenBucket(10, 2, 0.0, most_debt=6).spend(1e9, 0.0) == 3.0


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 50)), max_size=40))
def test_whoever_waits_as_told_never_gets_more_than_burst_and_rate(takes: list[tuple[float, float]]) -> None:
    bucket, now, spent = TokenBucket(20, 3, 0.0), 0.0, 0.0
    for pause, units in takes:
        now += pause
        spent += units
        now += bucket.spend(units, now)
        assert spent <= (20 + 3 * now) * (1 + 1e-9)
        assert bucket.wait(now) == pytest.approx(0.0, abs=1e-9)
