"""Who may do what, and how a key is shown."""

import pytest

from tests.unit.gateway.door.inner import HOST, Inner, bearer, guarded
from tests.unit.gateway.raw_http import call
from waggle.gateway.keys.store import KeyStore


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"), ("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("GET", "/health/ready"),
        ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/redoc"), ("GET", "/health"),
        ("GET", "/health/live/"), ("POST", "/health/live"), ("GET", "/HEALTH/LIVE"), ("GET", "/anything"),
        ("GET", "/_nicegui/auto/static/x.js"), ("OPTIONS", "/v1/models"), ("DELETE", "/login/x"), ("PUT", "/v1/x"),
    ],
)  # fmt: skip
async def test_every_route_is_closed_without_a_key(inner: Inner, keys: KeyStore, method: str, target: str) -> None:
    reply = await call(guarded(inner, keys), method, target)
    assert (reply.status, reply.code) == (401, "invalid_api_key")
    assert reply.header("www-authenticate") == "Bearer"
    assert inner.seen == []


async def test_only_the_sign_of_life_is_open(inner: Inner, keys: KeyStore) -> None:
    assert (await call(guarded(inner, keys), "GET", "/health/live")).status == 200
    assert (await call(guarded(inner, keys), "HEAD", "/health/live")).status == 200


@pytest.mark.parametrize(
    ("target", "ask", "admin"),
    [
        ("/v1/models", 200, 403), ("/v1/unknown", 200, 403), ("/health/ready", 200, 200), ("/metrics", 403, 200),
        ("/docs", 403, 200), ("/openapi.json", 403, 200), ("/", 403, 200), ("/v1", 403, 200), ("/rounds/1", 403, 200),
        ("/_nicegui_ws/socket.io/", 403, 200), ("/V1/models", 403, 200), ("/v2/models", 403, 200),
    ],
)  # fmt: skip
async def test_a_key_opens_what_its_scope_says(inner: Inner, keys: KeyStore, target: str, ask: int, admin: int) -> None:
    guard = guarded(inner, keys)
    asker, _ = keys.create("asker", ("ask",))
    ruler, _ = keys.create("ruler", ("admin",))
    assert (await call(guard, target=target, headers=[HOST, bearer(asker)])).status == ask
    assert (await call(guard, target=target, headers=[HOST, bearer(ruler)])).status == admin


async def test_metrics_and_descriptions_can_be_opened_and_nothing_else_opens_with_them(
    inner: Inner, keys: KeyStore
) -> None:
    guard = guarded(inner, keys, open_metrics=True)
    for target in ("/metrics", "/docs", "/openapi.json"):
        assert (await call(guard, target=target)).status == 200
    for target in ("/metrics/", "/metricsx", "/docs/x", "/v1/models", "/", "/health/ready"):
        assert (await call(guard, target=target)).status == 401
    assert (await call(guard, "POST", "/metrics")).status == 401


async def test_a_shown_key_must_be_the_whole_key_in_the_one_form(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ann")
    shown = [
        text, "", "Bearer", "Bearer ", f"Bearer{text}", f"Basic {text}", f"Token {text}", f"Bearer {text[:-1]}",
        f"Bearer {text}x", f"Bearer {text} x", f"Bearer {text},{text}", f"Bearer\t{text}", f"Bearer {text.swapcase()}",
        "Bearer null", "Bearer undefined", "Bearer é", "Bearer " + "a" * 20_000, f"Bearer {text[:8]}",
        f'Bearer "{text}"',
        f"bearer bearer {text}", "Bearer ' OR 1=1 --", "Bearer \0", f"Bearer {text}\0",
    ]  # fmt: skip
    guard = guarded(inner, keys)
    for value in shown:
        assert (await call(guard, headers=[HOST, ("authorization", value)])).status == 401, value
    assert inner.seen == []
    assert (await call(guard, headers=[HOST, ("authorization", f"bearer {text}")])).status == 200


async def test_a_key_anywhere_else_is_no_key(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ann", ("ask", "admin"))
    guard = guarded(inner, keys)
    for name in ("x-api-key", "api-key", "proxy-authorization", "x-forwarded-authorization"):
        assert (await call(guard, headers=[HOST, (name, f"Bearer {text}")])).status == 401
    assert (await call(guard, headers=[HOST, ("cookie", f"waggle_session={text}")])).status == 401
    assert (await call(guard, target=f"/v1/models?api_key={text}&key={text}")).status == 401


async def test_two_shown_keys_are_refused_though_one_is_good(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ann")
    for pair in ([bearer(text), bearer("x")], [bearer("x"), bearer(text)], [bearer(text), bearer(text)]):
        assert (await call(guarded(inner, keys), headers=[HOST, *pair])).status == 400
    assert inner.seen == []


async def test_a_revoked_key_is_no_key_from_the_next_request_on(inner: Inner, keys: KeyStore) -> None:
    guard, (text, info) = guarded(inner, keys), keys.create("ann")
    assert (await call(guard, headers=[HOST, bearer(text)])).status == 200
    assert inner.seen[0]["state"]["key"] == info
    keys.revoke("ann")
    assert (await call(guard, headers=[HOST, bearer(text)])).status == 401


async def test_where_keys_cannot_be_looked_up_nobody_gets_in(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ann")
    guard = guarded(inner, keys)
    keys.close()
    reply = await call(guard, headers=[HOST, bearer(text)])
    assert (reply.status, reply.code) == (503, "keys_unavailable")
    assert inner.seen == []


async def test_without_keys_any_shown_key_is_passed_over(inner: Inner) -> None:
    assert (await call(guarded(inner), headers=[HOST, bearer("sk-anything")])).status == 200
    assert inner.seen[0]["state"]["key"] is None


async def test_a_key_above_its_limit_is_told_when_to_come_again_and_another_is_served(
    inner: Inner, keys: KeyStore
) -> None:
    ann, _ = keys.create("ann", requests_per_minute=2)
    bob, _ = keys.create("bob", requests_per_minute=2)
    guard = guarded(inner, keys)
    statuses = [(await call(guard, "POST", headers=[HOST, bearer(ann)])).status for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    reply = await call(guard, "POST", headers=[HOST, bearer(ann)])
    assert reply.code == "rate_limit_exceeded"
    assert int(reply.header("retry-after")) == 30
    assert (await call(guard, "POST", headers=[HOST, bearer(bob)])).status == 200
    assert (await call(guard, "GET", headers=[HOST, bearer(ann)])).status == 200  # looking costs nothing


async def test_tokens_are_charged_to_the_key_that_asked(inner: Inner, keys: KeyStore) -> None:
    ann, _ = keys.create("ann", tokens_per_minute=10)
    guard = guarded(inner, keys)
    assert (await call(guard, "POST", headers=[HOST, bearer(ann)])).status == 200
    inner.seen[0]["state"]["charge"](500)
    assert (await call(guard, "POST", headers=[HOST, bearer(ann)])).status == 429
