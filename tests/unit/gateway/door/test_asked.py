"""Requests that could be read in two ways, and what a request is called."""

import re

import pytest

from tests.unit.gateway.door.inner import HOST, Inner, bearer, guarded
from tests.unit.gateway.raw_http import call
from waggle.gateway.keys.store import KeyStore


@pytest.mark.parametrize(
    "target",
    [
        "//v1/models", "/v1//models", "/v1/./models", "/v1/../metrics", "/v1/..", "/.", "/%2e%2e/metrics", "/v1/%2E/x",
        "/v1/models/..%2f..%2fmetrics", "/v1%2fmodels", "/%761/models", "/v1/models%00", "/v1/models%23", "/v1/a%3fb",
        "/v1\\models", "/v1/%5cmodels", "/v1/%252e%252e/metrics", "/v1/models ", "/v1/a%20b", "/v1/a%0d%0ab", "/#@",
        "/#@/health/live", "http://evil.example/v1/models", "http://127.0.0.1/health/live", "", "*", "v1/models",
        "/v1/%80", "/health/live/..", "/health%2flive", "/v1/" + "a" * 9_000,
    ],
)  # fmt: skip
async def test_a_path_that_is_not_in_its_normal_form_is_refused(inner: Inner, target: str) -> None:
    reply = await call(guarded(inner), target=target)
    assert reply.status in (400, 414)
    assert reply.code in ("bad_path", "uri_too_long")
    assert inner.seen == []


@pytest.mark.parametrize(
    "target", ["/", "/v1/models/solo%2Fqwen3:8b", "/v1/models?a=//b", "/_nicegui/3.1/a-b_c.js", "/v1/%C3%A9"]
)
async def test_a_plain_path_passes(inner: Inner, target: str) -> None:
    assert (await call(guarded(inner), target=target)).status == 200


async def test_too_many_or_too_large_headers_are_refused(inner: Inner) -> None:
    many = [HOST, *(("x-a", "1") for _ in range(200))]
    assert (await call(guarded(inner), headers=many)).code == "headers_too_large"
    assert (await call(guarded(inner), headers=[HOST, ("x-a", "1" * 40_000)])).code == "headers_too_large"


@pytest.mark.parametrize("given", ["0123456789abcdef0123456789abcdef", "01234567-89AB-cdef-0123-456789abcdef"])
async def test_a_callers_own_id_is_kept_from_header_to_header(inner: Inner, given: str) -> None:
    reply = await call(guarded(inner), headers=[HOST, ("x-request-id", given)])
    assert reply.header("x-request-id") == "0123456789abcdef0123456789abcdef"
    assert inner.seen[0]["state"]["request"] == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "given",
    ["", "x", "0" * 31, "0" * 33, "g" * 32, "0-" * 16, "../../etc/passwd", "0" * 31 + "\n", "٠" * 16, "0" * 10_000],
)
async def test_an_id_that_is_none_is_replaced(inner: Inner, given: str) -> None:
    headers = [HOST, ("x-request-id", given.encode().decode("latin-1"))]
    made = (await call(guarded(inner), headers=headers)).header("x-request-id")
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made == inner.seen[0]["state"]["request"] != given


async def test_an_id_cannot_be_used_twice(inner: Inner) -> None:
    guard, headers = guarded(inner), [HOST, ("x-request-id", "a" * 32)]
    first, second = [(await call(guard, headers=headers)).header("x-request-id") for _ in range(2)]
    assert first == "a" * 32 != second


async def test_a_refusal_too_has_an_id_and_repeats_nothing_of_the_request(inner: Inner, keys: KeyStore) -> None:
    secret = "wk-" + "S" * 43
    reply = await call(
        guarded(inner, keys),
        "POST",
        f"/v1/{secret}",
        headers=[HOST, bearer(secret), ("cookie", f"waggle_session={secret}"), ("x-request-id", "b" * 32)],
        body=[secret.encode()],
    )
    assert reply.header("x-request-id") == "b" * 32
    assert "SSSS" not in repr(reply)
