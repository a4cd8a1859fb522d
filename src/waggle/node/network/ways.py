"""By which way a node is linked to each of the others, in words: directly, or through which relay."""

from collections.abc import Iterable, Mapping

from waggle.core.ids import NodeId
from waggle.mesh.libp2p.relay_choice import relay_of
from waggle.mesh.transport import Link

DIRECT = "direct"
ID_CHARACTERS = 6


def ways_of(links: Iterable[Link], names: Mapping[NodeId, str]) -> dict[NodeId, str]:
    """Of every peer that we are linked to: `direct`, or `relayed by` a node's name, or the end of its id."""
    return {link.peer: _relayed_by(link, names) if link.relayed else DIRECT for link in links}


def _relayed_by(link: Link, names: Mapping[NodeId, str]) -> str:
    relays = dict.fromkeys(relay for relay in map(relay_of, link.addresses) if relay is not None)
    called = [names.get(relay) or f"...{relay[-ID_CHARACTERS:]}" for relay in relays]
    return f"relayed by {' and '.join(called)}" if called else "relayed"
