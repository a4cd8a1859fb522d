"""`waggle up`: a whole swarm of the bundled models on this machine."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from waggle.cli.ask import OF_QUESTIONS
from waggle.cli.config import takes_settings
from waggle.cli.gateway import OF_GATEWAYS
from waggle.cli.local import UP
from waggle.cli.shared import plain_console
from waggle.core.inert import one_line

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from rich.table import Table
    from rich.text import Text

    from waggle.node.config.load import Configuration
    from waggle.node.config.settings import Settings
    from waggle.node.home.home import RunInfo
    from waggle.node.running.fleet import Fleet, Member

MOST_NODES = 64
LOOK_SECONDS = 1.0
FAULT_WIDTH = 60
LINE_WIDTH = 400
OF_ALL_NODES = (
    "key_variable",
    "capacity",
    "queue",
    "queue_per_asker",
    "max_nodes",
    "hedge_factor",
    *OF_QUESTIONS,
    "log_level",
    "log_format",
    "log_prompts",
)


@takes_settings("network", "engines", *OF_ALL_NODES, "home", *OF_GATEWAYS)
def up(
    configuration: "Configuration",
    nodes: Annotated[int, typer.Option(metavar="N", help="How many nodes.", min=1, max=MOST_NODES)] = 7,
    mesh: Annotated[
        Literal["libp2p", "memory"],
        typer.Option(help="One process per node over libp2p on loopback, or all in this process, asked at a prompt."),
    ] = "libp2p",
) -> None:
    """Run a whole swarm on this machine; Ctrl-C ends all of it.

    Every node has one of the bundled models, or of those that --engine names, in turn.
    """
    import asyncio

    specs = list(configuration.settings.engines) or _bundled()
    chosen = [specs[i % len(specs)] for i in range(nodes)]
    if mesh == "memory":
        from waggle.cli.prompt import ask_at_prompt

        asyncio.run(ask_at_prompt(configuration.settings, chosen))
    else:
        asyncio.run(_run(configuration, chosen))


def _bundled() -> list[str]:
    from waggle.core.errors import UsageError
    from waggle.models.hive import hive_names

    if names := hive_names():
        return [f"hive:{name}" for name in names]
    raise UsageError("this package holds no models: run waggle train hive, or name engines with --engine")


def names_of(specs: list[str]) -> list[str]:
    """A name for each node, after its model: up-acacia, up-borage, up-acacia-2."""
    names: list[str] = []
    for spec in specs:
        model = spec.rpartition("#")[2].rpartition("/")[2].removeprefix("hive:")
        base = UP + ("".join(c if c.isalnum() or c in "._-" else "-" for c in model) or "node")[:48]
        copies = sum(name == base or name.startswith(base + "-") for name in names)
        names.append(base if not copies else f"{base}-{copies + 1}")
    return names


async def _run(configuration: "Configuration", specs: list[str]) -> None:
    import asyncio

    from waggle.cli.stopping import stop_on_signals
    from waggle.node.config.settings import LOOPBACK
    from waggle.node.running.fleet import Fleet

    settings = configuration.settings
    options = [f"--listen={address}" for address in LOOPBACK]
    options += [_flag(name, getattr(settings, name)) for name in OF_ALL_NODES]
    names = names_of(specs)
    _refuse_a_second(settings.home, names)
    members = [(name, [spec]) for name, spec in zip(names, specs, strict=True)]
    fleet = Fleet(settings.home, settings.network, members, *_with_gateway(settings, options))
    stop = asyncio.Event()
    with stop_on_signals(stop):
        try:
            await _until(stop, _serve(fleet, len(specs)))
        finally:
            plain_console(stderr=True).print("ending all nodes ...", style="dim")
            await fleet.stop()


def _refuse_a_second(home: "Path", names: list[str]) -> None:
    """Raise UsageError where some of these nodes run already."""
    from waggle.core.errors import UsageError
    from waggle.node.home.home import NodeHome

    if any(NodeHome(home, name).is_locked() for name in names):
        raise UsageError("waggle up runs here already: end it with Ctrl-C there, or run another one with --home FOLDER")


def _flag(name: str, value: object) -> str:
    """A setting as `waggle join` takes it."""
    from waggle.node.config.table import SETTINGS

    flag = SETTINGS[name].flag
    if isinstance(value, bool):
        return flag if value else f"--no-{flag.removeprefix('--')}"
    return f"{flag}={value}"


def _with_gateway(settings: "Settings", options: list[str]) -> tuple[list[str], list[str]]:
    """The flags of all nodes, and those of the first one: it alone has the gateway, whatever the environment says."""
    from waggle.node.config.settings import NO_PORT

    first = [f"--gateway-port={settings.gateway_port}", f"--gateway-host={settings.gateway_host}"]
    first += [f"--gateway-name={name}" for name in settings.gateway_hosts] + [f"--history={settings.history}"]
    first += [f"--gateway-origin={origin}" for origin in settings.gateway_origins]
    first += ["--gateway-open-metrics"] if settings.gateway_open_metrics else []
    return [*options, f"--gateway-port={NO_PORT}"], first


async def _until(stop: "asyncio.Event", work: "Coroutine[None, None, None]") -> None:
    """Do the work until it ends or is told to stop; its failure is ours."""
    import asyncio

    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    else:
        working.result()


async def _serve(fleet: "Fleet", count: int) -> None:
    from waggle.mesh.invite import format_invite

    first = await _start(fleet, count)
    invite = format_invite(first.addresses, first.network)
    console = plain_console()
    console.print(f"{count} nodes are up. Ask them:", style="bold")
    console.print(f'  waggle ask --via {invite} "How many 1 bits are there in the number 1453?"', soft_wrap=True)
    if others := [other for other in fleet.invites() if other != invite]:
        console.print(f"Should that node end, another one is in:  --via {others[0]}", soft_wrap=True)
    if first.gateway:
        console.print(f"Or open {first.gateway}/ in a browser; the OpenAI API is at {first.gateway}/v1", soft_wrap=True)
    console.print("Ctrl-C ends all of them", style="dim")
    await _show(fleet)


async def _start(fleet: "Fleet", count: int) -> "RunInfo":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=plain_console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting nodes", total=count)
        return await fleet.start(lambda name, done: bars.update(task, completed=done, description=f"{name} is up"))


async def _show(fleet: "Fleet") -> None:
    """The live table, until cancelled; where there is no terminal, a line for each node that ends."""
    import asyncio

    from rich.live import Live

    console = plain_console(stderr=True)
    if not console.is_interactive:
        await _tell_ends(fleet, lambda line: console.print(line, soft_wrap=True))
    with Live(console=console, refresh_per_second=2) as live:
        while True:
            live.update(_table(await fleet.look()))
            await asyncio.sleep(LOOK_SECONDS)


async def _tell_ends(fleet: "Fleet", tell: "Callable[[str], None]") -> None:
    import asyncio

    told: set[str] = set()
    while True:
        for name, fault in fleet.faults().items():
            if name not in told:
                tell(one_line(f"node {name} {fault}", LINE_WIDTH))
                told.add(name)
        await asyncio.sleep(LOOK_SECONDS)


def _table(members: "list[Member]") -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("node", "model", "state", "sees", "at work", "waiting", "up", "id"):
        table.add_column(column)
    for member in members:
        table.add_row(Text(member.name, "bold"), Text(member.models), _state(member), *_figures(member))
    return table


def _state(member: "Member") -> "Text":
    from rich.text import Text

    if member.fault:
        return Text(one_line(member.fault, FAULT_WIDTH), "red")
    if member.status is None:
        return Text("silent", "yellow")
    troubles = member.status.troubles
    return Text(one_line(troubles[0], FAULT_WIDTH), "yellow") if troubles else Text("up", "green")


def _figures(member: "Member") -> list[str]:
    status = member.status
    if status is None:
        return ["-"] * 5
    return [
        f"{status.peers} others",
        f"{status.load.running} of {status.load.capacity}",
        str(status.load.waiting),
        f"{status.seconds:.0f} s",
        f"...{status.node[-6:]}",
    ]
