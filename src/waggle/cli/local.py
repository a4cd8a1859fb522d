"""Verbs that talk to a running node of this user: invite, peers, leave, share.

Of several, what only looks takes the first by name and says so; what changes something has to be told which.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.shared import AsJson, plain_console
from waggle.core.inert import one_line
from waggle.core.words import id_end

if TYPE_CHECKING:
    from collections.abc import Iterable

    from waggle.core.mesh_values import Peer, SharedFiles
    from waggle.node.config.load import Configuration
    from waggle.node.home.home import RunInfo

SHARE_SECONDS = 3_600.0
TROUBLE_WIDTH = 300
UP = "up-"
"""How the names of the nodes begin that `waggle up` runs."""

OfNode = Annotated[
    str | None,
    typer.Option(
        "--node",
        metavar="NAME",
        help="Which of your running nodes, where there are several; the first by name if not given.",
    ),
]
OfOneNode = Annotated[
    str | None,
    typer.Option("--node", metavar="NAME", help="Which of your running nodes; needed where there are several."),
]


@takes_settings("home")
def invite(configuration: "Configuration", node: OfNode = None) -> None:
    """Print with what others can join your running node, or ask its swarm."""
    import asyncio

    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Invite, InviteReply

    info = any_running_node(configuration.settings.home, node)
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

    info = any_running_node(configuration.settings.home, node)
    found, troubles = asyncio.run(_all_peers(Path(info.control)))
    if as_json:
        own = {"node": info.node, "name": info.name, "network": info.network, "troubles": troubles}
        print(json.dumps({"self": own, "peers": msgspec.to_builtins(found)}))
        return
    for trouble in troubles:
        text = f"{info.name}: {one_line(trouble, TROUBLE_WIDTH)}"
        plain_console(stderr=True).print(text, style="yellow", soft_wrap=True)
    if not found:
        plain_console().print(f"{info.name} sees nobody: invite others with waggle invite")
    else:
        _print_peers(found)


@takes_settings("home")
def leave(configuration: "Configuration", node: OfOneNode = None) -> None:
    """End your running node; it says goodbye to the others first.

    Of several, also of those of waggle up, name the one that is to end; Ctrl-C in waggle up ends all of its.
    """
    import asyncio

    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Done, Leave

    info = running_node(configuration.settings.home, node)
    reply = asyncio.run(ask_node(Path(info.control), Leave(), Done))
    print(one_line(reply.note, 200))


@takes_settings("home")
def share(
    configuration: "Configuration",
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder with a model's files.")],
    node: OfOneNode = None,
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


def running_node(home: Path, name: str | None) -> "RunInfo":
    """The running node that is meant.

    Raises:
        UsageError: there is no telling which, or none of this name. PeerUnreachable: none is running.
    """
    from waggle.core.errors import UsageError

    found = _running(home, name)
    if len(found) > 1:
        raise UsageError(f"which node? say --node {_either(info.name for info in found)}")
    return found[0]


def any_running_node(home: Path, name: str | None) -> "RunInfo":
    """The running node that is meant; where there are several, the first by name, which is then told.

    Raises:
        UsageError: there is none of this name. PeerUnreachable: none is running.
    """
    first, *others = _running(home, name)
    if others:
        names = ", ".join(info.name for info in others)
        print(f"waggle: this is by your node {first.name}; --node takes another one: {names}", file=sys.stderr)
    return first


def _running(home: Path, name: str | None) -> "list[RunInfo]":
    """All running nodes, or the one of this name; never empty."""
    from waggle.core.errors import PeerUnreachable, UsageError
    from waggle.node.home.home import find_running

    running = find_running(home)
    if not running:
        raise PeerUnreachable("no node of yours is running: start one with waggle join or waggle up")
    found = [info for info in running if name in (None, info.name)]
    if not found:
        raise UsageError(f"no node {name!r} of yours is running; there is {_either(info.name for info in running)}")
    return found


def _either(names: "Iterable[str]") -> str:
    return " or ".join(names)


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
    from waggle.cli.table import Column, print_table, shown

    rows = [tuple(map(shown, _cells(peer))) for peer in found]
    columns = [
        Column(head=head, cells=cells, spare=spare, folds=head in FOLDING)
        for (head, spare), cells in zip(COLUMNS.items(), zip(*rows, strict=True), strict=True)
        if head != "shares" or any(cells)
    ]
    print_table(columns)


COLUMNS = {
    "node": 0,
    "models": 0,
    "state": 0,
    "way": 2,
    "round trip": 3,
    "tokens/s": 4,
    "load": 5,
    "id": 6,
    "shares": 1,
}
"""Of the table of peers; those with the largest number are left out first on a narrow screen, those with 0 never."""
FOLDING = ("models", "state", "way", "shares")


def _cells(peer: "Peer") -> tuple[str, ...]:
    """In the order of COLUMNS."""
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
        id_end(peer.node),
        ", ".join(shared.name for shared in advert.shared),
    )


def _print_shared(files: "tuple[SharedFiles, ...]") -> None:
    from waggle.cli.table import shown
    from waggle.core.words import amount

    if not files:
        print("nothing is shared")
    for shared in files:
        print(f"{shown(shared.name)}  {amount(shared.size)}  {shared.manifest}")
