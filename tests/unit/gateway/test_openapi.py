"""The API's own description against the API: whatever it allows to be sent is answered as it says, and never with 5xx."""

import asyncio

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.unit.gateway.conftest import bees, make_play
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
MANY = settings(FEW, max_examples=400, derandomize=False)


def make_gateway() -> FastAPI:
    play = asyncio.run(make_play(**bees()))
    return make_app(play.service, GatewayOptions(allowed_hosts=("testserver",)))


@pytest.fixture(scope="module")
def description() -> OpenApiSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", make_gateway())


schema = schemathesis.pytest.from_fixture("description")


@schema.parametrize()
@FEW
def test_what_is_described_is_what_happens(case: Case) -> None:
    case.call_and_validate(checks=CHECKS)
