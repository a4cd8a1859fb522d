"""Limits of single keys: a minute's worth at once, then evenly; what an answer cost is paid afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.gateway.keys import rates as rates_module
from waggle.gateway.keys.rates import Rates
from waggle.gateway.keys.store import KeyInfo


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def key(id: str = "a", requests: int | None = None, tokens: int | None = None) -> KeyInfo:  # noqa: A002
    return KeyInfo(id=id, name=id, requests_per_minute=requests, tokens_per_minute=tokens)


def test_a_minutes_worth_may_come_at_once_and_then_one_at_a_time() -> None:
    clock = Hand()
    rates, ann = Rates(now=clock), key(requests=6)
    assert [rates.take(ann) for _ in range(6)] == [0.0] * 6
    assert rates.take(ann) == pytest.approx(10.0)
    clock.at += 9.9
    assert rates.take(ann) == pytest.approx(0.1)
    clock.at += 0.2
    assert rates.take(ann) == 0.0
    assert rates.take(ann) > 9.0


def test_one_key_at_its_limit_does_not_hold_up_another() -> None:
    rates = Rates(now=Hand())
    assert rates.take(key("a", requests=1)) == 0.0
    assert rates.take(key("a", requests=1)) > 0.0
    assert rates.take(key("b", requests=1)) == 0.0
    assert rates.take(key("c")) == 0.0


def test_an_answer_that_cost_too_much_is_paid_before_the_next() -> None:
    clock = Hand()
    rates, ann = Rates(now=clock), key(tokens=60)
    assert rates.take(ann) == 0.0
    rates.charge(ann, 90)
    assert rates.take(ann) == pytest.approx(31.0)
    clock.at += 31.1
    assert rates.take(ann) == 0.0


def test_a_request_that_must_wait_for_tokens_takes_no_request() -> None:
    clock = Hand()
    rates, ann = Rates(now=clock), key(requests=2, tokens=60)
    rates.charge(ann, 100)
    assert all(rates.take(ann) > 0.0 for _ in range(10))
    clock.at += 42.0
    assert [rates.take(ann), rates.take(ann)] == [0.0, 0.0]
    assert rates.take(ann) > 0.0


def test_what_one_answer_may_cost_is_bounded() -> None:
    rates, ann = Rates(now=Hand()), key(tokens=1)
    rates.charge(ann, 10**18)
    assert 0.0 < rates.take(ann) <= 3_600.0 + 60.0


def test_tokens_that_were_not_used_are_not_given_back() -> None:
    rates, ann = Rates(now=Hand()), key(tokens=10)
    rates.charge(ann, 20)
    wait = rates.take(ann)
    rates.charge(ann, -1_000)
    assert rates.take(ann) == wait


def test_a_key_without_limits_has_no_bucket() -> None:
    rates = Rates(now=Hand())
    for _ in range(1_000):
        assert rates.take(key()) == 0.0
        rates.charge(key(), 10**9)


def test_a_changed_limit_holds_from_then_on() -> None:
    rates = Rates(now=Hand())
    assert [rates.take(key(requests=1)), rates.take(key(requests=2)), rates.take(key(requests=2))] == [0.0] * 3
    assert rates.take(key(requests=2)) > 0.0


def test_the_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "MOST_BUCKETS", 3)
    rates = Rates(now=Hand())
    assert rates.take(key("a", requests=1)) == 0.0
    for name in "bcd":
        rates.take(key(name, requests=1))
    assert rates.take(key("d", requests=1)) > 0.0
    assert rates.take(key("a", requests=1)) == 0.0  # rested longest, and starts anew


@given(
    per_minute=st.integers(1, 1_000),
    steps=st.lists(st.floats(0.0, 30.0), max_size=60),
)
def test_no_stretch_of_time_lets_more_in_than_a_burst_and_its_share(per_minute: int, steps: list[float]) -> None:
    clock = Hand()
    rates, ann = Rates(now=clock), key(requests=per_minute)
    let_in, passed = 0, 0.0
    for step in steps:
        clock.at += step
        passed += step
        let_in += sum(rates.take(ann) == 0.0 for _ in range(20))
        assert let_in <= per_minute + passed * per_minute / 60.0 + 1e-6
