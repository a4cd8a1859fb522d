"""A swarm that loses and regains nodes for half an hour while questions are asked without a pause: nothing may grow.

WAGGLE_TEST_SOAK_MINUTES shortens it. Scripted engines, so that what grows is ours and not a model's.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import mean

import pytest

from tests.processes import scripted_node
from tests.processes.nodes import Node, Swarm
from tests.processes.proc import Figures, daemon_of, figures_of
from tests.processes.scripted_node import truth
from waggle.core.asking import AskOptions
from waggle.core.errors import WaggleError
from waggle.core.round_values import Budget
from waggle.mesh.invite import parse_invite
from waggle.node.network.outside import ask_via

MINUTES = float(os.environ.get("WAGGLE_TEST_SOAK_MINUTES", "30"))
SECONDS = MINUTES * 60.0
NODES = 10
SURVIVORS = 2
"""Nodes that are asked and measured; the others take turns in being killed."""
KILL_EVERY = min(60.0 / (0.05 * NODES), SECONDS / 8)
"""Seconds: 5 % of the nodes a minute, and oftener where the soak is short."""
DOWN_SECONDS = 5.0
WARM_UP = SECONDS * 0.2
SAMPLE_EVERY = max(1.0, SECONDS / 600)
BUDGET_SECONDS = 20.0
GROWTH = 0.10
SPREAD = 3.0
"""Descriptors and threads that come and go with what is under way."""
RIGHT = 0.97
"""Share of the questions that must get the right answer."""


class ScriptedNode(Node):
    """A node without a model."""

    command = (sys.executable, str(scripted_node.__file__))

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root, name, "")

    def arguments(self, invites: Sequence[str]) -> tuple[str, ...]:
        """What `scripted_node` takes."""
        return (self.name, *invites)


class Soak:
    """What goes on at the same time, and what was seen."""

    def __init__(self, swarm: Swarm) -> None:
        nodes = list(swarm.nodes.values())
        self.survivors, self.mortals = nodes[:SURVIVORS], nodes[SURVIVORS:]
        self.samples: dict[str, list[Figures]] = {}
        self.right = self.wrong = self.killed = 0
        self.failures: list[str] = []

    async def run(self) -> None:
        """Until the time is over."""
        ends = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask(ends))
            group.create_task(self._churn(ends))
            group.create_task(self._sample(ends))

    async def _ask(self, ends: float) -> None:
        rng = Random(1)
        invites = [parse_invite(node.invite).addresses for node in self.survivors]
        options = AskOptions(budget=Budget(seconds=BUDGET_SECONDS), min_confidence=0.0)
        while time.monotonic() < ends:
            question = f"{rng.randrange(1_000)} + {rng.randrange(1_000)}"
            try:
                record = await ask_via(rng.sample(invites, SURVIVORS), "waggle", question, options)
            except WaggleError as error:
                self.failures.append(str(error))
            else:
                is_right = record.outcome.answer == truth(question)
                self.right += is_right
                self.wrong += not is_right

    async def _churn(self, ends: float) -> None:
        while time.monotonic() + KILL_EVERY < ends:
            await asyncio.sleep(KILL_EVERY - DOWN_SECONDS)
            victim = self.mortals[self.killed % len(self.mortals)]
            victim.kill()
            self.killed += 1
            await asyncio.sleep(DOWN_SECONDS)
            victim.start([self.survivors[0].invite])
            await asyncio.to_thread(victim.until_up)

    async def _sample(self, ends: float) -> None:
        await asyncio.sleep(WARM_UP)
        measured = {node.name: node.pid for node in self.survivors}
        measured |= {f"{node.name}'s daemon": daemon_of(node.pid) for node in self.survivors}
        while time.monotonic() < ends:
            for name, pid in measured.items():
                self.samples.setdefault(name, []).append(figures_of(pid))
            await asyncio.sleep(SAMPLE_EVERY)


def quarters(samples: Sequence[Figures]) -> tuple[Figures, Figures]:
    """The means of the first quarter and of the last, rounded."""
    length = max(1, len(samples) // 4)
    first, last = (
        [mean(column) for column in zip(*part, strict=True)] for part in (samples[:length], samples[-length:])
    )
    return Figures(*map(round, first)), Figures(*map(round, last))


def growth_of(first: Figures, last: Figures) -> list[str]:
    """What has grown too much, in words; nothing where all is well."""
    faults = []
    if last.rss_kib > first.rss_kib * (1 + GROWTH):
        faults.append(f"memory from {first.rss_kib} to {last.rss_kib} KiB")
    if last.descriptors > first.descriptors + SPREAD:
        faults.append(f"descriptors from {first.descriptors} to {last.descriptors}")
    if last.threads > first.threads + SPREAD:
        faults.append(f"threads from {first.threads} to {last.threads}")
    return faults


def test_growth_is_noticed() -> None:
    flat = Figures(rss_kib=100_000, descriptors=20, threads=5)
    assert not growth_of(flat, flat._replace(rss_kib=109_000, descriptors=22, threads=4))
    assert growth_of(flat, flat._replace(rss_kib=111_000)) == ["memory from 100000 to 111000 KiB"]
    assert growth_of(flat, flat._replace(descriptors=24, threads=9)) == [
        "descriptors from 20 to 24",
        "threads from 5 to 9",
    ]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(SECONDS + 240)
async def test_nothing_grows_while_nodes_come_and_go(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swarm = Swarm(root, [ScriptedNode(root, f"n{number:02}") for number in range(NODES)])
    soak = Soak(swarm)
    try:
        await asyncio.to_thread(swarm.bring_up)
        await soak.run()
    finally:
        await asyncio.to_thread(swarm.end)
    ends = {name: quarters(samples) for name, samples in soak.samples.items()}
    with capsys.disabled():
        print(f"\n{MINUTES:g} minutes, {NODES} nodes, {soak.killed} killed: ", end="")
        print(f"{soak.right} questions right, {soak.wrong} wrong, {len(soak.failures)} failed")
        for name, (first, last) in ends.items():
            print(f"{name}: {first} -> {last}")
    asked = soak.right + soak.wrong + len(soak.failures)
    assert soak.killed >= min(6, MINUTES / 2), "hardly a node was killed"
    assert soak.right >= RIGHT * asked > 0, f"{soak.right} of {asked} right; {soak.failures[:5]}"
    assert not {name: faults for name, both in ends.items() if (faults := growth_of(*both))}
