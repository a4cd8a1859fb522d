"""Who was here a while ago and is no more, as far as somebody who keeps looking has seen it. Pure.

A node that has ended is soon forgotten by the others; who watches wants to know that it was there.
"""

from collections.abc import Sequence

from msgspec import Struct

from waggle.core.mesh_values import Peer
from waggle.dashboard.frame.words import ago
from waggle.dashboard.swarm.network_layout import peer_name

KEPT_SECONDS = 600.0
MOST = 40
PACE = 5
"""Seconds by which what is said grows in the first minute, so that a page is not drawn anew all the time."""


class Gone(Struct, frozen=True):
    """A node that is gone: its id, its name, and how long ago in words."""

    node: str
    name: str
    ago: str


class Gallery:
    """Remembers the peers of one page while it is open."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._left: dict[str, float] = {}

    def look(self, peers: Sequence[Peer], now: float) -> tuple[Gone, ...]:
        """Those that were seen before and are not among these; the latest to go first, for some minutes."""
        here = {str(peer.node): peer_name(peer) for peer in peers}
        for node in self._names.keys() - here.keys():
            self._left.setdefault(node, now)
        self._left = {
            node: left for node, left in self._left.items() if node not in here and now - left <= KEPT_SECONDS
        }
        latest = sorted(self._left, key=lambda node: (-self._left[node], node))[:MOST]
        self._names = {node: self._names[node] for node in latest} | here
        return tuple(Gone(node, self._names[node], gone_words(now - self._left[node])) for node in latest)


def gone_words(seconds: float) -> str:
    """How long ago: 42 is "40 s ago", 75 is "1 minute ago"."""
    if seconds >= 60 or seconds < PACE:
        return ago(0.0, seconds)
    return f"{PACE * int(seconds // PACE)} s ago"
