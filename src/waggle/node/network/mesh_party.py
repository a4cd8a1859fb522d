"""The nodes of a mesh as one of them sees them: who can be asked now, and a worker for each in a round.

Our own work for ourselves, a stream for everyone else. What a node's advert says of its models is believed as far as
this: which model it is, and how fast.
"""

from collections.abc import Callable, Sequence

from waggle.core.ids import NodeId
from waggle.core.mesh_values import ModelOffer, Peer
from waggle.core.round_values import Plan, Record
from waggle.node.clock import Clock, SystemClock
from waggle.node.peers.punctuality import Punctuality
from waggle.node.peers.remote import OpenStream, RemoteWorker
from waggle.node.rounds.coordinator import Available, CommitteeSize
from waggle.node.rounds.work import NodeWork, Worker
from waggle.trust.keys import NodeKey

LEAST_EXPECTED_SECONDS = 0.5
"""Nobody is doubled for being slower than this: links and other work take time too."""


class MeshParty:
    """Whoever `peers` says is usable now, and ourselves."""

    def __init__(
        self,
        key: NodeKey,
        work: NodeWork,
        own_offers: Callable[[], Sequence[ModelOffer]],
        peers: Callable[[], Sequence[Peer]],
        open_stream: OpenStream,
        *,
        size: CommitteeSize | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.size = size or CommitteeSize()
        self._key = key
        self._work = work
        self._own_offers = own_offers
        self._peers = peers
        self._open_stream = open_stream
        self._clock = clock or SystemClock()
        self._punctuality = Punctuality()

    def available(self, max_tokens: int) -> Sequence[Available]:
        """Every model of every node; only our own answers need no check by others."""
        own = [self._available(self._key.node_id, offer, None, max_tokens) for offer in self._own_offers()]
        return own + [
            self._available(peer.node, offer, peer, max_tokens)
            for peer in self._peers()
            for offer in peer.advert.offers
        ]

    def _available(self, node: NodeId, offer: ModelOffer, peer: Peer | None, max_tokens: int) -> Available:
        away = peer.round_trip or 0.0 if peer else 0.0
        load = peer.load if peer else None
        advertised = away + max_tokens / offer.tokens_per_second if offer.tokens_per_second else None
        expected = self._punctuality.expected(node, advertised)
        return Available(
            node=node,
            model=offer.model,
            converses=offer.converses,
            trusted=peer is None,
            busy=(load.running + load.waiting) / max(1, load.capacity) if load else 0.0,
            round_trip=away,
            expected_seconds=None if expected is None else max(LEAST_EXPECTED_SECONDS, expected),
            late=self._punctuality.is_late(node, self._clock.now()),
        )

    def worker(self, node: NodeId, plan: Plan) -> Worker:
        """A node's part in a round."""
        if node == self._key.node_id:
            return self._work.worker(node, plan.round_id, commits=plan.commit_reveal)
        return RemoteWorker(node, plan, self._key, self._open_stream)

    def note(self, record: Record) -> None:
        """Learn who was in time."""
        self._punctuality.note(record, self._clock.now())
