"""Adverts for tests."""

from functools import lru_cache
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from waggle.core.mesh_values import Advert, ModelOffer
from waggle.mesh.adverts.signed import OpenAdvert, seal_advert
from waggle.trust.keys import NodeKey

TODAY = 1_800_000_000.0


@lru_cache(maxsize=4_096)
def make_key(number: int) -> NodeKey:
    return NodeKey.from_seed(sha256(b"%d" % number).digest())


def describe(number: int = 1, **changes: Any) -> Advert:  # noqa: ANN401 - fields of any type
    node = make_key(number).node_id
    advert = Advert(
        node=node,
        network="waggle",
        incarnation=1_000,
        sequence=1,
        issued_at=TODAY,
        ttl=60.0,
        version="0.1",
        addresses=tuple(f"/ip4/{host}/tcp/4001/p2p/{node}" for host in ("127.0.0.1", "10.0.0.1", "5.5.5.5")),
        offers=(ModelOffer(model="bee", family="hive", context_tokens=512, skills={"sums": 0.5}),),
    )
    return replace(advert, **changes)


def sealed(number: int = 1, **changes: Any) -> OpenAdvert:  # noqa: ANN401 - fields of any type
    return seal_advert(make_key(number), describe(number, **changes))
