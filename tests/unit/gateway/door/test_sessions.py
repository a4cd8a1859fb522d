"""Signing in to the pages with an admin key; afterwards one is at a page of this gateway, never anywhere else."""

import re
from collections.abc import AsyncIterator
from html import escape
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.gateway.conftest import Play
from tests.unit.gateway.door.inner import FAR, HOST, Hand, Inner, bearer, cookie_of, guarded, sign_in
from tests.unit.gateway.raw_http import call
from waggle.gateway.app import make_app
from waggle.gateway.door.guard import Guard
from waggle.gateway.door.sessions import existing, goal_of, read_goal
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


ELSEWHERE = [
    "https://evil.example", "http:evil.example", "//evil.example", "///evil.example", "/\\evil.example",
    "\\\\evil.example", "/%2fevil.example", "/%2Fevil.example/x", "/%5cevil.example", "/%5C%5Cevil.example",
    "/.//evil.example", "/..//evil.example", "/rounds/..//evil.example", "/%2e%2e//evil.example", "/rounds/../../evil",
    "javascript:alert(1)", "data:text/html,x", "evil.example", "@evil.example", " //evil.example", "\t//evil.example",
    "/\t/evil.example", "/rounds\r\nSet-Cookie: a=b", "/rounds%0d%0aSet-Cookie:%20a=b",
    "/rounds?x=\r\nLocation: //evil", "/rounds?x=//evil", "/rounds?next=https://evil.example",
    "/rounds#//evil.example", "/rounds\x00", "/rounds%00", "/rounds%", "/röunds", "/rounds/\ud800",
    '"><script>alert(1)</script>', "", "?x=1", "/" + "a" * 600, "/rounds?" + "a" * 600, "/login", "/logout",
    "/v1/models", "/v1/chat/completions", "/nowhere", "/rounds/", "/ROUNDS", "/_nicegui/x", "/rounds/a/b", "/%72ounds",
]  # fmt: skip


@pytest.fixture
async def app(play: Play, keys: KeyStore) -> FastAPI:
    app = make_app(play.service, GatewayOptions(), keys=keys)

    @app.get("/")
    @app.get("/rounds")
    @app.get("/rounds/{name}")
    async def page() -> str:
        return "a page"

    return app


@pytest.fixture
async def person(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a session."""
    transport, accept = httpx.ASGITransport(app), {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=accept) as client:
        yield client


async def signed_in(person: httpx.AsyncClient, key: str, **fields: str) -> str:
    """Where the form leads to."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode({"key": key, **fields}, errors="surrogatepass")
    reply = await person.post("/login", content=body, headers=form)
    assert reply.status_code == 303
    assert len(reply.headers.get_list("location")) == 1
    assert [line.partition("=")[0] for line in reply.headers.get_list("set-cookie")] == ["waggle_session"]
    return reply.headers["location"]


@pytest.mark.parametrize("goal", ["/rounds", "/rounds/ab12", "/rounds?x=1&text=a+b%20c", "/", "/metrics"])
async def test_one_ends_at_the_page_that_was_asked_for(person: httpx.AsyncClient, keys: KeyStore, goal: str) -> None:
    key, _ = keys.create("ann", ("ask", "admin"))
    turned = await person.get(goal)
    assert turned.status_code == 303
    form = await person.get(turned.headers["location"])
    assert f'<input type="hidden" name="next" value="{escape(goal)}">' in form.text
    assert await signed_in(person, key, next=goal) == goal
    assert (await person.get(goal)).status_code == 200


@pytest.mark.parametrize("goal", ELSEWHERE, ids=ascii)
async def test_nobody_is_led_away(person: httpx.AsyncClient, keys: KeyStore, goal: str) -> None:
    key, _ = keys.create("ann", ("ask", "admin"))
    assert await signed_in(person, key, next=goal) == "/"


@pytest.mark.parametrize("goal", ELSEWHERE, ids=ascii)
async def test_a_link_to_the_form_plants_nothing_in_it(person: httpx.AsyncClient, keys: KeyStore, goal: str) -> None:
    keys.create("ann")
    form = await person.get(f"/login?next={quote(goal, safe='', errors='surrogatepass')}")
    assert form.status_code == 200
    assert "evil" not in form.text
    assert "<script" not in form.text


async def test_two_goals_are_none_and_a_wrong_key_keeps_the_right_one(
    person: httpx.AsyncClient, keys: KeyStore
) -> None:
    keys.create("ann", ("ask", "admin"))
    assert goal_of(b"next=/rounds&next=/x") == goal_of(b"next=%ff%fe") == goal_of(b"\xff") == goal_of(b"a=1") == "/"
    assert goal_of(b"&".join([b"a=1"] * 9)) == "/"
    body = urlencode({"key": "wk-wrong", "next": "/rounds"})
    reply = await person.post("/login", content=body)
    assert reply.status_code == 401
    assert 'name="next" value="/rounds"' in reply.text


async def test_who_has_no_key_is_not_told_which_pages_there_are(person: httpx.AsyncClient, keys: KeyStore) -> None:
    keys.create("ann")
    there, not_there = await person.get("/rounds"), await person.get("/nowhere")
    assert (there.status_code, there.headers["location"]) == (303, "/login?next=/rounds")
    assert (not_there.status_code, not_there.headers["location"]) == (303, "/login?next=/nowhere")


async def test_programs_and_the_api_are_not_sent_to_a_form(person: httpx.AsyncClient, keys: KeyStore) -> None:
    keys.create("ann")
    assert (await person.get("/v1/models")).status_code == 401
    assert (await person.get("/rounds", headers={"accept": "*/*"})).status_code == 401


async def test_without_an_app_that_tells_its_pages_there_is_only_the_first(inner: Inner, keys: KeyStore) -> None:
    assert read_goal("/rounds") == "/rounds"
    assert existing({}, "/rounds") == "/"
    assert (await call(guarded(inner), target="/login?next=/rounds", headers=[HOST])).header("location") == "/"
