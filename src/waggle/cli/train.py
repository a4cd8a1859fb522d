"""`waggle train hive`: make the bundled models from nothing."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.shared import make_group, plain_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

app = make_group("Make models from nothing.")


@app.callback()
def train() -> None:
    """Make models from nothing."""


@app.command("hive")
def hive(
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Which; all if none is named.")] = None,
    work: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where runs are kept; one that was stopped goes on from here.")
    ] = Path(".training/hive"),
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where finished models go; into the package if not given.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Models trained side by side; one per core if not given.", min=1)
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu or cuda.")] = "cpu",
) -> None:
    """Train the hive: about an hour on two cores.

    It can be stopped at any moment; the same command goes on from the last save.
    """
    from waggle.models.hive import hive_root
    from waggle.training.export import export_hive
    from waggle.training.hive import train_hive
    from waggle.training.plan import RECIPES
    from waggle.training.state import read_progress

    chosen = _chosen(names)
    _check_device(device)
    console = plain_console(stderr=True)
    before = {name: read_progress(work / name).step for name in chosen}
    for name in filter(before.get, chosen):
        console.print(f"{name} goes on after {before[name]} steps")
    with _bars(console) as progress:
        bars = {
            name: progress.add_task(name, completed=before[name], total=RECIPES[name].steps, loss="-")
            for name in chosen
        }

        def report(name: str, step: int, steps: int, loss: float) -> None:
            progress.update(bars[name], completed=step, total=steps, loss=f"{loss:.3f}")

        train_hive(chosen, work, jobs=jobs or os.cpu_count() or 1, device=device, report=report)
    for folder in export_hive(chosen, work, out or hive_root()):
        console.print(f"wrote {folder}", soft_wrap=True)
    console.print("now measure them: waggle calibrate")


def _chosen(names: list[str] | None) -> list[str]:
    from waggle.core.errors import UsageError
    from waggle.training.plan import RECIPES

    unknown = [name for name in names or () if name not in RECIPES]
    if unknown:
        raise UsageError(f"no recipe for {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    return list(dict.fromkeys(names or RECIPES))


def _check_device(device: str) -> None:
    import torch

    from waggle.core.errors import UsageError

    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"no device {device!r}; there are cpu and cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("this machine, or this build of torch, has no CUDA device: use --device cpu")


def _bars(console: "Console") -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    name, loss = TextColumn("{task.description:8}"), TextColumn("loss {task.fields[loss]}")
    return Progress(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), loss, console=console)
