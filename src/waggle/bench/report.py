"""The one form of every bench's result, and how it is shown: a table for people, one object for programs."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from waggle import __version__

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 200
"""Columns of text that no screen shows: a log, a file."""

NOTE = "note"
"""The column whose words stand below the table."""
X, TIMES = " x", " times"
"""How a goal that is a ratio ends, and how people read that."""

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


def report(suite: str, seed: int, rows: list[Row], goals: list[Goal], **beside: object) -> Report:
    """Put a run's rows and goals together with what they were measured on; `beside` is what else they depend on."""
    return Report(suite=suite, version=__version__, machine=machine() | beside, seed=seed, rows=rows, goals=goals)


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


def print_report(result: Report, unmeasured: Sequence[str] = ()) -> None:
    """Tables on standard output: rows of like columns together, then notes, then the goals, missed ones plainly said.

    `unmeasured` tells of goals that nothing was measured for.
    """
    from rich.console import Console
    from rich.text import Text

    wide = None if sys.stdout.isatty() else PIPED_WIDTH
    console = Console(width=wide, markup=False, emoji=False, highlight=False)
    title = f"waggle bench {result['suite']}"
    console.print(Text.assemble((title, "bold"), f", seed {result['seed']}; {machine_words(result['machine'])}"))
    for columns in dict.fromkeys(tuple(row) for row in result["rows"]):
        rows = [row for row in result["rows"] if tuple(row) == columns]
        heads = [column for column in columns if column != NOTE]
        console.print(
            fitting(console, [list(map(head, heads)), *([_text(row[each]) for each in heads] for row in rows)])
        )
        for row in rows:
            if row.get(NOTE):
                console.print(f"{_text(row[columns[0]])}: {_text(row[NOTE])}", soft_wrap=True)
    for goal in result["goals"]:
        mark = ("met     ", "green") if goal["met"] else ("missed  ", "red")
        told = f"{goal['name']}: {_with_unit(goal)} (goal {_times(goal['goal'])})"
        console.print(Text.assemble(mark, told), soft_wrap=True)
    for words in unmeasured:
        console.print(Text.assemble(("--      ", "yellow"), words), soft_wrap=True)


def machine_words(found: Mapping[str, object]) -> str:
    """What `machine` found, for people: "Linux, x86_64, 2 cores, Python 3.11.7, load 1.2"."""
    words = {"cores": f"{found.get('cores')} cores", "python": f"Python {found.get('python')}"}
    plain = ("system", "processor")
    known = (
        str(value) if name in plain else words.get(name, f"{name} {value}")
        for name, value in found.items()
        if value is not None
    )
    return ", ".join(known)


def head(column: str) -> str:
    """A column's name over a table: "mb_per_second" is "MB/s", "unary_p50_ms" is "unary ms p50"."""
    words = column.replace("_per_second", "/s").split("_")
    if words[-1] == "ms" and words[-2:-1] in (["p50"], ["p99"]):
        words[-2:] = reversed(words[-2:])
    return " ".join(words).replace("mb/s", "MB/s")


def _with_unit(goal: Goal) -> str:
    """The value, with the unit of its bound where that is a ratio."""
    return f"{_text(goal['value'])}{TIMES if goal['goal'].endswith(X) else ''}"


def _times(goal: str) -> str:
    return goal.removesuffix(X) + TIMES if goal.endswith(X) else goal


def fitting(console: "Console", lines: Sequence[Sequence[str]]) -> "Table":
    """The lines as a table, the first one its head; on its side or row by row where that is too wide and those are not.

    Where nothing fits, it stays as it is, or is turned if it is narrower so.
    """
    unbounded = console.options.update(max_width=10_000)
    upright, turned, listed = _table(lines), _table(list(zip(*lines, strict=True))), _list(lines)
    tables = {table: console.measure(table, options=unbounded).maximum for table in (upright, turned, listed)}
    return next(
        (table for table, width in tables.items() if width <= console.width), min(tables, key=tables.__getitem__)
    )


def _table(lines: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(*lines[0], box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for line in lines[1:]:
        table.add_row(*line)
    return table


def _list(lines: Sequence[Sequence[str]]) -> "Table":
    """Every row as lines of its own, each with a column's head and its value."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for line in lines[1:]:
        table.add_row()
        for name, value in zip(lines[0], line, strict=True):
            table.add_row(name, value)
    return table


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
