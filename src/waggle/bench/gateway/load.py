"""Many requests at once: none lost, none answered twice, memory flat."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from waggle.bench.gateway.http import Check, Crowd, Target, run_crowd
from waggle.bench.gateway.processes import Running
from waggle.bench.gateway.values import TWICE
from waggle.bench.report import Goal, Row, at_most

LONGEST_SECONDS = 1_200.0
SAMPLE_SECONDS = 0.1
FLAT_GOAL = 1.05


@dataclass
class Load:
    """One load run. `resident` is the server's memory in bytes, sampled all the while."""

    name: str
    clients: int
    asked: int
    crowd: Crowd
    resident: Sequence[int]
    upstream: int | None = None
    """How often the stub behind the server was asked meanwhile."""

    @property
    def lost(self) -> int:
        """Questions without a good reply."""
        return self.asked - len(self.crowd.ms)

    @property
    def twice(self) -> int:
        """Rounds that were answered twice, and replies (or bytes) nobody had asked for."""
        repeated = 0 if self.upstream is None else max(0, self.upstream - self.asked)
        return self.crowd.failures[TWICE] + self.crowd.surplus + repeated

    def quarters(self) -> tuple[float, float]:
        """Median memory in the first and in the last quarter of the time."""
        part = max(1, len(self.resident) // 4)
        return median(self.resident[:part]), median(self.resident[-part:])


async def run_load(
    name: str, target: Target, server: Running, questions: Iterator[str], clients: int, check: Check
) -> Load:
    """Have a crowd ask all questions, and watch the server's memory."""
    asked = list(questions)
    resident = [server.resident_bytes()]
    crowd = asyncio.create_task(run_crowd(target, iter(asked), clients, check, LONGEST_SECONDS))
    while not (await asyncio.wait([crowd], timeout=SAMPLE_SECONDS))[0]:
        resident.append(server.resident_bytes())
    return Load(name, clients, len(asked), crowd.result(), resident)


def load_row(load: Load) -> Row:
    """Its figures."""
    first, last = load.quarters()
    return {
        "name": load.name,
        "clients": load.clients,
        "requests": load.asked,
        "requests_per_second": load.crowd.per_second,
        "lost": load.lost,
        "answered_twice": load.twice,
        "told_to_come_again": load.crowd.full,
        "resident_mb_first_quarter": first / 1e6,
        "resident_mb_last_quarter": last / 1e6,
        "note": "; ".join(f"{count} {kind}" for kind, count in load.crowd.failures.items()),
    }


def load_goals(load: Load) -> list[Goal]:
    """None lost, none twice, memory flat."""
    first, last = load.quarters()
    return [
        at_most(f"{load.name}: lost", load.lost, 0),
        at_most(f"{load.name}: answered twice", load.twice, 0),
        at_most(f"{load.name}: memory in the last quarter, times the first", last / max(first, 1), FLAT_GOAL),
    ]
