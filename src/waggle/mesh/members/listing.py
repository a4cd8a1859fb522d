"""Our view of every node as values for the rest of the house."""

import asyncio
from collections.abc import Iterator

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Liveness, Peer
from waggle.mesh.adverts.directory import Directory
from waggle.mesh.adverts.holdings import Entry
from waggle.mesh.liveness.lost import Lost
from waggle.mesh.liveness.watch import Watch


class Listing:
    """Adverts and pulses put together."""

    def __init__(self, directory: Directory, watch: Watch, lost: Lost) -> None:
        """Read these, change nothing."""
        self._directory = directory
        self._watch = watch
        self._lost = lost

    def peers(self) -> Iterator[Peer]:
        """All nodes known and not gone, usable or not; without us."""
        now = asyncio.get_running_loop().time()
        return (self._peer(entry, now) for entry in self._directory.others() if self._is_listed(entry.author))

    def _is_listed(self, node: NodeId) -> bool:
        """A node that was given up is listed again once it has answered."""
        return node in self._watch and node not in self._lost

    def usable(self) -> Iterator[Peer]:
        """Those that answered our last ping."""
        now = asyncio.get_running_loop().time()
        entries = (self._directory.entry(node) for node in self._watch.usable)
        return (self._peer(entry, now) for entry in entries if entry is not None)

    def peer(self, node: NodeId) -> Peer | None:
        """What is known of a node, be it gone; None where nothing is."""
        now = asyncio.get_running_loop().time()
        if entry := self._directory.entry(node):
            return self._peer(entry, now)
        if lost := self._lost.get(node):
            reason = f"given up {now - lost.died_at:.0f} s ago for want of an answer"
            return Peer(advert=lost.advert, liveness=Liveness.DEAD, reason=reason)
        return None

    def _peer(self, entry: Entry, now: float) -> Peer:
        advert = entry.advert.advert
        if advert.departed:
            return Peer(advert=advert, liveness=Liveness.DEPARTED, reason="it said goodbye")
        pulse = self._watch.pulse(advert.node)
        answered_at = pulse.answered_at if pulse else None
        return Peer(
            advert=advert,
            liveness=self._watch.liveness(advert.node),
            round_trip=pulse.round_trip if pulse else None,
            load=pulse.load if pulse else None,
            seen=None if answered_at is None else now - answered_at,
            reason=self._watch.reason(advert.node, now),
        )
