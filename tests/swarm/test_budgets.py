"""Budgets are ceilings: seconds to the millisecond, tokens to the last one, and cancelling stops all work at once."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import (
    ABOUT_SAME_TIME,
    QUESTIONS,
    TRUTH,
    ask_each,
    assert_idle,
    assert_sound,
    crowd,
    right_share,
    scripts,
)
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, Generation, Judgement, JudgeRequest
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, Record
from waggle.engines.script import Hanger, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm
from waggle.testing.clock import VirtualClock

pytestmark = pytest.mark.timeout(300)


class Metered(ScriptedEngine):
    """Adds up what it reports; a call under way is counted when it ends."""

    used = 0

    async def generate(self, request: GenerateRequest) -> Generation:
        made = await super().generate(request)
        self.used += made.prompt_tokens + made.completion_tokens
        return made

    async def judge(self, request: JudgeRequest) -> Judgement:
        made = await super().judge(request)
        self.used += made.prompt_tokens + made.completion_tokens
        return made


@in_virtual_time
async def ask_metered(parts: Sequence[Script], question: str, options: AskOptions) -> tuple[Record, int]:
    """A round, and the tokens that its engines report in all, also with answers that came after its end."""
    engines = {NodeId(f"n{part.seed}"): Metered(part, TRUTH, clock=VirtualClock()) for part in parts}
    record = await Swarm(engines, clock=VirtualClock()).ask(question, options)
    assert_idle(engines)
    assert_sound(record)
    return record, sum(engine.used for engine in engines.values())


@pytest.mark.parametrize("tokens", [0, 1, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600])
def test_no_more_tokens_are_used_than_the_budget_allows(tokens: int) -> None:
    for seed in range(4):
        options = AskOptions(budget=Budget(tokens=tokens), max_tokens=32, min_confidence=0.95, seed=seed)
        record, used = ask_metered(scripts(5, skill=0.4, seed=seed), QUESTIONS[seed], options)
        spent = record.outcome.spent
        assert spent.proposing_tokens + spent.judging_tokens <= used <= tokens, f"seed {seed}"
        assert set(record.outcome.reasons.values()) <= {"not asked: the token budget did not allow it"}


def test_who_is_not_asked_for_lack_of_tokens_is_named() -> None:
    options = AskOptions(budget=Budget(tokens=150), max_tokens=32)
    record, _ = ask_metered(scripts(5), QUESTIONS[0], options)
    proposed = sum(len(candidate.supporters) for candidate in record.outcome.candidates)
    assert 0 < proposed < 5
    assert len(record.outcome.failures) == 5 - proposed
    assert record.outcome.ballots.asked == 0


def test_a_larger_token_budget_buys_a_better_answer() -> None:
    def share(tokens: int) -> float:
        options = AskOptions(budget=Budget(tokens=tokens), max_tokens=32)
        return right_share(ask_each(scripts(7, skill=0.4, seed=2), QUESTIONS[:60], options))

    few, many = share(250), share(2_000)
    print(f"seed 2: {few:.2f} right with 250 tokens, {many:.2f} with 2,000")
    assert few < many - 0.05


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.0, 10.0, 3600.0])
@pytest.mark.parametrize("after_calls", [0, 1])
@in_virtual_time
async def test_silence_ends_with_the_time_budget_to_the_millisecond(seconds: float, after_calls: int) -> None:
    engines = crowd([Script(seed=i, skill=0.4, conduct=Hanger(after_calls=after_calls)) for i in range(5)])
    began = VirtualClock().now()
    options = AskOptions(budget=Budget(seconds=seconds))
    record = await Swarm(engines, clock=VirtualClock()).ask(QUESTIONS[0], options)
    assert_idle(engines)
    took = VirtualClock().now() - began
    assert_sound(record)
    due = seconds * (1.0 if after_calls else 0.6)  # with no proposal by its deadline there is nothing to wait for
    assert took == pytest.approx(due, abs=ABOUT_SAME_TIME)
    assert record.outcome.spent.seconds == pytest.approx(due, abs=ABOUT_SAME_TIME)


@pytest.mark.parametrize("when", [0.0, 0.5, 2.0, 2.5, 3.0, 3.5, 5.0])
@in_virtual_time
async def test_a_caller_that_gives_up_stops_all_engine_work(when: float) -> None:
    parts = [Script(seed=i, skill=0.4, seconds_per_call=1.0 + i, seconds_per_token=0.1) for i in range(5)]
    engines = crowd(parts)
    asking = asyncio.create_task(Swarm(engines, clock=VirtualClock()).ask(QUESTIONS[0]))
    await VirtualClock().sleep(when)
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert VirtualClock().now() == when  # at once, not when the work would have ended
    assert_idle(engines)


@in_virtual_time
async def test_one_caller_giving_up_leaves_the_other_rounds_alone() -> None:
    engines = crowd([Script(seed=i, skill=0.5, seconds_per_call=1.0) for i in range(4)])
    swarm = Swarm(engines, clock=VirtualClock())
    staying, leaving = (asyncio.create_task(swarm.ask(question)) for question in QUESTIONS[:2])
    await VirtualClock().sleep(1.5)
    leaving.cancel()
    record = await staying
    assert_idle(engines)
    assert record.outcome.failures == {}
    assert_sound(record)


@in_virtual_time
async def test_an_early_end_stops_the_judges_that_are_still_at_work() -> None:
    parts = [Script(seed=i, skill=float(i < 4), wrong_choices=1, judge_skill=1.0) for i in range(9)]
    engines = crowd([replace(part, seconds_per_call=20.0 if part.seed == 4 else 1.0) for part in parts])
    record = await Swarm(engines, clock=VirtualClock()).ask(QUESTIONS[0], AskOptions(budget=Budget(seconds=100.0)))
    assert_idle(engines)
    assert record.outcome.reason == "no open ballot is likely to change the winner"
    assert 20.0 < record.outcome.spent.seconds < 40.0
    assert record.outcome.ballots.refused == 0  # stopped as needless is nobody's failure
    assert record.outcome.failures == {}
