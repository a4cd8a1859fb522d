"""The one form of every bench's result, and how it is shown: a table for people, one object for programs."""

import os
import platform
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from waggle import __version__

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 200
"""Columns of text that no screen shows: a log, a file."""

Value = str | int | float | bool | None
Row = dict[str, Value]


class Goal(TypedDict):
    """A figure that was aimed for. `goal` is the condition in words, as ">= 5 x"."""

    name: str
    value: float
    goal: str
    met: bool


class Report(TypedDict):
    """What one run of a suite measured."""

    suite: str
    version: str
    machine: dict[str, object]
    seed: int
    rows: list[Row]
    goals: list[Goal]


def report(suite: str, seed: int, rows: list[Row], goals: list[Goal]) -> Report:
    """Put a run's rows and goals together with what they were measured on."""
    return Report(suite=suite, version=__version__, machine=machine(), seed=seed, rows=rows, goals=goals)


def machine() -> dict[str, object]:
    """What the figures depend on besides the program."""
    return {
        "system": platform.system(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def at_least(name: str, value: float, bound: float, unit: str = "") -> Goal:
    """A goal that is met from `bound` on."""
    return Goal(name=name, value=value, goal=f">= {bound:g}{unit}", met=bool(value >= bound))


def at_most(name: str, value: float, bound: float, unit: str = "") -> Goal:
    """A goal that is met up to `bound`."""
    return Goal(name=name, value=value, goal=f"<= {bound:g}{unit}", met=bool(value <= bound))


def number(value: Value) -> float:
    """A cell that is known to hold a number; anything else is our bug."""
    assert isinstance(value, int | float), value
    return float(value)


def print_report(result: Report) -> None:
    """Tables on standard output: rows of like columns together, then the goals, missed ones plainly said."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    console.print(f"[bold]waggle bench {result['suite']}[/], seed {result['seed']}, {result['machine']}")
    for columns in dict.fromkeys(tuple(row) for row in result["rows"]):
        cells = [[_text(value) for value in row.values()] for row in result["rows"] if tuple(row) == columns]
        console.print(fitting(console, [list(columns), *cells]))
    for goal in result["goals"]:
        mark = "[green]met[/]   " if goal["met"] else "[red]missed[/]"
        console.print(f"{mark} {goal['name']}: {_text(goal['value'])} (goal {goal['goal']})")


def fitting(console: "Console", lines: Sequence[Sequence[str]]) -> "Table":
    """The lines as a table, the first one its head; where that is too wide, on its side if it is narrower so."""
    upright, turned = _table(lines), _table(list(zip(*lines, strict=True)))
    unbounded = console.options.update(max_width=10_000)
    wide, less = (console.measure(table, options=unbounded).maximum for table in (upright, turned))
    return turned if wide > max(console.width, less) else upright


def _table(lines: Sequence[Sequence[str]]) -> "Table":
    from rich.table import Table

    table = Table(*lines[0])
    for line in lines[1:]:
        table.add_row(*line)
    return table


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
