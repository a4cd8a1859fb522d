"""What is noted of requests: how they ended, also badly; who they belong to; and nothing that holds them up."""

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import aclosing, suppress
from typing import Any

import pytest

from tests.unit.gateway.conftest import QUESTION, bees, make_play
from tests.unit.gateway.telling.test_metrics import values
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest
from waggle.core.errors import UsageError
from waggle.gateway.telling.metrics import Metrics
from waggle.gateway.telling.observed import Call, NamedCalls, ObservedCalls, ObservedService
from waggle.node.observing.logs import RecentLogs, request_id
from waggle.node.observing.telemetry import NoTelemetry

REQUEST = "0123456789abcdef" * 2
CHAT = "/v1/chat/completions"
Message = MutableMapping[str, Any]


@pytest.fixture
def recent() -> Iterator[RecentLogs]:
    log = logging.getLogger("waggle")
    handler, level = RecentLogs(), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


def scope_of(path: str, **state: object) -> dict[str, Any]:
    return {"type": "http", "path": path, "method": "POST", "headers": [], "state": {"request": REQUEST, **state}}


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def drop(message: Message) -> None:
    pass


class Half:
    """Begins to answer, and finds nobody there."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # as ASGI has it
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})


class App:
    """Answers with a status, or raises."""

    def __init__(self, status: int = 200, fails: BaseException | None = None) -> None:
        self.status, self.fails = status, fails
        self.seen = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # as ASGI has it
        self.seen = await asyncio.create_task(self._who())
        if self.fails is not None:
            raise self.fails
        if self.status:
            await send({"type": "http.response.start", "status": self.status, "headers": []})
            await send({"type": "http.response.body", "body": b"secret"})

    async def _who(self) -> str:
        return request_id()


async def test_the_request_s_id_is_known_to_all_that_it_starts() -> None:
    app = App()
    await NamedCalls(app)(scope_of(CHAT), nothing, drop)
    assert app.seen == REQUEST
    assert request_id() == ""


@pytest.mark.parametrize("path", ["/", "/rounds", "/_nicegui/x", "/health/live"])
async def test_pages_do_not_keep_the_id_of_the_request_that_fetched_them(path: str) -> None:
    app = App()
    await NamedCalls(app)(scope_of(path), nothing, drop)
    assert app.seen == ""


async def test_sockets_and_lifespans_pass() -> None:
    metrics, app = Metrics(), App(0)
    for kind in ("websocket", "lifespan"):
        await ObservedCalls(NamedCalls(app), metrics)({**scope_of(CHAT), "type": kind}, nothing, drop)
    assert app.seen == ""
    assert not any("waggle_requests_total" in name for name in values(metrics))


async def test_a_request_s_end_is_counted_and_logged(recent: RecentLogs) -> None:
    metrics = Metrics()
    await ObservedCalls(App(429), metrics)(scope_of(CHAT, call=Call(tokens=7, model="swarm")), nothing, drop)
    assert values(metrics)[f"waggle_requests_total,route={CHAT},status=429"] == 1
    line = recent.lines()[-1]
    assert (line.message, line.level, line.request) == ("request ended", "info", REQUEST)
    assert 0.0 <= float(line.facts.pop("seconds") or 0.0) < 60.0
    assert line.facts == {"route": CHAT, "status": 429, "model": "swarm", "tokens": 7}


@pytest.mark.parametrize(
    ("route", "status", "level"),
    [(CHAT, 503, "warning"), (CHAT, 429, "info"), (CHAT, 200, "info"), ("/health/ready", 503, "info")],
)
async def test_what_the_gateway_could_not_do_is_a_warning(
    recent: RecentLogs, route: str, status: int, level: str
) -> None:
    await ObservedCalls(App(status), Metrics())(scope_of(route), nothing, drop)
    assert recent.lines()[-1].level == level


async def test_a_crash_is_an_error_without_its_words(recent: RecentLogs) -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="secret"):
        await ObservedCalls(App(fails=ValueError("secret prompt")), metrics)(scope_of(CHAT), nothing, drop)
    assert values(metrics)[f"waggle_requests_total,route={CHAT},status=500"] == 1
    line = recent.lines()[-1]
    assert line.level == "error"
    assert str(line.facts["fault"]).startswith("ValueError at telling/test_observed.py:")
    assert "secret" not in str(recent.lines())


@pytest.mark.parametrize("app", [App(0), Half(), App(fails=asyncio.CancelledError())])
async def test_a_client_that_went_away_is_counted_as_gone(app: App | Half) -> None:
    metrics = Metrics()
    with suppress(asyncio.CancelledError):
        await ObservedCalls(app, metrics)(scope_of(CHAT), nothing, drop)
    assert values(metrics)[f"waggle_requests_total,route={CHAT},status=499"] == 1


@pytest.mark.parametrize("path", ["/health/ready", "/metrics", "/style.css"])
async def test_whoever_looks_every_second_does_not_fill_the_log(path: str, recent: RecentLogs) -> None:
    await ObservedCalls(App(), Metrics())(scope_of(path), nothing, drop)
    assert recent.lines(level="info") == ()
    assert recent.lines()[-1].facts["status"] == 200


async def test_a_path_that_a_client_made_up_is_not_logged(recent: RecentLogs) -> None:
    await ObservedCalls(NamedCalls(App(404)), Metrics())(scope_of("/v1/secret-words"), nothing, drop)
    assert "secret" not in str(recent.lines())
    assert recent.lines()[-1].facts["route"] == "/v1/other"


async def test_rounds_and_tokens_of_a_service_are_counted() -> None:
    play, metrics = await make_play(**bees()), Metrics()
    service = ObservedService(play.service, metrics)
    record = await service.ask(QUESTION, AskOptions(), request=REQUEST)
    assert record.plan.round_id == REQUEST
    spent = record.outcome.spent
    used = 0
    async for token in service.generate("ant", GenerateRequest(question=QUESTION), 60.0):
        if token.generation is not None:
            used = token.generation.prompt_tokens + token.generation.completion_tokens
    told = values(metrics)
    assert told["waggle_rounds_total,outcome=answered,strategy=committee"] == 1
    assert told["waggle_tokens_total,purpose=propose"] == spent.proposing_tokens
    assert told["waggle_tokens_total,purpose=generate"] == used > 0
    assert (service.id, service.models(), service.peers()) == (play.service.id, play.service.models(), ())
    assert service.load.running == 0
    assert len(await service.embed("bee", ["a", "b"], 1.0)) == 2


async def test_what_fails_is_not_counted_as_a_round() -> None:
    play, metrics = await make_play(**bees()), Metrics()
    with pytest.raises(UsageError):
        await ObservedService(play.service, metrics).ask(QUESTION, AskOptions(strategy="solo:evil"))
    assert b"evil" not in metrics.text()
    assert not any("waggle_rounds_total" in name for name in values(metrics))


async def test_who_stops_listening_stops_the_engine() -> None:
    play = await make_play(**bees(seconds_per_token=0.05))
    async with aclosing(
        ObservedService(play.service, Metrics()).generate("ant", GenerateRequest(question=QUESTION), 30.0)
    ) as tokens:
        await anext(tokens)
        assert play.in_flight == 1
    assert play.in_flight == 0


class Spans(NoTelemetry):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool | int]] = []

    def observe_request(self, request: str, *, route: str, status: int, at: float, seconds: float) -> None:
        self.told.append((request, status))

    def observe_record(self, record: Any, *, request: str, at: float, within: bool = False) -> None:  # noqa: ANN401
        self.told.append((request, within))


async def test_a_round_s_spans_belong_to_the_request_or_stand_alone() -> None:
    play, spans = await make_play(**bees()), Spans()
    service = ObservedService(play.service, Metrics(), spans)

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        await service.ask(QUESTION, AskOptions(), request="f" * 32)  # one of several choices

    await ObservedCalls(NamedCalls(app), Metrics(), spans)(scope_of(CHAT), nothing, drop)
    await service.ask(QUESTION, AskOptions(), request="e" * 32)
    assert spans.told == [(REQUEST, True), (REQUEST, 499), ("e" * 32, False)]


async def test_a_request_that_fails_leaves_no_id_behind() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        raise UsageError("no")

    with pytest.raises(UsageError):
        await NamedCalls(app)(scope_of(CHAT), nothing, drop)
    assert request_id() == ""
