"""HEAD: what monitors ask. It is GET without the body, for the same callers."""

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.gateway.conftest import Play, Serve, caller
from waggle.gateway.app import make_app
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions

PATHS = ["/health/live", "/health/ready", "/v1/models", "/v1/models/solo/ant", "/metrics", "/openapi.json", "/"]


def with_a_page(app: FastAPI) -> FastAPI:
    @app.get("/")
    async def page() -> str:
        return "the first page"

    return app


@pytest.mark.parametrize("path", PATHS)
async def test_a_head_is_a_get_without_its_body(client: httpx.AsyncClient, app: FastAPI, path: str) -> None:
    with_a_page(app)
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert get.content
    if path != "/metrics":  # it counts the requests for itself
        assert head.headers["content-length"] == str(len(get.content))


async def test_over_a_socket_the_next_answer_of_the_connection_is_whole(serve: Serve, app: FastAPI) -> None:
    async with serve(with_a_page(app)) as url, httpx.AsyncClient(base_url=url) as client:
        for path in PATHS:
            assert (await client.head(path)).status_code == 200
            assert (await client.get(path)).content


async def test_what_is_not_there_and_what_is_only_posted_to_stays_so(client: httpx.AsyncClient) -> None:
    for path, status in (("/nowhere", 404), ("/v1/models/nobody", 404), ("/v1/chat/completions", 405)):
        head = await client.head(path)
        assert (head.status_code, head.content) == (status, b"")


async def test_a_head_needs_the_key_that_a_get_needs(play: Play, keys: KeyStore) -> None:
    admin, _ = keys.create("ann", ("ask", "admin"))
    asker, _ = keys.create("bob")
    app = with_a_page(make_app(play.service, GatewayOptions(), keys=keys))
    async with caller(app) as client:
        for key in (None, asker, admin, "wk-" + "a" * 43):
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            for path in PATHS:
                head, get = await client.head(path, headers=headers), await client.get(path, headers=headers)
                assert head.status_code == get.status_code, (path, key)
        assert (await client.head("/v1/models")).status_code == 401
        assert (await client.head("/health/live")).status_code == 200


async def test_a_head_of_a_foreign_name_or_page_is_turned_away(client: httpx.AsyncClient) -> None:
    assert (await client.head("/v1/models", headers={"host": "evil.example"})).status_code == 421
    assert (await client.head("/v1/models", headers={"origin": "http://evil.example"})).status_code == 403
