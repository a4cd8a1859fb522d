"""The swarm as one of its nodes sees it: ask a question here, and this node coordinates the round.

It chooses a committee from the nodes that answer, plans the round, and runs it with one worker per node: its own work
for itself, a stream for everyone else. What a node's advert says of its models is believed as far as this: which model
it is, and how fast. How well a model answers is taken from this node's own calibration, where that knows the model.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from waggle.core.errors import EngineUnavailable, PeerBusy
from waggle.core.ids import NodeId, RoundId
from waggle.core.mesh_values import ModelOffer, Peer
from waggle.core.round_values import Plan, Record, Standing
from waggle.node.calibrating.calibration import Calibration
from waggle.node.clock import Clock, SystemClock
from waggle.node.peers.punctuality import Punctuality
from waggle.node.peers.remote import OpenStream, RemoteWorker
from waggle.node.rounds.planning import SOLO, AskOptions, check_question, confidence_model, plan_round, settle
from waggle.node.rounds.runner import RoundRunner, Watch, draw
from waggle.node.rounds.work import NodeWork
from waggle.node.rounds.workers import Worker
from waggle.routing.committee import Option, choose_committee
from waggle.trust.keys import NodeKey

LEAST_EXPECTED_SECONDS = 0.5
"""Nobody is doubled for being slower than this: links and other work take time too."""


@dataclass(frozen=True)
class CommitteeSize:
    """How many nodes take part in a round. A proposer `hedge_factor` times slower than expected is doubled."""

    proposers: int = 7
    standby: int = 2
    judges: int = 7
    hedge_factor: float | None = 3.0


class MeshSwarm:
    """Coordinates rounds with whoever `peers` says is usable now."""

    def __init__(
        self,
        key: NodeKey,
        work: NodeWork,
        own_offers: Callable[[], Sequence[ModelOffer]],
        peers: Callable[[], Sequence[Peer]],
        open_stream: OpenStream,
        *,
        calibration: Calibration | None = None,
        size: CommitteeSize | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._key = key
        self._work = work
        self._own_offers = own_offers
        self._peers = peers
        self._open_stream = open_stream
        self._calibration = calibration
        self._size = size or CommitteeSize()
        self._clock = clock or SystemClock()
        self._punctuality = Punctuality()

    async def ask(
        self, question: str, options: AskOptions | None = None, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question; the record holds the outcome and all that led to it.

        Args:
            request: names the question across coordinators; a new name where this is left out.

        Raises:
            UsageError: an empty or oversize question, or an unknown strategy or model.
            EngineUnavailable: there is nobody to ask.
            PeerBusy: there is no answer, because nodes have no room now; `retry_after` says when to come again.
        """
        request = request or secrets.token_hex(16)
        plan = self.plan(question, options or AskOptions(), request)
        nodes = {standing.node for standing in (*plan.proposers, *plan.standby, *plan.judges)}
        workers = {node: self._worker(node, plan, request) for node in nodes}
        runner = RoundRunner(plan, workers, self._clock, watch)
        record = await runner.run()
        self._punctuality.note(record, self._clock.now())
        if record.outcome.answer is None and runner.full:
            waits = [full.retry_after for full in runner.full if full.retry_after is not None]
            raise PeerBusy("the swarm has no room now", min(waits, default=None))
        return record

    def _worker(self, node: NodeId, plan: Plan, request: str) -> Worker:
        if node == self._key.node_id:
            return self._work.worker(node, request)
        return RemoteWorker(node, plan, request, self._key, self._open_stream)

    def plan(self, question: str, options: AskOptions, request: str | None = None) -> Plan:
        """Fix everything that decides how the round goes, beginning with who takes part."""
        check_question(question)
        standings, familiarity = self._options(question, options)
        if not standings:
            raise EngineUnavailable("no node with a model is there: join a swarm, or give this node an engine")
        own = [option.standing for option in standings if option.standing.node == self._key.node_id]
        options, alone = settle(options, own)  # a stranger's answer needs the others' check
        round_id = RoundId(request or secrets.token_hex(16))
        everyone = options.strategy.startswith(SOLO)  # any node may be the one that is named
        committee = choose_committee(
            standings if everyone else self._punctual(standings),
            proposers=len(standings) if everyone else self._size.proposers,
            standby=self._size.standby,
            judges=self._size.judges,
            rng=draw(secrets.randbits(128)),  # and not the id's, which a client chooses
        )
        base = Plan(
            round_id=round_id,
            question=question,
            proposers=(alone,) if alone else committee.proposers,
            standby=() if alone else committee.standby,
            judges=committee.judges,
            familiarity=familiarity,
            confidence=confidence_model(self._calibration, options.strategy),
            commit_reveal=True,
            hedge_factor=self._size.hedge_factor,
        )
        return plan_round(base, options)

    def _options(self, question: str, options: AskOptions) -> tuple[list[Option], float]:
        """Every model of every node that could take part, and how familiar the question is."""
        guess = self._calibration.guess(question) if self._calibration else None
        offered = self._offered(options)
        known = self._calibration.nodes if self._calibration else {}
        if self._calibration is None or guess is None or not any(offer.model in known for _, offer in offered):
            measured = {offer.model: Standing(node=node) for node, offer in offered}
            familiarity = 0.5
        else:
            models = {offer.model for _, offer in offered}
            measured = {model: self._calibration.standing(NodeId(model), guess) for model in models}
            familiarity = guess.certainty
        near = {peer.node: peer for peer in self._peers()}
        found = [
            self._option(measured[offer.model], node, offer, near.get(node), options.max_tokens)
            for node, offer in offered
        ]
        return found, familiarity

    def _option(
        self, measured: Standing, node: NodeId, offer: ModelOffer, peer: Peer | None, max_tokens: int
    ) -> Option:
        away = peer.round_trip or 0.0 if peer else 0.0
        load = peer.load if peer else None
        advertised = away + max_tokens / offer.tokens_per_second if offer.tokens_per_second else None
        expected = self._punctuality.expected(node, advertised)
        if expected is not None:
            expected = max(LEAST_EXPECTED_SECONDS, expected)
        return Option(
            standing=replace(measured, node=node, model=offer.model, expected_seconds=expected),
            busy=(load.running + load.waiting) / max(1, load.capacity) if load else 0.0,
            round_trip=away,
        )

    def _offered(self, options: AskOptions) -> list[tuple[NodeId, ModelOffer]]:
        """Every model of every node; a conversation is for those that read one, where there are any."""
        own = [(self._key.node_id, offer) for offer in self._own_offers()]
        offered = own + [(peer.node, offer) for peer in self._peers() for offer in peer.advert.offers]
        if not options.turns or options.strategy.startswith(SOLO):
            return offered
        return [(node, offer) for node, offer in offered if offer.converses] or offered

    def _punctual(self, options: list[Option]) -> list[Option]:
        """Without those who let a deadline pass lately, where there are others."""
        now = self._clock.now()
        return [option for option in options if not self._punctuality.is_late(option.standing.node, now)] or options
