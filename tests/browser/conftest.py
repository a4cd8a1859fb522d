"""A headless Chromium and the scenes it looks at; skipped, with the reason, where there is no browser."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SCENES = Path(__file__).with_name("scenes.py")
WAIT_MS = 60_000

Scene = Callable[[str], str]
"""Gives the address of a scene by its name."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file: while it is open, no other event loop can run in this thread."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's chromium to run these tests")
    expect.set_options(timeout=WAIT_MS)  # five seconds where nothing is said
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Gives the address of a scene by its name; its process is started once."""
    addresses: dict[str, str] = {}

    with ExitStack() as ends:

        def start(name: str) -> str:
            if name not in addresses:
                folder = tmp_path_factory.mktemp(name)
                command = [sys.executable, str(SCENES), name, str(folder)]
                process = ends.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder))
                ends.callback(process.kill)
                assert process.stdout is not None
                port = process.stdout.readline().strip()
                assert port, f"the scene {name} did not start"
                addresses[name] = f"http://127.0.0.1:{port}"
            return addresses[name]

        yield start


class Watched:
    """A page's complaints and the addresses that it asked for."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("websocket", lambda socket: self.addresses.append(socket.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A person with a large screen by day."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    made.set_default_timeout(WAIT_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of that person's."""
    return context.new_page()


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    """A person with a phone by night."""
    made = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    made.set_default_timeout(WAIT_MS)
    yield made
    made.close()


def ask(page: Page, address: str, question: str) -> None:
    """Open the first page and send a question."""
    page.goto(f"{address}/")
    write(page, question)


def write(page: Page, question: str) -> None:
    """Send a question from the page that is open."""
    page.get_by_label("Question").fill(question)
    page.keyboard.press("Enter")
