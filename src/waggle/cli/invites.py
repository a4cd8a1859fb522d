"""Invites that a person gave, and the network that they lead to: one rule for every verb that takes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waggle.mesh.invite import Invite
    from waggle.node.config.load import Configuration
    from waggle.node.home.home import RunInfo


def read_invites(texts: Sequence[str], configuration: "Configuration") -> "list[Invite]":
    """Read them. An invite names its network, which holds where nobody has set another one; an address names none.

    Raises:
        UsageError: one is no invite, or they lead to another network than was set, or to several.
    """
    from waggle.core.errors import UsageError
    from waggle.mesh.invite import network_of, parse_invite
    from waggle.node.config.load import DEFAULT

    network, origin = configuration.settings.network, configuration.origins["network"]
    found = [parse_invite(text) if "?" in text else parse_invite(text, network=network) for text in texts]
    for invite in found:
        if origin != DEFAULT and invite.network != network:
            raise UsageError(
                f"this invite is for the network {invite.network!r}, and {origin} says {network!r}: "
                "leave that out, or get an invite to it"
            )
    if found:
        network_of(found)
    return found


def invites_here(home: Path, name: str | None) -> "list[Invite]":
    """To the user's own running node `name`; without a name to the only one, or to all that `waggle up` runs.

    Raises:
        UsageError: there is no telling which is meant, or none of this name. PeerUnreachable: none is running.
    """
    from waggle.cli.local import UP, running_node
    from waggle.node.home.home import find_running

    running = find_running(home)
    are_one_swarm = name is None and running and all(info.name.startswith(UP) for info in running)
    found = running if are_one_swarm else [running_node(home, name)]
    return [invite_to(info) for info in found]


def invite_to(info: "RunInfo") -> "Invite":
    """To a running node of this user."""
    from waggle.mesh.invite import Invite

    return Invite(addresses=info.addresses, network=info.network)


def in_network_of(invites: "Sequence[Invite]", configuration: "Configuration") -> "Configuration":
    """The configuration with the network that the invites lead to."""
    from msgspec.structs import replace

    if not invites or invites[0].network == configuration.settings.network:
        return configuration
    return replace(
        configuration,
        settings=replace(configuration.settings, network=invites[0].network),
        origins=configuration.origins | {"network": "the invite"},
    )
