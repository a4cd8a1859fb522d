"""A place at a relay, for a node that cannot be dialled: which relays to take, and when they hold one for us.

A daemon is given its relays when it starts. One that cannot be reached then costs minutes, because the daemon waits
for all it was told of; so only relays that answer now are chosen, with the one address at which they did.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from random import Random

from waggle.core.errors import MeshError, UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.addresses import Scope, fit_addresses
from waggle.mesh.transport import Transport

MAX_RELAYS = 2
"""Relays that a node takes a place at: one more than it needs."""

MAX_PROBED = 8
PROBE_SECONDS = 3.0
PLACE_SECONDS = 5.0
LOOK_SECONDS = 0.1
CIRCUIT = "/p2p-circuit"


def offered_relays(
    adverts: Iterable[Advert], randomness: Random, *, nearest: Scope = Scope.PUBLIC
) -> list[tuple[str, ...]]:
    """The direct addresses of those that say they relay, QUIC first, the relays in random order.

    QUIC first, because holes are punched for QUIC, and a relay is one of those who tell us our own address.

    Args:
        adverts: claims of peers; only addresses fit to be dialled are taken.
        randomness: shuffles, so that not everybody takes the same relays.
        nearest: how near an address may be. Less than PUBLIC lets strangers make us dial machines beside us.
    """
    found = []
    for advert in adverts:
        direct = [text for text in fit_addresses(advert.addresses, advert.node, nearest=nearest) if CIRCUIT not in text]
        if advert.relays and not advert.departed and direct:
            found.append(tuple(sorted(direct, key=lambda address: "/quic-v1" not in address)))
    randomness.shuffle(found)
    return found


async def choose_relays(
    transport: Transport, offered: Iterable[Sequence[str]], *, count: int = MAX_RELAYS
) -> tuple[str, ...]:
    """Relays that answer now, one address each, fit for `Settings.relays`.

    Args:
        transport: dials them; at most MAX_PROBED of them, for at most PROBE_SECONDS each.
        offered: the addresses of each relay, the preferred one first.
        count: how many are enough.

    Returns:
        Up to `count` addresses, in the order the relays answered; empty if none did.
    """
    tasks = [asyncio.create_task(_answering(transport, addresses)) for addresses in islice(offered, MAX_PROBED)]
    chosen: list[str] = []
    try:
        for task in asyncio.as_completed(tasks):
            if (address := await task) is not None and len(chosen) < count:
                chosen.append(address)
            if len(chosen) == count:
                break
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(chosen)


async def _answering(transport: Transport, addresses: Sequence[str]) -> str | None:
    """The first of a relay's addresses at which it answers; None where it does at none."""
    for address in addresses:
        try:
            peer = await transport.connect([address], seconds=PROBE_SECONDS / len(addresses))
            return await _in_use(transport, peer, addresses) or address
        except (MeshError, UsageError):
            continue
    return None


async def _in_use(transport: Transport, peer: NodeId, addresses: Sequence[str]) -> str | None:
    """The address of a link that we had before: it works, which of another one nobody has shown."""
    ways = {way for link in await transport.links() if link.peer == peer for way in link.addresses}
    return next((address for address in addresses if address.rpartition("/p2p/")[0] in ways), None)


async def await_places(transport: Transport, *, count: int = 1, seconds: float = PLACE_SECONDS) -> tuple[str, ...]:
    """Wait until relays hold a place for us.

    Args:
        transport: was started with relays.
        count: how many relays are to hold one.
        seconds: how long to wait.

    Returns:
        Our addresses that lead through relays: those of `count` relays or more, fewer if the time ran out.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        circuits = tuple(address for address in await transport.addresses() if CIRCUIT in address)
        if len({relay_of(address) for address in circuits}) >= count:
            return circuits
        if asyncio.get_running_loop().time() >= deadline:
            return circuits
        await asyncio.sleep(LOOK_SECONDS)


def relay_of(circuit: str) -> NodeId | None:
    """The relay that an address leads through; None where it leads through none."""
    before, found, _ = circuit.partition(CIRCUIT)
    return NodeId(before.rpartition("/p2p/")[2]) if found else None
