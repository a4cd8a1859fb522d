"""Whole rounds of honest engines: the swarm beats its members, and every shape of round ends as it should."""

import asyncio
from collections import Counter

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
    member_shares,
    right_share,
    scripts,
)
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, Generation, Judgement, JudgeRequest
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Outcome, Plan, Record, Standing
from waggle.engines.script import Crasher, Script, share
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm, run_round
from waggle.testing.clock import VirtualClock

pytestmark = pytest.mark.timeout(300)

RIGHT = Script(skill=1.0, judge_skill=1.0)


def plan_for(engines: Engines, *, proposers: int, judges: int, standby: int = 0, seed: int = 0) -> Plan:
    """The first nodes propose, the next ones stand by; the last ones judge."""
    standings = tuple(Standing(node=node) for node in engines)
    return Plan(
        round_id=RoundId("00"),
        question=QUESTIONS[seed],
        proposers=standings[:proposers],
        standby=standings[proposers : proposers + standby],
        judges=standings[len(standings) - judges :],
        seed=seed,
    )


@in_virtual_time
async def run_plan(engines: Engines, plan: Plan) -> Record:
    record = await run_round(plan, engines, VirtualClock())
    assert_idle(engines)
    assert_sound(record)
    return record


@pytest.mark.parametrize("skill", [0.4, 0.6])
def test_an_honest_swarm_beats_each_of_its_members_and_their_vote(skill: float) -> None:
    seed = 3
    parts = scripts(7, skill=skill, seed=seed)
    swarm = ask_each(parts, QUESTIONS[:150])
    vote = right_share(ask_each(parts, QUESTIONS[:150], AskOptions(strategy="vote")))
    best = max(member_shares(swarm).values())
    print(f"seed {seed}: swarm {right_share(swarm):.3f}, vote {vote:.3f}, best member {best:.3f}")
    assert right_share(swarm) > vote + 0.03
    assert right_share(swarm) > best + 0.15


def test_every_record_replays_to_its_outcome_from_its_own_json() -> None:
    for seed, options in enumerate(
        [
            AskOptions(),
            AskOptions(strategy="vote"),
            AskOptions(strategy="best"),
            AskOptions(strategy="solo:n03"),
            AskOptions(min_confidence=0.99),
            AskOptions(both_orders=False, pairs_per_judge=2, use_support=False, seed=-5),
        ]
    ):
        for record in ask_each(scripts(5, seed=seed), QUESTIONS[20 * seed : 20 * seed + 8], options):
            assert_sound(record)


def test_the_same_seed_gives_the_same_round_and_another_seed_another_schedule() -> None:
    first, again, other = (
        ask_each(scripts(5), QUESTIONS[:10], AskOptions(seed=seed, both_orders=False)) for seed in (1, 1, 2)
    )
    assert [record.events for record in first] == [record.events for record in again]
    assert [record.outcome for record in first] == [record.outcome for record in again]
    assert [record.events for record in first] != [record.events for record in other]


class Uneven(ScriptedEngine):
    """Takes another time for every call, so that no two answers arrive at the same instant."""

    async def generate(self, request: GenerateRequest) -> Generation:
        await VirtualClock().sleep(share(self.script.seed, request.question))
        return await super().generate(request)

    async def judge(self, request: JudgeRequest) -> Judgement:
        await VirtualClock().sleep(share(self.script.seed, request.first, request.second))
        return await super().judge(request)


def without_seconds(record: Record) -> Outcome:
    """The outcome but for the time it took, whose last digit depends on when the round began."""
    return replace(record.outcome, spent=replace(record.outcome.spent, seconds=0.0))


@in_virtual_time
async def test_rounds_at_once_on_the_same_engines_give_what_each_gives_alone() -> None:
    questions = QUESTIONS[:12]
    engines = {NodeId(f"n{part.seed}"): Uneven(part, TRUTH) for part in scripts(5)}
    swarm = Swarm(engines, clock=VirtualClock())
    alone = [await swarm.ask(question) for question in questions]
    at_once = await asyncio.gather(*map(swarm.ask, questions))
    assert_idle(engines)
    assert list(map(without_seconds, at_once)) == list(map(without_seconds, alone))
    assert len({record.plan.round_id for record in at_once}) == len(questions)


def test_a_single_proposer_is_answered_without_a_ballot() -> None:
    engines = crowd([RIGHT, *scripts(3)])
    record = run_plan(engines, plan_for(engines, proposers=1, judges=3))
    assert record.outcome.answer == TRUTH[record.plan.question]
    assert record.outcome.ballots.asked == 0
    assert record.outcome.reason == "nothing to compare"


def test_equal_answers_need_no_ballot_and_all_stand_behind_them() -> None:
    engines = crowd([replace(RIGHT, seed=seed) for seed in range(6)])
    record = run_plan(engines, plan_for(engines, proposers=6, judges=6))
    assert record.outcome.ballots.asked == 0
    assert [len(candidate.supporters) for candidate in record.outcome.candidates] == [6]


def test_without_judges_the_vote_of_the_proposers_decides() -> None:
    engines = crowd([RIGHT, RIGHT, *(replace(RIGHT, skill=0.0, seed=seed, wrong_choices=50) for seed in range(3))])
    record = run_plan(engines, plan_for(engines, proposers=5, judges=0))
    assert record.outcome.answer == TRUTH[record.plan.question]
    assert record.outcome.reason == "no judges"


def test_a_swarm_of_one_answers() -> None:
    (record,) = ask_each([RIGHT], QUESTIONS[:1])
    assert record.outcome.answer == TRUTH[QUESTIONS[0]]


def test_a_standby_answers_for_each_proposer_that_fails() -> None:
    broken = replace(RIGHT, conduct=Crasher())
    engines = crowd([broken, broken, RIGHT, RIGHT, RIGHT])
    record = run_plan(engines, plan_for(engines, proposers=2, judges=0, standby=2))
    assert record.outcome.answer == TRUTH[record.plan.question]
    assert record.outcome.candidates[0].supporters == (NodeId("n02"), NodeId("n03"))
    assert set(record.outcome.failures) == {"n00", "n01"}
    assert engines[NodeId("n04")].calls == 0


def test_two_honest_judges_of_a_lone_right_proposal_overrule_a_wrong_majority() -> None:
    wrong = [replace(RIGHT, skill=0.0, wrong_choices=1, seed=seed) for seed in range(3)]
    engines = crowd([RIGHT, *wrong, *(replace(RIGHT, seed=seed) for seed in (7, 8, 9))])
    record = run_plan(engines, plan_for(engines, proposers=4, judges=3))
    assert record.outcome.answer == TRUTH[record.plan.question]
    assert record.outcome.runner_up == record.outcome.candidates[1].answer


def test_more_judging_effort_is_bought_only_while_the_answer_is_in_doubt() -> None:
    options = AskOptions(pairs_per_judge=1, min_confidence=0.9)
    records = ask_each(scripts(7, skill=0.4), QUESTIONS[:40], options)
    asked = Counter(bool(record.outcome.ballots.asked > 14) for record in records if len(record.outcome.candidates) > 1)
    assert asked[True]
    assert asked[False]
    for record in records:
        assert record.outcome.abstained is (record.outcome.confidence < 0.9)
