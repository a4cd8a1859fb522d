"""What several verbs share: option texts, the console, progress bars, where calibrations lie. Imports nothing heavy."""

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
    from waggle.node.calibrating.calibration import Calibration
    from waggle.node.calibrating.known import Progress
    from waggle.node.config.settings import Settings
    from waggle.node.rounds.swarm import Swarm

LARGEST_SEED = 2**32 - 1  # what every generator of random numbers takes
CALIBRATION = "calibration.json"

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


def calibration_path(settings: "Settings") -> Path:
    """Where a new calibration goes: that of the bundled models into the package, one for named engines to the user."""
    from waggle.models.hive import hive_root

    return (settings.home if settings.engines else hive_root()) / CALIBRATION


def bundled_calibration() -> "Calibration | None":
    """What was measured of the bundled models, if anything."""
    from waggle.models.hive import hive_root
    from waggle.node.calibrating.calibration import load_calibration

    path = hive_root() / CALIBRATION
    return load_calibration(path) if path.exists() else None


def calibration_of(settings: "Settings") -> "Calibration | None":
    """What was measured of the engines: in the user's own file; of bundled models that it does not know, in ours."""
    from waggle.node.calibrating.calibration import load_calibration
    from waggle.node.engines.opening import HIVE, is_bundled

    only_ours = is_bundled(settings.engines)
    if settings.engines and (own := settings.home / CALIBRATION).exists():
        found = load_calibration(own)
        if not only_ours or all(spec.removeprefix(HIVE) in found.nodes for spec in settings.engines):
            return found
    return bundled_calibration() if only_ours else None


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
    from waggle.node.rounds.swarm import Swarm

    return Swarm(engines_of(settings), calibration_of(settings))


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
