"""Spans: off and unloaded by default; where wanted, one trace under the request's id, with metadata only."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.unit.gateway.telling.test_metrics import QUESTION, played
from waggle.core.round_values import BallotReceived, ProposalReceived
from waggle.node.observing.spans import SpanTelemetry, asks_of
from waggle.node.observing.telemetry import ENDPOINT, NoTelemetry, make_telemetry

REQUEST = "0123456789abcdef" * 2
AT = 1_750_000_000.25


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> SpanTelemetry:
    return SpanTelemetry(exporter, at_once=True)


def seconds(span: ReadableSpan) -> tuple[float, float]:
    """When it began and ended, seconds after `AT`."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9 - AT, span.end_time / 1e9 - AT


def test_a_request_and_its_round_are_one_trace_of_the_request_s_id(
    telemetry: SpanTelemetry, exporter: InMemorySpanExporter
) -> None:
    telemetry.observe_record(played(), request=REQUEST, at=AT, within=True)
    telemetry.observe_request(REQUEST, route="/v1/chat/completions", status=200, at=AT, seconds=9.0)
    spans = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context}
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {REQUEST}
    assert len(by_id) == len(spans)
    paths = set()
    for span in spans:
        path = [span.name]
        while span.parent is not None:
            span = by_id[span.parent.span_id]
            path.append(span.name)
        paths.add(" < ".join(path))
    assert paths == {
        "request",
        "round < request",
        "propose < round < request",
        "judge < round < request",
        "decide < round < request",
        "ask propose < propose < round < request",
        "ask judge < judge < round < request",
    }


def test_every_ask_has_a_span_within_its_part(telemetry: SpanTelemetry, exporter: InMemorySpanExporter) -> None:
    telemetry.observe_record(played(), request=REQUEST, at=AT)
    spans = exporter.get_finished_spans()
    asks = [span for span in spans if span.name.startswith("ask ")]
    kinds = [type(event) for event in played().events]
    assert len([span for span in asks if span.name == "ask judge"]) >= kinds.count(BallotReceived) > 0
    assert len([span for span in asks if span.name == "ask propose"]) >= kinds.count(ProposalReceived) > 0
    parts = {span.name: seconds(span) for span in spans}
    for ask in asks:
        began, ended = seconds(ask)
        part = parts[ask.name.removeprefix("ask ")]
        assert part[0] - 1e-6 <= began <= ended <= part[1] + 1e-6
    assert [span.name for span in spans if span.parent is None] == ["round"]
    failed = [span for span in asks if span.status.status_code is StatusCode.ERROR]
    assert {(span.attributes or {})["waggle.node"] for span in failed} == {"n4"}
    assert parts["round"][1] == pytest.approx(played().outcome.spent.seconds, abs=1e-3)


def test_spans_hold_no_words_of_question_or_answers(telemetry: SpanTelemetry, exporter: InMemorySpanExporter) -> None:
    telemetry.observe_record(played(), request=REQUEST, at=AT)
    told = "".join(str(span.to_json()) for span in exporter.get_finished_spans())
    words = [QUESTION, *(ask.proposal.trace for ask in played().events if isinstance(ask, ProposalReceived))]
    assert words
    assert not any(word and word in told for word in words)


def test_a_failed_request_is_marked(telemetry: SpanTelemetry, exporter: InMemorySpanExporter) -> None:
    for status in (404, 503):
        telemetry.observe_request(f"{status:032x}", route="pages", status=status, at=AT, seconds=0.1)
    marks = [span.status.status_code is StatusCode.ERROR for span in exporter.get_finished_spans()]
    assert marks == [False, True]


@pytest.mark.parametrize("request_id", ["", "0" * 32, "x" * 32, REQUEST.upper(), REQUEST + "0"])
def test_what_is_no_trace_s_id_makes_no_span(
    telemetry: SpanTelemetry, exporter: InMemorySpanExporter, request_id: str
) -> None:
    telemetry.observe_request(request_id, route="pages", status=200, at=AT, seconds=0.1)
    telemetry.observe_record(played(), request=request_id, at=AT)
    assert exporter.get_finished_spans() == ()


def test_asks_are_never_longer_than_they_can_be() -> None:
    assert all(0.0 <= ask.began <= ask.ended for ask in asks_of(played()))


def test_without_an_endpoint_nothing_is_sent() -> None:
    assert isinstance(make_telemetry({}), NoTelemetry)
    assert isinstance(make_telemetry({ENDPOINT: ""}), NoTelemetry)
    assert isinstance(make_telemetry({ENDPOINT: "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}), NoTelemetry)


def test_with_an_endpoint_spans_are_sent_and_an_absent_collector_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    made = make_telemetry()
    assert isinstance(made, SpanTelemetry)
    made.observe_record(played(), request=REQUEST, at=AT)
    made.close()


def test_missing_packages_are_told_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("waggle.node.observing.telemetry.PACKAGE", "no_such_package")
    assert isinstance(make_telemetry({ENDPOINT: "http://127.0.0.1:9"}), NoTelemetry)
    assert "pip install 'waggle[telemetry]'" in caplog.text


def test_nothing_of_it_is_loaded_unless_wanted() -> None:
    code = (
        "import sys; from waggle.node.observing.telemetry import make_telemetry; make_telemetry({}).close(); "
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=55)
