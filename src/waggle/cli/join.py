"""`waggle join`: run a node of this machine in the foreground."""

import gc
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.ask import OF_QUESTIONS
from waggle.cli.config import takes_settings
from waggle.cli.gateway import OF_GATEWAYS, beside_of, check_gateway
from waggle.cli.shared import engines_of, plain_console

if TYPE_CHECKING:
    import asyncio

    from waggle.core.ids import NodeId
    from waggle.engines.protocol import Engine
    from waggle.mesh.invite import Invite
    from waggle.node.config.load import Configuration
    from waggle.node.config.settings import Settings
    from waggle.node.running.running import Beside, Ready

OF_NODES = (
    "name",
    "network",
    "listen",
    "announce",
    "relays",
    "serve_as_relay",
    "port_map",
    "multicast",
    "remember",
    "engines",
    "key_variable",
    "capacity",
    "queue",
    "queue_per_asker",
    "price",
    "max_nodes",
    "hedge_factor",
    *OF_QUESTIONS,
    "log_level",
    "log_format",
    "log_prompts",
    "home",
    *OF_GATEWAYS,
)


@takes_settings(*OF_NODES)
def join(
    configuration: "Configuration",
    invites: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INVITE]...", help="Invite (waggle://...) or multiaddr of a node that is up already."),
    ] = None,
    without_models: Annotated[
        bool, typer.Option("--without-models", help="Answer nothing; only coordinate, pass on and relay.")
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run a node of a swarm until Ctrl-C or waggle leave.

    Without an INVITE it goes back to the nodes that it saw last, finds some in the local network, or is alone at first.
    """
    import uvloop

    from waggle.cli.invites import in_network_of, read_invites
    from waggle.node.observing.logs import configure_logs

    settings = configuration.settings
    parsed = read_invites(invites or settings.join, configuration)
    configuration = in_network_of(parsed, configuration)
    check_node(settings)
    recent = configure_logs(settings.log_level, settings.log_format, log_prompts=settings.log_prompts)
    engines = {} if without_models else engines_of(settings)
    if not uvloop.run(_run(configuration, parsed, engines, beside_of(configuration, recent), with_parent)):
        raise KeyboardInterrupt


def check_node(settings: "Settings") -> None:
    """See to it that this node can be started here.

    Raises:
        UsageError: it runs already, its folder cannot be written to, or an address or the gateway's port is no good.
    """
    from waggle.mesh.libp2p.settings import Settings as Libp2pSettings
    from waggle.mesh.libp2p.settings import with_ports
    from waggle.node.home.home import NodeHome

    home = NodeHome(settings.home, settings.name)
    with home.lock():
        Libp2pSettings(
            key_path=home.key, listen=settings.listen, announce=settings.announce, relays=settings.relays
        ).checked()
        with_ports(settings.listen)
    check_gateway(settings)


async def _run(
    configuration: "Configuration",
    invites: "list[Invite]",
    engines: "dict[NodeId, Engine]",
    beside: "Beside",
    with_parent: bool,
) -> bool:
    """Give whether it was up when it was told to end."""
    import asyncio

    from waggle.cli.stopping import stop_on_signals, until
    from waggle.node.calibrating.kept import bundled_calibration, calibration_of
    from waggle.node.running.running import run_node

    told, stop, is_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def settle(ready: "Ready") -> None:
        """What is loaded stays: looking through it for garbage would stop everything for 0.3 s."""
        gc.freeze()
        is_up.set()
        _tell(ready)

    def leave() -> bool:
        """Before it is up it has nobody to say goodbye to."""
        stop.set()
        return is_up.is_set()

    with stop_on_signals(told):
        watching = asyncio.create_task(_until_parent_ends(told)) if with_parent else None
        try:
            named = {str(name): engine for name, engine in engines.items()}
            settings = configuration.settings
            # others may have the bundled models
            calibration = calibration_of(settings.engines, settings.home) or bundled_calibration()
            node = run_node(settings, invites, named, calibration, stop=stop, ready=settle, beside=beside)
            await until(told, node, leave)
        finally:
            if watching is not None:
                watching.cancel()
    return is_up.is_set()


async def _until_parent_ends(stop: "asyncio.Event") -> None:
    """Whoever started us holds the other end of our standard input; its end is the end of us."""
    import asyncio

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass
    stop.set()


def _tell(ready: "Ready") -> None:
    from shlex import quote

    console, invite = plain_console(), quote(ready.invite)
    console.print(f"node {ready.info.name} is up as {ready.info.node}", style="bold", soft_wrap=True)
    for failure in ready.failures:
        console.print(f"an invite did not work: {failure}", style="yellow", soft_wrap=True)
    console.print(f"others join with:  waggle join {invite}", soft_wrap=True)
    console.print(f'ask it with:       waggle ask --via {invite} "QUESTION"', soft_wrap=True)
    if ready.info.gateway:
        console.print(f"dashboard:         {ready.info.gateway}/", soft_wrap=True)
        console.print(f"OpenAI API:        {ready.info.gateway}/v1", soft_wrap=True)
    console.print("Ctrl-C or waggle leave ends it", style="dim")
