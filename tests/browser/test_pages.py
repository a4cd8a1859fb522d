"""Every page in a real browser: states, a phone's width, day and night, the keyboard, and nothing from elsewhere."""

import json
import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Scene, Watched, ask

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
STEPS = """window.steps = []; setInterval(() => {
  const step = Number(document.querySelector('.replay .num').textContent.split(' ')[1]);
  if (step !== window.steps.at(-1)) window.steps.push(step);
}, 10)"""
"""Notes every step that a replay shows, beginning with the one that it shows now."""
PAGES = {"/": "Ask the swarm", "/swarm": "Swarm", "/rounds": "Rounds", "/quality": "Quality", "/node": "Node"}


def record_page(page: Page, address: str) -> None:
    """Ask, and open the round's record."""
    ask(page, address, "What is the capital of Peru?")
    page.get_by_role("link", name="Open the record").click()
    expect(page.locator(".replay")).to_be_visible()


def settle(page: Page) -> None:
    """Wait until the page is connected and nothing loads."""
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("main")).to_be_visible()


@pytest.mark.parametrize(("path", "title"), PAGES.items())
def test_every_page_opens_without_complaint_and_asks_nobody_else(
    page: Page, scene: Scene, path: str, title: str
) -> None:
    watched = Watched(page)
    page.goto(scene("swarm") + path)
    settle(page)
    expect(page).to_have_title(f"{title} · waggle")
    assert page.locator("h1").count() == 1
    assert watched.complaints == []
    assert watched.addresses
    assert [url for url in watched.addresses if not re.match(r"(http|ws)://127\.0\.0\.1:|data:", url)] == []
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px Material Icons'))")


def test_the_record_shows_who_beat_whom_and_replays_step_by_step(page: Page, scene: Scene) -> None:
    watched = Watched(page)
    record_page(page, scene("swarm"))
    heat = page.locator(".who-beat-whom")
    expect(heat.locator("tbody tr")).not_to_have_count(0)
    shares = [int(text) for text in heat.locator("tbody td").all_inner_texts() if text.isdigit()]
    assert len(shares) >= 2
    assert shares[0] + shares[-1] > 0
    expect(page.locator(".receipt")).to_contain_text("Receipts are not signed yet")
    page.get_by_role("button", name="First", exact=True).click()
    expect(page.locator(".replay")).to_contain_text("step 1 of")
    expect(page.locator(".dot.thinking")).to_have_count(7)
    expect(page.locator(".candidate:visible")).to_have_count(0)
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.locator(".dot.answered")).to_have_count(1)
    page.get_by_label("Step of the round").fill("12")
    expect(page.locator(".replay")).to_contain_text("step 13 of")
    page.get_by_role("button", name="Last", exact=True).click()
    expect(page.locator(".step.done")).to_have_count(3)
    assert watched.complaints == []


def test_a_replay_plays_by_itself_and_stops_at_the_end(page: Page, scene: Scene) -> None:
    record_page(page, scene("swarm"))
    page.evaluate(STEPS)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("window.steps.length > 4 && window.steps[0] === window.steps.at(-1)")
    last, *steps = page.evaluate("window.steps")
    assert steps == sorted(set(steps))
    assert steps[0] < last / 2
    expect(page.locator(".step.done")).to_have_count(3)


def test_rounds_are_searched(context: BrowserContext, scene: Scene) -> None:
    address = scene("committee")
    for question in ("What is 6 * 7?", "Spell honey backward"):
        page = context.new_page()  # a tab that has asked before shows the answer of then
        ask(page, address, question)
        expect(page.locator(".answer")).to_be_visible()
    page.goto(f"{address}/rounds")
    expect(page.locator(".round-row").first).to_contain_text("Spell honey backward")
    page.get_by_label("Search rounds").fill("6 7")
    expect(page.locator(".round-row").first).to_contain_text("What is 6 * 7?")
    expect(page.get_by_text("Spell honey backward")).to_have_count(0)
    page.get_by_label("Search rounds").fill("zebra")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_a_round_that_was_never_there_is_said_to_be_missing(page: Page, scene: Scene) -> None:
    for name in ("0" * 32, "..%2f..%2fetc", "%3Cscript%3E"):
        page.goto(f"{scene('swarm')}/rounds/{name}")
        expect(page.get_by_text(re.compile("no such round|no page at this address"))).to_be_visible()


def test_what_is_not_there_is_designed(page: Page, scene: Scene) -> None:
    address = scene("bare")
    for path, heading in {
        "/swarm": "Nobody else is here",
        "/rounds": "No history is kept",
        "/node": "No keys are in use",
    }.items():
        page.goto(address + path)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.get_by_role("heading", name="No settings")).to_be_visible()
    expect(page.get_by_role("heading", name="No log to show")).to_be_visible()
    page.goto(f"{address}/quality")
    expect(page.get_by_role("status")).to_contain_text("Nothing was measured on this machine yet")
    expect(page.get_by_role("img", name=re.compile("^Share of right answers: auto"))).to_be_visible()
    page.goto(scene("nobody") + "/rounds")
    expect(page.get_by_role("heading", name="No rounds yet")).to_be_visible()
    page.goto(scene("nobody") + "/node")
    expect(page.get_by_role("heading", name="The engine is down")).to_be_visible()


def test_the_swarm_page_says_why_a_node_stands_by_and_how_far_each_is(page: Page, scene: Scene) -> None:
    page.goto(scene("peers") + "/swarm")
    row = page.locator("li[data-node=cedar]")
    expect(row).to_contain_text(re.compile("standby.*because slower than 5 tokens per second", re.S))
    expect(page.locator("li[data-node=fern]")).to_contain_text(re.compile("dead.*because no answer to 3 pings", re.S))
    expect(page.locator("li[data-node=daisy]")).to_contain_text("54 ms")
    expect(page.get_by_role("img", name=re.compile("Network: this node, 7 peers"))).to_be_visible()
    expect(page.locator(".skills tbody tr")).to_have_count(8)


@pytest.mark.parametrize("path", [*PAGES, "record"])
def test_a_phone_shows_every_page_without_scrolling_sideways(phone: BrowserContext, scene: Scene, path: str) -> None:
    page, address = phone.new_page(), scene("committee")
    if path == "record":
        record_page(page, address)
    else:
        page.goto(address + path)
    settle(page)
    page.wait_for_function("document.documentElement.scrollWidth === 390")
    link = page.get_by_role("link", name="Node").bounding_box()
    assert link is not None
    assert link["height"] >= 40  # large enough for a thumb
    assert link["y"] > 700  # and where a thumb is


def test_day_and_night_follow_the_system_and_the_switch_is_remembered(
    context: BrowserContext, phone: BrowserContext, scene: Scene
) -> None:
    day, night = context.new_page(), phone.new_page()
    address = scene("committee")
    for page, is_dark in ((day, False), (night, True)):
        page.goto(address)
        settle(page)
        assert page.evaluate("document.body.classList.contains('body--dark')") is is_dark
    paper = day.evaluate("getComputedStyle(document.body).backgroundColor")
    day.get_by_role("button", name="Switch between light and dark").click()
    day.wait_for_function("paper => getComputedStyle(document.body).backgroundColor !== paper", arg=paper)
    day.goto(f"{address}/swarm")
    settle(day)
    assert day.evaluate("document.body.classList.contains('body--dark')")


def test_everything_works_with_the_keyboard_alone(page: Page, scene: Scene) -> None:
    page.goto(scene("swarm"))
    settle(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Skip to the page")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Question":
            break
    page.keyboard.type("What is 6 * 7?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Say it in digits.")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_text("What is 6 * 7?\nSay it in digits.")
    expect(page.locator(".answer")).to_be_visible()


def test_every_button_and_field_has_a_name(page: Page, scene: Scene) -> None:
    record_page(page, scene("swarm"))
    names = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, a')].filter(e => e.offsetParent)"
        ".map(e => (e.getAttribute('aria-label') || e.textContent || e.labels?.[0]?.textContent || '').trim())"
    )
    assert names
    assert all(names)


def test_measured_quality_is_drawn(page: Page, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    address, base = scene("swarm"), tmp_path_factory.getbasetemp()
    folder = next(each for each in base.iterdir() if each.name.startswith("swarm"))
    rows: list[dict[str, object]] = [
        {
            "strategy": "committee",
            "right": 0.98,
            "low": 0.97,
            "high": 0.99,
            "tokens": 476.0,
            "seconds": 0.08,
            "questions": 90,
        },
        {
            "strategy": "vote",
            "right": 0.63,
            "low": 0.6,
            "high": 0.66,
            "tokens": 306.0,
            "seconds": 0.02,
            "questions": 90,
        },
        {"curve": "committee", "mean_confidence": 0.95, "right": 0.97, "questions": 80},
    ]
    file = folder / "quality.json"
    file.write_text(json.dumps({"suite": "quality", "rows": rows}))
    page.goto(f"{address}/quality")
    expect(page.get_by_role("img", name="Share of right answers: committee 98 %, vote 63 %")).to_be_visible()
    expect(page.get_by_role("img", name="Calibration curve: 95 % sure: 97 % right")).to_be_visible()
    expect(page.locator(".costs")).to_contain_text("486")
    file.write_text('{"suite": "engine", "rows": []}')
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("cannot be read")
    file.unlink()


def test_a_web_page_of_another_origin_cannot_open_the_socket(context: BrowserContext, scene: Scene) -> None:
    reply = context.request.get(
        scene("swarm") + "/_nicegui_ws/socket.io/?EIO=4&transport=polling", headers={"Origin": "http://evil.example"}
    )
    assert reply.status == 400
    assert "access-control-allow-origin" not in reply.headers


def test_where_keys_are_in_use_only_an_admin_sees_the_pages(
    page: Page, scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = scene("locked")
    folder = next(each for each in tmp_path_factory.getbasetemp().iterdir() if each.name.startswith("locked"))
    page.goto(f"{address}/node")
    expect(page.get_by_role("heading", name="Engines")).to_have_count(0)
    for scope in ("ask", "admin"):
        page.goto(f"{address}/login")
        page.locator("input[type=password], input[name=key]").first.fill((folder / f"{scope}.key").read_text())
        page.keyboard.press("Enter")
        expect(page.get_by_label("Question") if scope == "admin" else page.get_by_role("alert")).to_be_visible()
    ask(page, address, "What is 6 * 7?")
    expect(page.locator(".answer")).to_contain_text("asked for 70 %")
    page.goto(f"{address}/node")
    expect(page.get_by_text("admin-key")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{address}/swarm")
    expect(page.get_by_role("heading", name="Network")).to_have_count(0)
