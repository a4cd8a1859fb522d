"""What an agent can be told to do, and what it says: one JSON object a line, both ways."""

from typing import Literal

import msgspec
from msgspec import Struct

from waggle.core.ids import NodeId


class Start(Struct, tag=True, kw_only=True):
    """Start a node; gives `Started`. One that runs already is stopped first."""

    relays: tuple[str, ...] = ()
    serve_as_relay: bool = False
    reachability: Literal["public", "private"] | None = None
    contacts: tuple[str, ...] = ()
    """Peers to connect to at once."""


class Stop(Struct, tag=True):
    """Stop the node."""


class Addresses(Struct, tag=True):
    """Gives the node's own addresses."""


class Links(Struct, tag=True):
    """Gives the node's links."""


class Connect(Struct, tag=True):
    """Connect to a peer; gives its id."""

    addresses: tuple[str, ...]


class Disconnect(Struct, tag=True):
    """Drop the links to a peer."""

    peer: NodeId


class Call(Struct, tag=True):
    """Send a peer that many bytes and have them sent back; gives the seconds it took."""

    peer: NodeId
    size: int
    seconds: float = 10.0


class Converse(Struct, tag=True):
    """Exchange frames with a peer on one stream until it breaks or `seconds` are over; gives how many came back."""

    peer: NodeId
    seconds: float


class AwaitCircuit(Struct, tag=True):
    """Wait for the reservations of `count` relays; gives the addresses that lead through them."""

    count: int = 1
    seconds: float = 15.0


class AwaitDirect(Struct, tag=True):
    """Wait until there is a direct link to a peer; gives whether there was one in time."""

    peer: NodeId
    seconds: float = 15.0


class Seek(Struct, tag=True):
    """Begin to turn relayed links into direct ones; `peers` says where each is to be dialled."""

    peers: dict[NodeId, tuple[str, ...]]


class SeekCounts(Struct, tag=True):
    """Gives how often each peer was dialled again."""


Order = (
    Start | Stop | Addresses | Links | Connect | Disconnect | Call | Converse
    | AwaitCircuit | AwaitDirect | Seek | SeekCounts
)  # fmt: skip


class Started(Struct):
    """A node that runs: its id, its addresses, how long the start took; for a relay its starts, and if it relays."""

    node: NodeId
    addresses: tuple[str, ...]
    seconds: float
    relay_starts: int = 0
    relays: bool = False

    def address(self, *, quic: bool = True) -> str:
        """Where others of the public network reach it."""
        return next(text for text in self.addresses if text.startswith("/ip4/5.") and ("/quic-v1/" in text) is quic)


class Task(Struct):
    """An order under the number that its answer will bear."""

    number: int
    order: Order


class Answer(Struct):
    """What came of an order: a value, or an error in words."""

    number: int
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
