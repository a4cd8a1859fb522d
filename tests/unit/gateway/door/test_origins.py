"""Which web pages may use a gateway from a browser."""

import pytest

from tests.unit.gateway.door.inner import CROSS, FAR, HOST, Inner, guarded
from tests.unit.gateway.raw_http import Pairs, call
from waggle.gateway.keys.store import KeyStore


@pytest.mark.parametrize("headers", CROSS, ids=str)
async def test_another_sites_page_cannot_drive_a_gateway_without_keys(inner: Inner, headers: Pairs) -> None:
    for method, target in (("POST", "/v1/chat/completions"), ("DELETE", "/x"), ("POST", "/_nicegui_ws/socket.io/")):
        reply = await call(guarded(inner), method, target, headers=[HOST, *headers])
        assert (reply.status, reply.code) in {(403, "bad_origin"), (403, "cross_site")}
        assert [name for name, _ in reply.headers if name.startswith("access-control")] == []
    assert inner.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("origin", "http://127.0.0.1:8080")],
        [("origin", "https://127.0.0.1:8080")],
        [("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "none")],
    ],
    ids=str,
)
async def test_our_own_pages_and_programs_may(inner: Inner, headers: Pairs) -> None:
    reply = await call(guarded(inner), "POST", headers=[HOST, *headers])
    assert reply.status == 200
    assert [name for name, _ in reply.headers if name.startswith("access-control")] == []


async def test_a_link_from_elsewhere_may_be_followed_but_not_framed_or_embedded(inner: Inner) -> None:
    visit = [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
    reply = await call(guarded(inner), target="/", headers=visit)
    assert reply.status == 200
    assert reply.header("x-frame-options") == "DENY"
    for mode, dest in (("navigate", "iframe"), ("no-cors", "image"), ("no-cors", "script"), ("cors", "empty")):
        odd = [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
        assert (await call(guarded(inner), target="/", headers=odd)).status == 403


async def test_a_page_on_the_list_may_and_only_it_is_told_so(inner: Inner) -> None:
    inner.headers = [
        ("access-control-allow-origin", "*"),
        ("Access-Control-Allow-Credentials", "true"),
        ("vary", "Accept"),
    ]
    guard = guarded(inner, allowed_origins=("https://app.example", "*"))
    reply = await call(guard, "POST", headers=[HOST, ("origin", "https://app.example")])
    assert reply.all("access-control-allow-origin") == ["https://app.example"]
    assert reply.all("vary") == ["Accept", "Origin"]
    assert "access-control-allow-credentials" not in {name.lower() for name, _ in reply.headers}
    for origin in ("https://app.example.evil.example", "http://app.example", "https://app.example:444", "*"):
        assert (await call(guard, "POST", headers=[HOST, ("origin", origin)])).status == 403
    plain = await call(guard, "POST")
    assert [name for name, _ in plain.headers if name.lower().startswith("access-control")] == []


async def test_a_browser_may_ask_first_and_needs_no_key_for_that(inner: Inner, keys: KeyStore) -> None:
    guard = guarded(inner, keys, allowed_origins=("https://app.example",))
    wanted = [
        HOST, ("origin", "https://app.example"), ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, x-waggle-explain, x-evil, x-waggle-\"*"),
    ]  # fmt: skip
    reply = await call(guard, "OPTIONS", headers=wanted)
    assert reply.status == 204
    assert reply.header("access-control-allow-origin") == "https://app.example"
    assert reply.header("access-control-allow-headers") == "authorization, x-waggle-explain"
    wanted[1] = ("origin", FAR)
    assert (await call(guard, "OPTIONS", headers=wanted)).status == 403
    assert inner.seen == []
