"""NAT traversal: how often two nodes behind NAT boxes end up with a direct link, and whether relays do their part.

Nodes are processes in network namespaces (`waggle.testing.netlab`): four public ones, one of which relays, and two
homes behind a NAT box each. Every run starts both home nodes anew, with new keys and ports. The links have no delay
and lose nothing, and both NATs are Linux's: the figures say that our part works, not how often the world's NATs let
one through (about 70 % of pairs in a field study, arXiv 2510.27500).

A run is direct where the second node has a direct link to the first within DIRECT_SECONDS of dialling it through the
relay. It works where every call was answered, in both directions, of which some run while the links are dialled again.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from waggle.bench.report import Goal, Report, Row, at_least, print_report, report
from waggle.core.errors import UsageError
from waggle.mesh.libp2p.relay import RelayCheck, RelayReport, check_relay, start_relay
from waggle.mesh.libp2p.settings import Settings
from waggle.testing.netlab import AgentFailed, Nat, can_make_networks, open_lab
from waggle.testing.netlab.faulty import limited_relay
from waggle.testing.netlab.pairs import PairRun, run_pair, start_public

RUNS, CONTROL_RUNS, RELAY_STARTS, PUBLIC = 40, 10, 20, 4
DIRECT_SECONDS, SYMMETRIC_SECONDS = 15.0, 8.0
DIRECT_GOAL, PLACE_SECONDS_GOAL = 0.95, 5.0
CONE, CONTROL = "both cone", "both cone, never dialled again"

CASES = {
    CONE: (Nat.CONE, Nat.CONE),
    "one symmetric": (Nat.CONE, Nat.SYMMETRIC),
    "both symmetric": (Nat.SYMMETRIC, Nat.SYMMETRIC),
    CONTROL: (Nat.CONE, Nat.CONE),
}

Progress = Callable[[str], None]


def run_nat_bench(
    seed: int, runs: int = RUNS, *, cases: Sequence[str] = (), on_progress: Progress = lambda _: None
) -> Report:
    """Run the suite; about 25 minutes with 40 runs of each case.

    Args:
        seed: for the report only: keys and ports are drawn anew in every run.
        runs: of each pair of NATs, >= 1.
        cases: names in CASES, to measure these pairs alone; all of them, and the relays, where none is named.
        on_progress: told of every run in words.

    Returns:
        The report. Where no namespaces can be made, it holds the relay's test alone and a row that says why.

    Raises:
        UsageError: `runs` is below 1, or there is no such case.
    """
    if runs < 1:
        raise UsageError(f"runs must be at least 1, got {runs}")
    if unknown := set(cases) - CASES.keys():
        raise UsageError(f"there is no case {min(unknown)!r}; choose from: {', '.join(CASES)}")
    return asyncio.run(_measure(seed, runs, cases, on_progress))


async def _measure(seed: int, runs: int, cases: Sequence[str], on_progress: Progress) -> Report:
    rows, goals = ([], []) if cases else await _test_relays(min(runs, RELAY_STARTS), on_progress)
    if (reason := await can_make_networks()) is not None:
        on_progress(f"skipped: {reason}")
        return report("nat", seed, [*rows, {"name": "skipped: pairs behind NATs", "why": reason}], goals)
    places: list[float | None] = []
    for name in cases or CASES:
        found = await _case(name, min(runs, CONTROL_RUNS) if name == CONTROL else runs, on_progress)
        rows.append(_pair_row(name, found))
        if name != CONTROL:
            goals.append(_pair_goal(name, found))
        places += [run.reservation_seconds for run in found]
    in_time = float(np.mean([place is not None and place <= PLACE_SECONDS_GOAL for place in places]))
    goals.append(at_least(f"place at a relay {PLACE_SECONDS_GOAL:g} s after the start, share of runs", in_time, 1))
    return report("nat", seed, rows, goals)


# --- pairs --------------------------------------------------------------------------------------------------------


async def _case(name: str, runs: int, on_progress: Progress) -> list[PairRun]:
    found, seconds = [], DIRECT_SECONDS if name in (CONE, CONTROL) else SYMMETRIC_SECONDS
    async with open_lab(public=PUBLIC, nats=CASES[name]) as lab:
        public = await start_public(lab, relays=1)
        for index in range(runs):
            try:
                found.append(await run_pair(lab, public, seconds, seek=name != CONTROL))
            except AgentFailed as error:
                found.append(PairRun(failures=(str(error),)))
            on_progress(f"{name}, run {index + 1} of {runs}: {found[-1]}")
    return found


def _pair_row(name: str, found: Sequence[PairRun]) -> Row:
    """`median_s` and `slowest_s` from the dial to the direct link, `place_s` from the start to a place at a relay."""
    direct = [run.direct_seconds for run in found if run.direct_seconds is not None]
    places = [run.reservation_seconds for run in found if run.reservation_seconds is not None]
    return {
        "name": name,
        "runs": len(found),
        "direct": len(direct),
        "median_s": float(np.median(direct)) if direct else None,
        "slowest_s": max(direct, default=None),
        "redials": float(np.mean([run.redials for run in found])),
        "working": sum(not run.failures for run in found),
        "calls": sum(run.calls for run in found),
        "failed": sum(len(run.failures) for run in found),
        "place_s": float(np.median(places)) if places else None,
        "place_slowest_s": max(places, default=None),
    }


def _pair_goal(name: str, found: Sequence[PairRun]) -> Goal:
    if name == CONE:
        share = float(np.mean([run.direct_seconds is not None for run in found]))
        return at_least(f"{name}: direct within {DIRECT_SECONDS:g} s, share of runs", share, DIRECT_GOAL)
    return at_least(
        f"{name}: every call answered, share of runs", float(np.mean([not run.failures for run in found])), 1
    )


# --- relays -------------------------------------------------------------------------------------------------------


async def _test_relays(starts: int, on_progress: Progress) -> tuple[list[Row], list[Goal]]:
    """The relays' own test: on relays that are known to be bad, and on those that a node starts."""
    bad, reports = [], []
    for index in range(starts):
        with tempfile.TemporaryDirectory(prefix="waggle-bench-") as folder:
            async with limited_relay(Path(folder)) as addresses:
                bad.append(await check_relay(addresses))
        reports.append(await _start_relay())
        on_progress(f"relays {index + 1} of {starts}: {bad[-1]}, {reports[-1]}")
    rows = [_check_row("128 KiB relays", bad), _start_row(reports)]
    caught = float(np.mean([not check.healthy for check in bad]))
    healthy = float(np.mean([found.healthy for found in reports]))
    return rows, [
        at_least("128 KiB relays caught by the relay's own test, share", caught, 1.0),
        at_least("nodes that relay with our limits after their start, share", healthy, 1.0),
    ]


async def _start_relay() -> RelayReport:
    with tempfile.TemporaryDirectory(prefix="waggle-bench-") as folder:
        transport, found = await start_relay(Settings(key_path=Path(folder) / "key", run_dir=Path(folder) / "run"))
        await transport.close()
    return found


def _check_row(name: str, checks: Sequence[RelayCheck]) -> Row:
    return {
        "name": name,
        "tested": len(checks),
        "found_unfit": sum(not check.healthy for check in checks),
        "test_median_s": float(np.median([check.seconds for check in checks])),
    }


def _start_row(reports: Sequence[RelayReport]) -> Row:
    checks = [check for found in reports for check in found.checks]
    return _check_row(f"starts of {len(reports)} nodes that relay", checks)


def main() -> None:
    """`python -m waggle.bench.swarm.nat [RUNS [CASE ...]]`: progress on standard error, then tables and the object."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    result = run_nat_bench(
        0, runs, cases=sys.argv[2:], on_progress=lambda text: print(text, file=sys.stderr, flush=True)
    )
    print_report(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
