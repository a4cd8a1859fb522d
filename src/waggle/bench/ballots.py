"""How many ballots a committee needs, and whether a small first wave costs right answers. See METHODOLOGY.md.

Rounds in this process, with scripted engines that all propose and judge. Clear crowds and doubtful ones, of seven, 20
and 50 nodes; each question once by the usual rule (a small first wave, more while in doubt) and once with about the
same budget of ballots bought in one go.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from math import ceil

import numpy as np

from waggle.bench.report import Goal, Report, Row, at_least, at_most, number, report
from waggle.bench.round import TRUTH
from waggle.bench.scores import Bootstrap, Right
from waggle.core.asking import AskOptions
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm

SIZES = (7, 20, 50)
CROWDS = ((0.6, 0.8), (0.3, 0.8), (0.2, 0.65), (0.1, 0.75))
"""How often proposers are right, and how often judges prefer the right one of two. The first is the clear case."""
CANDIDATES, SHARED = 5, 7
"""Different answers that scripted engines give; judges whose work, three pairs a candidate, is bought in one go."""
WORSE_BY = -0.03

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """Rounds of one crowd by one rule: which were right, and ballots a round."""

    right: Right
    ballots: float


def run_ballots_bench(seed: int, rounds: int, on_progress: Progress = lambda _: None) -> Report:
    """Run the suite; about 10 ms a round, and 24 rounds for each of `rounds`.

    Raises:
        UsageError: fewer than 10 rounds, or more than there are questions.
    """
    if not 10 <= rounds <= len(TRUTH):
        raise UsageError(f"rounds must be between 10 and {len(TRUTH)}, got {rounds}")
    rows = [asyncio.run(_row(nodes, crowd, seed, rounds, on_progress)) for nodes in SIZES for crowd in CROWDS]
    return report("ballots", seed, rows, _goals(rows))


async def _row(nodes: int, crowd: tuple[float, float], seed: int, rounds: int, on_progress: Progress) -> Row:
    skill, judge_skill = crowd
    engines = {
        NodeId(f"node {i}"): ScriptedEngine(Script(seed=1_000 * seed + i, skill=skill, judge_skill=judge_skill), TRUTH)
        for i in range(nodes)
    }
    swarm = Swarm(engines)
    usual = await _ask(swarm, rounds, AskOptions(min_confidence=0.0))
    at_once = ceil(3 * CANDIDATES * min(1.0, SHARED / nodes))
    once = await _ask(swarm, rounds, AskOptions(min_confidence=0.0, pairs_per_judge=at_once))
    on_progress(f"{nodes} nodes, proposers {skill:.0%} and judges {judge_skill:.0%} right: {usual.right.mean():.1%}")
    bootstrap = Bootstrap(rounds, seed)
    right, difference = bootstrap.share(usual.right), bootstrap.difference(usual.right, once.right)
    return {
        "nodes": nodes,
        "proposers_right": skill,
        "judges_right": judge_skill,
        "ballots": usual.ballots,
        "ballots_per_proposer": usual.ballots / nodes,
        "at_once": once.ballots,
        **dict(zip(("right", "low", "high"), right, strict=True)),
        **dict(zip(("more_right", "more_low", "more_high"), difference, strict=True)),
    }


async def _ask(swarm: Swarm, rounds: int, options: AskOptions) -> Asked:
    outcomes = [(question, (await swarm.ask(question, options)).outcome) for question in islice(TRUTH, rounds)]
    return Asked(
        right=np.array([outcome.answer == TRUTH[question] for question, outcome in outcomes]),
        ballots=float(np.mean([outcome.ballots.asked for _, outcome in outcomes])),
    )


def _goals(rows: list[Row]) -> list[Goal]:
    clear = [row for row in rows if (row["proposers_right"], row["judges_right"]) == CROWDS[0]]
    few, *more = (number(row["ballots_per_proposer"]) for row in clear)
    return [
        at_most(f"ballots per proposer in clear rounds of {nodes}, times those of {SIZES[0]}", each / few, 1.0)
        for nodes, each in zip(SIZES[1:], more, strict=True)
    ] + [
        at_least(
            "right answers more than with all ballots at once, the worst crowd",
            min(number(row["more_right"]) for row in rows),
            WORSE_BY,
        )
    ]
