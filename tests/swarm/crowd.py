"""What the tests of whole rounds share: make-believe engines, known answers, rounds in virtual time."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.ids import NodeId
from waggle.core.round_values import ProposalReceived, Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.calibration import Calibration
from waggle.node.chance import draw
from waggle.node.rounds.swarm import Swarm
from waggle.strategies.machine import check_record
from waggle.strategies.ways import begin
from waggle.testing.clock import VirtualClock

TRUTH = {f"What is {a} + {b}?": str(a + b) for a in range(40) for b in range(40)}
QUESTIONS = tuple(TRUTH)
ABOUT_SAME_TIME = 1e-3  # seconds

Engines = dict[NodeId, ScriptedEngine]


def scripts(count: int, *, skill: float = 0.5, judge_skill: float = 0.75, seed: int = 0) -> list[Script]:
    """So many honest engines that err independently of each other."""
    return [Script(seed=1000 * seed + i, skill=skill, judge_skill=judge_skill) for i in range(count)]


def crowd(parts: Sequence[Script]) -> Engines:
    """An engine for each script, on the virtual clock."""
    return {NodeId(f"n{i:02}"): ScriptedEngine(part, TRUTH, clock=VirtualClock()) for i, part in enumerate(parts)}


@in_virtual_time
async def ask_each(
    parts: Sequence[Script],
    questions: Sequence[str],
    options: AskOptions | None = None,
    calibration: Calibration | None = None,
) -> list[Record]:
    """One round per question, one after the other, by fresh engines."""
    swarm = Swarm(crowd(parts), calibration, VirtualClock())
    return [await swarm.ask(question, options) for question in questions]


def right_share(records: Sequence[Record]) -> float:
    """Share of the rounds whose best guess is right."""
    return sum(record.outcome.answer == TRUTH[record.plan.question] for record in records) / len(records)


def member_shares(records: Sequence[Record]) -> dict[NodeId, float]:
    """How often each member's own proposal was right, in the same rounds."""
    nodes = [standing.node for standing in records[0].plan.proposers]
    return {node: sum(_is_right(record, node) for record in records) / len(records) for node in nodes}


def _is_right(record: Record, node: NodeId) -> bool:
    said = [event.proposal for event in record.events if isinstance(event, ProposalReceived)]
    return any(made.node == node and made.answer == TRUTH[record.plan.question] for made in said)


def assert_sound(record: Record, slack_seconds: float = ABOUT_SAME_TIME) -> None:
    """What holds for every round: it ended in time, it adds up, and it can be replayed from its own JSON."""
    outcome, count = record.outcome, record.outcome.ballots
    assert outcome.spent.seconds <= record.plan.budget.seconds + slack_seconds
    assert 0.0 <= outcome.confidence <= 1.0
    assert outcome.answer is not None or outcome.abstained
    assert outcome.reason
    assert count.cast + count.refused + count.unparseable <= count.asked
    back = msgspec.json.decode(msgspec.json.encode(record), type=Record)
    assert back == record
    check_record(begin(back.plan), back, draw)


def assert_idle(engines: Mapping[NodeId, ScriptedEngine]) -> None:
    """No engine is at work and no task is left over but the test's own."""
    assert {node: engine.in_flight for node, engine in engines.items() if engine.in_flight} == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
