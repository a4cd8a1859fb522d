"""After signing in one is where one wanted to go, and never anywhere that is not a page of this gateway."""

from collections.abc import AsyncIterator
from html import escape
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.gateway.conftest import Play
from tests.unit.gateway.door.inner import HOST, Inner, guarded
from tests.unit.gateway.raw_http import call
from waggle.gateway.app import make_app
from waggle.gateway.door.sessions import existing, goal_of, read_goal
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions

ELSEWHERE = [
    "https://evil.example",
    "http:evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%2fevil.example",
    "/%2Fevil.example/x",
    "/%5cevil.example",
    "/%5C%5Cevil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/rounds/..//evil.example",
    "/%2e%2e//evil.example",
    "/rounds/../../evil",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/rounds\r\nSet-Cookie: a=b",
    "/rounds%0d%0aSet-Cookie:%20a=b",
    "/rounds?x=\r\nLocation: //evil",
    "/rounds?x=//evil",
    "/rounds?next=https://evil.example",
    "/rounds#//evil.example",
    "/rounds\x00",
    "/rounds%00",
    "/rounds%",
    "/röunds",
    "/rounds/\ud800",
    '"><script>alert(1)</script>',
    "",
    "?x=1",
    "/" + "a" * 600,
    "/rounds?" + "a" * 600,
    "/login",
    "/logout",
    "/v1/models",
    "/v1/chat/completions",
    "/nowhere",
    "/rounds/",
    "/ROUNDS",
    "/_nicegui/x",
    "/rounds/a/b",
    "/%72ounds",
]


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
