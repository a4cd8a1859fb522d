"""What a round itself costs, on top of its engines: milliseconds per round, and rounds per second.

Method. Seven scripted engines propose and judge; they take no time but that of their own Python code, which is measured
apart: the very same calls again, with no round around them. Their skill (0.45) and judging skill (0.75) make them
disagree as real ones do, and only questions with 3 to 5 different answers count, so there is always something to rank.
Every round is the full method with its default settings: proposals, grouping, scheduled pairs in both orders, fits to
stop early by, confidence, outcome and record. Ten unmeasured rounds come first. Times are wall times on one core with
whatever else the machine is doing; `cpu_ms` is the processor time of the whole process, divided by the rounds.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, permutations, product
from statistics import fmean
from time import perf_counter, process_time

import numpy as np

from waggle.bench.report import Report, Row, at_least, at_most, number, report
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, JudgeRequest
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.calibrating.known import each
from waggle.node.rounds.swarm import Swarm

NODES, SKILL, JUDGE_SKILL = 7, 0.45, 0.75
FEWEST, MOST = 3, 5  # candidates of a round that counts
WARM_UP, AT_ONCE = 10, 8
ROUND_MS_GOAL, PER_SECOND_GOAL = 10.0, 100.0
CALLS_ALONE = "the same engine calls, no round"

TRUTH = {f"What is {a} + {b}?": str(a + b) for a, b in product(range(100), repeat=2)}


@dataclass(frozen=True)
class Timed:
    """Rounds and what they took. `ms` has one entry per round; it is empty where they overlapped."""

    records: Sequence[Record]
    ms: Sequence[float]
    seconds: float
    cpu_seconds: float


def run_round_bench(seed: int, rounds: int) -> Report:
    """Run the suite; about 10 s with 300 rounds.

    Args:
        seed: of the engines' errors and of every round's schedule.
        rounds: measured rounds of each kind, >= 1.

    Raises:
        UsageError: `rounds` is below 1, or more than there are questions.
    """
    if not 1 <= rounds <= len(TRUTH) // 4:
        raise UsageError(f"rounds must be between 1 and {len(TRUTH) // 4}, got {rounds}")
    alone, crowded, calls_alone = asyncio.run(_measure(seed, rounds))
    one, eight, calls = (
        _row("one at a time", alone),
        _row(f"{AT_ONCE} at once", crowded),
        _row(CALLS_ALONE, calls_alone),
    )
    goals = [
        at_most("a round, its engines' own code included, median", number(one["median_ms"]), ROUND_MS_GOAL, " ms"),
        at_least("one at a time", number(one["rounds_per_second"]), PER_SECOND_GOAL, " rounds/s"),
        at_least(f"{AT_ONCE} at once", number(eight["rounds_per_second"]), PER_SECOND_GOAL, " rounds/s"),
    ]
    return report("round", seed, [one, eight, calls, _shape_row(alone.records)], goals)


async def _measure(seed: int, rounds: int) -> tuple[Timed, Timed, Timed]:
    """Rounds one at a time, the same rounds several at once, and their engine calls alone."""
    scripts = [Script(seed=NODES * seed + i, skill=SKILL, judge_skill=JUDGE_SKILL) for i in range(NODES)]
    engines = {NodeId(f"node {i}"): ScriptedEngine(script, TRUTH) for i, script in enumerate(scripts)}
    swarm = Swarm(engines)
    questions = await _disputed(swarm, WARM_UP + rounds)
    await _one_at_a_time(swarm, questions[:WARM_UP], seed)
    alone = await _one_at_a_time(swarm, questions[WARM_UP:], seed)
    crowded = await _at_once(swarm, questions[WARM_UP:], seed)
    return alone, crowded, await _calls_alone(engines, alone.records)


async def _disputed(swarm: Swarm, count: int) -> list[str]:
    """The first questions with enough different answers, and not too many."""
    found: list[str] = []
    for question in TRUTH:
        vote = await swarm.ask(question, AskOptions(strategy="vote"))
        if FEWEST <= len(vote.outcome.candidates) <= MOST:
            found.append(question)
        if len(found) == count:
            return found
    raise UsageError(f"with this seed only {len(found)} questions are disputed: ask for fewer rounds")


async def _one_at_a_time(swarm: Swarm, questions: Sequence[str], seed: int) -> Timed:
    records, ms = [], []
    began, cpu = perf_counter(), process_time()
    for question in questions:
        before = perf_counter()
        records.append(await swarm.ask(question, AskOptions(seed=seed)))
        ms.append(1000 * (perf_counter() - before))
    return Timed(records, ms, perf_counter() - began, process_time() - cpu)


async def _at_once(swarm: Swarm, questions: Sequence[str], seed: int) -> Timed:
    async def ask(question: str) -> Record:
        return await swarm.ask(question, AskOptions(seed=seed))

    began, cpu = perf_counter(), process_time()
    records = await each(questions, ask, lambda done: None, AT_ONCE)
    return Timed(records, (), perf_counter() - began, process_time() - cpu)


async def _calls_alone(engines: Mapping[NodeId, ScriptedEngine], records: Sequence[Record]) -> Timed:
    """Every call that the rounds asked their engines for, one after the other."""
    asked, ms = [(record, list(_pairs(record))) for record in records], []
    began, cpu = perf_counter(), process_time()
    for record, pairs in asked:
        before = perf_counter()
        for engine in engines.values():
            await engine.generate(GenerateRequest(question=record.plan.question))
        for judge, request in zip(cycle(engines.values()), pairs, strict=False):
            await judge.judge(request)
        ms.append(1000 * (perf_counter() - before))
    return Timed(records, ms, perf_counter() - began, process_time() - cpu)


def _pairs(record: Record) -> Iterator[JudgeRequest]:
    """As many comparisons of a round's candidates as it asked for."""
    pairs = permutations([candidate.answer for candidate in record.outcome.candidates], 2)
    for first, second in islice(cycle(pairs), record.outcome.ballots.asked):
        yield JudgeRequest(question=record.plan.question, first=first, second=second)


def _row(name: str, timed: Timed) -> Row:
    rounds = len(timed.records)
    median, p95, p99 = np.percentile(timed.ms, [50, 95, 99]).tolist() if timed.ms else (None, None, None)
    return {
        "name": name,
        "rounds": rounds,
        "median_ms": median,
        "p95_ms": p95,
        "p99_ms": p99,
        "cpu_ms": 1000 * timed.cpu_seconds / rounds,
        "rounds_per_second": rounds / timed.seconds,
    }


def _shape_row(records: Sequence[Record]) -> Row:
    """What there was to do in these rounds, and that it was done well."""
    outcomes = [record.outcome for record in records]
    return {
        "name": "what the rounds were like",
        "candidates": fmean(len(outcome.candidates) for outcome in outcomes),
        "ballots_asked": fmean(outcome.ballots.asked for outcome in outcomes),
        "ballots_cast": fmean(outcome.ballots.cast for outcome in outcomes),
        "stopped_early": fmean(outcome.reason.startswith("no open ballot") for outcome in outcomes),
        "right": fmean(record.outcome.answer == TRUTH[record.plan.question] for record in records),
    }
