"""What is said of a question by keyword becomes its options, or is refused with a word on what is wrong."""

import pytest

from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import Sampling
from waggle.core.errors import UsageError
from waggle.core.round_values import Budget
from waggle.library.asking import Asking, options_of

SAID = Turn(role=Role.USER, content="Are you a bee?")
TOLD = Turn(role=Role.ASSISTANT, content="I am.")


def test_nothing_said_is_the_usual() -> None:
    assert options_of("?", {}) == AskOptions()


def test_every_keyword_has_its_place() -> None:
    everything: Asking = {
        "strategy": "vote",
        "budget_tokens": 9,
        "budget_seconds": 8.0,
        "min_confidence": 0.7,
        "max_tokens": 6,
        "temperature": 0.5,
        "seed": 4,
        "proposers": 3,
        "judges": 2,
    }
    assert options_of("?", everything) == AskOptions(
        strategy="vote",
        budget=Budget(tokens=9, seconds=8.0),
        min_confidence=0.7,
        max_tokens=6,
        sampling=Sampling(temperature=0.5, seed=4),
        seed=4,
        proposers=3,
        judges=2,
    )


def test_a_keyword_stands_above_the_options() -> None:
    said = AskOptions(both_orders=False, seed=1, budget=Budget(tokens=5, seconds=6.0), sampling=Sampling(top_k=3))
    assert options_of("?", {"options": said, "budget_tokens": None, "temperature": 1.0}) == AskOptions(
        both_orders=False, seed=1, budget=Budget(seconds=6.0), sampling=Sampling(top_k=3, temperature=1.0)
    )


def test_the_question_ends_the_conversation() -> None:
    assert options_of("Why?", {"turns": [SAID, TOLD]}).turns == (SAID, TOLD, Turn(role=Role.USER, content="Why?"))
    assert options_of("Why?", {"turns": []}).turns == ()


@pytest.mark.parametrize(
    ("asking", "fault"),
    [
        ({"strateg": "vote"}, "'strateg' is no option of a question: there are strategy, "),
        ({"strategy": "nosuch"}, "unknown strategy 'nosuch'"),
        ({"options": AskOptions(strategy="nosuch")}, "unknown strategy 'nosuch'"),
        ({"budget_tokens": 0}, "budget_tokens: expected `int` >= 1"),
        ({"budget_seconds": float("inf")}, "budget_seconds: expected `float` <= 86400.0"),
        ({"min_confidence": float("nan")}, "min_confidence: expected `float` >= 0.0"),
        ({"min_confidence": "high"}, "min_confidence: expected `float`, got `str`"),
        ({"turns": "Why?"}, "turns: expected `array`, got `str`"),
        ({"turns": [TOLD, SAID]}, "turns: what was said before the question; leave the question itself out of it"),
    ],
)
def test_what_cannot_be_is_refused_by_name(asking: Asking, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        options_of("?", asking)
    assert str(caught.value).startswith(fault)
