"""Signing in to the pages with an admin key."""

import re

from tests.unit.gateway.door.inner import FAR, HOST, Hand, Inner, bearer, cookie_of, guarded, sign_in
from tests.unit.gateway.raw_http import call
from waggle.gateway.door.guard import Guard
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions


async def test_an_admin_key_opens_the_pages_by_a_cookie_and_not_the_api(inner: Inner, keys: KeyStore) -> None:
    guard, (text, info) = guarded(inner, keys), keys.create("ann", ("ask", "admin"))
    signed = await sign_in(guard, text)
    assert (signed.status, signed.header("location")) == (303, "/")
    rules = signed.header("set-cookie").split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rules)
    assert "Secure" not in rules
    assert text[3:] not in signed.header("set-cookie")
    cookie = ("cookie", f"a=b; {cookie_of(signed)}; c=d")
    assert (await call(guard, target="/", headers=[HOST, cookie])).status == 200
    assert inner.seen[0]["state"]["key"] == info
    assert (await call(guard, target="/metrics", headers=[HOST, cookie])).status == 200
    assert (await call(guard, "POST", "/v1/chat/completions", [HOST, cookie])).status == 401
    assert (await call(guard, target="/", headers=[HOST, cookie, bearer("wrong")])).status == 401


async def test_behind_tls_the_cookie_stays_there(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ann", ("admin",))
    assert "Secure" in (await sign_in(guarded(inner, keys), text, scheme="https")).header("set-cookie").split("; ")


async def test_a_wrong_key_and_one_without_the_scope_open_no_session(inner: Inner, keys: KeyStore) -> None:
    guard, (asker, _) = guarded(inner, keys), keys.create("asker")
    for text, status in ((asker, 403), ("", 401), ("<script>", 401), ("wk-" + "a" * 43, 401), ("x" * 4_000, 401)):
        reply = await sign_in(guard, text)
        assert reply.status == status
        assert reply.all("set-cookie") == []
        assert b"<script>" not in reply.body
    assert (await sign_in(guard, "x" * 5_000)).status == 413


async def test_another_sites_page_cannot_sign_a_browser_in(inner: Inner, keys: KeyStore) -> None:
    text, _ = keys.create("ann", ("admin",))
    assert (await sign_in(guarded(inner, keys), text, ("origin", FAR))).status == 403


async def test_a_forged_or_altered_session_is_none(inner: Inner, keys: KeyStore) -> None:
    guard, (text, info) = guarded(inner, keys), keys.create("ann", ("admin",))
    _, other = keys.create("bob", ("admin",))
    cookie = cookie_of(await sign_in(guard, text))
    value = cookie.removeprefix("waggle_session=")
    elsewhere = cookie_of(await sign_in(guarded(inner, keys), text))
    forged = [
        cookie[:-1], cookie + "x", cookie.replace(info.id, other.id), cookie.upper(), elsewhere, "waggle_session=..",
        f"{cookie}; {cookie}", f"waggle_session=x; {cookie}", f"waggle_session={info.id}.99999999.", "waggle_session=",
        f"waggle_session={info.id}.99999999.é", "waggle_session=" + "a" * 30_000, f"Waggle_Session={value}",
        re.sub(r"\.(\d+)\.", lambda found: f".{int(found[1]) + 1}.", cookie),
    ]  # fmt: skip
    for pair in forged:
        assert (await call(guard, target="/", headers=[HOST, ("cookie", pair)])).status == 401, pair
    assert (await call(guard, target="/", headers=[HOST, ("cookie", cookie)])).status == 200


async def test_a_session_ends_with_its_time_and_with_its_key(inner: Inner, keys: KeyStore) -> None:
    clock = Hand()
    guard = Guard(inner, options=GatewayOptions(), keys=keys, now=clock)
    text, _ = keys.create("ann", ("admin",))
    cookie = ("cookie", cookie_of(await sign_in(guard, text)))
    clock.at += 12 * 3_600 - 1
    assert (await call(guard, target="/", headers=[HOST, cookie])).status == 200
    clock.at += 1
    assert (await call(guard, target="/", headers=[HOST, cookie])).status == 401
    fresh = ("cookie", cookie_of(await sign_in(guard, text)))
    keys.revoke("ann")
    assert (await call(guard, target="/", headers=[HOST, fresh])).status == 401


async def test_a_person_without_a_session_is_shown_where_to_sign_in(inner: Inner, keys: KeyStore) -> None:
    guard, page = guarded(inner, keys), [HOST, ("accept", "text/html,*/*")]
    for target in ("/", "/rounds", "/docs"):
        reply = await call(guard, target=target, headers=page)
        assert (reply.status, reply.header("location")) == (303, "/login" if target == "/" else f"/login?next={target}")
    assert (await call(guard, target="/v1/models", headers=page)).status == 401
    form = await call(guard, target="/login", headers=page)
    assert form.status == 200
    assert "default-src 'none'" in form.header("content-security-policy")
    assert not re.search(rb"(src|href)=|https?://", form.body)
    assert inner.seen == []


async def test_signing_out_makes_the_browser_forget(inner: Inner, keys: KeyStore) -> None:
    reply = await call(guarded(inner, keys), "POST", "/logout")
    assert reply.header("set-cookie").startswith("waggle_session=; ")
    assert "Max-Age=0" in reply.header("set-cookie")


async def test_without_keys_there_is_nothing_to_sign_in_to(inner: Inner) -> None:
    assert (await call(guarded(inner), target="/login")).header("location") == "/"
