"""The ways of answering have the names that the API gives them, and say what they cannot do."""

import math

import pytest

from waggle.core.ids import NodeId
from waggle.dashboard.ask.asking import Form, seconds_fault, strategies, tokens_fault, unread_words
from waggle.dashboard.frame.words import strategy_words
from waggle.gateway.jobs.choosing import STRATEGIES
from waggle.node.services.service import ServedModel

READER = ServedModel(name="sage", nodes=(NodeId("a"),))
DEAF = ServedModel(name="thyme", nodes=(NodeId("b"),), converses=False)


def test_the_gate_is_what_a_question_begins_with_as_with_the_api() -> None:
    assert Form().strategy == STRATEGIES["swarm"] == "auto"
    assert next(iter(strategies([]))) == "auto"


def test_ways_are_called_as_the_api_calls_them() -> None:
    for strategy in STRATEGIES.values():
        assert strategy_words(strategy) == strategy
        assert strategies([])[strategy].startswith(f"{strategy}, ")
    assert strategies([READER])["solo:sage"] == "solo: sage, this model alone"
    assert strategy_words("solo:\x1bsage") == "solo: \\x1bsage"


def test_that_nobody_reads_earlier_turns_is_said() -> None:
    assert unread_words([DEAF], "auto")
    assert not unread_words([DEAF, READER], "auto")
    assert unread_words([DEAF, READER], "solo:thyme")
    assert not unread_words([DEAF, READER], "solo:sage")
    assert not unread_words([], "auto")  # nobody is there: that is said elsewhere


def test_a_reader_that_is_down_reads_nothing() -> None:
    down = ServedModel(name="sage", down={NodeId("a"): "gone"})
    assert unread_words([DEAF, down], "committee")


@pytest.mark.parametrize("value", [-5.0, 0.01, 600.5, math.nan, math.inf])
def test_a_time_out_of_bounds_is_told_with_the_bounds(value: float) -> None:
    assert seconds_fault(value) == "must be between 0.1 and 600 seconds"


@pytest.mark.parametrize("value", [-5.0, 0.0, 1e9, math.nan])
def test_a_token_budget_out_of_bounds_is_told_with_the_bounds(value: float) -> None:
    assert tokens_fault(value) == "must be between 1 and 10,000,000 tokens"


def test_what_is_in_bounds_or_left_empty_is_no_fault() -> None:
    assert [seconds_fault(value) for value in (None, 0.1, 600.0)] == [None] * 3
    assert [tokens_fault(value) for value in (None, 1.0, 1e7)] == [None] * 3
