"""Dead nodes that answered us once: their last addresses are tried again, ever more rarely, so that a swarm that was
cut in two finds itself again. Bounded in number and time; a node nobody ever heard from is never among them."""

from collections.abc import Iterable
from random import Random

from msgspec import Struct

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.liveness.pace import Pace

MAX_LOST = 256
TRIES_AT_ONCE = 4
"""Tries begun in one tick."""


class LostNode(Struct):
    """A dead node and when to try it again, in seconds of our clock."""

    advert: Advert
    died_at: float
    next_at: float
    wait: float


class Lost:
    """Who is looked for."""

    def __init__(self, pace: Pace, rng: Random) -> None:
        """Look for nobody."""
        self._pace = pace
        self._rng = rng
        self._nodes: dict[NodeId, LostNode] = {}

    def __contains__(self, node: NodeId) -> bool:
        return node in self._nodes

    def get(self, node: NodeId) -> LostNode | None:
        """What is known of a lost node."""
        return self._nodes.get(node)

    def add(self, advert: Advert, now: float) -> None:
        """Look for a node from now on; the one lost longest is given up where there are too many."""
        old = self._nodes.pop(advert.node, None)
        wait = old.wait if old is not None else self._pace.lost_first
        died_at = old.died_at if old is not None else now
        if len(self._nodes) >= MAX_LOST:
            del self._nodes[next(iter(self._nodes))]
        self._nodes[advert.node] = LostNode(advert, died_at, now + self._jitter(wait), wait)

    def _jitter(self, wait: float) -> float:
        return wait * (0.5 + self._rng.random())

    def drop(self, node: NodeId) -> None:
        """It is back, or has said goodbye."""
        self._nodes.pop(node, None)

    def expect(self, node: NodeId, now: float) -> None:
        """It called us: try it soon, though not again and again."""
        if lost := self._nodes.get(node):
            lost.next_at = min(lost.next_at, now + self._pace.ping_every)

    def hasten(self, now: float) -> None:
        """One of them is back: the others may be too."""
        for lost in self._nodes.values():
            lost.wait = self._pace.lost_first
            lost.next_at = min(lost.next_at, now + self._rng.random() * lost.wait)

    def due(self, now: float) -> list[NodeId]:
        """Some to try now, each waiting longer for its next try; those lost too long are given up."""
        for node in list(self._old(now)):
            del self._nodes[node]
        due = [node for node, lost in self._nodes.items() if lost.next_at <= now][:TRIES_AT_ONCE]
        for node in due:
            lost = self._nodes[node]
            lost.wait = min(2.0 * lost.wait, self._pace.lost_most)
            lost.next_at = now + self._jitter(lost.wait)
        return due

    def _old(self, now: float) -> Iterable[NodeId]:
        return (node for node, lost in self._nodes.items() if now - lost.died_at > self._pace.lost_forget)
