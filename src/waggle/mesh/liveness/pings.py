"""What nodes ask each other about who is there: two calls, both small, both bounded by their types."""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Count, Load
from waggle.mesh.limits import KIB

PING_PROTOCOL = "/waggle/ping/1"
PROBE_PROTOCOL = "/waggle/probe/1"

MAX_SMALL_BYTES = 2 * KIB
MAX_HINTS = 4

Network = Annotated[str, Meta(max_length=64)]


class Hint(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The sender could not reach this node. Hearsay: the receiver asks the node itself."""

    node: Annotated[NodeId, Meta(max_length=128)]
    incarnation: Count


Hints = Annotated[tuple[Hint, ...], Meta(max_length=MAX_HINTS)]


class Ping(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Are you there?"""

    hints: Hints = ()


class Pong(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """I am: this is my newest advert's number, and how busy I am."""

    network: Network
    incarnation: Count
    sequence: Count
    load: Load
    hints: Hints = ()


class PleaseProbe(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Does this node answer you? It does not answer me."""

    node: Annotated[NodeId, Meta(max_length=128)]


class Probed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Whether it did; False also where the helper does not know it or has no time."""

    answered: bool
