"""The places that relays hold for one transport while it runs, taken without starting its daemon again.

A relay keeps a place for an hour and for as long as one link to it lasts. Neither it nor the daemon says when it is
gone: whoever takes places looks after them (`relay_places`).
"""

from collections.abc import Callable

from waggle.core.errors import PeerRefused
from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_peer
from waggle.mesh.libp2p.daemon import Daemon
from waggle.mesh.limits import MIB

LEAST_LINK_BYTES = 1 * MIB
"""A relay that cuts links sooner serves nobody; libp2p's own choice is 128 KiB."""

TAKE_SECONDS = 3.0


class TakenPlaces:
    """Where we have a place; empty at first."""

    def __init__(self, current: Callable[[], Daemon]) -> None:
        """`current` gives the daemon that runs now, or raises PeerUnreachable."""
        self._current = current
        self._ways: dict[NodeId, str] = {}

    @property
    def relays(self) -> frozenset[NodeId]:
        """Who was asked for a place and gave one."""
        return frozenset(self._ways)

    @property
    def circuits(self) -> tuple[str, ...]:
        """The addresses that lead to us through relays, without our id at their end."""
        return tuple(f"{way}/p2p-circuit" for way in self._ways.values())

    async def take(self, relay: str, *, seconds: float = TAKE_SECONDS) -> None:
        """Have a relay that we are linked to hold a place for us, or go on holding it.

        Args:
            relay: the address at which others are to dial it, ending in its `/p2p/<id>`.
            seconds: how long to wait for its answer.

        Raises:
            UsageError: this is no such address.
            PeerRefused: it gives us none, or one that lets too little through.
            PeerUnreachable, RemoteProtocolError: it does not answer, or with nonsense.
        """
        peer = parse_peer(relay).peer
        daemon = self._current()
        answer = await daemon.ask_for_place(peer, seconds)
        if answer.refusal:
            raise PeerRefused(answer.refusal)
        if 0 < answer.max_bytes < LEAST_LINK_BYTES:
            raise PeerRefused(f"it cuts a link after {answer.max_bytes} bytes")
        if not daemon.lost.is_set():
            self._ways[peer] = relay

    def leave(self, relay: NodeId) -> None:
        """Tell nobody of this place any longer; nothing happens where there is none."""
        self._ways.pop(relay, None)

    def clear(self) -> None:
        """The daemon is a new one: no relay knows us."""
        self._ways.clear()
