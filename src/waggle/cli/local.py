"""Verbs that talk to a running node of this user: invite, peers, leave, share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.shared import AsJson, plain_console
from waggle.core.inert import one_line

if TYPE_CHECKING:
    from waggle.core.mesh_values import Peer, SharedFiles
    from waggle.node.config.load import Configuration
    from waggle.node.home.home import RunInfo

SHARE_SECONDS = 3_600.0
NAME_WIDTH, MODELS_WIDTH, TROUBLE_WIDTH = 24, 40, 300

OfNode = Annotated[
    str | None,
    typer.Option("--node", metavar="NAME", help="Which of your running nodes; needed where there are several."),
]


@takes_settings("home")
def invite(configuration: "Configuration", node: OfNode = None) -> None:
    """Print with what others can join your running node, or ask its swarm."""
    import asyncio

    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Invite, InviteReply

    info = running_node(configuration.settings.home, node)
    reply = asyncio.run(ask_node(Path(info.control), Invite(), InviteReply))
    for line in reply.invites:
        print(line)


@takes_settings("home")
def peers(configuration: "Configuration", node: OfNode = None, as_json: AsJson = False) -> None:
    """List the nodes that your running node sees: models, speed, by which way, and why one is not used.

    What hinders your own node in the swarm comes first: a clock that is wrong, another node with its key. Last come
    the models that a node shares, for waggle fetch.
    """
    import asyncio
    import json

    import msgspec

    info = running_node(configuration.settings.home, node)
    found, troubles = asyncio.run(_all_peers(Path(info.control)))
    if as_json:
        own = {"node": info.node, "name": info.name, "network": info.network, "troubles": troubles}
        print(json.dumps({"self": own, "peers": msgspec.to_builtins(found)}, indent=1))
        return
    for trouble in troubles:
        text = f"{info.name}: {one_line(trouble, TROUBLE_WIDTH)}"
        plain_console(stderr=True).print(text, style="yellow", soft_wrap=True)
    if not found:
        plain_console().print(f"{info.name} sees nobody: invite others with waggle invite")
    else:
        _print_peers(found)


@takes_settings("home")
def leave(configuration: "Configuration", node: OfNode = None) -> None:
    """End your running node; it says goodbye to the others first.

    Of several, also of those of waggle up, name the one that is to end; Ctrl-C in waggle up ends all of its.
    """
    import asyncio

    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Done, Leave

    info = running_node(configuration.settings.home, node, any_of_up=False)
    reply = asyncio.run(ask_node(Path(info.control), Leave(), Done))
    print(one_line(reply.note, 200))


@takes_settings("home")
def share(
    configuration: "Configuration",
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder with a model's files.")],
    node: OfNode = None,
    stop: Annotated[bool, typer.Option("--stop", help="Share the model of this name (not a path) no longer.")] = False,
) -> None:
    """Let peers fetch a model from your running node: waggle fetch NAME."""
    import asyncio

    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Request, Share, Shared, Unshare

    info = running_node(configuration.settings.home, node)
    request: Request = Unshare(name=str(path)) if stop else Share(path=str(path.absolute()))
    reply = asyncio.run(ask_node(Path(info.control), request, Shared, seconds=SHARE_SECONDS))
    _print_shared(reply.files)


def running_node(home: Path, name: str | None, *, any_of_up: bool = True) -> "RunInfo":
    """The running node that is meant; `any_of_up` where the nodes of `waggle up`, being one swarm, are all alike.

    Raises:
        UsageError: there is none, or no telling which.
    """
    from waggle.core.errors import UsageError
    from waggle.node.home.home import find_running

    found = [info for info in find_running(home) if name in (None, info.name)]
    if not found:
        which = f"no node {name!r} of yours is running" if name else "no node of yours is running"
        raise UsageError(f"{which}: start one with waggle join or waggle up")
    are_alike = any_of_up and all(info.name.startswith(UP) for info in found)
    if len(found) > 1 and not are_alike:
        raise UsageError(f"which node? say --node {' or '.join(info.name for info in found)}")
    return found[0]


UP = "up-"
"""Names of the nodes that `waggle up` runs."""


async def _all_peers(control: Path) -> "tuple[list[Peer], tuple[str, ...]]":
    """Everybody whom the node sees, and what hinders it."""
    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Peers, PeersReply, Status, StatusReply

    found: list[Peer] = []
    while True:
        reply = await ask_node(control, Peers(skip=len(found)), PeersReply)
        found += reply.peers
        if not reply.peers or len(found) >= reply.total:
            return found, (await ask_node(control, Status(), StatusReply)).troubles


def _print_peers(found: "list[Peer]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    shares = any(peer.advert.shared for peer in found)
    for column in (
        "node",
        "models",
        "state",
        "way",
        "round trip",
        "tokens/s",
        "load",
        "id",
        *(["shares"] if shares else []),
    ):
        table.add_column(column)
    for peer in found:
        cells = (*_cells(peer), ", ".join(shared.name for shared in peer.advert.shared))
        table.add_row(*(Text(one_line(cell, MODELS_WIDTH)) for cell in cells[: len(table.columns)]))
    plain_console().print(table)


def _cells(peer: "Peer") -> tuple[str, ...]:
    advert, load = peer.advert, peer.load
    speeds = [offer.tokens_per_second for offer in advert.offers if offer.tokens_per_second]
    return (
        advert.name or "-",
        ", ".join(offer.model for offer in advert.offers) or "none",
        f"{peer.liveness}: {peer.reason}" if peer.reason else str(peer.liveness),
        peer.way or "-",
        f"{1e3 * peer.round_trip:.1f} ms" if peer.round_trip is not None else "-",
        f"{max(speeds):.0f}" if speeds else "-",
        f"{load.running}+{load.waiting} of {load.capacity}" if load else "-",
        f"...{peer.node[-6:]}",
    )


def _print_shared(files: "tuple[SharedFiles, ...]") -> None:
    if not files:
        print("nothing is shared")
    for shared in files:
        print(f"{one_line(shared.name, NAME_WIDTH)}  {shared.size / 1e6:.1f} MB  {shared.manifest}")
