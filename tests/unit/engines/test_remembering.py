"""The remembering engine does each piece of work once; `test_sharing` has what becomes of those who wait."""

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.chat_values import Role, Tool, Turn
from waggle.core.engine_values import GenerateRequest, Generation, Judgement, JudgeRequest
from waggle.core.errors import EngineError, EngineUnavailable
from waggle.engines.protocol import Engine
from waggle.engines.remembering import RememberingEngine
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.testing.check_engine import CHECKS, Check, run_check
from waggle.testing.clock import VirtualClock, run_virtual
from waggle.testing.engine_subject import Subject

TRUTH = {"What is 17 + 25?": "42"}
ASK = GenerateRequest(question="What is 17 + 25?")
PAIR = JudgeRequest(question="What is 17 + 25?", first="42", second="32")
SLOW = Script(skill=1.0, judge_skill=1.0, seconds_per_call=2.0, seconds_per_token=0.5)


def inner_engine(script: Script = SLOW) -> ScriptedEngine:
    return ScriptedEngine(script, TRUTH, clock=VirtualClock())


def remembering(script: Script = SLOW) -> tuple[RememberingEngine, ScriptedEngine]:
    """It, and the engine within."""
    inner = inner_engine(script)
    return RememberingEngine(inner), inner


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_all_engines(check: Check) -> None:
    made: list[ScriptedEngine] = []

    async def make_engine() -> Engine:
        made.append(inner_engine())
        return RememberingEngine(made[-1])

    def busy() -> int:
        return sum(engine.in_flight for engine in made)

    run_virtual(run_check(check, Subject(make_engine=make_engine, busy=busy, patience_s=60)))


@in_virtual_time
async def test_each_request_is_worked_on_once() -> None:
    engine, inner = remembering()
    first = await engine.generate(ASK)
    again = await engine.generate(GenerateRequest(question=ASK.question))
    judged = [await engine.judge(PAIR), await engine.judge(PAIR)]
    assert first == again
    assert judged[0] == judged[1]
    assert inner.calls == 2
    assert first.seconds > 0  # what it cost the first time


@in_virtual_time
async def test_another_request_is_other_work() -> None:
    engine, inner = remembering()
    swapped = JudgeRequest(question=PAIR.question, first=PAIR.second, second=PAIR.first)
    assert (await engine.judge(PAIR)).p != (await engine.judge(swapped)).p
    await engine.generate(ASK)
    await engine.generate(GenerateRequest(question=ASK.question, max_tokens=3))
    assert inner.calls == 4


@in_virtual_time
async def test_an_engine_that_is_broken_for_good_fails_every_time() -> None:
    engine, inner = remembering(Script(conduct=Crasher()))
    for work in (engine.generate(ASK), engine.generate(ASK), engine.judge(PAIR)):
        with pytest.raises(EngineUnavailable):
            await work
    assert inner.calls == 3


@in_virtual_time
async def test_closing_it_ends_every_wait_with_an_error_and_forgets_what_was_known() -> None:
    async def ended(work: Awaitable[Generation | Judgement]) -> str:
        try:
            await work
        except EngineError as error:
            return str(error)
        return "it answered"

    engine, inner = remembering()
    await engine.generate(ASK)
    waiting = [asyncio.create_task(ended(engine.judge(PAIR))) for _ in range(3)]
    await VirtualClock().sleep(1.0)
    await engine.close()
    assert all("closed" in told for told in await asyncio.gather(*waiting))
    assert inner.in_flight == 0
    assert "closed" in await ended(engine.generate(ASK))
    await engine.close()


@in_virtual_time
async def test_the_same_question_in_another_conversation_is_another_piece_of_work() -> None:
    turns = (Turn(role=Role.SYSTEM, content="Be brief."), Turn(role=Role.USER, content=ASK.question))

    engine, inner = remembering()
    requests = [ASK, replace(ASK, turns=turns), replace(ASK, tools=(Tool(name="weather"),))]
    requests.append(replace(requests[2], tool_choice="none"))
    for asked in requests * 2:
        await engine.generate(asked)
    for pair in [PAIR, replace(PAIR, turns=turns)] * 2:
        await engine.judge(pair)
    assert inner.calls == 4 + 2
