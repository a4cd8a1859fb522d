"""What a round costs over the mesh, and whether a large swarm that loses nodes all the time still answers.

Two parts. The first runs whole nodes over libp2p, each with a daemon of its own, all of them in this one process and on
this machine, and times questions; the engines are scripted and take no time but that of their own code. So the cost of
n nodes' work falls on the same cores, which n machines would share among them. The second part (`swarm_sim`) is a
simulation on the virtual clock.
"""

import asyncio
import gc
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import uvloop

from waggle.bench.report import Goal, Report, Row, at_least, at_most, number, report
from waggle.bench.round import TRUTH
from waggle.bench.scores import ends, resampled_medians
from waggle.bench.swarm.simulation import SimOptions, Simulated, run_simulation
from waggle.core.asking import AskOptions
from waggle.core.errors import UsageError
from waggle.core.round_values import Budget
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import start_libp2p
from waggle.node.network.mesh_node import MeshNode, NodeOptions, make_node
from waggle.node.rounds.coordinator import CommitteeSize
from waggle.trust.keys import NodeKey

SIZES = (7, 20, 50)
WARM_UP = 3
READY_SECONDS, ROUND_SECONDS, AT_ONCE = 60.0, 30.0, 4
SKILL, JUDGE_SKILL = 0.6, 0.8
P50_GOAL, RATIO_GOAL = 60.0, 1.0
IN_TIME_GOAL, SAME_COST_GOAL = 0.99, 1.1
SMALL = 100
"""Nodes of the small simulated swarm that the large one's costs are compared with."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Timed:
    """Rounds over libp2p at one size; `ms` has one entry per round."""

    nodes: int
    ms: Sequence[float]
    cpu_seconds: float
    ballots: float
    failures: int


def run_swarm_bench(
    seed: int,
    nodes: int = 1_000,
    minutes: float = 2.0,
    rounds: int = 40,
    sizes: Sequence[int] = SIZES,
    *,
    on_progress: Progress = lambda _: None,
) -> Report:
    """Run both parts.

    Args:
        seed: of the engines, and of everything that is left to chance in the simulation.
        nodes: simulated nodes; 0 leaves the simulation out.
        minutes: simulated minutes in which questions are asked.
        rounds: timed rounds over libp2p at each size; 0 leaves that part out.
        sizes: nodes over libp2p; growth is told against the first.
        on_progress: told in words how far it is.

    Raises:
        UsageError: a number is too small.
    """
    if nodes < 0 or 0 < nodes < 20 or rounds < 0 or minutes <= 0 or min(sizes, default=0) < 2:
        raise UsageError("the bench needs 20 nodes or more (or 0), rounds from 0, some time, and sizes from 2")
    rows: list[Row] = []
    goals: list[Goal] = []
    if rounds:
        timed = [uvloop.run(measure_rounds(seed, size, rounds, on_progress)) for size in sizes]  # as nodes do
        rows, goals = _round_rows(timed, seed), _round_goals(timed)
    if nodes:
        runs = [
            run_simulation(_sim_options(size, seed, minutes), on_progress)
            for size in dict.fromkeys((min(SMALL, nodes), nodes))
        ]
        rows, goals = rows + [_sim_row(run) for run in runs], goals + _sim_goals(runs[0], runs[-1])
    return report("swarm", seed, rows, goals)


def _sim_options(nodes: int, seed: int, minutes: float) -> SimOptions:
    """Five questions a second, or in large swarms one for every 500 nodes, so that a short run has enough of them."""
    return SimOptions(nodes=nodes, seed=seed, minutes=minutes, rounds_per_second=max(5.0, nodes / 500))


# --- rounds over libp2p -------------------------------------------------------------------------------------------


async def measure_rounds(seed: int, size: int, rounds: int, on_progress: Progress = lambda _: None) -> Timed:
    """Time rounds in which all of `size` nodes propose and judge, each question asked at the next node."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waggle-bench-")))
        nodes = await _start_nodes(stack, folder, seed, size)
        await _until_all_usable(nodes)
        on_progress(f"{size} nodes are up and know each other")
        questions = iter(TRUTH)
        for index in range(WARM_UP):
            await _ask(nodes[index % size], next(questions))
        stack.callback(gc.unfreeze)
        gc.freeze()  # as nodes do once they are up
        ms, ballots, failures, cpu = [], 0, 0, process_time()
        for index in range(rounds):
            began = perf_counter()
            asked, failed = await _ask(nodes[index % size], next(questions))
            ms.append(1000 * (perf_counter() - began))
            ballots, failures = ballots + asked, failures + failed
        on_progress(f"{size} nodes: median {np.median(ms):.0f} ms")
        return Timed(size, ms, process_time() - cpu, ballots / rounds, failures)


async def _start_nodes(stack: AsyncExitStack, folder: Path, seed: int, size: int) -> list[MeshNode]:
    some = asyncio.Semaphore(AT_ONCE)

    async def prepare(index: int) -> MeshNode:
        async with some:
            node = await _prepare(
                folder / f"key{index}",
                Script(name=f"model {index}", seed=1_000 * seed + index, skill=SKILL, judge_skill=JUDGE_SKILL),
                size,
            )
            stack.push_async_callback(node.close)
            return node

    nodes = list(await asyncio.gather(*(prepare(index) for index in range(size))))
    await nodes[0].start()
    invites = await nodes[0].transport.addresses()
    await asyncio.gather(*(node.start(invites[:1]) for node in nodes[1:]))
    return nodes


async def _prepare(key_path: Path, script: Script, size: int) -> MeshNode:
    key = NodeKey.load_or_create(key_path)
    transport = await start_libp2p(Settings(key_path=key_path))
    committee = CommitteeSize(proposers=size, standby=0, judges=size, hedge_factor=None)
    options = NodeOptions(committee=committee, capacity=64, queue=4096, queue_per_asker=4096)
    return await make_node(key, transport, {script.name: ScriptedEngine(script, TRUTH)}, options)


async def _until_all_usable(nodes: Sequence[MeshNode]) -> None:
    async with asyncio.timeout(READY_SECONDS):
        for node in nodes:
            while len(node.membership.usable()) < len(nodes) - 1:
                await node.membership.changed()


async def _ask(node: MeshNode, question: str) -> tuple[int, int]:
    """Ask one question; gives how many ballots were asked for and how many nodes failed."""
    options = AskOptions(budget=Budget(seconds=ROUND_SECONDS), min_confidence=0.0)
    record = await node.ask(question, options)
    return record.outcome.ballots.asked, len(record.outcome.failures)


def _round_rows(timed: Sequence[Timed], seed: int) -> list[Row]:
    return [_round_row(one, timed[0], seed) for one in timed]


def _round_row(one: Timed, first: Timed, seed: int) -> Row:
    p50, p90 = np.percentile(one.ms, [50, 90]).tolist()
    low, high = growth_interval(one, first, seed)
    return {
        "name": f"{one.nodes} nodes, libp2p",
        "rounds": len(one.ms),
        "p50_ms": p50,
        "p90_ms": p90,
        "p50_ms_per_proposer": p50 / one.nodes,
        "growth": growth(one, first),
        "growth_low": low,
        "growth_high": high,
        "cpu_ms": 1000 * one.cpu_seconds / len(one.ms),
        "ballots": one.ballots,
        "failures": one.failures,
    }


def growth(one: Timed, first: Timed) -> float:
    """Median time per proposer, as a multiple of that at the first size; 1 is linear growth."""
    return float(np.median(one.ms) / one.nodes / (np.median(first.ms) / first.nodes))


def growth_interval(one: Timed, first: Timed, seed: int) -> tuple[float, float]:
    """Its 95 % interval, bootstrap over rounds."""
    if one is first:
        return 1.0, 1.0
    rng = np.random.default_rng(seed)
    over, under = (resampled_medians(timed.ms, rng) / timed.nodes for timed in (one, first))
    return ends(over / under)


def _round_goals(timed: Sequence[Timed]) -> list[Goal]:
    first = timed[0]
    p50 = at_most(f"a round over libp2p at {first.nodes} nodes, median", float(np.median(first.ms)), P50_GOAL, " ms")
    return [p50] + [
        at_most(
            f"median per proposer at {one.nodes} nodes, times that at {first.nodes}", growth(one, first), RATIO_GOAL
        )
        for one in timed[1:]
    ]


# --- the simulated swarm ------------------------------------------------------------------------------------------


def _sim_row(run: Simulated) -> Row:
    done = max(1, run.completed)
    return {
        "name": f"{run.options.nodes} nodes simulated",
        "asked": run.asked,
        "in_time": run.in_time / max(1, run.asked),
        "lost_with_coordinator": run.orphaned,
        "whole_committee": run.whole / done,
        "messages_per_round": run.frames / done,
        "bytes_per_round": run.frame_bytes / done,
        "virtual_s_p50": float(np.median(run.seconds)) if run.seconds else None,
        "virtual_s_p99": float(np.percentile(run.seconds, 99)) if run.seconds else None,
        "killed": run.killed,
        "background_messages_per_node_s": run.background_messages,
        "background_bytes_per_node_s": run.background_bytes,
        "wall_s": run.wall_seconds,
    }


def _sim_goals(small: Simulated, large: Simulated) -> list[Goal]:
    few, many = _sim_row(small), _sim_row(large)
    nodes = large.options.nodes
    goals = [at_least(f"rounds answered in time, {nodes} nodes, share", number(many["in_time"]), IN_TIME_GOAL)]
    if small is not large:
        for what in ("messages_per_round", "bytes_per_round"):
            ratio = number(many[what]) / max(1.0, number(few[what]))
            name = f"{what.replace('_', ' ')} at {nodes} nodes, times that at {small.options.nodes}"
            goals.append(at_most(name, ratio, SAME_COST_GOAL))
    return goals
