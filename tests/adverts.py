"""Adverts of nodes, and nodes seen alive, of which a test says only what it is about."""

from msgspec.structs import replace

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness, Peer


def advert(node: str, **told: object) -> Advert:
    """What a node tells of itself: these fields, and what has to be there."""
    plain = Advert(node=NodeId(node), network="w", incarnation=1, sequence=1, issued_at=0.0, ttl=60.0, version="0")
    return replace(plain, **told)


def alive(node: str, **told: object) -> Peer:
    """As others see it."""
    return Peer(advert=advert(node, **told), liveness=Liveness.ALIVE)
