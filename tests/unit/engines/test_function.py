"""An engine made of a function is an engine like any other."""

import asyncio
from collections.abc import Awaitable
from typing import cast

import pytest

from waggle.core.engine_values import GenerateRequest, JudgeRequest
from waggle.core.errors import EngineRefused
from waggle.engines.function import Answering, Comparing, engine
from waggle.engines.protocol import Engine
from waggle.testing.check_engine import CHECKS, Check, run_check
from waggle.testing.clock import run_virtual
from waggle.testing.engine_subject import Subject

PAIR = JudgeRequest(question="?", first="42", second="32")


@pytest.mark.parametrize("judges", [True, False])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_passes_the_suite_of_engines(check: Check, judges: bool) -> None:
    busy = 0

    async def take_a_second() -> None:
        nonlocal busy
        busy += 1
        try:
            await asyncio.sleep(1.0)
        finally:
            busy -= 1

    async def answer(question: str) -> str:
        await take_a_second()
        return "it is, as far as I can see, 42"

    async def judge(question: str, first: str, second: str) -> float | None:
        await take_a_second()
        return 1.0 if first == "42" else 0.0

    async def make_engine() -> Engine:
        return engine("mine", answer, judge=judge if judges else None)

    subject = Subject(make_engine=make_engine, busy=lambda: busy, embeds=False, judges=judges)
    run_virtual(run_check(check, subject))


def fails(answer: Answering, judge: Comparing | None = None) -> str:
    """What an engine says that is refused its answer, or its verdict where it judges."""
    made = engine("mine", answer, judge=judge)
    with pytest.raises(EngineRefused) as caught:
        asyncio.run(made.judge(PAIR) if judge else made.generate(GenerateRequest(question="?")))
    return str(caught.value)


async def answer_nothing(question: str) -> str:
    raise KeyError("no such town")


async def answer_a_number(question: str) -> str:
    return cast(str, 42)


def answer_at_once(question: str) -> Awaitable[str]:
    return cast(Awaitable[str], "42")


async def judge_beyond(question: str, first: str, second: str) -> float | None:
    return 1.5


async def judge_in_words(question: str, first: str, second: str) -> float | None:
    return cast(float, "the first")


def test_a_function_that_fails_is_told_with_its_reason() -> None:
    assert fails(answer_nothing) == "mine failed: KeyError: 'no such town'"
    assert fails(answer_at_once).startswith("mine failed: TypeError")


def test_what_is_no_text_and_no_probability_is_refused() -> None:
    assert fails(answer_a_number) == "mine gave no text but int"
    assert fails(answer_nothing, judge_beyond) == "mine judged 1.5, which is no probability"
    assert fails(answer_nothing, judge_in_words) == "mine judged 'the first', which is no probability"
