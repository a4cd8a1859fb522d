"""Invites: one line of text that leads to a node of a swarm.

`waggle://` and the node's multiaddrs, separated by commas; `?network=NAME` at the end where it is not the usual one:

    waggle:///ip4/203.0.113.5/tcp/4001/p2p/12D3Koo...,/ip4/203.0.113.5/udp/4001/quic-v1/p2p/12D3Koo...?network=bees

A bare multiaddr is an invite too. Whoever gives one to us is trusted with what we dial, so names and loopback are fine.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import EXAMPLE, HOSTS, MAX_ADDRESSES, PeerAddress, parse_address
from waggle.trust.keys import ID_CHARACTERS, is_node_id

SCHEME = "waggle:"
USUAL_NETWORK = "waggle"
MAX_INVITE_LENGTH = 2_500
_NETWORK = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM = f"an invite looks like waggle://{EXAMPLE}"


class Invite(Struct, frozen=True, kw_only=True):
    """Where one node of a swarm is, and which network the swarm calls itself."""

    addresses: tuple[str, ...]
    network: str = USUAL_NETWORK

    @property
    def node(self) -> NodeId:
        """The node that it leads to."""
        return parse_address(self.addresses[0]).peer


def parse_invite(text: str, *, network: str | None = None) -> Invite:
    """Read an invite or a multiaddr.

    Args:
        text: what a person gave.
        network: the network that it must be for; any where None.

    Raises:
        UsageError: it is no invite, or one for another network; says what is wrong.
    """
    text = text.strip()
    if len(text) > MAX_INVITE_LENGTH:
        raise UsageError(f"an invite has at most {MAX_INVITE_LENGTH} characters, this one {len(text)}")
    body, named = _split_network(text)
    parts = _multiaddrs(body).split(",")
    if named is None:
        _refuse_cut_off(parts)
    addresses = [_parse_whole(part) for part in parts]
    if len(addresses) > MAX_ADDRESSES:
        raise UsageError(f"an invite holds at most {MAX_ADDRESSES} addresses, this one {len(addresses)}")
    _require_one_peer(addresses)
    found = named or network or USUAL_NETWORK
    if network is not None and found != network:
        raise UsageError(f"this invite is for the network {found!r}, not for {network!r}: say --network {found}")
    return Invite(addresses=tuple(address.text for address in addresses), network=found)


def network_of(invites: Sequence[Invite]) -> str:
    """The network that all of them lead to. Raises UsageError: there is none, or several."""
    names = sorted({invite.network for invite in invites})
    if not names:
        raise UsageError(f"no invite was given: {_FORM}")
    if len(names) > 1:
        raise UsageError(f"these lead to different networks ({', '.join(names)}): give invites to one of them")
    return names[0]


def format_invite(addresses: Iterable[str], network: str = USUAL_NETWORK) -> str:
    """One line for others to join by: the farthest-reaching addresses first, relayed ones last, at most 8.

    Raises:
        UsageError: there is no address, or they are not all of one node.
    """
    parsed = [parse_address(text) for text in dict.fromkeys(addresses)]
    if not parsed:
        raise UsageError("nobody can be invited to a node without an address: let it listen on one")
    _require_one_peer(parsed)
    if not _NETWORK.fullmatch(network):
        raise UsageError(f"{network!r} is no name of a network: up to 64 letters, digits, dots, dashes, underscores")
    parsed.sort(key=lambda address: (address.place.relayed, -address.scope))
    ending = "" if network == USUAL_NETWORK else f"?network={network}"
    return f"{SCHEME}//" + ",".join(address.text for address in parsed[:MAX_ADDRESSES]) + ending


def _multiaddrs(body: str) -> str:
    """What follows the scheme, beginning with a slash: `waggle:/ip4`, `waggle://ip4` and `waggle:///ip4` are one."""
    if body.startswith("/"):
        return body
    if not body.lower().startswith(SCHEME):
        raise UsageError(f"{body[:80]!r} is no invite: {_FORM}")
    rest = body[len(SCHEME) :]
    bare = rest.lstrip("/")
    if not 1 <= len(rest) - len(bare) <= 3:
        raise UsageError(f"{body[:80]!r} is no invite: {_FORM}")
    return "/" + bare


def _refuse_cut_off(parts: list[str]) -> None:
    """Raise UsageError where the end of the last address is missing, as when less than all of a line was copied."""
    words = parts[-1].split("/")
    begins = words[1] in HOSTS if len(words) > 1 else words == [""] and len(parts) > 1
    ends = words[-2:-1] == ["p2p"] and (is_node_id(words[-1]) or len(words[-1]) >= ID_CHARACTERS)
    if begins and not ends:
        raise UsageError("the invite is cut off: it does not end in /p2p/ and a whole node id; copy all of it")


def _parse_whole(text: str) -> PeerAddress:
    """An address whose node id is one. Raises UsageError."""
    address = parse_address(text)
    if not address.text.startswith("/memory/") and not is_node_id(address.peer):
        raise UsageError(f"{address.peer[:60]!r} in the invite is no node id: copy the invite once more")
    return address


def _split_network(text: str) -> tuple[str, str | None]:
    body, mark, query = text.partition("?")
    if not mark:
        return body, None
    name, _, value = query.partition("=")
    if name != "network" or not _NETWORK.fullmatch(value):
        raise UsageError(f"{query[:80]!r} at the end of an invite is not understood: only ?network=NAME may be there")
    return body, value


def _require_one_peer(addresses: list[PeerAddress]) -> None:
    if len({address.peer for address in addresses}) > 1:
        raise UsageError("the addresses in one invite lead to different nodes: make an invite for each")
