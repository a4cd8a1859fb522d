"""Engines that are slow, silent, broken or babble, at every phase: rounds end in time, each fault costs its share."""

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import (
    QUESTIONS,
    TRUTH,
    Engines,
    ask_each,
    assert_idle,
    assert_sound,
    crowd,
    right_share,
    scripts,
)
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import Judgement, JudgeRequest
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, Record
from waggle.engines.script import Babbler, Conduct, Crasher, Hanger, Mute, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm
from waggle.testing.clock import VirtualClock

pytestmark = pytest.mark.timeout(300)

BUDGET = Budget(seconds=10.0)
CONDUCTS: list[Conduct] = [
    Hanger(),
    Hanger(after_calls=1),
    Crasher(),
    Crasher(after_calls=1),
    Mute(),
    Babbler(),
]


def spoilt(parts: list[Script], count: int, **changes: object) -> list[Script]:
    """The same parts, the first `count` of them changed."""
    return [replace(part, **changes) if i < count else part for i, part in enumerate(parts)]


@in_virtual_time
async def ask_fresh(parts: list[Script], question: str) -> tuple[Record, Engines]:
    """One round by engines that have done nothing yet."""
    engines = crowd(parts)
    record = await Swarm(engines, clock=VirtualClock()).ask(question, AskOptions(budget=BUDGET))
    assert VirtualClock().now() <= BUDGET.seconds + 1e-3
    assert_idle(engines)
    assert_sound(record)
    return record, engines


@pytest.mark.parametrize("conduct", CONDUCTS, ids=str)
def test_faulty_members_cost_their_own_share_and_nothing_more(conduct: Conduct) -> None:
    parts, questions = scripts(7, seed=5), QUESTIONS[:40]
    with_them = [ask_fresh(spoilt(parts, 2, conduct=conduct), question)[0] for question in questions]
    without = right_share(ask_each(parts[2:], questions))
    print(f"seed 5: {right_share(with_them):.3f} with two faulty members, {without:.3f} without them")
    assert right_share(with_them) >= without - 0.05


@pytest.mark.parametrize("conduct", CONDUCTS, ids=str)
def test_a_round_of_faulty_engines_alone_still_ends_in_time(conduct: Conduct) -> None:
    record, _ = ask_fresh(spoilt(scripts(5), 5, conduct=conduct), QUESTIONS[0])
    if getattr(conduct, "after_calls", 0) == 0:
        assert record.outcome.answer is None
        assert record.outcome.abstained
        assert set(record.outcome.failures) == {f"n0{i}" for i in range(5)}
    else:  # they proposed, and then no ballot came: the vote is left
        assert record.outcome.answer is not None
        assert record.outcome.ballots.cast == 0
        assert record.outcome.ballots.refused == record.outcome.ballots.asked > 0


@pytest.mark.parametrize("kind", [Crasher, Hanger])
@pytest.mark.parametrize("after_calls", range(2, 14, 2))
def test_a_breakdown_after_any_number_of_calls_leaves_an_answer(
    kind: type[Crasher] | type[Hanger], after_calls: int
) -> None:
    parts = spoilt(scripts(5, skill=0.4), 5, conduct=kind(after_calls=after_calls))
    for question in QUESTIONS[:4]:
        record, engines = ask_fresh(parts, question)
        assert record.outcome.answer is not None
        assert record.outcome.ballots.cast <= 5 * (after_calls - 1)  # one call was the proposal
        assert all(engine.calls for engine in engines.values())


def test_garbage_that_looks_like_an_answer_does_not_win() -> None:
    parts = spoilt(scripts(7, skill=0.75, seed=6), 3, conduct=Babbler(), answer_marker=None)
    records = [ask_fresh(parts, question)[0] for question in QUESTIONS[:30]]
    garbage = [record for record in records if "lorem" in (record.outcome.answer or "")]
    print(f"seed 6: garbage won {len(garbage)} of 30")
    assert any("lorem" in candidate.answer for candidate in records[0].outcome.candidates)
    assert len(garbage) <= 1
    assert right_share(records) >= 0.85


def test_silent_judges_are_named_and_their_ballots_refused() -> None:
    record, _ = ask_fresh(spoilt(scripts(5, skill=0.4), 2, conduct=Hanger(after_calls=1)), QUESTIONS[1])
    assert record.outcome.spent.seconds == pytest.approx(10.0, abs=1e-3)
    assert record.outcome.reasons == {"n00": "no ballot in time", "n01": "no ballot in time"}
    count = record.outcome.ballots
    assert count.cast + count.refused == count.asked
    assert count.refused > 0


def test_a_slow_proposer_is_heard_if_it_keeps_the_deadline_and_missed_if_not() -> None:
    deadline = BUDGET.seconds * 0.6
    for seconds, heard in ((deadline - 0.001, True), (deadline + 0.001, False)):
        record, _ = ask_fresh(spoilt(scripts(4), 1, seconds_per_call=seconds), QUESTIONS[2])
        assert ("n00" not in record.outcome.failures) is heard


class SlowToJudge(ScriptedEngine):
    """Answers at once; a ballot takes `seconds`."""

    seconds = 0.0

    async def judge(self, request: JudgeRequest) -> Judgement:
        await VirtualClock().sleep(self.seconds)
        return await super().judge(request)


@pytest.mark.parametrize(("seconds", "heard"), [(9.999, True), (10.001, False)])
@in_virtual_time
async def test_a_slow_judge_is_heard_if_it_keeps_the_deadline_and_missed_if_not(seconds: float, heard: bool) -> None:
    parts = [Script(seed=seed, skill=float(seed % 2)) for seed in range(4)]
    engines = {NodeId(f"n{part.seed}"): SlowToJudge(part, TRUTH) for part in parts}
    for engine in engines.values():
        engine.seconds = seconds
    record = await Swarm(engines, clock=VirtualClock()).ask(QUESTIONS[3], AskOptions(budget=BUDGET))
    assert (record.outcome.ballots.cast > 0) is heard
    assert (record.outcome.failures == {}) is heard
