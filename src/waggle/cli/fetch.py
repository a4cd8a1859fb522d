"""`waggle fetch`: get a model's files from the peers that share it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.local import OfNode, any_running_node
from waggle.cli.shared import plain_console
from waggle.core.inert import one_line

if TYPE_CHECKING:
    from waggle.mesh.files.fetching.fetch import Fetched, Progress
    from waggle.mesh.invite import Invite
    from waggle.node.config.load import Configuration


@takes_settings("network", "home")
def fetch(
    configuration: "Configuration",
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name, or the hash that waggle share printed.")],
    via: Annotated[
        list[str] | None,
        typer.Option(
            "--via", metavar="INVITE", help="A node of the swarm in place of your own running one. Repeatable."
        ),
    ] = None,
    node: OfNode = None,
) -> None:
    """Fetch a model from several peers at once; interrupted, it goes on where it stopped.

    Only the hash says for certain what will come; a name is what its owner gave it.
    """
    import asyncio

    from waggle.cli.invites import invite_to, read_invites
    from waggle.core.errors import UsageError

    if via and node:
        raise UsageError("--via fetches past your own node: leave out --node")
    home = configuration.settings.home
    invites = read_invites(via, configuration) if via else [invite_to(any_running_node(home, node))]
    with _bars() as tell:
        done = asyncio.run(_fetch(home / "files", model, invites, tell))
    _report(done)


async def _fetch(root: Path, model: str, invites: "list[Invite]", tell: "Callable[[Progress], None]") -> "Fetched":
    from waggle.node.network.outside import fetch_via

    return await fetch_via([invite.addresses for invite in invites], invites[0].network, root, model, tell)


@contextmanager
def _bars() -> "Iterator[Callable[[Progress], None]]":
    """One bar, in bytes, on a terminal that standard error is; gone at the end."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<32}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console, seen = plain_console(stderr=True), sys.stderr is not None and sys.stderr.isatty()
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not seen) as bars:
        task = bars.add_task("finding", total=None)

        def tell(progress: "Progress") -> None:
            words = f"{progress.phase} {one_line(progress.name, 20)}"
            bars.update(task, description=words, completed=progress.done_bytes, total=progress.total_bytes or None)

        yield tell


def _report(done: "Fetched") -> None:
    for dropped in done.dropped:
        plain_console(stderr=True).print(
            f"dropped {dropped.peer}: {one_line(dropped.reason, 200)}", style="yellow", soft_wrap=True
        )
    took = _took(done) if done.fetched_bytes else "it was here already"
    plain_console(stderr=True).print(f"{one_line(done.name, 40)}: {took}", soft_wrap=True)
    print(done.path)


def _took(done: "Fetched") -> str:
    from waggle.core.words import amount, many

    rate = amount(round(done.fetched_bytes / max(done.seconds, 1e-9)))
    return f"{amount(done.fetched_bytes)} from {many(len(done.sources), 'peer')} in {done.seconds:.1f} s, {rate}/s"
