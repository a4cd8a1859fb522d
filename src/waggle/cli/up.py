"""`waggle up`: a whole swarm of the bundled models on this machine."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from waggle.cli.ask import OF_QUESTIONS
from waggle.cli.config import takes_settings
from waggle.cli.gateway import OF_GATEWAYS, check_gateway
from waggle.cli.local import UP
from waggle.cli.shared import plain_console
from waggle.core.inert import one_line
from waggle.core.words import id_end, many

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from waggle.node.config.load import Configuration
    from waggle.node.config.settings import Settings
    from waggle.node.home.home import RunInfo
    from waggle.node.running.fleet import Fleet, Member

OF_ALL_NODES = (
    "network",
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
    "home",
)
MOST_NODES, NAME_CHARACTERS = 64, 48
LOOK_SECONDS = 1.0
FAULT_WIDTH = 60
LINE_WIDTH = 400
QUESTION = '"How many 1 bits are there in the number 1453?"'


@takes_settings("engines", *OF_ALL_NODES, *OF_GATEWAYS)
def up(
    configuration: "Configuration",
    nodes: Annotated[int, typer.Option(metavar="N", help="How many nodes.", min=1, max=MOST_NODES)] = 7,
    mesh: Annotated[
        Literal["libp2p", "memory"],
        typer.Option(help="One process per node over libp2p on loopback, or all in this process, asked at a prompt."),
    ] = "libp2p",
) -> None:
    """Run a whole swarm on this machine; Ctrl-C ends all of it. Ask it with waggle ask --here QUESTION.

    Every node has one of the bundled models, or of those that --engine names, in turn. The nodes go by the settings
    of this command alone, wherever those were given; what only waggle join has a flag for is at its default.
    """
    import asyncio

    settings = configuration.settings
    specs = list(settings.engines) or bundled()
    chosen = [specs[i % len(specs)] for i in range(nodes)]
    check_gateway(settings)
    if mesh == "memory":
        from waggle.cli.prompt import run_at_prompt

        run_at_prompt(configuration, chosen, nodes_of(settings, chosen)[0])
    elif not asyncio.run(_run(configuration, chosen)):
        raise KeyboardInterrupt


def nodes_of(settings: "Settings", specs: list[str]) -> "list[Settings]":
    """The settings of every node, one for each engine; the first one alone has the gateway."""
    from msgspec.structs import replace

    from waggle.node.config.settings import LOOPBACK, Settings

    shared = {name: getattr(settings, name) for name in OF_ALL_NODES}
    common = Settings(**shared, listen=LOOPBACK, multicast=False, remember=False)
    nodes = [replace(common, name=name, engines=(spec,)) for name, spec in zip(node_names(specs), specs, strict=True)]
    return [replace(nodes[0], **{name: getattr(settings, name) for name in OF_GATEWAYS}), *nodes[1:]]


def node_names(specs: list[str]) -> list[str]:
    """A name for each node, after its model: up-acacia, up-borage, up-acacia-2."""
    names: list[str] = []
    for spec in specs:
        model = spec.rpartition("#")[2].rpartition("/")[2].removeprefix("hive:")
        base = UP + ("".join(c if c.isalnum() or c in "._-" else "-" for c in model) or "node")[:NAME_CHARACTERS]
        copies = sum(name == base or name.startswith(base + "-") for name in names)
        names.append(base if not copies else f"{base}-{copies + 1}")
    return names


def bundled() -> list[str]:
    """Every bundled model. Raises UsageError where there is none."""
    from waggle.core.errors import UsageError
    from waggle.models.hive import hive_names

    if names := hive_names():
        return [f"hive:{name}" for name in names]
    raise UsageError("this package holds no models: run waggle train hive, or name engines with --engine")


async def _run(configuration: "Configuration", specs: list[str]) -> bool:
    """Give whether the nodes were up when they were told to end."""
    import asyncio

    from waggle.cli.stopping import stop_on_signals, until
    from waggle.node.running.fleet import Fleet

    fleet = Fleet(nodes_of(configuration.settings, specs))
    fleet.check()
    stop, is_up = asyncio.Event(), asyncio.Event()
    console = plain_console(stderr=True)
    with stop_on_signals(stop):
        try:
            await until(stop, _serve(fleet, len(specs), _ask_here(configuration), is_up))
        finally:
            console.print("ending all nodes ...", style="dim")
            await fleet.stop()
            console.print("all nodes have ended", style="dim")
    return is_up.is_set()


def _ask_here(configuration: "Configuration") -> str:
    """The command that asks the nodes from another terminal, which may know nothing of where our home is."""
    from shlex import quote

    from waggle.node.config.load import DEFAULT

    usual = configuration.origins["home"] == DEFAULT
    return f"waggle ask {'' if usual else f'--home {quote(str(configuration.settings.home))} '}--here {QUESTION}"


async def _serve(fleet: "Fleet", count: int, ask_here: str, is_up: "asyncio.Event") -> None:
    """Start all, tell of it, and show them until cancelled."""
    first = await _start(fleet, count)
    _tell(fleet, first, count, ask_here)
    is_up.set()
    await _show(fleet, first)


def _tell(fleet: "Fleet", first: "RunInfo", count: int, ask_here: str) -> None:
    from shlex import quote

    from waggle.mesh.invite import format_invite

    invite = format_invite(first.addresses, first.network)
    console = plain_console()
    console.print(
        f"{many(count, 'node')} {'are' if count > 1 else 'is'} up. Ask them, in another terminal:", style="bold"
    )
    console.print(f"  {ask_here}", soft_wrap=True)
    console.print("or by their invite, which also works for others on this machine:")
    console.print(f"  waggle ask --via {quote(invite)} {QUESTION}", soft_wrap=True)
    if others := [other for other in fleet.invites() if other != invite]:
        console.print(f"Should that node end, another one is in:  --via {quote(others[0])}", soft_wrap=True)
    if first.gateway and not _is_live():
        console.print(_open_at(first), soft_wrap=True)
    console.print("Ctrl-C ends all of them", style="dim")


def _is_live() -> bool:
    """Whether there is a table that changes, in which the gateway has its line."""
    import sys

    return plain_console(stderr=True).is_interactive and sys.stdout.isatty()


def _open_at(first: "RunInfo") -> str:
    return f"Open {first.gateway}/ in a browser; the OpenAI API is at {first.gateway}/v1"


def _gateway_gone(first: "RunInfo") -> str:
    return (
        f"{first.gateway} is gone: gateway and dashboard went with node {first.name}. To have them back, end all with "
        "Ctrl-C and start waggle up again"
    )


async def _start(fleet: "Fleet", count: int) -> "RunInfo":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=plain_console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting nodes", total=count)
        return await fleet.start(lambda name, done: bars.update(task, completed=done, description=f"{name} is up"))


async def _show(fleet: "Fleet", first: "RunInfo") -> None:
    """The live table, until cancelled; where there is no terminal, a line for each node that ends."""
    import asyncio

    from rich.live import Live

    console = plain_console(stderr=True)
    if not console.is_interactive:
        await _tell_ends(fleet, first, lambda line: console.print(line, soft_wrap=True))
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while True:
            live.update(_picture(await fleet.look(), first))
            await asyncio.sleep(LOOK_SECONDS)


async def _tell_ends(fleet: "Fleet", first: "RunInfo", tell: "Callable[[str], None]") -> None:
    import asyncio

    told: set[str] = set()
    while True:
        for name, fault in fleet.faults().items():
            if name not in told:
                tell(one_line(f"node {name} {fault}", LINE_WIDTH))
                told.add(name)
                if first.gateway and name == first.name:
                    tell(_gateway_gone(first))
        await asyncio.sleep(LOOK_SECONDS)


def _picture(members: "list[Member]", first: "RunInfo") -> "RenderableType":
    """The table, and below it where the gateway is, or that it is gone."""
    from rich.console import Group
    from rich.text import Text

    if not first.gateway:
        return _table(members)
    gone = any(member.name == first.name and member.fault for member in members)
    return Group(_table(members), Text(_gateway_gone(first), "red") if gone else Text(_open_at(first)))


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
        many(status.peers, "other"),
        f"{status.load.running} of {status.load.capacity}",
        str(status.load.waiting),
        f"{status.seconds:.0f} s",
        id_end(status.node),
    ]
