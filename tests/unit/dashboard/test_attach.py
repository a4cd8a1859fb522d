"""The pages on an app: beside its own routes, several apps in one process, nothing shared."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from waggle.core.ids import NodeId
from waggle.dashboard.attach import attach
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import make_local_service

PAGES = ("/", "/swarm", "/rounds", "/quality", "/node", "/rounds/0123456789abcdef")


async def app_of(model: str, quality: Path | None = None) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/v1/models")
    def models() -> list[str]:
        return [model]

    service = await make_local_service(Swarm({NodeId(model): ScriptedEngine(Script(name=model), {})}))
    attach(app, service, history=None, quality=quality)
    return app


async def page_of(model: str, path: str, quality: Path | None = None) -> str:
    with TestClient(await app_of(model, quality)) as client:
        return client.get(path).text


async def test_every_page_is_there_and_the_apps_own_routes_stay() -> None:
    with TestClient(await app_of("heather")) as client:
        for path in PAGES:
            reply = client.get(path)
            assert reply.status_code == (404 if "0123" in path else 200), path
            assert "· waggle</title>" in reply.text
        assert client.get("/v1/models").json() == ["heather"]


async def test_what_is_neither_a_page_nor_an_asset_is_the_apps_own_matter() -> None:
    with TestClient(await app_of("heather")) as client:
        for path in ("/v1/nothing", "/favicon.ico", "/rounds/a/b", "/nicegui", "/static/x"):
            reply = client.get(path)
            assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"}), path


async def test_a_person_is_shown_a_page_where_nothing_is_and_a_program_is_not() -> None:
    person = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    with TestClient(await app_of("heather")) as client:
        for path in ("/nothing", "/rounds/a/b", "/<script>mischief()</script>"):
            reply = client.get(path, headers=person)
            assert (reply.status_code, "Nothing is here · waggle</title>" in reply.text) == (404, True), path
            assert "mischief" not in reply.text
        for path in ("/v1/nothing", "/health/nothing"):
            assert client.get(path, headers=person).json() == {"detail": "Not Found"}, path
        assert client.post("/nothing", headers=person).json() == {"detail": "Not Found"}


async def test_without_a_measurement_of_its_own_the_page_shows_that_of_the_bundled_models(tmp_path: Path) -> None:
    shown = await page_of("heather", "/quality", tmp_path / "quality.json")
    assert "Share of right answers: auto 99.6 %, committee 98 %" in shown
    assert "Nothing was measured on this machine yet" in shown


async def test_a_measurement_that_has_only_begun_is_no_broken_one(tmp_path: Path) -> None:
    (tmp_path / "quality.json").touch()
    assert "The measurement is under way" in await page_of("heather", "/quality", tmp_path / "quality.json")


async def test_two_apps_of_one_process_show_their_own_swarms() -> None:
    one, other = await app_of("heather"), await app_of("thyme")
    with TestClient(one) as client:
        shown = client.get("/swarm").text
    assert "heather" in shown
    assert "thyme" not in shown
    with TestClient(other) as client:
        shown = client.get("/swarm").text
    assert "thyme" in shown
    assert "heather" not in shown


async def test_pages_name_no_address_but_their_own() -> None:
    with TestClient(await app_of("heather")) as client:
        for path in PAGES:
            addresses = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?((?:https?:)?//[^\"')\s]+)", client.get(path).text)
            assert addresses == [], path


async def test_the_socket_refuses_pages_of_other_origins() -> None:
    with TestClient(await app_of("heather"), base_url="http://127.0.0.1:8080") as client:
        path = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
        assert client.get(path, headers={"Origin": "http://evil.example"}).status_code == 400


@pytest.mark.parametrize("text", ["{", '{"suite": "engine", "rows": []}'])
async def test_an_unreadable_measurement_is_said_without_its_path_in_the_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "quality.json").write_text(text)
    assert "The measurement cannot be read" in await page_of("heather", "/quality", tmp_path / "quality.json")
