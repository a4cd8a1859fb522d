"""The API's own description against the API: whatever may be sent is answered as it says, and never with 5xx."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.unit.gateway.conftest import QUESTION, bees, make_play
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
OPERATIONS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
]
POSTS = [path for method, path in OPERATIONS if method == "POST"]
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
MANY = settings(FEW, max_examples=150, derandomize=False)


@pytest.fixture(scope="module")
def description() -> OpenApiSchema:
    scripts = {name: replace(script, answer_marker=None) for name, script in bees().items()}  # one token is an answer
    play = asyncio.run(make_play(**scripts))
    app = make_app(play.service, GatewayOptions(allowed_hosts=("testserver",)))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def play_against(description: OpenApiSchema, method: str, path: str, mode: GenerationMode, how: settings) -> set[int]:
    """Send what the description allows, or what it does not; gives the statuses that came back."""
    strategy = description[path][method].as_strategy(generation_mode=mode)
    statuses = set()

    @how
    @given(data=st.data())
    def send(data: st.DataObject) -> None:
        case = data.draw(strategy)
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            fill_in(case.body, path, data)
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    send()
    return statuses


SENSIBLE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": QUESTION}], "tools": [], "tool_choice": "auto"},
    "/v1/responses": {"input": QUESTION, "tools": [], "tool_choice": "auto", "conversation": None, "prompt": None},
}


def fill_in(body: dict[str, Any], path: str, data: st.DataObject) -> None:
    """Ask for a model that is there, for a stream and for something to answer: chance alone seldom does."""
    if path.endswith("embeddings"):
        body["model"] = "solo/ant"
    else:
        body["model"] = data.draw(st.sampled_from(["swarm", "swarm/best", "solo/ant", "none"]))
        body["stream"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        body |= SENSIBLE.get(path, {})


def test_every_operation_is_described_and_none_is_forgotten(description: OpenApiSchema) -> None:
    raw = description.raw_schema["paths"]
    assert {(method.upper(), path) for path, methods in raw.items() for method in methods} == set(OPERATIONS)


def test_keys_headers_and_what_the_door_refuses_are_described(description: OpenApiSchema) -> None:
    raw = description.raw_schema
    assert raw["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for method, path in OPERATIONS:
        told = raw["paths"][path][method.lower()]
        headers = {one["name"] for one in told.get("parameters", ()) if one["in"] == "header"}
        assert ("X-Request-Id" in headers) is path.startswith("/v1/")
        assert ({"414", "421", "429", "431"} <= set(told["responses"])) is path.startswith("/v1/")
        asks = path in POSTS and "embeddings" not in path
        assert ({"X-Waggle-Min-Confidence", "X-Waggle-Budget-Tokens", "X-Waggle-Judges"} <= headers) is asks


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_may_be_sent_is_answered_as_described(description: OpenApiSchema, method: str, path: str) -> None:
    statuses = play_against(description, method, path, GenerationMode.POSITIVE, FEW)
    assert statuses <= {200, 400, 404, 408, 422}  # 408: a time may be asked for that is too short
    assert statuses & {200, 404}


@pytest.mark.parametrize("path", POSTS)
def test_what_may_not_be_sent_is_refused(description: OpenApiSchema, path: str) -> None:
    assert play_against(description, "POST", path, GenerationMode.NEGATIVE, FEW) <= {400, 404, 405, 413, 415, 422}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", POSTS)
def test_a_long_run_finds_nothing(description: OpenApiSchema, path: str, mode: GenerationMode) -> None:
    assert max(play_against(description, "POST", path, mode, MANY)) < 500
