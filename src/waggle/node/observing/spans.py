"""Spans of requests and rounds for OpenTelemetry, made when they are over, from the times that were noted.

A round's spans come from its record, so nothing in the round knows of them. A request's span comes after those of its
rounds, which name it as their parent all the same: its id follows from the request's. Spans hold metadata only.
Imports the OpenTelemetry SDK; only `telemetry` imports this, where spans are wanted.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from waggle.core.ids import NodeId
from waggle.core.round_values import (
    BallotFailed,
    BallotReceived,
    DeadlinePassed,
    ProposalCommitted,
    ProposalFailed,
    ProposalReceived,
    Record,
    RoundStarted,
)
from waggle.node.observing.ending import Ending, ending_of
from waggle.node.observing.phases import JUDGE, PROPOSE, Phase, phases_of

MOST_ASKS = 512
"""Spans of one round's asks; a large committee has thousands."""
EXPORT_SECONDS, CLOSE_MS = 3.0, 3_000
TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")
NANO = 1_000_000_000

Value = str | int | float | bool


class Ask(Struct, frozen=True, kw_only=True):
    """What one node was asked for in a round, in seconds since it began."""

    phase: str
    node: NodeId
    began: float
    ended: float
    tokens: int = 0
    failed: bool = False
    parsed: bool = True


def asks_of(record: Record) -> Iterator[Ask]:
    """Every proposal and ballot that came or failed; when it began is what its node says of how long it took."""
    committed: dict[NodeId, float] = {}
    for event in record.events:
        match event:
            case ProposalCommitted(at=at, node=node):
                committed[node] = at
            case ProposalReceived(proposal=made):
                ended = committed.get(made.node, event.at)
                yield Ask(
                    phase=PROPOSE,
                    node=made.node,
                    began=_since(ended, made.seconds),
                    ended=ended,
                    tokens=made.tokens,
                )
            case ProposalFailed(at=at, node=node):
                yield Ask(phase=PROPOSE, node=node, began=0.0, ended=at, failed=True)
            case BallotReceived(at=at, ballot=cast):
                yield Ask(
                    phase=JUDGE,
                    node=cast.judge,
                    began=_since(at, cast.seconds),
                    ended=at,
                    tokens=cast.tokens,
                    parsed=cast.p is not None,
                )
            case BallotFailed(at=at, judge=judge):
                yield Ask(phase=JUDGE, node=judge, began=at, ended=at, failed=True)
            case RoundStarted() | DeadlinePassed():
                pass


def _since(ended: float, seconds: float) -> float:
    return min(ended, max(0.0, ended - seconds)) if seconds > 0 else ended


class SpanTelemetry:
    """Spans to an exporter; the tracer is our own and not the process's."""

    def __init__(self, exporter: SpanExporter, *, service: str = "waggle", at_once: bool = False) -> None:
        """Send spans from a thread of their own, or each one `at_once` (for tests)."""
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}), id_generator=self._ids, shutdown_on_exit=False
        )
        processor = SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)
        self._provider.add_span_processor(processor)
        tracer = self._provider.get_tracer("waggle")
        assert isinstance(tracer, Tracer)
        self._tracer = tracer

    def observe_request(self, request: str, *, route: str, status: int, at: float, seconds: float) -> None:
        """A request was answered."""
        if not TRACE.fullmatch(request):
            return
        self._ids.trace, self._ids.span = int(request, 16), _span_id_of(request)
        facts: dict[str, Value] = {"http.route": route, "http.response.status_code": status}
        span = self._tracer.start_span("request", Context(), SpanKind.SERVER, attributes=facts, start_time=_nano(at))
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nano(at + seconds))

    def observe_record(self, record: Record, *, request: str, at: float, within: bool = False) -> None:
        """A round has ended."""
        if not TRACE.fullmatch(request):
            return
        self._ids.trace = int(request, 16)
        context = _remote(request) if within else Context()
        ended = max(record.outcome.spent.seconds, *(phase.ended for phase in phases_of(record)))
        round_span = self._begin("round", context, at, _facts_of(record))
        inside = set_span_in_context(round_span)
        asks = list(asks_of(record))[:MOST_ASKS]
        for phase in phases_of(record):
            self._phase(phase, inside, at, [ask for ask in asks if ask.phase == phase.name])
        round_span.end(_nano(at + ended))

    def _phase(self, phase: Phase, context: Context, at: float, asks: list[Ask]) -> None:
        span = self._begin(phase.name, context, at + phase.began, {})
        inside = set_span_in_context(span)
        for ask in asks:
            facts: dict[str, Value] = {
                "waggle.node": ask.node,
                "waggle.tokens": ask.tokens,
                "waggle.parsed": ask.parsed,
            }
            began = min(max(ask.began, phase.began), ask.ended)
            asked = self._begin(f"ask {phase.name}", inside, at + began, facts)
            if ask.failed:
                asked.set_status(Status(StatusCode.ERROR))
            asked.end(_nano(at + ask.ended))
        span.end(_nano(at + phase.ended))

    def _begin(self, name: str, context: Context, at: float, facts: Mapping[str, Value]) -> Span:
        return self._tracer.start_span(name, context, attributes=facts, start_time=_nano(at))

    def close(self) -> None:
        """Send what is left, within seconds."""
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()


class _Ids(IdGenerator):
    """Names traces as it is told; used by one thread."""

    trace = 0
    span = 0

    def generate_span_id(self) -> int:
        """The one set, once; else any."""
        told, self.span = self.span, 0
        return told or secrets.randbits(63) + 1

    def generate_trace_id(self) -> int:
        """The one set."""
        return self.trace or secrets.randbits(127) + 1


def otlp_exporter() -> SpanExporter:
    """Sends spans by HTTP to where the environment says."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(timeout=EXPORT_SECONDS)


def _facts_of(record: Record) -> dict[str, Value]:
    outcome, ending = record.outcome, ending_of(record.outcome, record.events)
    return {
        "waggle.round": record.plan.round_id,
        "waggle.strategy": record.plan.strategy,
        "waggle.abstained": ending is Ending.ABSTAINED,
        "waggle.failed": ending is Ending.FAILED,
        "waggle.confidence": outcome.confidence,
        "waggle.candidates": len(outcome.candidates),
        "waggle.tokens": outcome.spent.proposing_tokens + outcome.spent.judging_tokens,
        "waggle.ballots": outcome.ballots.cast,
    }


def _remote(request: str) -> Context:
    """Below the request's span, which is made later."""
    parent = SpanContext(int(request, 16), _span_id_of(request), is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _span_id_of(request: str) -> int:
    return int.from_bytes(hashlib.sha256(request.encode()).digest()[:8]) or 1


def _nano(at: float) -> int:
    return int(at * NANO)
