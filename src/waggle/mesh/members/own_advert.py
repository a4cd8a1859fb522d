"""Our own advert: numbered, dated, signed, renewed."""

from collections.abc import Callable

from msgspec import Struct

from waggle.core.mesh_values import Advert, ModelOffer, SharedFiles
from waggle.mesh.adverts.signed import OpenAdvert, seal_advert
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.transport import Transport
from waggle.trust.keys import NodeKey

TWIN_SECONDS = 5.0
"""An advert under our key, dated so much after our start and not from us, comes from somebody who runs now."""


class Description(Struct, frozen=True, kw_only=True):
    """What a node tells of itself, apart from where it is."""

    version: str
    name: str = ""
    offers: tuple[ModelOffer, ...] = ()
    shared: tuple[SharedFiles, ...] = ()
    relays: bool = False


class OwnAdvert:
    """Makes our adverts, each with a larger number than the one before."""

    def __init__(
        self,
        transport: Transport,
        key: NodeKey,
        description: Description,
        *,
        network: str,
        wall: Callable[[], float],
        pace: Pace,
        incarnation: int | None,
    ) -> None:
        """Number this start of the node; by the date, in milliseconds, unless told."""
        self.description = description
        self.incarnation = round(wall() * 1000.0) if incarnation is None else incarnation
        self.sequence = 0
        self._transport = transport
        self._key = key
        self._network = network
        self._wall = wall
        self._pace = pace
        self._started = wall()

    async def make(self, *, departed: bool = False) -> OpenAdvert:
        """The next one. Raises LocalProtocolError where the description is too large for an advert."""
        addresses = () if departed else await self._transport.addresses()
        self.sequence += 1
        advert = Advert(
            node=self._key.node_id,
            network=self._network,
            incarnation=self.incarnation,
            sequence=self.sequence,
            issued_at=self._wall(),
            ttl=self._pace.farewell_seconds if departed else self._pace.ttl,
            version=self.description.version,
            name=self.description.name,
            addresses=addresses,
            offers=() if departed else self.description.offers,
            shared=() if departed else self.description.shared,
            relays=self.description.relays and not departed,
            departed=departed,
        )
        return seal_advert(self._key, advert)

    def outdo(self, other: Advert) -> str:
        """Number the next advert above one that our key signed but not this start; gives a warning or nothing.

        The usual reason is a clock that was set back between two starts.
        """
        if other.incarnation == self.incarnation:
            self.sequence = max(self.sequence, other.sequence)
        elif other.incarnation > self.incarnation:
            self.incarnation, self.sequence = other.incarnation + 1, 0
        if not other.departed and other.issued_at > self._started + TWIN_SECONDS:
            return "another node seems to run under this node's key: give each node a directory of its own"
        return ""
