"""What Prometheus may know of a gateway and its node: counts and times, in a registry of its own.

Every label takes its values from a short list in this file or from our own configuration: whatever a client sends, it
makes no new time series. What changes by itself (peers, load, queues) is asked for when the metrics are read.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from waggle.core.errors import WaggleError
from waggle.core.mesh_values import Liveness, Load
from waggle.core.round_values import ProposalReceived, Record
from waggle.node.observing.ending import Ending, ending_of
from waggle.node.observing.phases import phases_of
from waggle.node.services.service import Service
from waggle.strategies.ways import names

log = logging.getLogger(__name__)

ROUTES = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/models",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
)
ONE_MODEL, OTHER_API, PAGES = "/v1/models/{id}", "/v1/other", "pages"
STRATEGIES = frozenset(names())
PURPOSES = frozenset({"propose", "judge", "generate", "embed", "waste"})
OTHER = "other"
FULL = 429
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

Occupancy = Callable[[], Mapping[str, float]]
"""Pieces of work that wait for or are in each engine's batch, by the name it has here."""


class HasLoad(Protocol):
    """What the gateway's admission tells of itself."""

    @property
    def load(self) -> Load:
        """Running and waiting."""
        ...


class Metrics:
    """Counts what it is told of; `text` is what Prometheus reads."""

    def __init__(
        self, service: Service | None = None, admission: HasLoad | None = None, occupancy: Occupancy | None = None
    ) -> None:
        """Nothing has happened yet; what is None is not shown."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter("waggle_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._request_seconds = Histogram(
            "waggle_request_seconds", "Until the last byte.", ["route"], buckets=SECONDS, registry=registry
        )
        self._refused = Counter("waggle_admission_refused", "Requests told to come again (429).", registry=registry)
        self._rounds = Counter("waggle_rounds", "Rounds that ended.", ["strategy", "outcome"], registry=registry)
        self._round_seconds = Histogram(
            "waggle_round_seconds", "A whole round.", ["strategy"], buckets=SECONDS, registry=registry
        )
        self._phase_seconds = Histogram(
            "waggle_phase_seconds", "Parts of a round.", ["phase"], buckets=SECONDS, registry=registry
        )
        self._confidence = Histogram(
            "waggle_confidence", "Of rounds with an answer.", ["strategy"], buckets=SHARES, registry=registry
        )
        self._abstentions = Counter(
            "waggle_abstentions", "Rounds heard, without a sure answer.", ["strategy"], registry=registry
        )
        self._proposals = Counter("waggle_proposals", "Asked proposals by result.", ["result"], registry=registry)
        self._ballots = Counter("waggle_ballots", "Asked ballots by result.", ["result"], registry=registry)
        self._tokens = Counter("waggle_tokens", "Prompts and completions, by purpose.", ["purpose"], registry=registry)
        self._prompt_tokens = Counter("waggle_prompt_tokens", "The prompts' part of rounds' tokens.", registry=registry)
        registry.register(_Now(service, admission, occupancy))
        self.router = APIRouter()
        self.router.add_api_route("/metrics", self._answer, methods=["GET"], include_in_schema=False)

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is its path, or a route of ours."""
        route = route_of(route)
        self._requests.labels(route, str(status) if 100 <= status < 600 else OTHER).inc()
        self._request_seconds.labels(route).observe(max(0.0, seconds))
        if status == FULL:
            self._refused.inc()

    def observe_record(self, record: Record) -> None:
        """A round ended."""
        outcome, strategy = record.outcome, strategy_of(record.plan.strategy)
        ending = ending_of(outcome, record.events)
        self._rounds.labels(strategy, ending.value).inc()
        self._round_seconds.labels(strategy).observe(outcome.spent.seconds)
        for phase in phases_of(record):
            self._phase_seconds.labels(phase.name).observe(phase.seconds)
        if outcome.answer is not None:
            self._confidence.labels(strategy).observe(outcome.confidence)
        if ending is Ending.ABSTAINED:
            self._abstentions.labels(strategy).inc()
        made = {event.proposal.node for event in record.events if isinstance(event, ProposalReceived)}
        self._proposals.labels("made").inc(len(made - outcome.failures.keys()))
        self._proposals.labels("failed").inc(len(outcome.failures))
        for result in ("cast", "unparseable", "refused"):
            self._ballots.labels(result).inc(getattr(outcome.ballots, result))
        self.observe_tokens("propose", outcome.spent.proposing_tokens)
        self.observe_tokens("judge", outcome.spent.judging_tokens)
        self.observe_tokens("waste", record.wasted_tokens)
        self._prompt_tokens.inc(max(0, outcome.spent.prompt_tokens))

    def observe_tokens(self, purpose: str, tokens: int) -> None:
        """Tokens were used: propose, judge, generate (one model alone) or embed."""
        self._tokens.labels(purpose if purpose in PURPOSES else OTHER).inc(max(0, tokens))

    def text(self) -> bytes:
        """All metrics, as Prometheus reads them."""
        return generate_latest(self.registry)

    async def _answer(self) -> Response:
        return Response(self.text(), headers={"content-type": CONTENT_TYPE_LATEST})


def route_of(path: str) -> str:
    """The route that a path belongs to, of a short list."""
    if path in ROUTES or path in (ONE_MODEL, OTHER_API):
        return path
    if path.startswith("/v1/models/"):
        return ONE_MODEL
    return OTHER_API if path == "/v1" or path.startswith("/v1/") else PAGES


def strategy_of(strategy: str) -> str:
    """The strategy, without the model's name."""
    first = strategy.partition(":")[0]
    return first if first in STRATEGIES else OTHER


class _Now(Collector):
    """What is so now."""

    def __init__(self, service: Service | None, admission: HasLoad | None, occupancy: Occupancy | None) -> None:
        self._service = service
        self._admission = admission
        self._occupancy = occupancy

    def collect(self) -> Iterable[Metric]:
        """The gauges; one that cannot be told just now is left out."""
        for part in (self._peers, self._work, self._waiting, self._batches):
            try:
                yield from part()
            except WaggleError:
                log.info("a gauge could not be read")

    def _peers(self) -> Iterator[Metric]:
        if self._service is not None:
            counts = dict.fromkeys(Liveness, 0)
            for peer in self._service.peers():
                counts[peer.liveness] += 1
            yield _gauge("waggle_peers", "Nodes known.", "liveness", {kind.value: n for kind, n in counts.items()})
            usable = sum(not peer.reason for peer in self._service.peers())
            yield _gauge("waggle_peers_usable", "Nodes that work may be given to.", None, {"": usable})
            models = self._service.models()
            usable = sum(model.usable for model in models)
            yield _gauge("waggle_models", "Models on offer.", None, {"": usable})
            yield _gauge("waggle_models_down", "Models that no node can use now.", None, {"": len(models) - usable})

    def _work(self) -> Iterator[Metric]:
        if self._service is not None:
            yield _gauge("waggle_node_work", "Pieces of work in our node.", "state", _states(self._service.load, True))

    def _waiting(self) -> Iterator[Metric]:
        if self._admission is not None:
            states = _states(self._admission.load, True)
            yield _gauge("waggle_admission", "Requests in the gateway.", "state", states)

    def _batches(self) -> Iterator[Metric]:
        if self._occupancy is not None:
            jobs = self._occupancy()
            yield _gauge("waggle_engine_jobs", "Work in an engine's batch, or waiting for it.", "engine", jobs)


def _states(load: Load, with_capacity: bool) -> dict[str, float]:
    states: dict[str, float] = {"running": load.running, "waiting": load.waiting}
    return states | {"capacity": load.capacity} if with_capacity else states


def _gauge(name: str, help_text: str, label: str | None, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label] if label else [])
    for value, number in values.items():
        family.add_metric([value] if label else [], number)
    return family
