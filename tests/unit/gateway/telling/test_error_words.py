"""Errors say what to do next, in names that exist."""

from pathlib import Path

import httpx
import pytest

from tests.unit.gateway.asking import CHAT, PATHS, RESPONSES, body_of
from tests.unit.gateway.conftest import Play, caller
from waggle.core.errors import PeerBusy
from waggle.gateway.app import make_app
from waggle.gateway.errors import of_waggle
from waggle.gateway.keys.rates import Rates, Reached
from waggle.gateway.keys.store import KeyInfo, KeyStore
from waggle.gateway.options import GatewayOptions

ASKED = body_of(model="solo/ant")
ROOT = Path(__file__).parents[4]


async def told(client: httpx.AsyncClient, *, path: str = CHAT, **sent: object) -> dict[str, str]:
    response = await client.post(path, **({"json": ASKED} | sent))  # type: ignore[arg-type]
    assert response.status_code >= 400
    error: dict[str, str] = response.json()["error"]
    return error


@pytest.mark.parametrize(
    ("headers", "option"),
    [({"host": "bee.example"}, "--gateway-name"), ({"origin": "https://bee.example"}, "--gateway-origin")],
)
async def test_a_name_that_is_not_let_in_is_told_by_the_option_that_lets_it_in(
    client: httpx.AsyncClient, headers: dict[str, str], option: str
) -> None:
    message = (await told(client, headers=headers))["message"]
    assert option in message
    assert "allowed_" not in message
    assert f"{option} " in (ROOT / "docs" / "cli" / "serve.md").read_text()


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", [*PATHS, "/v1/embeddings"])
async def test_a_body_that_is_not_said_to_be_json_is_told_which_header_to_send(
    client: httpx.AsyncClient, path: str, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    request = client.build_request("POST", path, content=b'{"model": "swarm"}', headers=headers)
    response = await client.send(request)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid_content_type")
    assert "Content-Type: application/json" in error["message"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/problem+json"])
async def test_a_body_that_is_json_but_no_object_is_told_so(client: httpx.AsyncClient, kind: str) -> None:
    error = await told(client, json=None, content=b"[1]", headers={"content-type": kind})
    assert (error["message"], error["code"]) == ("the body is not a JSON object", "body_not_an_object")


async def test_no_body_at_all_is_not_blamed_on_a_header(client: httpx.AsyncClient) -> None:
    assert (await told(client, json=None))["message"] == "the body is missing"


async def test_a_key_that_does_not_open_says_what_is_wrong_with_it(play: Play, keys: KeyStore) -> None:
    text, _ = keys.create("ann")
    revoked, _ = keys.create("bob")
    keys.revoke("bob")
    messages = {}
    async with caller(make_app(play.service, GatewayOptions(), keys=keys)) as client:
        shown = {"none": None, "bare": text, "basic": "Basic YTpi", "empty": "Bearer", "revoked": f"Bearer {revoked}"}
        shown |= {"unknown": "Bearer wk-" + "a" * 43, "misspelled": f"Bearer {text}x", "bare unknown": "wk-" + "a" * 43}
        for name, value in shown.items():
            error = await told(client, headers={} if value is None else {"authorization": value})
            assert error["code"] == "invalid_api_key"
            assert text[8:] not in error["message"]
            messages[name] = error["message"]
    assert "write Bearer before the key" in messages["bare"]
    assert "not known here" in messages["revoked"]
    assert "needs an API key" in messages["none"]
    assert "holds no key" in messages["basic"]
    assert messages["basic"] == messages["empty"]
    # nothing that tells a key that was one from a guess
    assert messages["revoked"] == messages["unknown"] == messages["misspelled"]
    assert messages["bare"] == messages["bare unknown"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [((1, None), "1 requests a minute"), ((None, 1), "1 tokens a minute"), ((1, 1), "1 tokens a minute")],
)
async def test_a_limit_that_is_reached_is_named_with_the_time_it_takes(
    play: Play, keys: KeyStore, limits: tuple[int | None, int | None], words: str
) -> None:
    text, _ = keys.create("ann", ("ask",), *limits)
    async with caller(make_app(play.service, GatewayOptions(), keys=keys)) as client:
        headers = {"authorization": f"Bearer {text}"}
        assert (await client.post(CHAT, json=ASKED, headers=headers)).status_code == 200
        response = await client.post(CHAT, json=ASKED, headers=headers)
    message = response.json()["error"]["message"]
    assert response.status_code == 429
    assert words in message
    assert f"try again in {response.headers['retry-after']} s" in message


def test_of_two_limits_the_one_that_holds_up_longer_is_named() -> None:
    now = [0.0]
    rates = Rates(now=lambda: now[0])
    key = KeyInfo(id="a", name="ann", requests_per_minute=60, tokens_per_minute=60)
    assert rates.reached(key) is None
    for _ in range(60):
        assert rates.take(key) == 0.0
    assert rates.reached(key) == Reached(1.0, "requests", 60)
    rates.charge(key, 90)
    assert rates.reached(key) == Reached(31.0, "tokens", 60)
    now[0] = 31.0
    assert rates.reached(key) is None


def test_who_is_busy_says_in_words_when_to_come_again() -> None:
    assert "try again in 3 s" in of_waggle(PeerBusy("full", 2.5)).message


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Waggle-Budget-Tokens", "many"),
        ("X-Waggle-Min-Confidence", "2"),
        ("X-Waggle-Stream", "loud"),
        ("X-Waggle-Foo", "1"),
    ],
)
async def test_a_header_at_fault_is_named_as_it_was_sent(
    client: httpx.AsyncClient, path: str, name: str, value: str
) -> None:
    error = await told(client, path=path, json=body_of(path), headers={name: value})
    assert error["param"] == name
    assert name in error["message"]
    assert name.removeprefix("X-Waggle-").replace("-", "_").lower() not in error["message"]


async def test_two_lengths_that_differ_blame_the_other_one(client: httpx.AsyncClient) -> None:
    error = await told(client, json=ASKED | {"max_tokens": 5, "max_completion_tokens": 6})
    assert error["message"] == "max_completion_tokens: max_tokens says something else: send one of them"
    assert error["param"] == "max_completion_tokens"


async def test_one_try_is_one_try(client: httpx.AsyncClient) -> None:
    error = await told(client, json=ASKED | {"response_format": {"type": "json_object"}, "max_tokens": 1})
    assert "1 tries" not in error["message"]
