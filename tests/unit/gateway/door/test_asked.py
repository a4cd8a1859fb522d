"""Requests that could be read in two ways."""

import pytest

from tests.unit.gateway.door.inner import HOST, Inner, guarded
from tests.unit.gateway.raw_http import call


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
