"""Makes the pictures of the dashboard's documentation: `python tests/browser/pictures.py [SCENES' FOLDER]`.

The swarm in them is the bundled hive and, for what needs a network, a small one of scripted engines. Where the folder
given holds a `quality.json` of `waggle bench quality --json`, the quality page shows it.
"""

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
IMAGES = HERE.parent.parent / "docs" / "images"
COLOURS = 256
QUESTIONS = (
    "Spell this word backward (example: sun -> nus): honeycomb",
    "What does love mean?",
    "Solve for x: 7*x - 5 = 44",
    "How many 1 bits are there in the binary representation of the number 1453?",
)


@contextmanager
def running(scene: str, folder: Path) -> Iterator[str]:
    """A scene's address, while the block runs."""
    command = [sys.executable, str(HERE / "scenes.py"), scene, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


def save(page: Page, name: str, after_ms: int = 900) -> None:
    """What is on the screen, with few colours, because a documentation's pictures should be small."""
    page.wait_for_timeout(after_ms)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / f"dashboard-{name}.png", optimize=True)


def ask(page: Page, address: str, question: str, way: str = "committee") -> None:
    """Send a question from the first page, in a conversation of its own."""
    page.goto(address)
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Strategy").click()
    page.get_by_role("option", name=f"{way},").click()
    page.get_by_label("Question").fill(question)
    page.keyboard.press("Enter")


def of_hive(address: str, day: Page, night: Page) -> None:
    """Everything that needs no network."""
    for question in QUESTIONS:
        ask(day, address, question, "auto" if question.startswith("Solve") else "committee")
        day.locator(".answer").wait_for()
    save(day, "ask")
    ask(night, address, QUESTIONS[0])
    night.locator(".answer").wait_for()
    save(night, "ask-phone")
    for name in ("rounds", "quality", "node"):
        for page, kind in ((day, ""), (night, "-phone")):
            page.goto(f"{address}/{name}")
            save(page, name + kind)
    for page, kind in ((day, ""), (night, "-phone")):
        page.goto(f"{address}/rounds?q=bits")
        page.locator(".round-row").first.click()
        page.locator(".replay").wait_for()
        save(page, f"record{kind}")
    night.get_by_label("Step of the round").fill("9")
    night.evaluate("document.querySelector('.replay').scrollIntoView()")
    save(night, "replay-phone")


def of_mesh(address: str, day: Page) -> None:
    """A round as it happens, while a node is lost."""
    ask(day, address, "Which way is north?")
    day.wait_for_timeout(700)
    urllib.request.urlopen(urllib.request.Request(f"{address}/scene/lose", method="POST")).read()
    day.locator(".strip .tick.leader").first.wait_for()
    save(day, "live", 700)


def main() -> None:
    """Make them all."""
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        if len(sys.argv) > 1:
            shutil.copy(Path(sys.argv[1]) / "quality.json", folder)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        day, night = people(browser)
        with running("hive", folder) as address:
            of_hive(address, day, night)
        with running("mesh-slowly", folder) as address:
            of_mesh(address, day)
        with running("peers", folder) as address:
            for page, kind in ((day, ""), (night, "-phone")):
                page.goto(f"{address}/swarm")
                save(page, f"swarm{kind}")
        browser.close()


def people(browser: Browser) -> tuple[Page, Page]:
    """One with a large screen by day, one with a phone by night."""
    day = browser.new_context(viewport={"width": 1200, "height": 860}, color_scheme="light")
    night = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    return day.new_page(), night.new_page()


if __name__ == "__main__":
    main()
