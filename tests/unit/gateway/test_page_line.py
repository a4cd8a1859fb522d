"""Questions from pages stand in the same line as the API's, as one key among the others."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright.async_api import Page, async_playwright, expect

from tests.unit.gateway.conftest import PATIENCE, QUESTION, Serve, bees, make_play, until
from waggle.cli.gateway import running_gateway
from waggle.dashboard.attach import attach
from waggle.engines.script import Hanger, Script
from waggle.gateway.app import make_app
from waggle.gateway.door.admission import PAGES
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions
from waggle.node.config.load import load_settings
from waggle.node.observing.logs import RecentLogs

CHROMIUM, WAIT_MS = shutil.which("chromium"), 60_000
in_a_browser = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: install Debian's to run this"),
]


def full(waiting: int = 9, waiting_per_key: int = 9) -> GatewayOptions:
    return GatewayOptions(max_running=1, max_waiting=waiting, max_waiting_per_key=waiting_per_key)


@asynccontextmanager
async def started(home: Path, **scripts: Script) -> AsyncIterator[str]:
    """A gateway as the command line starts it, on any free port; gives its base URL."""
    play = await make_play(**scripts)
    flags = {"home": str(home), "gateway_port": "0"}
    configuration = load_settings(flags, environment={}, folder=home)
    async with running_gateway(configuration, play.service, home, RecentLogs(), {}) as url:
        yield url
    await play.service.close()


async def test_a_gateway_that_runs_notices_the_first_key(tmp_path: Path) -> None:
    async with started(tmp_path, **bees()) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        assert (await client.get("/v1/models")).status_code == 200
        with closing(KeyStore(tmp_path / "keys.sqlite")) as store:
            text, _ = store.create("ann")
        async with asyncio.timeout(PATIENCE):
            while (await client.get("/v1/models")).status_code != 401:  # noqa: ASYNC110 - it looks once a second
                await asyncio.sleep(0.05)
        known = {"authorization": f"Bearer {text}"}
        assert (await client.get("/v1/models", headers=known)).status_code == 200
        assert (await client.get("/", headers=known)).status_code == 403


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = await browser.new_page()
        opened.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)  # five seconds where nothing is said
        yield opened
        await browser.close()


async def ask(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_label("Question").fill(QUESTION)
    await page.keyboard.press("Enter")


async def app_of(options: GatewayOptions) -> FastAPI:
    play = await make_play(**bees())
    app = make_app(play.service, options)
    attach(app, app.state.service, history=None, place=partial(app.state.admission.place, PAGES))
    return app


class TestInABrowser:
    pytestmark = in_a_browser

    async def test_a_page_waits_for_its_turn_behind_the_api(self, serve: Serve, page: Page) -> None:
        app = await app_of(full(waiting=1))
        async with serve(app) as url:
            async with app.state.admission.place("ann"):
                await ask(page, url)
                await until(lambda: app.state.admission.load.waiting == 1)
                await expect(page.locator(".answer")).to_have_count(0)
            await expect(page.locator(".answer-words")).to_have_text("42")
            assert app.state.admission.load.running == 0

    async def test_a_page_is_told_when_the_gateway_is_full(self, serve: Serve, page: Page) -> None:
        app = await app_of(full(waiting=0))
        async with serve(app) as url, app.state.admission.place("ann"):
            await ask(page, url)
            await expect(page.get_by_role("heading", name="Everybody is busy")).to_be_visible()

    async def test_a_question_from_a_page_has_a_place_in_the_gateway(self, tmp_path: Path, page: Page) -> None:
        slow = Script(name="slow", conduct=Hanger())
        async with started(tmp_path, slow=slow) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
            await ask(page, url)
            async with asyncio.timeout(2 * PATIENCE):
                while 'waggle_admission{state="running"} 1.0' not in (await client.get("/metrics")).text:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await page.close()
