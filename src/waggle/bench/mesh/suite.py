"""What our transport costs beside bare hivemind, Lattica and grpcio: latency, calls per second, bytes per second.

Method. Every subject has a server and a client in processes of their own, all on loopback and all started before the
first measurement. One subject is measured at a time, the others idle. A repeat measures every figure of every subject
once, in an order drawn anew each time, for a fraction of a second each; the first repeat is a warm-up and not counted.
What is compared is the ratio within a repeat: a slow minute of the machine slows both sides of it. A ratio's value is
the median over the repeats, its interval a bootstrap over them (95 %, 2,000 resamples). `METHODOLOGY.md` says more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from random import Random
from statistics import median

import numpy as np

from waggle.bench.mesh.processes import Client, start_client, start_server
from waggle.bench.mesh.values import MEASURES, Figure, Measure, Order
from waggle.bench.report import Goal, Report, Row, at_least, at_most, number, report
from waggle.bench.scores import ends, resampled_medians
from waggle.core.errors import UsageError

SECONDS, REPEATS = 0.3, 9
WARM_UP_SECONDS = 0.1
WITHIN_GOAL, AHEAD_GOAL = 1.3, 1.0
OURS, HIVEMIND, HIVEMIND_UVLOOP, LATTICA, GRPC = "waggle", "hivemind", "hivemind, uvloop", "lattica", "grpcio, no TLS"


@dataclass(frozen=True)
class Subject:
    """A transport: our module that knows it, what it needs, how to install that, and what it can be measured in."""

    module: str
    package: str
    install: str
    measures: Sequence[Measure] = MEASURES


SUBJECTS = {
    OURS: Subject("with_waggle", "waggle", ""),
    HIVEMIND: Subject("with_hivemind", "hivemind", "pip install hivemind==1.1.12"),
    HIVEMIND_UVLOOP: Subject("with_hivemind_uvloop", "uvloop", "pip install uvloop"),
    LATTICA: Subject(
        "with_lattica",
        "lattica_python_core",
        "pip install --no-deps lattica==1.0.21",
        ("unary", "calls", "bytes"),
    ),
    GRPC: Subject("with_grpc", "grpc", "pip install grpcio"),
}
WORDS: Mapping[Measure, str] = {
    "unary": "unary latency",
    "stream": "stream round trip",
    "calls": "calls per second",
    "bytes": "MB per second",
}
BARE = {HIVEMIND: "bare hivemind's", HIVEMIND_UVLOOP: "bare hivemind's on uvloop"}
LOWER_IS_BETTER: frozenset[Measure] = frozenset({"unary", "stream"})

Figures = dict[tuple[str, Measure], list[Figure]]
"""Of every subject and measure, one figure per repeat."""


def run_mesh_bench(
    seed: int, repeats: int = REPEATS, seconds: float = SECONDS, subjects: Sequence[str] = tuple(SUBJECTS)
) -> Report:
    """Run the suite; about 90 s with the default settings.

    Args:
        seed: of the order of measurements, and of the bootstrap.
        repeats: counted ones, >= 2.
        seconds: of one measurement, > 0.
        subjects: names in SUBJECTS; ours is always among them.

    Raises:
        UsageError: `repeats` or `seconds` is too small, or a subject is unknown.
        PeerUnreachable: a process of a subject failed, or did not answer in time.
    """
    if repeats < 2 or seconds <= 0:
        raise UsageError(f"needs 2 repeats of more than 0 s, got {repeats} of {seconds:g}")
    if unknown := set(subjects) - set(SUBJECTS):
        raise UsageError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    wanted = [name for name in SUBJECTS if name in subjects or name == OURS]
    installed = [name for name in wanted if find_spec(SUBJECTS[name].package)]
    figures = asyncio.run(_measure(installed, Random(seed), repeats, seconds))
    return summarise(figures, wanted, seed)


async def _measure(names: Sequence[str], random: Random, repeats: int, seconds: float) -> Figures:
    figures: Figures = {(name, measure): [] for name in names for measure in SUBJECTS[name].measures}
    async with AsyncExitStack() as stack:
        started = await asyncio.gather(*(_start(stack, SUBJECTS[name].module) for name in names))
        clients = dict(zip(names, started, strict=True))
        for name, measure in figures:
            await clients[name](Order(measure, WARM_UP_SECONDS))
        for _ in range(repeats):
            for measure in MEASURES:
                for name in random.sample(names, len(names)):
                    if (taken := figures.get((name, measure))) is not None:
                        taken.append(await clients[name](Order(measure, seconds)))
    return figures


async def _start(stack: AsyncExitStack, module: str) -> Client:
    """A subject's two processes; the stack ends them."""
    address = await stack.enter_async_context(start_server(f"waggle.bench.mesh.{module}"))
    return await stack.enter_async_context(start_client(f"waggle.bench.mesh.{module}", address))


def summarise(figures: Figures, wanted: Sequence[str], seed: int) -> Report:
    """The report on what was measured; a wanted subject without figures is said to be skipped, with no goal on it."""
    random = np.random.default_rng(seed)
    ratios = {
        (other, measure): _ratio_row(other, measure, figures, random)
        for other in wanted
        for measure in MEASURES
        if other != OURS and (other, measure) in figures
    }
    rows = [*(_row(name, figures) for name in wanted), *ratios.values()]
    return report("mesh", seed, rows, _goals(ratios))


def _row(name: str, figures: Figures) -> Row:
    def middle(measure: Measure) -> float | None:
        return median(figure.value for figure in taken) if (taken := figures.get((name, measure))) else None

    tails = [figure.p99_ms for figure in figures.get((name, "unary"), []) if figure.p99_ms is not None]
    missing = "" if tails else f"skipped: not installed: {SUBJECTS[name].install}"
    return {
        "name": name,
        "unary_p50_ms": middle("unary"),
        "unary_p99_ms": median(tails) if tails else None,
        "stream_p50_ms": middle("stream"),
        "calls_per_second": middle("calls"),
        "mb_per_second": middle("bytes"),
        "note": missing,
    }


def _ratio_row(other: str, measure: Measure, figures: Figures, random: np.random.Generator) -> Row:
    """How many times as good we are, repeat by repeat: 2 is half the latency, or twice the rate."""
    ours, theirs = ([figure.value for figure in figures[name, measure]] for name in (OURS, other))
    better = np.array(ours) / np.array(theirs)
    ratios = 1 / better if measure in LOWER_IS_BETTER else better
    low, high = ends(resampled_medians(ratios, random))
    return {
        "figure": WORDS[measure],
        "beside": other,
        "times_as_good": float(np.median(ratios)),
        "low": low,
        "high": high,
        "repeats": len(ratios),
    }


def _goals(ratios: Mapping[tuple[str, Measure], Row]) -> list[Goal]:
    """Within WITHIN_GOAL of hivemind in everything; ahead of Lattica in both rates."""
    goals = []
    for (other, measure), row in ratios.items():
        times, name = number(row["times_as_good"]), _goal_name(other, measure)
        if name and other == LATTICA:
            goals.append(at_least(name, times, AHEAD_GOAL, " x"))
        elif name:
            goals.append(at_most(name, 1 / times, WITHIN_GOAL, " x"))
    return goals


def _goal_name(other: str, measure: Measure) -> str:
    """The quotient that a goal is about; empty where there is no goal."""
    if theirs := BARE.get(other):
        return f"{WORDS[measure]}: " + (f"ours over {theirs}" if measure in LOWER_IS_BETTER else f"{theirs} over ours")
    return f"{WORDS[measure]}: ours over Lattica's" if other == LATTICA and measure not in LOWER_IS_BETTER else ""


def unmeasured(result: Report) -> list[str]:
    """The goals beside what is not installed, in words, each with the way to install it."""
    skipped = [str(row["name"]) for row in result["rows"] if row.get("note")]
    return [
        f"{name}: not measured: {SUBJECTS[other].install}"
        for other in skipped
        for measure in SUBJECTS[other].measures
        if (name := _goal_name(other, measure))
    ]
