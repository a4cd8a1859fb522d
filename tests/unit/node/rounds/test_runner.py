"""The runner carries out a round: whatever an engine does becomes an event, and nothing outlives the round."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.engine_values import GenerateRequest, Generation, Judgement, JudgeRequest
from waggle.core.errors import EngineRefused
from waggle.core.failures import MAX_REASON_BYTES
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_picture import Phase
from waggle.core.round_values import (
    BallotFailed,
    BallotReceived,
    Budget,
    Event,
    Plan,
    ProposalFailed,
    ProposalReceived,
    Record,
    RoundStarted,
    Standing,
)
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.chance import draw
from waggle.node.rounds.swarm import run_round
from waggle.strategies.limits import MAX_ANSWER_BYTES
from waggle.strategies.machine import Moment, check_record
from waggle.strategies.ways import begin
from waggle.testing.clock import VirtualClock

TRUTH = {"6 * 7?": "42"}
SECRET = "what nobody else may read"

Spoil = Callable[[Generation], Generation]
SpoilBallot = Callable[[Judgement], Judgement]


class Spoilt(ScriptedEngine):
    """An honest engine whose every result goes through the test's hands."""

    def __init__(self, script: Script, *, spoil: Spoil | None = None, spoil_ballot: SpoilBallot | None = None) -> None:
        super().__init__(script, TRUTH, clock=VirtualClock())
        self.spoil, self.spoil_ballot = spoil, spoil_ballot

    async def generate(self, request: GenerateRequest) -> Generation:
        made = await super().generate(request)
        return self.spoil(made) if self.spoil else made

    async def judge(self, request: JudgeRequest) -> Judgement:
        made = await super().judge(request)
        return self.spoil_ballot(made) if self.spoil_ballot else made


def replace_in(field: str, value: object) -> Spoil:
    return lambda made: replace(made, **{field: value})


def ballot_with(field: str, value: object) -> SpoilBallot:
    return lambda made: replace(made, **{field: value})


def raising(error: BaseException) -> Spoil:
    def spoil(made: Generation) -> Generation:
        raise error

    return spoil


@in_virtual_time
async def run_with(*engines: ScriptedEngine, watch: Callable[[Moment, Event], None] | None = None) -> Record:
    """A round by these engines and nobody else; no task is left afterwards."""
    named = {NodeId(f"n{i}"): engine for i, engine in enumerate(engines)}
    record = await run_round(plan_for(*named), named, VirtualClock(), watch)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [engine.in_flight for engine in engines] == [0] * len(engines)
    check_record(begin(record.plan), record, draw)
    return record


def plan_for(*nodes: NodeId) -> Plan:
    """All propose and judge, in ten seconds."""
    standings = tuple(Standing(node=node) for node in nodes)
    budget = Budget(seconds=10.0)
    return Plan(round_id=RoundId("00"), question="6 * 7?", proposers=standings, judges=standings, budget=budget)


def right(seed: int = 0) -> Spoilt:
    return Spoilt(Script(seed=seed, skill=1.0, judge_skill=1.0, seconds_per_call=1.0))


def wrong(seed: int = 0) -> Spoilt:
    return Spoilt(Script(seed=seed, skill=0.0, judge_skill=1.0, seconds_per_call=1.0))


def broken(spoil: Spoil) -> Spoilt:
    return Spoilt(Script(skill=1.0, seconds_per_call=1.0), spoil=spoil)


@pytest.mark.parametrize("error", [RuntimeError(SECRET), KeyError(SECRET), RecursionError(SECRET), ValueError(SECRET)])
def test_a_crash_becomes_a_failure_that_names_its_kind_and_not_its_text(error: Exception) -> None:
    record = run_with(right(), broken(raising(error)))
    assert record.outcome.answer == "42"
    assert record.outcome.reasons == {"n1": f"crashed ({type(error).__name__})"}
    assert SECRET not in repr(record)


def test_an_error_of_our_own_is_told_in_its_own_words_up_to_a_limit() -> None:
    record = run_with(right(), broken(raising(EngineRefused("no \ud800" + "x" * 10_000))))
    assert record.outcome.reasons["n1"].startswith("no ?xxx")
    assert len(record.outcome.reasons["n1"].encode()) == MAX_REASON_BYTES


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("answer", "x" * (MAX_ANSWER_BYTES + 1), "longer than"),
        ("answer", "\ud800", "not valid Unicode"),
        ("trace", "\udfff", "not valid Unicode"),
        ("self_confidence", 1.5, "not in [0, 1]"),
        ("self_confidence", float("nan"), "not in [0, 1]"),
        ("seconds", float("nan"), "no number of seconds"),
        ("answer", "  ", "no answer"),
    ],
)
def test_a_proposal_that_breaks_the_rules_fails_at_once_and_not_at_the_deadline(
    field: str, value: object, reason: str
) -> None:
    record = run_with(right(), broken(replace_in(field, value)))
    assert reason in record.outcome.reasons["n1"]
    assert record.outcome.answer == "42"
    assert record.outcome.spent.seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("p", 1.5, "not a probability"), ("p", float("nan"), "not a probability"), ("seconds", -1.0, "no number")],
)
def test_a_ballot_that_breaks_the_rules_fails_at_once_and_counts_for_nobody(
    field: str, value: object, reason: str
) -> None:
    mad = Spoilt(Script(skill=1.0, seconds_per_call=1.0), spoil_ballot=ballot_with(field, value))
    record = run_with(right(), wrong(), mad)
    assert reason in record.outcome.reasons["n2"]
    assert record.outcome.answer == "42"
    assert record.outcome.ballots.refused > 0
    assert record.outcome.spent.seconds < 10.0


def test_a_long_or_unprintable_reason_of_a_judge_is_cut_and_its_ballot_counts() -> None:
    rambling = ballot_with("reason", "\ud800" + "ä" * MAX_REASON_BYTES)
    judges = [Spoilt(Script(seed=seed, skill=seed % 2, judge_skill=1.0), spoil_ballot=rambling) for seed in range(3)]
    record = run_with(*judges)
    assert record.outcome.failures == {}
    reasons = [event.ballot.reason for event in record.events if isinstance(event, BallotReceived)]
    assert reasons
    assert all(reason.startswith("?ä") and len(reason.encode()) <= MAX_REASON_BYTES for reason in reasons)


@in_virtual_time
async def test_a_node_without_an_engine_fails_and_the_others_go_on() -> None:
    here, gone = NodeId("here"), NodeId("gone")
    record = await run_round(plan_for(here, gone), {here: right()}, VirtualClock())
    assert record.outcome.answer == "42"
    assert record.outcome.reasons == {"gone": "gone cannot be reached from here"}


def test_a_watcher_sees_every_accepted_event_and_the_state_that_it_led_to() -> None:
    seen: list[tuple[Phase, Event]] = []
    unreadable = broken(replace_in("answer", "\ud800"))
    record = run_with(
        right(), wrong(), unreadable, watch=lambda moment, event: seen.append((moment.picture().phase, event))
    )
    assert tuple(event for _, event in seen) == record.events
    assert isinstance(record.events[0], RoundStarted)
    assert [phase for phase, _ in seen][-1] is Phase.DONE
    kinds = {type(event) for event in record.events}
    assert {ProposalReceived, ProposalFailed, BallotReceived} <= kinds
    assert BallotFailed not in kinds


@in_virtual_time
async def test_the_times_of_events_are_seconds_since_the_round_began() -> None:
    await VirtualClock().sleep(1000.0)
    n0, n1 = NodeId("n0"), NodeId("n1")
    record = await run_round(plan_for(n0, n1), {n0: right(), n1: wrong()}, VirtualClock())
    times = [event.at for event in record.events]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert times[1:3] == [1.0, 1.0]


@pytest.mark.parametrize("seed", [0, 1, 2**64, 2**130, -1, -(2**70)])
def test_every_whole_number_is_a_seed(seed: int) -> None:
    assert draw(seed).integers(1_000_000) == draw(seed).integers(1_000_000)


def test_different_seeds_draw_differently() -> None:
    assert len({int(draw(seed).integers(2**62)) for seed in (*range(-50, 50), 2**64)}) == 101
