"""What several verbs share: option texts, the console, progress bars. Imports nothing heavy."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from waggle.core.ids import NodeId
    from waggle.engines.protocol import Engine
    from waggle.node.calibrating.known import Progress
    from waggle.node.config.settings import Settings
    from waggle.node.rounds.swarm import Swarm

LARGEST_SEED = 2**32 - 1  # what every generator of random numbers takes

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[
    int, typer.Option(metavar="N", help="Seed of everything that is left to chance.", min=0, max=LARGEST_SEED)
]


def make_group(purpose: str) -> typer.Typer:
    """A group of verbs whose help is plain text, the same in every terminal."""
    return typer.Typer(
        help=purpose,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def plain_console(*, stderr: bool = False) -> "Console":
    """A console that reads nothing into the strings it prints: no markup, no :emoji:, no colouring of numbers."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def check_target(path: Path | None) -> None:
    """Raise UsageError where a file could not be written, before hours of work are put into it."""
    from waggle.core.errors import UsageError

    if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
        raise UsageError(f"cannot write {path}: give a file in a folder that exists and is yours")


def engines_of(settings: "Settings", specs: "Sequence[str] | None" = None) -> "dict[NodeId, Engine]":
    """The engines that the settings name, or these."""
    from waggle.node.engines.opening import open_engines

    return open_engines(settings.engines if specs is None else specs, key_variable=settings.key_variable or None)


def swarm_of(settings: "Settings") -> "Swarm":
    """The swarm of the engines that the settings name, with its calibration where one was made."""
    from waggle.node.calibrating.kept import calibration_of
    from waggle.node.rounds.swarm import Swarm

    return Swarm(engines_of(settings), calibration_of(settings.engines, settings.home))


@contextmanager
def progress_bars() -> Iterator["Progress"]:
    """Bars on standard error, one per activity, with the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(stderr=True)) as bars:
        known: dict[str, TaskID] = {}

        def tell(activity: str, done: int, total: int) -> None:
            if activity not in known:
                known[activity] = bars.add_task(activity, total=total)
            bars.update(known[activity], completed=done, total=total)

        yield tell
