"""What a node tells the swarm of itself, and what the others make of it. Frozen values, no behaviour.

Everything in an `Advert` is its author's claim, signed but not checked: who relies on it says so. Wall-clock dates are
seconds since 1970, durations seconds, speeds tokens per second, sizes bytes. The types bound what a peer may claim;
they are checked where a value is decoded.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.ids import NodeId

Name = Annotated[str, Meta(max_length=128)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0, le=2**48)]
Rate = Annotated[float, Meta(ge=0.0, le=1e7)]
Date = Annotated[float, Meta(ge=0.0, le=1e11)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Address = Annotated[str, Meta(max_length=256)]


class ModelOffer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that a node answers with. `skills` maps a kind of question to the measured share of right answers.

    `converses`, `calls_tools` and `embeds` are those of `EngineCard`.
    """

    model: Name
    family: Name
    context_tokens: Count
    parameters: Count | None = None
    skills: Annotated[dict[Name, Share], Meta(max_length=32)] = {}
    tokens_per_second: Rate | None = None
    price: Count = 0
    """Credits for 1,000 tokens; nothing is paid yet."""
    converses: bool = True
    calls_tools: bool = False
    embeds: bool = True


class SharedFiles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model files that a node serves: the name people use, the SHA-256 of the manifest (hex), and the total size."""

    name: Name
    manifest: Digest
    size: Count


class Advert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node's description of itself.

    `incarnation` is new at every start of the node and grows; `sequence` grows with every advert of an incarnation. Of
    two adverts the one with the larger (incarnation, sequence) holds. `departed` is a farewell.
    """

    node: Annotated[NodeId, Meta(min_length=1, max_length=128)]
    network: Annotated[str, Meta(max_length=64)]
    incarnation: Count
    sequence: Annotated[int, Meta(ge=0, le=2**31)]
    issued_at: Date
    ttl: Annotated[float, Meta(ge=0.0, le=1e7)]
    version: Annotated[str, Meta(max_length=64)]
    name: Name = ""
    addresses: Annotated[tuple[Address, ...], Meta(max_length=24)] = ()
    offers: Annotated[tuple[ModelOffer, ...], Meta(max_length=16)] = ()
    shared: Annotated[tuple[SharedFiles, ...], Meta(max_length=32)] = ()
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

    running: Count = 0
    waiting: Count = 0
    capacity: Count = 1


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
    way: str = ""
    """How we are linked to it, in words; empty where we are not, or nobody asked."""

    @property
    def node(self) -> NodeId:
        """Its id."""
        return self.advert.node
