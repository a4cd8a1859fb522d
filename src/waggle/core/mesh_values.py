"""What a node tells the swarm of itself, and what the others make of it. Frozen values, no behaviour.

Everything in an `Advert` is its author's claim, signed but not checked: who relies on it says so. Wall-clock dates are
seconds since 1970, durations seconds, speeds tokens per second, sizes bytes.
"""

from enum import StrEnum

from msgspec import Struct

from waggle.core.ids import NodeId


class ModelOffer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that a node answers with. `skills` maps a kind of question to the measured share of right answers."""

    model: str
    family: str
    context_tokens: int
    parameters: int | None = None
    skills: dict[str, float] = {}
    tokens_per_second: float | None = None
    price: int = 0
    """Credits per million tokens."""


class SharedFiles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model files that a node serves: the name people use, the SHA-256 of the manifest (hex), and the total size."""

    name: str
    manifest: str
    size: int


class Advert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node's description of itself.

    `incarnation` is new at every start of the node and grows; `sequence` grows with every advert of an incarnation. Of
    two adverts the one with the larger (incarnation, sequence) holds. `departed` is a farewell.
    """

    node: NodeId
    network: str
    incarnation: int
    sequence: int
    issued_at: float
    ttl: float
    version: str
    name: str = ""
    addresses: tuple[str, ...] = ()
    offers: tuple[ModelOffer, ...] = ()
    shared: tuple[SharedFiles, ...] = ()
    relays: bool = False
    """Whether it consents to relay for others."""
    departed: bool = False


class Liveness(StrEnum):
    """Whether a node is there; how busy it is, is another matter."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    DEPARTED = "departed"


class Load(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How busy a node is: pieces of work running and waiting, and how many it runs at once."""

    running: int = 0
    waiting: int = 0
    capacity: int = 1


class Peer(Struct, frozen=True, kw_only=True):
    """A node as we see it. `round_trip` in seconds and `load` come from its last answer to a ping."""

    advert: Advert
    liveness: Liveness
    round_trip: float | None = None
    load: Load | None = None
    seen: float | None = None
    """Seconds since it last answered us; None where it never did."""
    reason: str = ""
    """Why it is not chosen, in words; empty where it is usable."""

    @property
    def node(self) -> NodeId:
        """Its id."""
        return self.advert.node
