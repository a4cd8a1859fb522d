"""One request id from the HTTP header to every envelope, log line, metric's trace, round record and history row."""

import asyncio
import io
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.solo_crowd import SoloCrowd, solo_crowd
from tests.virtual import in_virtual_time
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions
from waggle.mesh.codec import open_envelope
from waggle.mesh.transport import Stream
from waggle.node.history.history import History
from waggle.node.network.mesh_node import MeshNode
from waggle.node.observing.logs import configure_logs
from waggle.node.observing.spans import SpanTelemetry
from waggle.node.observing.telemetry import Telemetry
from waggle.testing.clock import VirtualClock

REQUEST = "5eed" * 8
QUESTION = QUESTIONS[77]
SECRET = "the colour of my grandmother's left shoe"
NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("waggle")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    stream = io.StringIO()
    configure_logs("debug", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class Tap:
    """A stream that remembers which rounds its envelopes name, by who sent them."""

    def __init__(self, inner: Stream, sender: NodeId, heard: dict[NodeId, set[str]]) -> None:
        self._inner, self._sender, self._heard = inner, sender, heard
        self.peer, self.close = inner.peer, inner.close

    async def send(self, frame: bytes) -> None:
        self._heard[self._sender].add(open_envelope(frame, sender=self._sender).round)
        await self._inner.send(frame)

    async def receive(self) -> bytes | None:
        frame = await self._inner.receive()
        if frame is not None:
            self._heard[self.peer].add(open_envelope(frame, sender=self.peer).round)
        return frame


def tap(node: MeshNode) -> dict[NodeId, set[str]]:
    """Listen to the rounds that this node coordinates."""
    heard: dict[NodeId, set[str]] = defaultdict(set)
    opened = node.party._open_stream

    async def tapped(peer: NodeId) -> Stream:
        return Tap(await opened(peer), node.id, heard)

    node.party._open_stream = tapped
    return heard


@asynccontextmanager
async def gateway(
    history: History | None = None, telemetry: Telemetry | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, SoloCrowd]]:
    """Of a swarm of five, one of whose engines crashes."""
    scripts = [Script(name=name, seed=i, skill=float(i != 1), seconds_per_call=0.3) for i, name in enumerate(NAMES)]
    scripts.append(Script(name="elk", conduct=Crasher()))
    engines = [ScriptedEngine(part, TRUTH, clock=VirtualClock()) for part in scripts]
    async with solo_crowd(engines, capacity=8, queue=64) as (crowd, service):
        app = make_app(service, GatewayOptions(), history=history, telemetry=telemetry)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client, crowd


async def ask(
    client: httpx.AsyncClient, question: str = QUESTION, *, request: str = REQUEST, **more: object
) -> httpx.Response:
    body = {"model": "swarm", "messages": [{"role": "user", "content": question}], **more}
    return await client.post("/v1/chat/completions", json=body, headers={"x-request-id": request})


def lines(log: io.StringIO, logger: str = "", message: str = "") -> list[dict[str, object]]:
    told: list[dict[str, object]] = [json.loads(line) for line in log.getvalue().splitlines()]
    return [
        line
        for line in told
        if str(line["logger"]).endswith(logger) and line["message"] in (message or line["message"],)
    ]


@in_virtual_time
async def test_one_id_is_found_everywhere(log: io.StringIO, tmp_path: Path) -> None:
    history, exporter = History(tmp_path / "history.db"), InMemorySpanExporter()
    async with gateway(history, SpanTelemetry(exporter, at_once=True)) as (client, crowd):
        heard = tap(crowd.nodes[0])
        response = await ask(client)
    ids = [node.id for node in crowd.nodes.values()]
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"].strip() == TRUTH[QUESTION]
    # the response
    assert response.headers["x-request-id"] == REQUEST
    assert response.json()["waggle"]["round_id"] == REQUEST
    # every envelope, both ways
    assert set(heard) == set(ids)
    assert all(rounds == {REQUEST} for rounds in heard.values())
    # log lines: the gateway's, the coordinator's and the participants'
    ended = lines(log, "telling.observed", "request ended")[0]
    assert (ended["request"], ended["status"], ended["model"]) == (REQUEST, 200, "committee")
    assert ended["tokens"] == response.json()["usage"]["total_tokens"]
    for message in ("request begins", "round planned", "round ended", "proposal failed", "proposed", "judged"):
        found = lines(log, message=message)
        assert found, message
        assert {line["request"] for line in found} == {REQUEST}, message
    assert {line["asker"] for line in lines(log, "participant", "proposed")} == {ids[0]}
    # the history and its record
    assert history.flush(50.0)
    summary = history.search()[0]
    assert (summary.round_id, summary.request, summary.source) == (REQUEST, REQUEST, "api")
    record = history.get(REQUEST)
    assert isinstance(record, Record)
    assert record.plan.round_id == REQUEST
    history.close()
    # spans
    assert {f"{span.context.trace_id:032x}" for span in exporter.get_finished_spans() if span.context} == {REQUEST}
    assert {"request", "round", "ask judge"} <= {span.name for span in exporter.get_finished_spans()}


@in_virtual_time
async def test_no_line_holds_words_of_question_answer_or_key(log: io.StringIO) -> None:
    async with gateway() as (client, _):
        for model in ("swarm", "solo/ant", "solo/elk", SECRET):
            body = {"model": model, "messages": [{"role": "user", "content": SECRET}], "user": SECRET}
            await client.post(
                "/v1/chat/completions", json=body, headers={"authorization": "Bearer sk-hush", "x-secret": SECRET}
            )
        await client.get("/v1/shoe", params={"q": SECRET})
    assert len(lines(log, "observed", "request ended")) == 5
    assert "shoe" not in log.getvalue()
    assert "hush" not in log.getvalue()


@in_virtual_time
async def test_two_requests_at_once_do_not_mix(log: io.StringIO) -> None:
    names = [f"{number:032x}" for number in (1, 2, 3, 4)]
    async with gateway() as (client, _):
        await asyncio.gather(*(ask(client, QUESTIONS[place], request=name) for place, name in enumerate(names)))
    for message in ("round planned", "round ended"):
        found = lines(log, message=message)
        assert sorted(str(line["request"]) for line in found) == names
        assert all(line["request"] == line["round"] for line in found)
    assert {line["request"] for line in lines(log, "participant", "proposed")} == set(names)


@in_virtual_time
async def test_a_stream_s_lines_and_counts_come_at_its_end(log: io.StringIO) -> None:
    async with gateway() as (client, _):
        response = await ask(client, stream=True)
        metrics = (await client.get("/metrics")).text
    assert response.headers["x-request-id"] == REQUEST
    assert response.text.rstrip().endswith("[DONE]")
    ended = lines(log, "observed", "request ended")[0]
    assert (ended["request"], ended["status"], ended["model"]) == (REQUEST, 200, "committee")
    assert int(str(ended["tokens"])) > 0
    assert [line["message"] for line in lines(log) if line.get("request") == REQUEST][-1] == "request ended"
    assert 'waggle_requests_total{route="/v1/chat/completions",status="200"} 1.0' in metrics
    assert 'waggle_rounds_total{outcome="answered",strategy="committee"} 1.0' in metrics
    assert 'waggle_peers{liveness="alive"} 4.0' in metrics
