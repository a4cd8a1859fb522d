"""Metrics: right counts, and no label that a client could make up."""

import asyncio
from functools import cache

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from waggle.core.asking import AskOptions
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness, Load, Peer
from waggle.core.round_values import Record
from waggle.engines.script import Babbler, Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.gateway.telling.metrics import ONE_MODEL, OTHER_API, PAGES, ROUTES, Metrics, route_of
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service
from waggle.testing.clock import VirtualClock, run_virtual

QUESTION = "What is 6 * 7?"


@cache
def played() -> Record:
    """Three good nodes, one whose ballots say nothing, one that fails."""
    parts = [Script(seed=i, skill=float(i % 2), wrong_choices=1, seconds_per_call=0.5) for i in range(3)]
    parts += [Script(seed=9, conduct=Babbler()), Script(conduct=Crasher())]

    async def run() -> Record:
        engines = {
            NodeId(f"n{i}"): ScriptedEngine(part, {QUESTION: "42"}, clock=VirtualClock())
            for i, part in enumerate(parts)
        }
        return await Swarm(engines, clock=VirtualClock()).ask(QUESTION, AskOptions())

    return run_virtual(run())


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 429, 404):
        metrics.observe_request("/v1/chat/completions", status, 0.02)
    told = values(metrics)
    assert told["waggle_requests_total,route=/v1/chat/completions,status=200"] == 2
    assert told["waggle_requests_total,route=/v1/chat/completions,status=429"] == 1
    assert told["waggle_admission_refused_total"] == 1
    assert told["waggle_request_seconds_count,route=/v1/chat/completions"] == 4
    assert told["waggle_request_seconds_bucket,le=0.025,route=/v1/chat/completions"] == 4
    assert told["waggle_request_seconds_bucket,le=0.01,route=/v1/chat/completions"] == 0


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/swarm", ONE_MODEL),
        ("/v1/models/solo/x", ONE_MODEL),
        ("/v1/secret-of-mine", OTHER_API),
        ("/v1", OTHER_API),
        ("/", PAGES),
        ("/metrics", "/metrics"),
        ("/metrics/x", PAGES),
    ],
)
def test_a_path_belongs_to_a_known_route(path: str, route: str) -> None:
    assert route_of(path) == route
    assert route_of(route) == route


@given(path=st.text(max_size=40) | st.from_regex(r"/v1/[a-z/]{0,20}"), status=st.integers())
def test_no_path_and_no_status_makes_a_series_of_its_own(path: str, status: int) -> None:
    metrics = Metrics()
    metrics.observe_request(path, status, -1.0)
    labels = [sample.labels for family in metrics.registry.collect() for sample in family.samples]
    assert {found["route"] for found in labels if "route" in found} <= ROUTES | {ONE_MODEL, OTHER_API, PAGES}
    assert all(found["status"] == "other" or 100 <= int(found["status"]) < 600 for found in labels if "status" in found)


def test_a_client_s_strategies_make_no_series() -> None:
    metrics = Metrics()
    for number in range(50):
        strategy = f"evil{number}" if number % 2 else f"solo:evil{number}"
        metrics.observe_record(replace(played(), plan=replace(played().plan, strategy=strategy)))
        metrics.observe_tokens(f"evil{number}", 1)
    assert b"evil" not in metrics.text()
    told = values(metrics)
    assert told["waggle_rounds_total,outcome=answered,strategy=solo"] == 25
    assert told["waggle_rounds_total,outcome=answered,strategy=other"] == 25
    assert told["waggle_tokens_total,purpose=other"] == 50


def test_a_round_is_counted_with_its_parts() -> None:
    metrics = Metrics()
    metrics.observe_record(played())
    told, outcome = values(metrics), played().outcome
    assert outcome.ballots.unparseable > 0
    assert outcome.failures
    assert told["waggle_rounds_total,outcome=answered,strategy=committee"] == 1
    assert told["waggle_ballots_total,result=cast"] == outcome.ballots.cast
    assert told["waggle_ballots_total,result=unparseable"] == outcome.ballots.unparseable
    assert told["waggle_ballots_total,result=refused"] == outcome.ballots.refused
    assert told["waggle_proposals_total,result=failed"] == len(outcome.failures)
    assert told["waggle_proposals_total,result=made"] == 3
    assert told["waggle_tokens_total,purpose=propose"] == outcome.spent.proposing_tokens
    assert told["waggle_tokens_total,purpose=judge"] == outcome.spent.judging_tokens
    assert told["waggle_prompt_tokens_total"] == outcome.spent.prompt_tokens
    phases = {name: told[f"waggle_phase_seconds_sum,phase={name}"] for name in ("propose", "judge", "decide")}
    assert phases["propose"] == pytest.approx(0.5, abs=0.01)
    assert phases["judge"] > 0
    assert sum(phases.values()) == pytest.approx(outcome.spent.seconds)
    assert told["waggle_confidence_count,strategy=committee"] == 1


def test_abstentions_and_rounds_without_an_answer_are_told_apart() -> None:
    metrics = Metrics()
    metrics.observe_record(replace(played(), outcome=replace(played().outcome, abstained=True)))
    without = replace(played(), outcome=replace(played().outcome, answer=None, abstained=True))
    metrics.observe_record(without)  # somebody wrote something, and nothing of it was of use
    for _ in range(3):
        metrics.observe_record(replace(without, events=()))  # nobody was heard
    told = values(metrics)
    assert told["waggle_rounds_total,outcome=abstained,strategy=committee"] == 2
    assert told["waggle_rounds_total,outcome=failed,strategy=committee"] == 3
    assert told["waggle_abstentions_total,strategy=committee"] == 2
    assert told["waggle_confidence_count,strategy=committee"] == 1


class Served(LocalService):
    """A service with neighbours."""

    def peers(self) -> tuple[Peer, ...]:
        return tuple(
            Peer(advert=_advert(number), liveness=liveness, reason="" if number == 0 else "away")
            for number, liveness in enumerate([Liveness.ALIVE, Liveness.ALIVE, Liveness.SUSPECT])
        )


class Lost(LocalService):
    """A service whose mesh is down."""

    def peers(self) -> tuple[Peer, ...]:
        raise EngineUnavailable("the mesh is down")


class Full:
    """An admission."""

    load = Load(running=3, waiting=2, capacity=4)


def _advert(number: int) -> Advert:
    return Advert(
        node=NodeId(f"evil-name-{number}"), network="n", incarnation=1, sequence=1, issued_at=0.0, ttl=1.0, version="0"
    )


async def test_what_is_so_now_is_asked_for_when_it_is_read() -> None:
    local = await make_local_service(Swarm({NodeId("a"): ScriptedEngine(Script(), {})}))
    jobs = {"hive": 3.0}
    metrics = Metrics(Served(local._swarm, {}), Full(), lambda: jobs)
    told = values(metrics)
    assert told["waggle_peers,liveness=alive"] == 2
    assert told["waggle_peers,liveness=suspect"] == 1
    assert told["waggle_peers,liveness=dead"] == 0
    assert told["waggle_peers_usable"] == 1
    assert told["waggle_models"] == 1
    assert told["waggle_admission,state=running"] == 3
    assert told["waggle_admission,state=waiting"] == 2
    assert told["waggle_node_work,state=running"] == 0
    assert told["waggle_engine_jobs,engine=hive"] == 3
    jobs["hive"] = 4.0
    assert values(metrics)["waggle_engine_jobs,engine=hive"] == 4
    assert b"evil" not in metrics.text()


async def test_a_gauge_that_cannot_be_read_does_not_hide_the_others() -> None:
    local = await make_local_service(Swarm({NodeId("a"): ScriptedEngine(Script(), {})}))
    told = values(Metrics(Lost(local._swarm, {}), Full()))
    assert "waggle_peers_usable" not in told
    assert told["waggle_admission,state=running"] == 3


def test_two_gateways_of_one_process_do_not_share_counts() -> None:
    one, two = Metrics(), Metrics()
    one.observe_request("/v1/models", 200, 0.1)
    assert not any("requests_total" in name for name in values(two))


def test_prometheus_can_read_the_route() -> None:
    metrics = Metrics()
    metrics.observe_record(played())
    app = FastAPI()
    app.include_router(metrics.router)
    with TestClient(app) as client:
        got = client.get("/metrics")
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(got.text)}
    assert {"waggle_rounds", "waggle_ballots", "waggle_tokens", "waggle_phase_seconds"} <= families
    assert not any(name.endswith("_created") for name in families)


async def test_the_page_of_metrics_stays_small() -> None:
    metrics = Metrics()
    for status in range(100, 600):
        for path in [*ROUTES, "/x", "/v1/x", "/v1/models/x"]:
            metrics.observe_request(path, status, 0.1)
    metrics.observe_record(played())
    await asyncio.sleep(0)
    assert len(metrics.text()) < 1_000_000
