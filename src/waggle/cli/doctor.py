"""`waggle doctor`: what this machine has, what is missing, and what to do about it."""

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.findings import Row, Screen, screen
from waggle.core.inert import one_line
from waggle.core.words import id_end, many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from waggle.mesh.invite import Invite
    from waggle.node.config.load import Configuration
    from waggle.node.home.home import RunInfo
    from waggle.node.network.dial_check import Finding

REQUIRED = (
    "torch",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "msgspec",
    "jinja2",
    "httpx",
    "typer",
    "rich",
    "hivemind",
    "cryptography",
)
OPTIONAL = {
    "reasoning-gym": "waggle train, calibrate and bench quality",
    "matplotlib": "plots of waggle bench",
    "transformers": "the comparison in waggle bench engine",
    "choix": "the comparison in waggle bench consensus",
}
LEAST_MEMORY_BYTES = 1_000_000_000
REMARK_WIDTH = 240


@takes_settings("network", "home")
def doctor(
    configuration: "Configuration",
    via: Annotated[
        list[str] | None,
        typer.Option(
            "--via", metavar="INVITE", help="Also dial each address of this invite, each by itself. Repeatable."
        ),
    ] = None,
) -> None:
    """Check this machine, and say what is missing and what to do.

    Versions, cores, memory, the bundled models, and which ways of reaching other nodes work: TCP, QUIC, multicast,
    relays; and what hinders nodes of yours that run. A way marked -- does not work, but there are others. With --via,
    which addresses of an invite answer: TCP, QUIC, relay. Exit status 1 if something needed is missing.
    """
    from waggle import __version__
    from waggle.cli.invites import read_invites

    invites = read_invites(via or (), configuration)
    with screen() as shown:
        shown.title(f"waggle {__version__}")
        shown.add([_python(), _cores(), _memory(), *map(_package, REQUIRED), *map(_optional, OPTIONAL)])
        shown.add([_hive(), _measured()])
        _network(shown)
        shown.trying("your running nodes")
        shown.add(_nodes(configuration.settings.home))
        for invite in invites:
            shown.add(_invited(invite, shown.trying))
    raise typer.Exit(1 if shown.has_faults else 0)


def _network(shown: Screen) -> None:
    """One of the two direct ways is needed; without multicast or relays there are other ways."""
    import asyncio

    from waggle.node.network.network_check import check_network

    asyncio.run(check_network(shown.trying, lambda findings: shown.add(ways(findings))))


def ways(findings: "Sequence[Finding]") -> list[Row]:
    """A row for each way."""
    from waggle.node.network.network_check import is_direct

    stuck = not any(finding.works for finding in findings if is_direct(finding))
    rows: list[Row] = []
    for finding in findings:
        what = f"direct {finding.way}" if is_direct(finding) else finding.way
        fine = finding.works or (False if stuck and is_direct(finding) else None)
        rows.append((what, _word(finding), one_line(finding.remark, REMARK_WIDTH), fine))
    return rows


def _invited(invite: "Invite", trying: "Callable[[str], None]") -> list[Row]:
    """A row for each address of an invite; one that answers is enough."""
    import asyncio

    from waggle.node.network.dial_check import check_invite

    findings = asyncio.run(check_invite(invite.addresses, invite.network, trying))
    return invited(invite.node, findings)


def invited(node: str, findings: "Sequence[Finding]") -> list[Row]:
    """A row for each address of a node."""
    other = None if any(finding.works for finding in findings) else False
    what = id_end(node)
    return [
        (f"{what} {finding.way}", _word(finding), one_line(finding.remark, REMARK_WIDTH), finding.works or other)
        for finding in findings
    ]


def _word(finding: "Finding") -> str:
    return "works" if finding.works else "does not"


def _nodes(home: Path) -> list[Row]:
    """A row for each running node of this user, and one for each thing that hinders it in its swarm."""
    import asyncio

    from waggle.node.home.home import find_running

    return [row for info in find_running(home) for row in asyncio.run(_node(info))]


async def _node(info: "RunInfo") -> list[Row]:
    from waggle.core.errors import WaggleError
    from waggle.node.control.client import ask_node
    from waggle.node.control.messages import Status, StatusReply

    what = f"node {info.name}"
    try:
        status = await ask_node(Path(info.control), Status(), StatusReply)
    except WaggleError as error:
        return [(what, "silent", one_line(str(error), REMARK_WIDTH), False)]
    if not status.troubles:
        return [(what, "runs", f"sees {many(status.peers, 'other')}{_through(status.addresses)}", True)]
    return [(what, "hindered", one_line(trouble, REMARK_WIDTH), False) for trouble in status.troubles]


def _through(addresses: "Sequence[str]") -> str:
    """At which relays a node has a place, in words; nothing where it has none."""
    from waggle.mesh.libp2p.relay_choice import relay_of

    relays = dict.fromkeys(relay for address in addresses if (relay := relay_of(address)) is not None)
    return f"; others reach it through {' and '.join(map(id_end, relays))}" if relays else ""


def _python() -> Row:
    fine = sys.version_info >= (3, 11)
    return "python", platform.python_version(), "" if fine else "waggle needs Python 3.11 or newer", fine


def _cores() -> Row:
    return "cores", str(os.cpu_count()), f"{platform.machine()}, {platform.system()}", True


def _memory() -> Row:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "memory", "unknown", "this system does not say", True
    amount = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fine = amount >= LEAST_MEMORY_BYTES
    return "memory", f"{amount / 1e9:.1f} GB", "" if fine else "the hive needs about 1 GB", fine


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Row:
    version = _version(name)
    return name, version or "missing", "" if version else "run make setup", version is not None


def _optional(name: str) -> Row:
    version, use = _version(name), OPTIONAL[name]
    return name, version or "not installed", use if version else f"only needed for {use}", True


def _hive() -> Row:
    from waggle.models.hive import hive_names

    names = hive_names()
    remark = ", ".join(names) if names else "no bundled models: run waggle train hive"
    return "hive", many(len(names), "model"), remark, bool(names)


def _measured() -> Row:
    from waggle.node.calibrating.kept import kept_at

    fine = kept_at((), Path()).exists()
    return "calibration", "found" if fine else "missing", "" if fine else "run waggle calibrate", fine
