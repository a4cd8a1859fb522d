"""What commands ask a running node of the same user, and what it replies."""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load, Peer, SharedFiles

LONGEST_SECONDS = 3_600.0
"""What a command may give the node: sharing a large model reads all of it."""
MOST_PEERS = 100
"""In one reply: so many of the largest adverts fit a frame."""

Text = Annotated[str, Meta(max_length=4_096)]
Count = Annotated[int, Meta(ge=0, le=2**31)]
Seconds = Annotated[float, Meta(gt=0.0, le=LONGEST_SECONDS)]


# --- what commands ask ------------------------------------------------------------------------------------------------


class Status(Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """Who are you, and how busy?"""


class Peers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="peers"):
    """Whom do you see? At most MOST_PEERS in one reply, from number `skip` on."""

    skip: Count = 0


class Invite(Struct, frozen=True, forbid_unknown_fields=True, tag="invite"):
    """With what can others join you?"""


class Leave(Struct, frozen=True, forbid_unknown_fields=True, tag="leave"):
    """Say farewell and stop. The reply comes before the end."""


class Share(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="share"):
    """Serve the model files in a folder; its full path."""

    path: Text


class Unshare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="unshare"):
    """Serve the files of this name no longer."""

    name: Text


Request = Status | Peers | Invite | Leave | Share | Unshare


# --- what the node replies --------------------------------------------------------------------------------------------


class StatusReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="status"):
    """Of the node itself; `seconds` is how long it has been running, `troubles` what hinders it in the swarm."""

    node: NodeId
    name: str
    network: str
    version: str
    addresses: tuple[str, ...]
    load: Load
    seconds: float
    peers: int
    troubles: tuple[str, ...] = ()


class PeersReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="peers"):
    """The peers asked for, and how many there are in all."""

    peers: Annotated[tuple[Peer, ...], Meta(max_length=MOST_PEERS)]
    total: int


class InviteReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="invite"):
    """Invites, the one that reaches farthest first."""

    invites: tuple[str, ...]


class Shared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="shared"):
    """All that the node serves now."""

    files: tuple[SharedFiles, ...]


class Done(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="done"):
    """It is done; `note` is what a person may want to know."""

    note: str = ""


Reply = StatusReply | PeersReply | InviteReply | Shared | Done


# --- around them ------------------------------------------------------------------------------------------------------


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request, and how long the command will wait for the reply."""

    request: Request
    seconds: Seconds


class Failed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="failed"):
    """There is no reply; why, as a sentence for a person."""

    reason: str
    wrong_usage: bool = False
